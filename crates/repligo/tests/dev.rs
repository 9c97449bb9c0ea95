//! `repligo dev` with real processes: what a test script relies on.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
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
    /// With free ports and a new folder.
    fn start(name: &str, arguments: &[&str]) -> Dev {
        let dir = folder(name);
        let _ = std::fs::remove_dir_all(&dir);
        Dev::start_in(dir, "0", arguments, Stdio::inherit())
    }

    fn start_in(dir: PathBuf, base_port: &str, arguments: &[&str], stderr: Stdio) -> Dev {
        let child = Command::new(PROGRAM)
            .args(["dev", "--base-port", base_port, "--dir"])
            .arg(&dir)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(stderr)
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

    /// Waits for it to end by itself: exit code and what it said.
    fn fails(mut self) -> (Option<i32>, String) {
        wait_for("end of dev", || self.child.try_wait().expect("child").is_some());
        let mut text = String::new();
        let mut stderr = self.child.stderr.take().expect("piped");
        std::io::Read::read_to_string(&mut stderr, &mut text).expect("readable");
        (self.child.wait().expect("child").code(), text)
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

fn folder(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("repligo-dev-{}-{name}", std::process::id()))
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

/// The first of `count` neighbouring ports that are free, with those of their peer and admin listeners.
fn free_base_port(count: u16) -> u16 {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let own = 12_000 + (std::process::id() % 500) as u16 * 16;
    (own..)
        .find(|base| {
            (*base..base + count).all(|port| is_free(port) && is_free(port + 1000) && is_free(port + 10_000))
        })
        .expect("free ports")
}

#[test]
fn taken_ports_are_told_with_their_holder_before_anything_starts() {
    let base = free_base_port(3);
    let held = [base + 1, base + 10_002].map(|port| TcpListener::bind(("127.0.0.1", port)).expect("free"));
    // Another address of the same port is in nobody's way.
    let _other = TcpListener::bind(("127.0.0.2", base)).expect("free");
    let dev = Dev::start_in(folder("taken"), &base.to_string(), &[], Stdio::piped());
    let log = dev.dir.join("n1.log");
    let (code, text) = dev.fails();
    assert_eq!(code, Some(1), "{text}");
    let me = format!("held by pid {}", std::process::id());
    for (listener, whom) in held.iter().zip(["RESP of n2", "peer of n3"]) {
        let address = listener.local_addr().expect("bound").to_string();
        let line = text.lines().find(|line| line.contains(&address)).expect("named");
        assert!(line.contains(whom) && line.contains(&me), "{text}");
    }
    assert!(text.contains("--base-port") && !text.contains("n1)"), "{text}");
    assert!(!log.exists(), "nothing was started");
}

#[test]
fn a_node_that_ends_before_the_cluster_is_ready_ends_dev_with_its_reason() {
    let dir = folder("foreign");
    let mut first = Dev::start("foreign", &[]);
    first.nodes();
    assert_eq!(first.stop(), Some(0));
    // The second node finds a directory that is not its own; the other two could serve without it.
    let (n2, n3) = (dir.join("n2"), dir.join("n3"));
    std::fs::remove_dir_all(&n2).expect("removed");
    std::fs::create_dir(&n2).expect("made");
    for entry in std::fs::read_dir(&n3).expect("readable") {
        let entry = entry.expect("readable");
        std::fs::copy(entry.path(), n2.join(entry.file_name())).expect("copied");
    }
    let (code, text) = Dev::start_in(dir, "0", &[], Stdio::piped()).fails();
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("belongs to node n3") && text.contains("because n2 ended"),
        "{text}"
    );
}

/// What `dev` says on stderr, up to the line with `part`.
fn says(dev: &mut Dev, part: &str) -> String {
    let stderr = dev.child.stderr.take().expect("piped");
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let mut text = String::new();
    while !text.contains(part) {
        let line = lines.recv_timeout(PATIENCE);
        text += &line.unwrap_or_else(|_| panic!("no `{part}` in\n{text}"));
        text.push('\n');
    }
    text
}

#[test]
fn a_database_of_another_cluster_is_told_while_dev_waits() {
    let dir = folder("owned");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("folder");
    let database = rusqlite::Connection::open(dir.join("app.db")).expect("a database");
    database
        .execute_batch(
            "CREATE TABLE users(id INTEGER PRIMARY KEY, body);
             CREATE TABLE repligo_lane(cluster TEXT NOT NULL, keyspace TEXT NOT NULL, lane INTEGER NOT NULL,
               gen INTEGER NOT NULL, term INTEGER NOT NULL, applied INTEGER NOT NULL, owner TEXT NOT NULL,
               PRIMARY KEY(cluster, keyspace, lane)) WITHOUT ROWID;
             INSERT INTO repligo_lane VALUES('004e', 'users', 0, 1, 1, 1, 'n1');",
        )
        .expect("valid SQL");
    let config = dir.join("r.toml");
    let text = "[origin.main]\nurl = \"sqlite:app.db\"\n[[keyspace]]\nname = \"users\"\n\
                pattern = \"user:{id:int}\"\norigin = \"main\"\ntable = \"users\"\n\
                value = \"raw\"\nvalue_column = \"body\"\n";
    std::fs::write(&config, text).expect("writable");
    let flags = ["--nodes", "1", "--config", config.to_str().expect("UTF-8")];
    let mut dev = Dev::start_in(dir, "0", &flags, Stdio::piped());
    let told = says(&mut dev, "belongs to cluster 004e");
    assert!(
        told.contains("mapped ones are not: origin main of keyspace users"),
        "{told}"
    );
}

/// Status code and text of a page of admin HTTP.
fn page(node: &Value, path: &str) -> (u16, String) {
    let address = node["admin"]
        .as_str()
        .expect("admin")
        .parse()
        .expect("an address");
    repligo::cli::process::http_get(address, path, None).expect("the node answers")
}

#[test]
fn an_election_leaves_every_node_ready_and_the_loss_of_the_majority_does_not() {
    let dev = Dev::start("ready", &[]);
    let nodes = dev.nodes();
    let (_, report) = status(&nodes[0]);
    let rows = report["nodes"].as_array().expect("nodes");
    let leader = rows
        .iter()
        .position(|row| row["role"] == "leader")
        .expect("a leader");
    let survivors: Vec<&Value> = (0..3).filter(|at| *at != leader).map(|at| &nodes[at]).collect();

    let mut elected_anew = false;
    signal(nodes[leader]["pid"].as_u64().expect("pid") as u32, "KILL");
    wait_for("new leader", || {
        for node in &survivors {
            let (code, text) = page(node, "/readyz");
            assert_eq!(code, 200, "{} holds what it gets: {text}", node["name"]);
            elected_anew |= page(node, "/healthz").0 == 503;
        }
        elected_anew && survivors.iter().all(|node| page(node, "/healthz").0 == 200)
    });

    // The node counts from its last tick with a leader, which is before the signal is known to have arrived.
    let killed = Instant::now();
    signal(survivors[0]["pid"].as_u64().expect("pid") as u32, "KILL");
    let mut told = String::new();
    wait_for("unready node", || {
        let (code, text) = page(survivors[1], "/readyz");
        told = text;
        code == 503
    });
    assert!(
        killed.elapsed() >= Duration::from_millis(4_900),
        "it held requests for 5 s: {told}"
    );
    let gone = survivors[0]["name"].as_str().expect("name");
    assert!(told.contains("no leader for") && told.contains(gone), "{told}");
    assert_eq!(page(survivors[1], "/livez").0, 200, "a restart would not help it");
}

/// Everything below a folder that another user could open, with its mode.
fn open_to_others(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(path) = folders.pop() {
        let metadata = std::fs::symlink_metadata(&path).expect("it exists");
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
        if mode & 0o077 != 0 {
            found.push(format!("{mode:o} {}", path.display()));
        }
        if metadata.is_dir() {
            let entries = std::fs::read_dir(&path).expect("readable");
            folders.extend(entries.map(|entry| entry.expect("entry").path()));
        }
    }
    found
}

#[test]
fn no_other_user_can_read_what_a_cluster_keeps() {
    let dev = Dev::start("modes", &["--nodes", "1"]);
    let nodes = dev.nodes();
    assert!(
        Path::new(nodes[0]["data_dir"].as_str().expect("data_dir"))
            .join("meta")
            .exists()
    );
    assert_eq!(open_to_others(&dev.dir), Vec::<String>::new());
}

#[test]
fn the_password_of_a_cluster_is_in_no_command_line_and_its_nodes_start_again_without_it() {
    let dir = folder("password");
    let _ = std::fs::remove_dir_all(&dir);
    let child = Command::new(PROGRAM)
        .args(["dev", "--nodes", "1", "--base-port", "0", "--dir"])
        .arg(&dir)
        .env("REPLIGO_REQUIREPASS", "hunter2 hunter2")
        .stdout(Stdio::null())
        .spawn()
        .expect("repligo starts");
    let dev = Dev { child, dir };
    let node = dev.nodes().remove(0);
    let check = |pid: u64| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).expect("it runs");
        assert!(!String::from_utf8_lossy(&line).contains("hunter2"));
        let output = Command::new(PROGRAM)
            .args(["status", "--addr", node["resp"].as_str().expect("resp")])
            .env("REPLIGO_REQUIREPASS", "hunter2 hunter2")
            .output()
            .expect("repligo starts");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(status(&node).0, 2, "without the password nothing is shown");
    };
    assert!(!node.to_string().contains("hunter2"), "{node}");
    assert_eq!(open_to_others(&dev.dir), Vec::<String>::new());
    check(node["pid"].as_u64().expect("pid"));

    signal(node["pid"].as_u64().expect("pid") as u32, "KILL");
    wait_for("death", || !is_alive(node["pid"].as_u64().expect("pid")));
    let argv = node["argv"].as_array().expect("argv");
    let argv: Vec<&str> = argv.iter().map(|word| word.as_str().expect("text")).collect();
    let mut restarted = Command::new(argv[0])
        .args(&argv[1..])
        .env_clear()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("argv is complete");
    wait_for("restarted node", || pid_of(&node) == u64::from(restarted.id()));
    wait_for("its listener", || {
        status(&node).0 == 2
            && status(&node).1["error"]
                .as_str()
                .is_some_and(|text| text.contains("NOAUTH"))
    });
    check(u64::from(restarted.id()));
    signal(restarted.id(), "TERM");
    restarted.wait().expect("child");
}
