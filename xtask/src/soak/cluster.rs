//! Three nodes under `repligo dev`, and what their admin pages say.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::run::{Failure, Outcome, root};

const READY_PATIENCE: Duration = Duration::from_secs(60);
const HTTP_PATIENCE: Duration = Duration::from_secs(10);

/// One node.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Where clients connect.
    pub resp: String,
    /// Where its pages are.
    pub admin: String,
    /// Its process.
    pub pid: u64,
}

/// The running nodes; dropping it stops them and removes their directory.
#[derive(Debug)]
pub struct Cluster {
    /// All of them.
    pub nodes: Vec<Node>,
    directory: PathBuf,
    dev: Child,
    kept: std::cell::Cell<bool>,
}

impl Cluster {
    /// Starts three nodes of so many workers on free ports. With several of them all sockets of clients are on those
    /// that do not execute. `REPLIGO_BINARY` names another program than that of the release.
    pub fn start(workers: u64) -> Outcome<Self> {
        let named = std::env::var_os("REPLIGO_BINARY").map(PathBuf::from);
        let binary = named.unwrap_or_else(|| root().join("target/release/repligo"));
        if !binary.exists() {
            return Err(Failure::new(format!(
                "{} is missing; run: cargo build --release --package repligo",
                binary.display()
            )));
        }
        let directory = std::env::temp_dir().join(format!("repligo-soak-{}", std::process::id()));
        let system = |what: &str, error: std::io::Error| Failure::new(format!("cannot {what}: {error}"));
        std::fs::create_dir_all(&directory).map_err(|error| system("make a directory", error))?;
        let log =
            std::fs::File::create(directory.join("dev.log")).map_err(|error| system("make a log", error))?;
        let dev = Command::new(&binary)
            .args(["dev", "--nodes", "3", "--base-port", "0", "--dir"])
            .arg(directory.join("nodes"))
            .args([
                "--",
                "--workers",
                &workers.to_string(),
                "--workers-busy-percent",
                "0",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| system("start repligo dev", error))?;
        let mut cluster = Self {
            nodes: Vec::new(),
            directory,
            dev,
            kept: std::cell::Cell::new(false),
        };
        cluster.nodes = cluster.wait_until_ready()?;
        Ok(cluster)
    }

    fn wait_until_ready(&self) -> Outcome<Vec<Node>> {
        let file = self.directory.join("nodes/cluster.json");
        let began = Instant::now();
        loop {
            // The file appears complete, or not at all.
            if let Ok(text) = std::fs::read_to_string(&file) {
                let facts: Value = serde_json::from_str(&text)
                    .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
                let nodes = facts["nodes"].as_array().cloned().unwrap_or_default();
                return Ok(nodes.iter().map(Node::new).collect());
            }
            if began.elapsed() > READY_PATIENCE {
                let directory = self.keep();
                return Err(Failure::new(format!(
                    "the nodes do not get ready; logs: {}",
                    directory.display()
                )));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Where clients connect.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.resp.clone()).collect()
    }

    /// Leaves the directory in place, for a look at the logs.
    pub fn keep(&self) -> PathBuf {
        self.kept.set(true);
        self.directory.clone()
    }

    /// Name, applied index and digest of every node once the indexes are equal; complains when the digests
    /// are not, or when it takes too long.
    pub fn wait_until_equal(&self, patience: Duration) -> Result<Vec<(String, u64, String)>, String> {
        let began = Instant::now();
        loop {
            let states: Result<Vec<_>, String> = self.nodes.iter().map(Node::state).collect();
            let states = states?;
            if states.iter().all(|state| state.1 == states[0].1) {
                return if states.iter().all(|state| state.2 == states[0].2) {
                    Ok(states)
                } else {
                    Err(format!("replicas differ at one applied index: {states:?}"))
                };
            }
            if began.elapsed() > patience {
                return Err(format!("the applied indexes stay different: {states:?}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // `dev` stops its nodes when it is asked to end.
        let pid = self.dev.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.dev.kill();
        }
        let _ = self.dev.wait();
        if !self.kept.get() {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

impl Node {
    fn new(facts: &Value) -> Self {
        let text = |name: &str| facts[name].as_str().unwrap_or_default().to_owned();
        Self {
            name: text("name"),
            resp: text("resp"),
            admin: text("admin"),
            pid: facts["pid"].as_u64().unwrap_or(0),
        }
    }

    /// A page of the node's admin listener.
    pub fn page(&self, path: &str) -> Result<String, String> {
        let complain = |error: std::io::Error| format!("{}: {path}: {error}", self.name);
        let mut stream = TcpStream::connect(&self.admin).map_err(complain)?;
        stream.set_read_timeout(Some(HTTP_PATIENCE)).map_err(complain)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.admin
        );
        stream.write_all(request.as_bytes()).map_err(complain)?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map_err(complain)?;
        match text.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
            _ => Err(format!(
                "{}: {path}: {}",
                self.name,
                text.lines().next().unwrap_or("no answer")
            )),
        }
    }

    /// Name, applied index and digest, as the node itself says.
    fn state(&self) -> Result<(String, u64, String), String> {
        let page = self.page("/api/status")?;
        let status: Value = serde_json::from_str(&page).map_err(|error| format!("{}: {error}", self.name))?;
        let rows = status["nodes"].as_array().cloned().unwrap_or_default();
        let own = rows.iter().find(|row| row["name"] == self.name.as_str());
        let own = own.ok_or_else(|| format!("{} does not know itself", self.name))?;
        let applied = own["applied_index"].as_u64().unwrap_or(0);
        Ok((self.name.clone(), applied, own["digest"].to_string()))
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> Result<u64, String> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))
            .map_err(|error| format!("{} does not run any more: {error}", self.name))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        number.ok_or_else(|| format!("{}: no VmRSS", self.name))
    }
}
