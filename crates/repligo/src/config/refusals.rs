//! From layers to settings: derived values, and the combinations that are refused.
//!
//! Every refusal is a [`Problem`] with place and remedy, and all of them are reported together.
//! What is refused because something does not exist yet says so, so that nobody searches for a typo.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use repligo_core::contract::Durability;
use repligo_core::eviction::{EvictionPolicy, MemoryLimit};

use super::cluster::Member;
use super::error::{Origin, Problem, Problems};
use super::layers::{Layered, Setting};
use super::value::Value;
use super::{LogFormat, NodeSettings, clients, join, origin, peers, secret, tls, workers};
use super::{PATH_BYTES_MAX, UnixSocket};

/// Distance of the peer port from the RESP port where it is not given.
pub const PEER_PORT_OFFSET: u16 = 10_000;
/// Distance of the admin port from the RESP port where it is not given.
pub const ADMIN_PORT_OFFSET: u16 = 1_000;

/// Turns layers into settings.
///
/// # Errors
/// Every refused value and combination.
pub fn settle(layered: &Layered) -> Result<NodeSettings, Problems> {
    let mut problems = Vec::new();
    let listen = address(layered, "listen").expect("listen has a default");
    let peer_listen = derived_address(layered, "peer-listen", PEER_PORT_OFFSET, &mut problems);
    let admin_listen = derived_address(layered, "admin-listen", ADMIN_PORT_OFFSET, &mut problems);
    let origins = match &layered.file {
        Some(file) => origin::settle(file).unwrap_or_else(|more| {
            problems.extend(more.0);
            origin::Origins::default()
        }),
        None => origin::Origins::default(),
    };
    let mut settings = NodeSettings {
        name: text(layered, "name").expect("name has a default"),
        listen,
        unix_socket: unix_socket(layered),
        tls_listen: tls::settle(layered, &mut problems),
        peer_listen,
        admin_listen,
        admin_token: secret::of_file(layered, "admin-token-file", &mut problems),
        admin_tls: tls::settle_admin(layered, &mut problems),
        advertise: text(layered, "advertise"),
        requirepass: secret::settle(layered, &mut problems),
        needs_password: false,
        peer_source: peers::settle(layered, &mut problems),
        insecure_peers: switch(layered, "insecure-peers"),
        data_dir: path(layered, "data-dir").expect("data-dir has a default"),
        durability: match text(layered, "durability").as_deref() {
            Some("none") => Durability::None,
            Some("fsync") => Durability::Fsync,
            _ => Durability::Os,
        },
        members: members(layered),
        join: join::contacts(layered),
        memory: MemoryLimit {
            bytes_max: number(layered, "maxmemory"),
            policy: text(layered, "maxmemory-policy")
                .and_then(|name| EvictionPolicy::named(&name))
                .expect("it has a default, and other words are refused"),
        },
        maxclients: number(layered, "maxclients") as usize,
        clients: clients::settle(layered),
        workers: workers::settle(layered),
        workers_busy_percent: number(layered, "workers-busy-percent"),
        core_dumps: switch(layered, "core-dumps"),
        audit_log: path(layered, "audit-log"),
        log_format: match text(layered, "log-format").as_deref() {
            Some("json") => LogFormat::Json,
            _ => LogFormat::Text,
        },
        log_level: text(layered, "log-level").expect("log-level has a default"),
        proto_max_bulk_bytes: number(layered, "proto-max-bulk-len") as usize,
        output_bytes_max: number(layered, "output-buffer-limit") as usize,
        output_stall_seconds: number(layered, "output-stall-seconds"),
        origins,
        config_file: layered.file.as_ref().map(|file| file.path.clone()),
    };
    settings.needs_password = needs_password(layered, &settings);
    join::settle(layered, &mut settings, &mut problems);
    check_exposure(layered, &settings, &mut problems);
    tls::check(layered, &settings, &mut problems);
    check_unix_socket(layered, &settings, &mut problems);
    check_ports(layered, &settings, &mut problems);
    check_cluster(layered, &settings, &mut problems);
    peers::check(layered, &settings, &mut problems);
    check_limits(layered, &settings, &mut problems);
    if problems.is_empty() {
        Ok(settings)
    } else {
        Err(Problems(problems))
    }
}

pub(super) fn place<'a>(layered: &'a Layered, name: &str) -> &'a Origin {
    &layered.get(name).origin
}

pub(super) fn text(layered: &Layered, name: &str) -> Option<String> {
    match &layered.get(name).value {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

pub(super) fn number(layered: &Layered, name: &str) -> u64 {
    match layered.get(name).value {
        Some(Value::Number(number)) => number,
        _ => 0,
    }
}

pub(super) fn switch(layered: &Layered, name: &str) -> bool {
    layered.get(name).value == Some(Value::Switch(true))
}

pub(super) fn address(layered: &Layered, name: &str) -> Option<SocketAddr> {
    match layered.get(name).value {
        Some(Value::Address(address)) => Some(address),
        _ => None,
    }
}

fn members(layered: &Layered) -> Vec<Member> {
    match &layered.get("cluster").value {
        Some(Value::Members(members)) => members.clone(),
        _ => Vec::new(),
    }
}

/// A path from a file is relative to that file; from a flag or variable, to the working directory.
pub(super) fn path(layered: &Layered, name: &str) -> Option<PathBuf> {
    let Setting {
        value: Some(Value::Path(path)),
        origin,
        ..
    } = layered.get(name)
    else {
        return None;
    };
    let folder = match origin {
        Origin::File { path: file, .. } => file.parent(),
        _ => None,
    };
    Some(folder.map_or_else(|| path.clone(), |folder| folder.join(path)))
}

fn unix_socket(layered: &Layered) -> Option<UnixSocket> {
    Some(UnixSocket {
        path: path(layered, "unix-socket")?,
        mode: number(layered, "unix-socket-mode") as u32,
    })
}

/// An address that follows `listen` unless it is given. Port 0 stays 0: the system picks one.
fn derived_address(layered: &Layered, name: &str, offset: u16, problems: &mut Vec<Problem>) -> SocketAddr {
    let listen = address(layered, "listen").expect("listen has a default");
    if let Some(given) = address(layered, name) {
        return given;
    }
    if listen.port() == 0 {
        return listen;
    }
    match listen.port().checked_add(offset) {
        Some(port) => SocketAddr::new(listen.ip(), port),
        None => {
            problems.push(Problem::new(
                place(layered, "listen"),
                format!(
                    "{name} would be port {}, and ports end at 65535",
                    u32::from(listen.port()) + u32::from(offset)
                ),
                format!("choose a lower port for --listen, or give --{name} IP:PORT"),
            ));
            SocketAddr::new(listen.ip(), 0)
        }
    }
}

pub(super) fn is_exposed(ip: IpAddr) -> bool {
    !ip.is_loopback()
}

/// Strangers can connect, and nobody said that this is all right.
fn needs_password(layered: &Layered, settings: &NodeSettings) -> bool {
    let open = settings.unix_socket.as_ref().is_some_and(UnixSocket::is_open);
    (open || is_exposed(settings.listen.ip()) || tls::is_exposed(settings)) && !switch(layered, "insecure")
}

fn check_exposure(layered: &Layered, settings: &NodeSettings, problems: &mut Vec<Problem>) {
    if switch(layered, "insecure") {
        return;
    }
    if is_exposed(settings.listen.ip()) && settings.requirepass.is_none() {
        problems.push(Problem::new(
            place(layered, "listen"),
            format!(
                "listen {} is reachable from other machines and no password is set",
                settings.listen
            ),
            "give --requirepass-file FILE, or listen on 127.0.0.1, or give --insecure if the network is trusted",
        ));
    }
    let guarded = settings.admin_token.is_some() && settings.admin_tls.is_some();
    if is_exposed(settings.admin_listen.ip()) && !guarded {
        problems.push(Problem::new(
            place(layered, "admin-listen"),
            format!(
                "admin-listen {} is reachable from other machines, without TLS and a token",
                settings.admin_listen
            ),
            "give --admin-listen an address on 127.0.0.1, or give --admin-token-file, --admin-tls-cert and \
             --admin-tls-key, or give --insecure if the network is trusted",
        ));
    }
}

/// The mode is the access control of a socket file; one that everybody may write to needs a password.
fn check_unix_socket(layered: &Layered, settings: &NodeSettings, problems: &mut Vec<Problem>) {
    let Some(socket) = &settings.unix_socket else {
        return;
    };
    if socket.path.as_os_str().len() > PATH_BYTES_MAX {
        problems.push(Problem::new(
            place(layered, "unix-socket"),
            format!(
                "the path has {} bytes, and the system takes at most {PATH_BYTES_MAX} for a socket",
                socket.path.as_os_str().len()
            ),
            "choose a shorter path, such as /run/repligo/n1.sock",
        ));
    }
    if socket.is_open() && settings.requirepass.is_none() && !switch(layered, "insecure") {
        problems.push(Problem::new(
            place(layered, "unix-socket-mode"),
            format!(
                "mode {:o} lets every user of this machine connect, and no password is set",
                socket.mode
            ),
            "give --unix-socket-mode 660 or less, or --requirepass-file, or --insecure if all users are trusted",
        ));
    }
}

fn check_ports(layered: &Layered, settings: &NodeSettings, problems: &mut Vec<Problem>) {
    let mut used = vec![
        ("listen", settings.listen),
        ("admin-listen", settings.admin_listen),
    ];
    if !settings.members.is_empty() {
        used.push(("peer-listen", settings.peer_listen));
    }
    used.extend(tls::own_port(settings));
    for (position, (name, address)) in used.iter().enumerate() {
        for (other, other_address) in &used[..position] {
            if address.port() != 0
                && address.port() == other_address.port()
                && overlap(*address, *other_address)
            {
                problems.push(Problem::new(
                    place(layered, name),
                    format!("{other} and {name} both use port {}", address.port()),
                    format!("give --{name} another port"),
                ));
            }
        }
    }
}

/// Two addresses that one process cannot both bind.
fn overlap(left: SocketAddr, right: SocketAddr) -> bool {
    left.ip() == right.ip() || left.ip().is_unspecified() || right.ip().is_unspecified()
}

fn check_cluster(layered: &Layered, settings: &NodeSettings, problems: &mut Vec<Problem>) {
    if settings.members.is_empty() {
        return;
    }
    let cluster = place(layered, "cluster");
    match settings
        .members
        .iter()
        .find(|member| member.name == settings.name)
    {
        None => {
            let names: Vec<&str> = settings
                .members
                .iter()
                .map(|member| member.name.as_str())
                .collect();
            let name = place(layered, "name");
            let place = if matches!(name, Origin::Default) {
                cluster
            } else {
                name
            };
            problems.push(Problem::new(
                place,
                format!(
                    "this node is called `{}`, and the cluster line names {}",
                    settings.name,
                    names.join(", ")
                ),
                format!(
                    "give --name one of {}, or add the node to --cluster on every node",
                    names.join(", ")
                ),
            ));
        }
        Some(own) => {
            let peer_listen = layered.get("peer-listen");
            if !peer_listen.origin.is_explicit() && settings.peer_listen.port() != own.port {
                problems.push(Problem::new(
                    cluster,
                    format!(
                        "the cluster line reaches `{}` at port {}, but it would listen for peers at {}",
                        own.name, own.port, settings.peer_listen
                    ),
                    format!(
                        "put port {} into the cluster line, or give --peer-listen {}",
                        settings.peer_listen.port(),
                        SocketAddr::new(settings.peer_listen.ip(), own.port)
                    ),
                ));
            }
        }
    }
    if settings.durability == Durability::None {
        problems.push(Problem::new(
            place(layered, "durability"),
            "durability none is refused in a cluster: a node that restarts without its log has forgotten what it \
             promised, and would come back as a new member every time",
            "give --durability os (the default) or fsync",
        ));
    }
}

fn check_limits(layered: &Layered, settings: &NodeSettings, problems: &mut Vec<Problem>) {
    let limit = settings.memory.bytes_max;
    if (1..2 << 20).contains(&limit) {
        problems.push(Problem::new(
            place(layered, "maxmemory"),
            format!("maxmemory is {limit} bytes, less than a node takes that holds nothing"),
            "write it with a unit, such as 100MiB; at least 2MiB, or 0 for no limit",
        ));
    }
    // Redis' own lower bound; below it ordinary commands would be refused.
    const BULK_MIN: usize = 1 << 20;
    const BULK_MAX: usize = 512 << 20;
    if !(BULK_MIN..=BULK_MAX).contains(&settings.proto_max_bulk_bytes) {
        problems.push(Problem::new(
            place(layered, "proto-max-bulk-len"),
            format!("proto-max-bulk-len is {} bytes", settings.proto_max_bulk_bytes),
            "choose between 1MiB and 512MiB",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::layers::Sources;
    use super::*;

    fn settle_flags(flags: &[(&str, &str)]) -> Result<NodeSettings, Problems> {
        let flags = flags
            .iter()
            .map(|(name, text)| (name.to_string(), text.to_string()))
            .collect();
        settle(
            &Layered::read(&Sources {
                flags,
                ..Default::default()
            })
            .expect("well formed"),
        )
    }

    const LINE: (&str, &str) = (
        "cluster",
        "n1=127.0.0.1:16379,n2=127.0.0.1:16380,n3=127.0.0.1:16381",
    );

    const SECRET: (&str, &str) = ("cluster-secret-file", "cluster.secret");

    #[test]
    fn defaults_are_a_single_node_on_loopback() {
        let settings = settle_flags(&[]).expect("defaults are valid");
        assert_eq!(settings.listen.to_string(), "127.0.0.1:6379");
        assert_eq!(settings.peer_listen.to_string(), "127.0.0.1:16379");
        assert_eq!(settings.admin_listen.to_string(), "127.0.0.1:7379");
        assert_eq!(settings.durability, Durability::Os);
        assert_eq!(settings.data_dir, PathBuf::from("repligo-data"));
        assert!(settings.members.is_empty());
    }

    #[test]
    fn accepted() {
        let check =
            |flags: &[(&str, &str)]| drop(settle_flags(flags).unwrap_or_else(|p| panic!("{flags:?}: {p}")));
        check(&[LINE, SECRET]);
        check(&[LINE, SECRET, ("peer-listen", "10.0.0.1:16379")]);
        check(&[LINE, SECRET, ("durability", "fsync")]);
        check(&[("durability", "none")]);
        check(&[
            ("listen", "0.0.0.0:6379"),
            ("requirepass", "x"),
            ("admin-listen", "127.0.0.1:7379"),
        ]);
        check(&[("listen", "0.0.0.0:6379"), ("insecure", "true")]);
        check(&[("listen", "127.0.0.1:0")]);
        check(&[("unix-socket", "/run/n1.sock"), ("unix-socket-mode", "660")]);
        check(&[
            ("unix-socket", "s"),
            ("unix-socket-mode", "777"),
            ("requirepass", "x"),
        ]);
        check(&[
            LINE,
            SECRET,
            ("name", "n2"),
            ("listen", "127.0.0.1:9"),
            ("peer-listen", "127.0.0.1:99"),
        ]);
        check(&[
            ("listen", "127.0.0.1:65000"),
            ("peer-listen", "127.0.0.1:1"),
            ("admin-listen", "127.0.0.1:2"),
        ]);
    }

    #[test]
    fn refused_with_reason_and_remedy() {
        let check = |flags: &[(&str, &str)], parts: &[&str]| {
            let problems = settle_flags(flags).expect_err("refused").to_string();
            for part in parts {
                assert!(problems.contains(part), "{flags:?}: no `{part}` in\n{problems}");
            }
        };
        check(
            &[("listen", "0.0.0.0:6379")],
            &["no password", "--requirepass", "--insecure", "admin-listen"],
        );
        check(&[("listen", "[::]:6379")], &["no password"]);
        check(
            &[("admin-listen", "0.0.0.0:1")],
            &["without TLS and a token", "flag --admin-listen"],
        );
        check(
            &[LINE, ("durability", "none")],
            &["refused in a cluster", "--durability os"],
        );
        check(
            &[LINE, ("name", "n4")],
            &["called `n4`", "n1, n2, n3", "where: flag --name"],
        );
        check(
            &[("cluster", "n2=127.0.0.1:2,n3=127.0.0.1:3")],
            &["flag --cluster"],
        );
        check(
            &[LINE, ("listen", "127.0.0.1:7")],
            &[
                "would listen for peers at 127.0.0.1:10007",
                "--peer-listen 127.0.0.1:16379",
            ],
        );
        check(
            &[("listen", "127.0.0.1:64600")],
            &["ports end at 65535", "--peer-listen", "--admin-listen"],
        );
        check(&[("admin-listen", "127.0.0.1:6379")], &["both use port 6379"]);
        check(
            &[("unix-socket", "s"), ("unix-socket-mode", "666")],
            &["mode 666 lets every user", "660 or less", "--requirepass"],
        );
        let long = "x".repeat(108);
        check(&[("unix-socket", &long)], &["108 bytes", "at most 107"]);
        check(
            &[("maxmemory", "100")],
            &["maxmemory is 100 bytes", "--maxmemory", "100MiB"],
        );
        check(&[("proto-max-bulk-len", "1kb")], &["between 1MiB and 512MiB"]);
    }
}
