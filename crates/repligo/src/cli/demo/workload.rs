//! The client processes of the demo: start, count, stop.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::client::Progress;
use crate::cli::process;

/// Row numbers of two clients never meet.
const ROWS_PER_CLIENT: i64 = 10_000_000;
/// Longer than a client waits for a reply.
const STOP_GRACE: Duration = Duration::from_secs(15);

/// The running client processes.
pub struct Workload {
    children: Vec<Child>,
    progress: Vec<Arc<Mutex<Progress>>>,
}

impl Workload {
    /// Starts one client process per node address. Call it from the main thread.
    ///
    /// # Errors
    /// A process cannot be started.
    pub fn start(nodes: &[String], history: &Path, first_row: i64) -> Result<Workload, String> {
        let program =
            std::env::current_exe().map_err(|error| format!("own program is not known: {error}"))?;
        let mut workload = Workload {
            children: Vec::new(),
            progress: Vec::new(),
        };
        for number in 1..=nodes.len() {
            let mut command = Command::new(&program);
            command
                .arg("demo-client")
                .arg("--client")
                .arg(format!("c{number}"))
                .arg("--nodes")
                .arg(nodes.join(","))
                .arg("--history")
                .arg(history)
                .arg("--first-row")
                .arg((first_row + number as i64 * ROWS_PER_CLIENT).to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::piped());
            process::prepare(&mut command, libc::SIGKILL);
            let mut child = command
                .spawn()
                .map_err(|error| format!("a client cannot be started: {error}"))?;
            let progress = Arc::new(Mutex::new(Progress::default()));
            let stdout = child.stdout.take().expect("stdout was asked to be a pipe");
            let latest = progress.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if let Ok(progress) = serde_json::from_str(&line) {
                        *latest.lock().unwrap_or_else(PoisonError::into_inner) = progress;
                    }
                }
            });
            workload.children.push(child);
            workload.progress.push(progress);
        }
        Ok(workload)
    }

    /// Sum over all clients.
    pub fn progress(&self) -> Progress {
        let mut sum = Progress::default();
        for progress in &self.progress {
            let one = *progress.lock().unwrap_or_else(PoisonError::into_inner);
            sum.acked += one.acked;
            sum.mapped += one.mapped;
            sum.unknown += one.unknown;
            sum.refused += one.refused;
            sum.reads += one.reads;
            sum.stale_reads += one.stale_reads;
        }
        sum
    }

    /// Whether a client has ended before it was asked to.
    pub fn has_fallen(&mut self) -> bool {
        self.children
            .iter_mut()
            .any(|child| child.try_wait().is_ok_and(|status| status.is_some()))
    }

    /// Asks the clients to write their history and end, and waits for them.
    ///
    /// # Errors
    /// A client failed or did not end: its part of the history is not to be trusted.
    pub fn stop(&mut self) -> Result<(), String> {
        for child in &self.children {
            process::send_signal(child.id(), libc::SIGTERM);
        }
        let deadline = Instant::now() + STOP_GRACE;
        let mut problem = None;
        for mut child in self.children.drain(..) {
            loop {
                match child.try_wait() {
                    Ok(Some(status)) if status.success() => break,
                    Ok(Some(status)) => {
                        problem = Some(format!("a client failed: {status}"));
                        break;
                    }
                    _ if Instant::now() > deadline => {
                        let _ = child.kill();
                        let _ = child.wait();
                        problem = Some("a client did not end in time".to_string());
                        break;
                    }
                    _ => std::thread::sleep(Duration::from_millis(10)),
                }
            }
        }
        problem.map_or(Ok(()), Err)
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
