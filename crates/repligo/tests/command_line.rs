//! The command line from outside: exit codes, and errors that say what, where and what to do.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_repligo");

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .output()
        .expect("repligo starts")
}

/// Runs, and checks exit code and parts of what was printed.
fn check(arguments: &[&str], code: i32, parts: &[&str]) {
    let output = run(arguments);
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    for part in parts {
        assert!(text.contains(part), "{arguments:?}: no `{part}` in\n{text}");
    }
}

/// A folder of one test, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("repligo-line-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("temporary folder");
        Folder(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("temporary file");
        path.display().to_string()
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_was_meant() {
    check(&[], 2, &["Usage: repligo"]);
    check(&["sevre"], 2, &["unrecognized subcommand 'sevre'", "serve"]);
    check(&["serve", "--lisen", "x"], 2, &["--lisen", "--listen"]);
    check(
        &["serve", "--listen", "6379"],
        2,
        &["not an address", "where: flag --listen", "do: "],
    );
    check(
        &["serve", "--listen", "0.0.0.0:1"],
        2,
        &["no password", "--requirepass"],
    );
    check(
        &["serve", "--maxmemory-policy", "allkeys-lfru"],
        2,
        &["one of noeviction, allkeys-lfu", "did you mean"],
    );
    check(
        &["serve", "--join", "127.0.0.1:1"],
        2,
        &["a name of its own", "--cluster-secret-file", "do: "],
    );
    check(
        &["serve", "--config", "/nowhere.toml"],
        2,
        &["/nowhere.toml", "cannot be read"],
    );
    check(&["dev", "--base-port", "60000"], 2, &["above 65535"]);
    check(
        &["demo", "--origin", "postgres://h/d", "--headless"],
        2,
        &["not built yet", "sqlite:PATH"],
    );
    check(&["config", "check", "/nowhere.toml"], 2, &["/nowhere.toml"]);
}

#[test]
fn answers_exit_with_0() {
    check(&["--help"], 0, &["Exit codes"]);
    check(&["version"], 0, &[env!("CARGO_PKG_VERSION")]);
    check(&["version", "--json"], 0, &["\"version\":"]);
    check(&["completions", "bash"], 0, &["_repligo"]);
    check(&["config", "show"], 0, &["maxclients", "default"]);
    check(
        &["config", "show", "--maxclients", "5", "--json"],
        0,
        &["\"where\":\"flag --maxclients\""],
    );
}

#[test]
fn the_environment_is_between_flag_and_file() {
    let folder = Folder::new("environment");
    let file = folder.file("r.toml", "maxclients = 3\nlog-level = \"warn\"\n");
    let output = Command::new(PROGRAM)
        .args(["config", "show", "--config", &file])
        .env("REPLIGO_MAXCLIENTS", "4")
        .output()
        .expect("repligo starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("environment variable REPLIGO_MAXCLIENTS"), "{text}");
    assert!(text.contains("r.toml:2"), "{text}");
}

#[test]
fn config_check_judges_mappings() {
    let folder = Folder::new("mappings");
    let good = "[origin.main]\nurl = \"sqlite:app.db\"\n[[keyspace]]\nname = \"users\"\n\
                pattern = \"user:{id:int}\"\norigin = \"main\"\ntable = \"users\"\n\
                value = \"raw\"\nvalue_column = \"body\"\n";
    let file = folder.file("good.toml", good);
    check(
        &["config", "check", "--file-only", &file],
        0,
        &["valid", "1 origin, 1 keyspace"],
    );
    let file = folder.file("bad.toml", &good.replace("{id:int}", "{id:float}"));
    check(&["config", "check", &file], 2, &["bad.toml:3", "float"]);
    let file = folder.file("typo.toml", "lisen = \"127.0.0.1:1\"\n");
    check(
        &["config", "check", &file],
        2,
        &["typo.toml:1", "did you mean `listen`?"],
    );
    check(
        &["config", "check", "--json", &file],
        2,
        &["\"ok\":false", "\"do\":"],
    );
}

#[test]
fn config_check_looks_into_the_database() {
    let folder = Folder::new("databases");
    let text = "[origin.main]\nurl = \"sqlite:app.db\"\n[[keyspace]]\nname = \"users\"\n\
                pattern = \"user:{id:int}\"\norigin = \"main\"\ntable = \"users\"\n\
                value = \"raw\"\nvalue_column = \"body\"\n";
    let file = folder.file("r.toml", text);
    let check = |code, parts: &[&str]| check(&["config", "check", &file], code, parts);
    check(
        2,
        &[
            "app.db does not exist",
            "create the database and its tables first",
            "--file-only",
        ],
    );
    let path = std::path::Path::new(&file).with_file_name("app.db");
    let connection = rusqlite::Connection::open(&path).expect("a database");
    let run = |sql: &str| connection.execute_batch(sql).expect("valid SQL");
    let shows = |part: &str| {
        let json = self::run(&["config", "check", "--json", &file]);
        let text = self::run(&["config", "check", &file]);
        [text.stdout, json.stdout]
            .iter()
            .any(|output| String::from_utf8_lossy(output).contains(part))
    };
    run("CREATE TABLE users(id INTEGER PRIMARY KEY, mail)");
    check(
        2,
        &["origin main: keyspace users: table users has no column body (it has: id, mail)"],
    );
    run("ALTER TABLE users ADD COLUMN body");
    check(0, &["valid", "1 origin, 1 keyspace"]);
    assert!(!shows("note:"), "the database belongs to nobody yet");
    run(
        "CREATE TABLE repligo_lane(cluster TEXT, keyspace TEXT); INSERT INTO repligo_lane VALUES('004e', 'users')",
    );
    check(
        0,
        &[
            "valid",
            "note: origin main",
            "app.db belongs to cluster 004e",
            "ORIGINDOWN",
        ],
    );
    assert!(shows("\"notes\":[\"origin main"), "in JSON too");
    run("CREATE TRIGGER g AFTER INSERT ON users BEGIN UPDATE users SET body='x'; END");
    check(2, &["column users.body by trigger g", "drop trigger g"]);
    let journal: String = connection
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .expect("a mode");
    assert_eq!(journal, "delete", "a check changes nothing");
}

#[test]
fn a_port_in_use_is_named_with_its_holder() {
    let folder = Folder::new("port");
    let taken = TcpListener::bind("127.0.0.1:0").expect("port");
    let port = taken.local_addr().expect("address").port();
    let listen = format!("127.0.0.1:{port}");
    let flags = [
        "serve",
        "--listen",
        &listen,
        "--admin-listen",
        "127.0.0.1:0",
        "--peer-listen",
        "127.0.0.1:0",
    ];
    let data = folder.path("data");
    let mut arguments = flags.to_vec();
    arguments.extend(["--data-dir", &data]);
    check(
        &arguments,
        1,
        &[
            &listen,
            &format!("held by: pid {}", std::process::id()),
            "--listen",
        ],
    );
}

#[test]
fn a_single_node_says_when_it_is_ready_and_stops_on_sigterm() {
    let folder = Folder::new("single");
    let mut node = Command::new(PROGRAM)
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            &folder.path("data"),
            "--log-format",
            "json",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("repligo starts");
    let mut line = String::new();
    BufReader::new(node.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("a line");
    assert!(
        line.starts_with("repligo ready name=n1 resp=127.0.0.1:"),
        "{line}"
    );
    assert!(
        line.contains(&format!("pid={}", node.id())) && line.contains(" admin="),
        "{line}"
    );
    let address = line
        .split("resp=")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .expect("resp");
    check(&["status", "--addr", address], 0, &["healthy", "leader"]);
    let killed = Command::new("kill")
        .arg(node.id().to_string())
        .status()
        .expect("kill exists");
    assert!(killed.success());
    let output = node.wait_with_output().expect("child");
    assert_eq!(output.status.code(), Some(0));
    let log = String::from_utf8_lossy(&output.stderr);
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}
