//! A timer that is finer than the runtime's, which counts milliseconds.
//!
//! It rings for the turn at which the batching delay of ops is over, a fraction of a millisecond ahead, and for
//! the ticks: any timer of the runtime's costs every wait for sockets two looks at the clock.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::NodeError;

/// Rings at a time of the boot clock.
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<OwnedFd>,
    /// What it is set to, 0 for nothing.
    at_us: Cell<u64>,
}

impl Alarm {
    /// Not set. Must be called inside a runtime.
    ///
    /// # Errors
    /// [`NodeError::System`]: no more files.
    pub fn new() -> Result<Self, NodeError> {
        Self::make().map_err(|source| NodeError::System {
            what: "cannot make a timer",
            source,
        })
    }

    fn make() -> io::Result<Self> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: the call takes no pointers.
        let descriptor = unsafe { libc::timerfd_create(libc::CLOCK_BOOTTIME, flags) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and nobody else owns it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        // SAFETY: an `OwnedFd` keeps its descriptor open, and the same, for as long as it lives.
        let timer = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
        Ok(Self {
            timer: timer.map_err(io::Error::from)?,
            at_us: Cell::new(0),
        })
    }

    /// Lets it ring at a time of the boot clock, in microseconds; one that has passed rings at once. An
    /// earlier setting is replaced.
    pub fn set(&self, at_us: u64) {
        if self.at_us.replace(at_us) == at_us {
            return;
        }
        let never = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let setting = libc::itimerspec {
            it_interval: never,
            it_value: libc::timespec {
                tv_sec: (at_us / 1_000_000) as libc::time_t,
                tv_nsec: (at_us % 1_000_000 * 1000) as libc::c_long,
            },
        };
        let descriptor = self.timer.get_ref().as_raw_fd();
        // SAFETY: the descriptor is a timer that lives as long as `self`, the setting lives through the
        // call, and no old setting is asked for.
        let result = unsafe {
            libc::timerfd_settime(
                descriptor,
                libc::TFD_TIMER_ABSTIME,
                &setting,
                std::ptr::null_mut(),
            )
        };
        debug_assert_eq!(result, 0, "the setting is valid");
    }

    /// Waits until it rings.
    pub async fn rung(&self) {
        if let Ok(mut guard) = self.timer.readable().await {
            let mut count = [0u8; 8];
            let descriptor = self.timer.get_ref().as_raw_fd();
            // SAFETY: the descriptor is open and the buffer has the eight bytes that a timer gives.
            unsafe { libc::read(descriptor, count.as_mut_ptr().cast(), count.len()) };
            // Read or not, a setting that follows makes it readable anew.
            guard.clear_ready();
            self.at_us.set(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::clock::boottime_us;

    #[test]
    fn it_rings_after_its_time_and_again_when_set_again() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let alarm = Alarm::new().expect("a timer");
            for _ in 0..3 {
                let at_us = boottime_us() + 300;
                alarm.set(at_us);
                alarm.rung().await;
                assert!(boottime_us() >= at_us);
            }
        });
    }
}
