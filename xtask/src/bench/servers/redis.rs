//! Redis: a single server, a replicated set, and Sentinels. The only file of the benchmark that has
//! Redis' words for the roles, because it talks to Redis.

use std::fs;
use std::time::Duration;

use super::{Group, Pki, fresh_folder};
use crate::bench::process::{Server, free_port};
use crate::bench::resp::{Client, answers};
use crate::install::tools;
use crate::run::{Failure, Outcome};

/// Name of the set that Sentinels watch.
pub const SET_NAME: &str = "bench";

/// The program, which takes its role from its name.
pub fn binary() -> String {
    tools().join("bin/redis-server").to_string_lossy().into_owned()
}

/// What is kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing (`appendonly no`, `save ""`).
    None,
    /// `appendonly yes`, `appendfsync always`.
    FsyncAlways,
}

fn server(name: &str, persistence: Persistence, of: Option<u16>) -> Outcome<(Server, u16)> {
    let port = free_port();
    let folder = fresh_folder("redis");
    let mut argv = vec![binary()];
    let mut option = |words: &[&str]| argv.extend(words.iter().map(|word| (*word).to_owned()));
    option(&["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
    match persistence {
        Persistence::None => option(&["--appendonly", "no"]),
        Persistence::FsyncAlways => option(&["--appendonly", "yes", "--appendfsync", "always"]),
    }
    // Otherwise a set waits 5 s for more replicas before it synchronizes the first.
    option(&["--repl-diskless-sync-delay", "0"]);
    if let Some(port) = of {
        option(&["--replicaof", "127.0.0.1", &port.to_string()]);
    }
    let mut server = Server::start(name, &folder, &argv)?;
    server.wait_until("PONG", 20, || answers(port))?;
    Ok((server, port))
}

/// One server without replicas or persistence.
///
/// # Errors
/// It does not come up.
pub fn single() -> Outcome<Group> {
    let (server, port) = server("redis", Persistence::None, None)?;
    Ok(Group {
        servers: vec![server],
        ports: vec![port],
        entry: 0,
    })
}

/// One server without replicas or persistence, and the port on which it speaks TLS.
///
/// # Errors
/// It does not come up.
pub fn single_with_tls(pki: &Pki) -> Outcome<(Group, u16)> {
    let (port, tls) = (free_port(), free_port());
    let mut argv = vec![binary()];
    let mut option = |words: &[&str]| argv.extend(words.iter().map(|word| (*word).to_owned()));
    option(&["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
    option(&["--appendonly", "no", "--tls-port", &tls.to_string()]);
    option(&[
        "--tls-cert-file",
        &pki.certificate(),
        "--tls-key-file",
        &pki.key(),
    ]);
    option(&["--tls-ca-cert-file", &pki.authority(), "--tls-auth-clients", "no"]);
    let mut server = Server::start("redis", &fresh_folder("redis"), &argv)?;
    server.wait_until("PONG", 20, || answers(port))?;
    let group = Group {
        servers: vec![server],
        ports: vec![port],
        entry: 0,
    };
    Ok((group, tls))
}

/// A primary (`entry`) with two replicas that follow it.
///
/// # Errors
/// The replicas do not synchronize.
pub fn replicated(persistence: Persistence) -> Outcome<Group> {
    let (primary, port) = server("redis primary", persistence, None)?;
    let mut group = Group {
        servers: vec![primary],
        ports: vec![port],
        entry: 0,
    };
    for number in 1..=2 {
        let (mut replica, replica_port) =
            server(&format!("redis replica {number}"), persistence, Some(port))?;
        replica.wait_until("the link to the primary", 30, || {
            let link = Client::connect(replica_port).and_then(|mut client| client.info("master_link_status"));
            link.is_ok_and(|link| link.as_deref() == Some("up"))
        })?;
        group.servers.push(replica);
        group.ports.push(replica_port);
    }
    Ok(group)
}

/// When Sentinels call a server down, and how long a failover may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// `down-after-milliseconds`.
    pub down_after_ms: u32,
    /// `failover-timeout`.
    pub failover_timeout_ms: u32,
}

impl Patience {
    /// What sentinel.conf has when nobody changes it.
    pub const DEFAULT: Self = Self {
        down_after_ms: 30_000,
        failover_timeout_ms: 180_000,
    };
    /// As impatient as one would set it on a good network.
    pub const TUNED: Self = Self {
        down_after_ms: 1_000,
        failover_timeout_ms: 5_000,
    };
}

/// Three Sentinels (quorum 2) that watch a replicated set; all have found each other and the replicas.
///
/// # Errors
/// They do not.
pub fn sentinels(set: &Group, patience: Patience) -> Outcome<Group> {
    let (mut servers, mut ports) = (Vec::new(), Vec::new());
    for number in 1..=3 {
        let port = free_port();
        let folder = fresh_folder("sentinel");
        let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", folder.display()));
        fs::create_dir_all(&folder).map_err(failed)?;
        let file = folder.join("sentinel.conf");
        let text = format!(
            "bind 127.0.0.1\nport {port}\nsentinel monitor {SET_NAME} 127.0.0.1 {} 2\n\
             sentinel down-after-milliseconds {SET_NAME} {}\nsentinel failover-timeout {SET_NAME} {}\n",
            set.port(),
            patience.down_after_ms,
            patience.failover_timeout_ms,
        );
        fs::write(&file, text).map_err(failed)?;
        let argv = [
            binary(),
            file.to_string_lossy().into_owned(),
            "--sentinel".to_owned(),
        ];
        servers.push(Server::start(&format!("sentinel {number}"), &folder, &argv)?);
        ports.push(port);
    }
    for (server, port) in servers.iter_mut().zip(&ports) {
        server.wait_until("the view of a whole set", 30, || sees_everybody(*port))?;
    }
    Ok(Group {
        servers,
        ports,
        entry: 0,
    })
}

fn sees_everybody(port: u16) -> bool {
    let Ok(reply) =
        Client::connect(port).and_then(|mut client| client.ask(&["SENTINEL", "MASTER", SET_NAME]))
    else {
        return false;
    };
    let fields = reply.items();
    let field = |name: &str| {
        let at = fields.iter().step_by(2).position(|key| key.text() == name)?;
        Some(fields.get(2 * at + 1)?.text())
    };
    field("num-slaves") == Some("2") && field("num-other-sentinels") == Some("2")
}

/// Asks a Sentinel for an orderly failover. Refused while it has not seen the replicas' last report,
/// so this asks for up to 15 s.
///
/// # Errors
/// It keeps refusing.
pub fn planned_failover(sentinel: u16) -> Outcome {
    let mut last = String::new();
    for _ in 0..150 {
        let mut client = Client::connect(sentinel)?;
        match client.ask(&["SENTINEL", "FAILOVER", SET_NAME]) {
            Ok(_) => return Ok(()),
            Err(failure) => last = failure.message,
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(Failure::new(last))
}

/// What clients send to a Sentinel to find the primary.
pub fn question_for_primary() -> Vec<u8> {
    let name = SET_NAME;
    format!(
        "*3\r\n$8\r\nSENTINEL\r\n$23\r\nget-master-addr-by-name\r\n${}\r\n{name}\r\n",
        name.len()
    )
    .into_bytes()
}

/// True if the server calls itself the one that takes writes (the leader, at Repligo).
pub fn is_writable(port: u16) -> bool {
    let reply = Client::connect(port).and_then(|mut client| client.call(&["ROLE"]));
    reply.is_ok_and(|reply| reply.items().first().is_some_and(|role| role.text() == "master"))
}
