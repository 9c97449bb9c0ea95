//! Free ports for processes that are started by `dev --base-port 0` and `demo`.
//!
//! They are searched below the range from which the system takes source ports of outgoing connections:
//! a port of that range could be taken while its node is down between a kill and its restart.

use std::net::{Ipv4Addr, TcpListener};

/// Lowest port that is tried.
const LOWEST: u16 = 10_240;

/// Finds `count` distinct ports of the loopback address that nobody listens on now.
///
/// # Errors
/// There are not that many.
pub fn free(count: usize) -> std::io::Result<Vec<u16>> {
    let highest = ephemeral_start().clamp(LOWEST + 2000, 60_000) - 1;
    let span = u32::from(highest - LOWEST);
    let mut position = seed() % span;
    // Listeners are kept until all are found, so that none is found twice.
    let mut held: Vec<(u16, TcpListener)> = Vec::with_capacity(count);
    for _ in 0..span {
        if held.len() == count {
            break;
        }
        position = (position + 1) % span;
        let port = LOWEST + position as u16;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener));
        }
    }
    if held.len() < count {
        return Err(std::io::Error::other(format!(
            "fewer than {count} free ports from {LOWEST} to {highest}"
        )));
    }
    Ok(held.into_iter().map(|(port, _)| port).collect())
}

/// First port of the system's range for outgoing connections.
fn ephemeral_start() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(32_768)
}

/// Two searches at the same time should not look at the same ports first.
fn seed() -> u32 {
    let nanoseconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.subsec_nanos());
    nanoseconds.rotate_left(7) ^ std::process::id().wrapping_mul(2_654_435_761)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_distinct_and_free() {
        let ports = free(9).expect("nine free ports");
        for (position, port) in ports.iter().enumerate() {
            assert!(!ports[..position].contains(port));
            TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).expect("still free");
        }
    }
}
