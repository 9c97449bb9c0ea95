//! etcd 3.4: three members as Debian builds it, with its defaults (it always syncs before it answers).

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Group, fresh_folder};
use crate::bench::process::{Server, free_port};
use crate::install::peer_program;
use crate::run::{Failure, Outcome};

/// Three members; `entry` is the leader.
///
/// # Errors
/// They do not elect one within 30 s.
pub fn cluster() -> Outcome<Group> {
    let peers: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let members: Vec<String> = peers
        .iter()
        .enumerate()
        .map(|(index, port)| format!("m{index}=http://127.0.0.1:{port}"))
        .collect();
    let mut servers = Vec::new();
    for index in 0..3 {
        let folder = fresh_folder("etcd");
        let mut argv = vec![peer_program("etcd")];
        let mut option = |flag: &str, value: String| argv.extend([format!("--{flag}"), value]);
        let (client, peer) = (
            format!("http://127.0.0.1:{}", ports[index]),
            format!("http://127.0.0.1:{}", peers[index]),
        );
        option("name", format!("m{index}"));
        option("data-dir", folder.join("data").to_string_lossy().into_owned());
        option("listen-client-urls", client.clone());
        option("advertise-client-urls", client);
        option("listen-peer-urls", peer.clone());
        option("initial-advertise-peer-urls", peer);
        option("initial-cluster", members.join(","));
        option("log-level", "error".to_owned());
        servers.push(Server::start(&format!("etcd m{index}"), &folder, &argv)?);
    }
    let start = Instant::now();
    loop {
        if let Some(entry) = leader(&ports) {
            return Ok(Group {
                servers,
                ports,
                entry,
            });
        }
        if start.elapsed() > Duration::from_secs(30) {
            return Err(Failure::new(format!(
                "etcd elects no leader: {}",
                servers[0].tail()
            )));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn etcdctl(ports: &[u16], words: &[&str]) -> Option<Value> {
    let endpoints: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let output = Command::new(peer_program("etcdctl"))
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", &endpoints.join(","), "-w", "json"])
        .args(words)
        .output()
        .ok()?;
    serde_json::from_slice(&output.stdout).ok()
}

/// Index of the member that leads, when all members name the same one.
fn leader(ports: &[u16]) -> Option<usize> {
    let status = etcdctl(ports, &["endpoint", "status"])?;
    let members = status.as_array().filter(|members| members.len() == 3)?;
    let leader = members[0].pointer("/Status/leader")?.as_u64()?;
    let same = |member: &Value| {
        member
            .pointer("/Status/leader")
            .is_some_and(|named| named.as_u64() == Some(leader))
    };
    if !members.iter().all(same) {
        return None;
    }
    let id = |member: &Value| member.pointer("/Status/header/member_id")?.as_u64();
    members.iter().position(|member| id(member) == Some(leader))
}

/// How many keys a member holds; asked of one member, with a quorum behind it.
///
/// # Errors
/// It does not answer.
pub fn key_count(port: u16) -> Outcome<u64> {
    // The count is that of the whole range, whatever the limit. This etcdctl has no --count-only yet.
    let reply = etcdctl(&[port], &["get", "key:", "--prefix", "--keys-only", "--limit=1"]);
    let count = reply.and_then(|reply| reply.get("count")?.as_u64());
    count.ok_or_else(|| Failure::new("etcd does not tell its number of keys"))
}
