//! What is known about the server besides its replies: what it is, how many keys it has, and which CPU time it takes.
//!
//! CPU time is user plus system time of /proc/PID/stat, in steps of 10 ms. A pid that the server tells counts only
//! if the connection stays on this machine and that process holds the port: behind a forwarded port, a pid belongs to
//! another world.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::options::Target;
use crate::cli::holder;
use crate::cli::login::Login;
use crate::cli::wire::{Connection, WireError};

/// For connecting, and for each reply of the questions here.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why a run could not be made.
pub use crate::cli::failure::Failure as BenchError;

/// The server, as it describes itself.
#[derive(Clone, Debug, Serialize)]
pub struct Server {
    pub addresses: Vec<String>,
    /// `repligo`, `valkey`, `redis`, or `unknown`.
    pub name: String,
    pub version: String,
    /// Processes whose CPU time counts; empty: not available.
    pub cpu_pids: Vec<u32>,
    /// Why there is no CPU time.
    pub cpu_note: Option<String>,
}

/// Opens a connection and gives the password.
///
/// # Errors
/// With a remedy for each cause.
pub fn open(address: &str, target: &Target) -> Result<Connection, BenchError> {
    let login = Login::of(target.user.clone(), target.password.clone()).over(target.tls.clone());
    login
        .open(address, TIMEOUT)
        .map_err(|error| explain(address, &error))
}

/// Turns an error of the wire into one with a remedy.
pub fn explain(address: &str, error: &WireError) -> BenchError {
    let remedy = match error {
        WireError::Connect { source, .. } if source.raw_os_error() == Some(libc::EMFILE) => {
            "raise the limit of open files (ulimit -n), or use fewer --clients"
        }
        WireError::Connect { .. } => "start the server, or give its RESP address with --addr HOST:PORT",
        WireError::Refused(text) if text.starts_with("NOAUTH") || text.starts_with("WRONGPASS") => {
            "give the right password with --password-file FILE, --password or REPLIGO_REQUIREPASS"
        }
        WireError::Refused(text) if text.contains("AUTH") => "leave out the password: the server has none",
        WireError::Refused(text) if text.contains("max number of clients") => {
            "raise maxclients of the server, or use fewer --clients"
        }
        WireError::Refused(_) | WireError::Protocol(_) => {
            "check that the address is the RESP port of a server"
        }
        WireError::Broken(_) => "the server may be paused, overloaded or of another kind: look at its log",
    };
    BenchError::new(format!("{address}: {error}"), remedy)
}

/// Asks every node what it is, and finds which of the addresses of its name it listens on.
///
/// # Errors
/// Nobody listens, the password is wrong, or it is no RESP server.
pub fn inspect(target: &Target) -> Result<(Server, Vec<SocketAddr>), BenchError> {
    let mut found = Vec::with_capacity(target.addresses.len());
    let mut server = Server {
        addresses: target.addresses.clone(),
        name: "unknown".into(),
        version: String::new(),
        cpu_pids: target.cpu_pids.clone(),
        cpu_note: None,
    };
    for address in &target.addresses {
        let mut connection = open(address, target)?;
        let peer = connection.peer_addr();
        found.push(peer.map_err(|error| explain(address, &error.into()))?);
        let info = match connection.call(&["INFO", "server"]) {
            Ok(value) if value.as_error().is_none() => value.as_str().unwrap_or_default().to_owned(),
            Ok(value) => {
                let text = value.as_error().unwrap_or_default().to_owned();
                if text.starts_with("NOAUTH") {
                    return Err(explain(address, &WireError::Refused(text)));
                }
                String::new()
            }
            Err(error) => return Err(explain(address, &error)),
        };
        if server.version.is_empty() {
            (server.name, server.version) = identify(&info);
        }
        if target.cpu_pids.is_empty() {
            match local_pid(address, &connection, &info) {
                Ok(pid) if !server.cpu_pids.contains(&pid) => server.cpu_pids.push(pid),
                Ok(_) => {}
                Err(note) => server.cpu_note = Some(format!("{address}: {note}")),
            }
        }
    }
    if server.cpu_note.is_some() {
        // The time of some nodes would pass for that of all.
        server.cpu_pids.clear();
    }
    if let Some(pid) = server.cpu_pids.iter().find(|pid| cpu_seconds(&[**pid]).is_none()) {
        return Err(BenchError::new(
            format!("process {pid}: /proc/{pid}/stat cannot be read"),
            "give the pids of running processes on this machine with --cpu-pid",
        ));
    }
    Ok((server, found))
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}

fn identify(info: &str) -> (String, String) {
    let known = [
        ("repligo", "repligo_version"),
        ("valkey", "valkey_version"),
        ("redis", "redis_version"),
    ];
    known
        .iter()
        .find_map(|(name, version)| Some((name.to_string(), field(info, version)?.to_string())))
        .unwrap_or_else(|| ("unknown".into(), String::new()))
}

/// The pid of the server, if its time can be read here.
fn local_pid(address: &str, connection: &Connection, info: &str) -> Result<u32, &'static str> {
    let pid: u32 = field(info, "process_id")
        .and_then(|text| text.parse().ok())
        .ok_or("INFO tells no process_id")?;
    if !connection.is_local() {
        return Err("the server is on another machine");
    }
    let port = address
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok())
        .unwrap_or(0);
    if holder::holds_port(pid, port) == Some(false) || cpu_seconds(&[pid]).is_none() {
        return Err("its process_id is not one of this machine (a container?)");
    }
    Ok(pid)
}

/// Number of keys in the database, where the server tells.
pub fn key_count(connection: &mut Connection) -> Option<u64> {
    let value = connection.call(&["DBSIZE"]).ok()?;
    value.as_integer().and_then(|count| u64::try_from(count).ok())
}

/// User and system time of all these processes together; `None` when there is none, or one has gone.
pub fn cpu_seconds(pids: &[u32]) -> Option<f64> {
    if pids.is_empty() {
        return None;
    }
    // SAFETY: sysconf takes a number and touches no memory of ours.
    let ticks_per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let ticks = pids.iter().map(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        ticks_of(&stat)
    });
    let ticks: u64 = ticks.sum::<Option<u64>>()?;
    Some(ticks as f64 / ticks_per_second as f64)
}

fn ticks_of(stat: &str) -> Option<u64> {
    // The name may hold blanks and parentheses, so fields are counted from its end.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_known_by_what_they_say() {
        let check = |info: &str, name: &str, version: &str| {
            assert_eq!(identify(info), (name.to_string(), version.to_string()));
        };
        check("# Server\r\nredis_version:7.0.15\r\n", "redis", "7.0.15");
        check(
            "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n",
            "valkey",
            "8.0.1",
        );
        check(
            "redis_version:7.2.4\r\nrepligo_version:0.1.0\r\n",
            "repligo",
            "0.1.0",
        );
        check("", "unknown", "");
    }

    #[test]
    fn cpu_time_is_read_behind_any_name() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 40 2 0 0 20 0 1 0 5";
        assert_eq!(ticks_of(stat), Some(42));
        assert!(cpu_seconds(&[std::process::id()]).is_some());
        assert_eq!(cpu_seconds(&[]), None);
        assert_eq!(cpu_seconds(&[std::process::id(), u32::MAX]), None);
    }
}
