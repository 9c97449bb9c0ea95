//! SIGINT and SIGTERM as a flag that loops can look at, for the commands that manage other processes.
//!
//! `serve` does not use it: the node handles its own signals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

/// Set by the first SIGINT or SIGTERM.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Catches both signals from now on.
    ///
    /// # Errors
    /// The system refuses a thread or a signal handler.
    pub fn install() -> std::io::Result<StopFlag> {
        let flag = StopFlag::default();
        let seen = flag.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        // Registered before this returns, so that no signal can slip through in between.
        let (mut interrupt, mut terminate) = runtime.block_on(async {
            Ok::<_, std::io::Error>((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
        })?;
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                runtime.block_on(async {
                    loop {
                        tokio::select! {
                            _ = interrupt.recv() => seen.set(),
                            _ = terminate.recv() => seen.set(),
                        }
                    }
                });
            })?;
        Ok(flag)
    }

    /// Asks the loops to end.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether the end was asked for.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
