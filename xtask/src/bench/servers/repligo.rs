//! Repligo: a single node, or three nodes as separate processes without `dev` between, so that each is
//! a child of the run and can be killed, frozen and measured by its pid.

use std::time::{Duration, Instant};

use super::{Group, Pki, fresh_folder};
use crate::bench::process::{Server, free_port};
use crate::bench::resp::{Client, Reply};
use crate::run::{Failure, Outcome, root};

/// The release build.
pub fn binary() -> String {
    root()
        .join("target/release/repligo")
        .to_string_lossy()
        .into_owned()
}

/// One node without a cluster.
///
/// # Errors
/// It does not come up.
pub fn single(durability: &str) -> Outcome<Group> {
    start(&["n1".to_owned()], durability, &[])
}

/// One node without a cluster or persistence, and the port on which it speaks TLS.
///
/// # Errors
/// It does not come up.
pub fn single_with_tls(pki: &Pki) -> Outcome<(Group, u16)> {
    let tls = free_port();
    let more = [
        "--tls-listen".to_owned(),
        format!("127.0.0.1:{tls}"),
        "--tls-cert".to_owned(),
        pki.certificate(),
        "--tls-key".to_owned(),
        pki.key(),
    ];
    Ok((start(&["n1".to_owned()], "none", &more)?, tls))
}

/// One node without a cluster or persistence that begins with all its I/O threads in use, and its socket file.
///
/// # Errors
/// It does not come up.
pub fn single_with_workers(count: u32) -> Outcome<(Group, String)> {
    let folder = fresh_folder("repligo-socket");
    std::fs::create_dir_all(&folder)
        .map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
    let socket = folder.join("s").to_string_lossy().into_owned();
    let mut more = vec!["--workers".to_owned(), count.to_string()];
    more.extend(["--workers-busy-percent".to_owned(), "0".to_owned()]);
    more.extend(["--unix-socket".to_owned(), socket.clone()]);
    Ok((start(&["n1".to_owned()], "none", &more)?, socket))
}

/// Three nodes; `entry` is the leader.
///
/// # Errors
/// They do not form a cluster.
pub fn cluster(durability: &str) -> Outcome<Group> {
    start(&names(), durability, &[])
}

/// Three nodes whose links are plain text; `entry` is the leader.
///
/// # Errors
/// They do not form a cluster.
pub fn cluster_without_tls(durability: &str) -> Outcome<Group> {
    start(&names(), durability, &["--insecure-peers".to_owned()])
}

fn names() -> Vec<String> {
    (1..=3).map(|number| format!("n{number}")).collect()
}

fn start(names: &[String], durability: &str, more: &[String]) -> Outcome<Group> {
    let peers: Vec<u16> = names.iter().map(|_| free_port()).collect();
    let line: Vec<String> = names
        .iter()
        .zip(&peers)
        .map(|(name, port)| format!("{name}=127.0.0.1:{port}"))
        .collect();
    let secret = make_secret(&fresh_folder("repligo-secret"))?;
    let (mut servers, mut ports) = (Vec::new(), Vec::new());
    for (name, peer) in names.iter().zip(&peers) {
        let port = free_port();
        let folder = fresh_folder("repligo");
        let mut argv = vec![binary(), "serve".to_owned()];
        let mut option = |flag: &str, value: String| argv.extend([format!("--{flag}"), value]);
        option("name", name.clone());
        option("listen", format!("127.0.0.1:{port}"));
        option("peer-listen", format!("127.0.0.1:{peer}"));
        option("admin-listen", format!("127.0.0.1:{}", free_port()));
        option("data-dir", folder.join("data").to_string_lossy().into_owned());
        option("durability", durability.to_owned());
        if names.len() > 1 {
            option("cluster", line.join(","));
            if !more.iter().any(|flag| flag == "--insecure-peers") {
                option("cluster-secret-file", secret.clone());
            }
        }
        if !more.iter().any(|flag| flag == "--workers") {
            option("workers", "1".to_owned());
        }
        argv.extend_from_slice(more);
        servers.push(Server::start(&format!("repligo {name}"), &folder, &argv)?);
        ports.push(port);
    }
    for (server, port) in servers.iter_mut().zip(&ports) {
        server.wait_until("a linearizable read", 30, || serves(*port))?;
    }
    let entry = leader(&ports)?;
    Ok(Group {
        servers,
        ports,
        entry,
    })
}

/// The file with the secret of a new cluster.
fn make_secret(folder: &std::path::Path) -> Outcome<String> {
    let file = folder.join("cluster.secret").to_string_lossy().into_owned();
    let made = std::fs::create_dir_all(folder).and_then(|()| {
        std::process::Command::new(binary())
            .args(["secret", "new", &file])
            .status()
    });
    match made {
        Ok(status) if status.success() => Ok(file),
        other => Err(Failure::new(format!(
            "no secret for the cluster in {file}: {other:?}"
        ))),
    }
}

fn serves(port: u16) -> bool {
    let reply = Client::connect(port).and_then(|mut client| client.call(&["GET", "nothing"]));
    reply.is_ok_and(|reply| reply == Reply::Nil)
}

/// Index of the port whose node says that it leads and answers a linearizable read.
///
/// # Errors
/// There is none within 20 s.
pub fn leader(ports: &[u16]) -> Outcome<usize> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        for (index, port) in ports.iter().enumerate() {
            if super::redis::is_writable(*port) && serves(*port) {
                return Ok(index);
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(Failure::new("no node of Repligo leads"))
}
