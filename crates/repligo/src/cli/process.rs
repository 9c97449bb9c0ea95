//! Node processes of `dev` and `demo`: how one is started, asked, signalled and stopped.
//!
//! A node may be restarted by somebody else (a test script with the `argv` of `cluster.json`), so a pid
//! is never trusted by itself: `node.pid` counts only if that process has this node's command line.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::private;
use crate::telemetry::report::{Health, Report};

/// How long a node may take to stop after SIGTERM before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(15);
/// Between two looks at a process.
const POLL: Duration = Duration::from_millis(20);

/// Everything that is needed to start one node, again and again.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// Its name.
    pub name: String,
    /// Where clients connect.
    pub resp: SocketAddr,
    /// Where other nodes connect.
    pub peer: SocketAddr,
    /// Admin HTTP.
    pub admin: SocketAddr,
    /// Its directory, absolute.
    pub data_dir: PathBuf,
    /// Where stdout and stderr go, appended.
    pub log: PathBuf,
    /// Absolute program and all arguments; needs no environment.
    pub argv: Vec<String>,
    /// What its admin HTTP asks for.
    pub admin_token: Option<AdminToken>,
}

/// A token that is not shown.
#[derive(Clone)]
pub struct AdminToken(pub String);

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

/// Why a node is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unready {
    /// It does not answer.
    Silent,
    /// What it waits for, in its own words.
    Waits(String),
    /// It serves plain keys; the database of mapped ones cannot be used, for this reason.
    Origin(String),
}

impl Unready {
    fn of(report: &Report) -> Option<Unready> {
        if report.health == Health::Healthy {
            return None;
        }
        let down = report.origin.down.first();
        if let Some(down) = down.filter(|_| report.health == Health::Degraded) {
            let (origin, keyspace) = (&down.origin, &down.keyspace);
            return Some(Unready::Origin(format!(
                "origin {origin} of keyspace {keyspace} is down: {}",
                down.reason
            )));
        }
        let first = report.problems.first();
        Some(Unready::Waits(first.map_or_else(
            || report.phase.clone(),
            |problem| problem.what.clone(),
        )))
    }
}

impl std::fmt::Display for Unready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unready::Silent => f.write_str("no answer"),
            Unready::Waits(reason) | Unready::Origin(reason) => f.write_str(reason),
        }
    }
}

impl NodeSpec {
    /// Starts the process, in a process group of its own so that ^C reaches only us, and tied to the life
    /// of the calling thread: it gets `on_parent_death` when that ends. Call it from the main thread.
    ///
    /// # Errors
    /// The log cannot be opened or the program not be started.
    pub fn spawn(&self, on_parent_death: libc::c_int) -> std::io::Result<Child> {
        let log = private::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.argv[0]);
        command
            .args(&self.argv[1..])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        prepare(&mut command, on_parent_death);
        command.spawn()
    }

    /// The process of this node, whoever started it.
    pub fn running_pid(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.data_dir.join("node.pid")).ok()?;
        let pid: u32 = text.trim().parse().ok()?;
        has_command_line(pid, &self.argv).then_some(pid)
    }

    /// Why the node is not ready. It is when it serves clients and sees every other node serve: it is ready itself,
    /// and whoever asks it for the status of the cluster gets the same answer. `pid` is its process. Somebody else's
    /// node that answers at this address is another process and does not count.
    pub fn unready(&self, pid: Option<u32>) -> Option<Unready> {
        let answer = http_get(self.admin, "/api/status", self.admin_token.as_ref());
        let report = answer
            .ok()
            .and_then(|(_, body)| serde_json::from_str::<Report>(&body).ok())
            .filter(|report| pid == Some(report.pid));
        report.map_or(Some(Unready::Silent), |report| Unready::of(&report))
    }

    /// Every address that the node will listen on, with what it is for.
    pub fn addresses(&self) -> [(&'static str, SocketAddr); 3] {
        [("RESP", self.resp), ("peer", self.peer), ("admin", self.admin)]
    }

    /// What to type into a shell to start it.
    pub fn command_line(&self) -> String {
        let is_plain = |word: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
            !word.is_empty() && word.bytes().all(plain)
        };
        let words = self.argv.iter().map(|word| match is_plain(word) {
            true => word.clone(),
            false => format!("'{}'", word.replace('\'', "'\\''")),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// The last lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

/// Own process group, a signal when the parent dies, and none of our variables: what a node must know
/// stands in its `argv`. Variables of tests stay.
pub fn prepare(command: &mut Command, on_parent_death: libc::c_int) {
    for (name, _) in std::env::vars_os() {
        let ours = name
            .to_str()
            .is_some_and(|name| name.starts_with("REPLIGO_") && !name.starts_with("REPLIGO_TEST_"));
        if ours {
            command.env_remove(name);
        }
    }
    command.process_group(0);
    // SAFETY: between fork and exec only prctl is called, which is async-signal-safe and touches no memory
    // of this process.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, on_parent_death) == -1 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

/// Sends a signal; false when there is no such process.
pub fn send_signal(pid: u32, signal: libc::c_int) -> bool {
    let Ok(pid) = libc::pid_t::try_from(pid) else {
        return false;
    };
    if pid <= 1 {
        return false;
    }
    // SAFETY: kill takes two integers; a positive pid addresses exactly one process.
    unsafe { libc::kill(pid, signal) == 0 }
}

/// True when the process exists and was started with exactly these arguments.
fn has_command_line(pid: u32, argv: &[String]) -> bool {
    let Ok(raw) = std::fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    let actual: Vec<&[u8]> = raw
        .strip_suffix(b"\0")
        .unwrap_or(&raw)
        .split(|byte| *byte == 0)
        .collect();
    // The program itself may be spelt differently by whoever restarted it.
    actual.len() == argv.len()
        && actual[1..]
            .iter()
            .zip(&argv[1..])
            .all(|(left, right)| *left == right.as_bytes())
}

/// A tiny HTTP GET for our own admin port: status code and body.
///
/// # Errors
/// Nobody listens, or the answer is not HTTP.
pub fn http_get(
    address: SocketAddr,
    path: &str,
    token: Option<&AdminToken>,
) -> std::io::Result<(u16, String)> {
    let timeout = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let token = token.map_or_else(String::new, |token| {
        format!("Authorization: Bearer {}\r\n", token.0)
    });
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{token}Connection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = String::new();
    stream.take(1 << 20).read_to_string(&mut answer)?;
    let malformed = || std::io::Error::other("the answer is not HTTP");
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or_else(malformed)?;
    let body = answer.split_once("\r\n\r\n").ok_or_else(malformed)?.1;
    Ok((status, body.to_string()))
}

/// Stops the nodes: our children, and processes that others started in their place. SIGTERM first; a
/// paused node is resumed for it; after the grace period the rest is killed. Returns the names of nodes
/// that had to be killed.
pub fn stop_all(specs: &[NodeSpec], children: &mut [Option<Child>]) -> Vec<String> {
    let deadline = Instant::now() + STOP_GRACE;
    let mut asked: Vec<u32> = Vec::new();
    loop {
        reap(children);
        let alive = alive(specs, children);
        if alive.is_empty() {
            return Vec::new();
        }
        if Instant::now() > deadline {
            return kill_all(&alive, children);
        }
        for (_, pid) in &alive {
            if !asked.contains(pid) {
                send_signal(*pid, libc::SIGTERM);
                send_signal(*pid, libc::SIGCONT);
                asked.push(*pid);
            }
        }
        std::thread::sleep(POLL);
    }
}

fn kill_all(alive: &[(String, u32)], children: &mut [Option<Child>]) -> Vec<String> {
    for (_, pid) in alive {
        send_signal(*pid, libc::SIGKILL);
    }
    for child in children.iter_mut().flatten() {
        let _ = child.wait();
    }
    alive.iter().map(|(name, _)| name.clone()).collect()
}

/// Collects children that have ended, so that their pids are free again.
fn reap(children: &mut [Option<Child>]) {
    for slot in children {
        if slot
            .as_mut()
            .is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_some()))
        {
            *slot = None;
        }
    }
}

fn alive(specs: &[NodeSpec], children: &[Option<Child>]) -> Vec<(String, u32)> {
    let mut found: Vec<(String, u32)> = Vec::new();
    for (spec, child) in specs.iter().zip(children) {
        for pid in child.iter().map(Child::id).chain(spec.running_pid()) {
            if !found.iter().any(|(_, other)| *other == pid) {
                found.push((spec.name.clone(), pid));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(folder: &std::path::Path, seconds: &str) -> NodeSpec {
        std::fs::create_dir_all(folder).expect("folder");
        let address: SocketAddr = "127.0.0.1:1".parse().expect("address");
        NodeSpec {
            name: "n1".into(),
            resp: address,
            peer: address,
            admin: address,
            data_dir: folder.to_path_buf(),
            log: folder.join("n1.log"),
            argv: vec!["/bin/sleep".into(), seconds.into()],
            admin_token: None,
        }
    }

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("repligo-process-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_pid_counts_only_with_the_right_command_line() {
        let folder = scratch("pid");
        let spec = sleeper(&folder, "61");
        let mut child = spec.spawn(libc::SIGKILL).expect("sleep exists");
        std::fs::write(folder.join("node.pid"), format!("{}\n", child.id())).expect("pid file");
        // The child is a copy of this process until it has called exec.
        let started = Instant::now();
        while spec.running_pid().is_none() && started.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(POLL);
        }
        assert_eq!(spec.running_pid(), Some(child.id()));
        let other = sleeper(&folder, "62");
        assert_eq!(
            other.running_pid(),
            None,
            "another command line is another process"
        );
        std::fs::write(folder.join("node.pid"), "1\n").expect("pid file");
        assert_eq!(spec.running_pid(), None);
        let _ = child.kill();
        let _ = child.wait();
        let _ = std::fs::remove_dir_all(&folder);
    }

    #[test]
    fn stopping_finds_the_process_that_somebody_else_started() {
        let folder = scratch("stop");
        let spec = sleeper(&folder, "63");
        let mut foreign = spec.spawn(libc::SIGKILL).expect("sleep exists");
        std::fs::write(folder.join("node.pid"), format!("{}\n", foreign.id())).expect("pid file");
        let waiter = std::thread::spawn(move || foreign.wait().expect("child"));
        let killed = stop_all(&[spec], &mut [None]);
        assert!(killed.is_empty(), "SIGTERM was enough");
        assert!(!waiter.join().expect("waiter").success());
        let _ = std::fs::remove_dir_all(&folder);
    }

    #[test]
    fn a_shell_reads_the_command_line_as_it_is() {
        let mut spec = sleeper(&std::env::temp_dir(), "1");
        spec.argv = ["/bin/printf", "%s\n", "a b", "it's", "", "$HOME;"]
            .map(str::to_owned)
            .to_vec();
        let output = Command::new("sh")
            .args(["-c", &spec.command_line()])
            .output()
            .expect("sh exists");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "a b\nit's\n\n$HOME;\n");
    }

    #[test]
    fn pid_one_and_groups_are_never_signalled() {
        assert!(!send_signal(0, libc::SIGTERM));
        assert!(!send_signal(1, 0));
        assert!(!send_signal(u32::MAX, libc::SIGTERM));
    }
}
