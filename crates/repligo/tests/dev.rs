//! `repligo dev` with real processes: what a test script relies on.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_repligo");
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `dev` and its folder; stopped and removed when dropped.
struct Dev {
    child: Child,
    dir: PathBuf,
}

impl Dev {
    fn start(name: &str, arguments: &[&str]) -> Dev {
        let dir = std::env::temp_dir().join(format!("repligo-dev-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let child = Command::new(PROGRAM)
            .args(["dev", "--base-port", "0", "--dir"])
            .arg(&dir)
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .expect("repligo starts");
        Dev { child, dir }
    }

    /// Waits for `cluster.json` and returns its nodes.
    fn nodes(&self) -> Vec<Value> {
        let path = self.dir.join("cluster.json");
        wait_for("cluster.json", || path.exists());
        let text = std::fs::read(path).expect("readable");
        let json: Value = serde_json::from_slice(&text).expect("complete JSON, because it was renamed");
        json["nodes"].as_array().expect("nodes").clone()
    }

    /// SIGTERM, and the exit code.
    fn stop(&mut self) -> Option<i32> {
        signal(self.child.id(), "TERM");
        self.child.wait().expect("child").code()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.stop();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < PATIENCE, "no {what} after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .status();
    assert!(status.expect("kill exists").success(), "kill -{name} {pid}");
}

fn is_alive(pid: u64) -> bool {
    // A zombie has no command line.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// `repligo status --json` of a node: exit code and report.
fn status(node: &Value) -> (i32, Value) {
    let output = Command::new(PROGRAM)
        .args(["status", "--json", "--addr", node["resp"].as_str().expect("resp")])
        .output()
        .expect("repligo starts");
    let report = serde_json::from_slice(&output.stdout).expect("JSON in every case");
    (output.status.code().expect("exit code"), report)
}

fn pid_of(node: &Value) -> u64 {
    let file = Path::new(node["data_dir"].as_str().expect("data_dir")).join("node.pid");
    std::fs::read_to_string(file)
        .expect("node.pid")
        .trim()
        .parse()
        .expect("a number")
}

#[test]
fn a_node_that_a_script_restarted_is_watched_and_stopped_too() {
    let mut dev = Dev::start("restart", &[]);
    let nodes = dev.nodes();
    assert_eq!(nodes.len(), 3);
    for node in &nodes {
        assert_eq!(
            node["pid"].as_u64(),
            Some(pid_of(node)),
            "cluster.json and node.pid agree"
        );
    }
    let (code, report) = status(&nodes[0]);
    assert_eq!(
        (code, report["health"].as_str()),
        (0, Some("healthy")),
        "{report}"
    );
    let leader = report["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .find(|row| row["role"] == "leader");
    let name = leader.expect("a healthy cluster has a leader")["name"].clone();
    let killed = nodes
        .iter()
        .position(|node| node["name"] == name)
        .expect("a node of ours");
    let survivor = &nodes[(killed + 1) % 3];

    signal(nodes[killed]["pid"].as_u64().expect("pid") as u32, "KILL");
    wait_for("degraded cluster", || status(survivor).0 == 1);
    assert!(
        dev.child.try_wait().expect("child").is_none(),
        "dev stays when a node dies"
    );

    let argv: Vec<&str> = nodes[killed]["argv"]
        .as_array()
        .expect("argv")
        .iter()
        .map(|word| word.as_str().expect("text"))
        .collect();
    let mut restarted = Command::new(argv[0])
        .args(&argv[1..])
        .env_clear()
        .current_dir("/")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("argv is complete");
    wait_for("healthy cluster", || status(survivor).0 == 0);
    assert_eq!(pid_of(&nodes[killed]), u64::from(restarted.id()));

    // The new process is our child, so it must be collected before dev can see it gone.
    let waiter = std::thread::spawn(move || restarted.wait().expect("child"));
    assert_eq!(dev.stop(), Some(0));
    assert_eq!(
        waiter.join().expect("waiter").code(),
        Some(0),
        "stopped by SIGTERM, cleanly"
    );
    for node in &nodes {
        assert!(
            !is_alive(node["pid"].as_u64().expect("pid")),
            "{node} is still there"
        );
    }
}

#[test]
fn a_paused_node_does_not_keep_dev_from_stopping() {
    let mut dev = Dev::start("paused", &["--durability", "fsync"]);
    let nodes = dev.nodes();
    signal(nodes[1]["pid"].as_u64().expect("pid") as u32, "STOP");
    assert_eq!(dev.stop(), Some(0));
    assert!(
        nodes
            .iter()
            .all(|node| !is_alive(node["pid"].as_u64().expect("pid")))
    );
}

#[test]
fn a_single_node_may_run_without_a_disk_and_extra_flags_reach_it() {
    let dev = Dev::start(
        "single",
        &[
            "--nodes",
            "1",
            "--durability",
            "none",
            "--",
            "--requirepass",
            "secret",
        ],
    );
    let nodes = dev.nodes();
    let (code, report) = status(&nodes[0]);
    assert_eq!(code, 2, "without the password nothing is shown");
    assert!(
        report["error"]
            .as_str()
            .is_some_and(|text| text.contains("NOAUTH")),
        "{report}"
    );
    let output = Command::new(PROGRAM)
        .args([
            "status",
            "--addr",
            nodes[0]["resp"].as_str().expect("resp"),
            "--password",
            "secret",
        ])
        .output()
        .expect("repligo starts");
    assert!(output.status.success(), "{output:?}");
}
