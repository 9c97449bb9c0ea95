//! Server processes of a run: started in the run's folder, measured through /proc, stopped with it.
//!
//! Invariants: only what was started here is signalled; every child dies with the run even if that is
//! killed (`setpriv --pdeathsig`), so ^C and crashes leave no process behind.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use crate::run::{Failure, Outcome, root};

/// Where results and the folders of runs are.
pub fn bench_folder() -> PathBuf {
    root().join("target/bench")
}

/// The folder of this run's data, on the disk of the repository: a measurement with fsync in a
/// memory file system would show nothing.
pub fn run_folder() -> PathBuf {
    bench_folder().join(format!("run-{}", std::process::id()))
}

/// Removes the folders of runs that have ended without doing so (^C, a crash).
pub fn remove_old_folders() {
    let entries = fs::read_dir(bench_folder()).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name
            .strip_prefix("run-")
            .and_then(|digits| digits.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A port of loopback that nothing listens on, below the range from which the kernel numbers
/// outgoing connections, and not given out twice in a run.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 6_000;
    // Peers of Redis derive ports by adding 10,000; ours must not, so both ranges stay apart.
    let seed = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (seed + step % COUNT) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// One running server.
#[derive(Debug)]
pub struct Server {
    /// What messages call it.
    pub name: String,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a program in `folder` (created), with its output in a file beside it.
    ///
    /// # Errors
    /// The folder cannot be written or the program not be started.
    pub fn start(name: &str, folder: &Path, argv: &[String]) -> Outcome<Self> {
        let failed = |error: std::io::Error| Failure::new(format!("cannot start {name}: {error}"));
        fs::create_dir_all(folder).map_err(failed)?;
        let log = folder.join("output.log");
        let output = File::create(&log).map_err(failed)?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .args(argv)
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LD_LIBRARY_PATH", crate::install::peer_libraries())
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output)
            .spawn()
            .map_err(failed)?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder that it was started in.
    pub fn folder(&self) -> &Path {
        self.log.parent().expect("the log is in the folder")
    }

    /// User plus system time of all its threads, in seconds.
    ///
    /// # Errors
    /// It has ended.
    pub fn cpu_seconds(&self) -> Outcome<f64> {
        /// Clock ticks per second of /proc on every Linux that we run on (USER_HZ).
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = self.proc_file("stat")?;
        // The name in parentheses may hold anything, so the fields are counted from its end.
        let fields: Vec<&str> = stat
            .rsplit_once(") ")
            .map(|(_, rest)| rest.split(' ').collect())
            .unwrap_or_default();
        let ticks = |position: usize| fields.get(position).and_then(|field| field.parse::<f64>().ok());
        match (ticks(11), ticks(12)) {
            (Some(user), Some(system)) => Ok((user + system) / TICKS_PER_SECOND),
            _ => Err(Failure::new(format!("/proc/{}/stat is not readable", self.pid()))),
        }
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// It has ended.
    pub fn resident_bytes(&self) -> Outcome<u64> {
        resident_bytes(self.pid()).ok_or_else(|| self.gone())
    }

    fn proc_file(&self, file: &str) -> Outcome<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.pid())).map_err(|_| self.gone())
    }

    fn gone(&self) -> Failure {
        Failure::new(format!("{} has ended: {}", self.name, self.tail()))
    }

    /// The end of its output, for messages.
    pub fn tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    /// Waits until the check succeeds, as long as the process lives.
    ///
    /// # Errors
    /// It ended, or the time is over; with the end of its output.
    pub fn wait_until(&mut self, what: &str, seconds: u64, check: impl Fn() -> bool) -> Outcome {
        let start = Instant::now();
        while !check() {
            let ended = self.child.try_wait().ok().flatten();
            if let Some(status) = ended {
                return Err(Failure::new(format!(
                    "{} ended ({status}): {}",
                    self.name,
                    self.tail()
                )));
            }
            if start.elapsed() > Duration::from_secs(seconds) {
                return Err(Failure::new(format!(
                    "{}: {what} did not come within {seconds} s: {}",
                    self.name,
                    self.tail()
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// SIGTERM (after SIGCONT: what is frozen hears nothing), then after 10 s SIGKILL; returns when it has ended.
    pub fn stop(&mut self) {
        signal(self.pid(), "CONT");
        signal(self.pid(), "TERM");
        for _ in 0..500 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Resident memory of a process in bytes; `None` when it has gone.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Sends a signal by name to a process that this run started.
pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// User plus system time of several servers together, in seconds.
///
/// # Errors
/// One has ended.
pub fn cpu_seconds_of(servers: &[&Server]) -> Outcome<f64> {
    let mut sum = 0.0;
    for server in servers {
        sum += server.cpu_seconds()?;
    }
    Ok(sum)
}
