//! Who holds an address: the process that listens on it, as far as /proc lets us see.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// `pid 123 (redis-server)` of the process that keeps us from listening on an address, or `None` where
/// /proc does not tell (another user's process, or another network namespace).
pub fn of_address(address: SocketAddr) -> Option<String> {
    let links =
        links_of(|listener| listener.port() == address.port() && overlap(listener.ip(), address.ip()));
    let processes = std::fs::read_dir("/proc").ok()?;
    for process in processes.flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        if holds(&process.path(), &links) == Some(true) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("pid {pid} ({})", name.trim()));
        }
    }
    None
}

/// Whether this process listens on the port; `None` where /proc does not tell.
pub fn holds_port(pid: u32, port: u16) -> Option<bool> {
    let links = links_of(|listener| listener.port() == port);
    holds(Path::new(&format!("/proc/{pid}")), &links)
}

/// Two addresses that cannot be listened on with the same port. One that stands for all addresses stands
/// for those of the other family too, as far as /proc tells.
fn overlap(left: IpAddr, right: IpAddr) -> bool {
    left.to_canonical() == right.to_canonical() || left.is_unspecified() || right.is_unspecified()
}

/// How the sockets that listen on such addresses appear among the descriptors of their processes.
fn links_of(wanted: impl Fn(SocketAddr) -> bool) -> Vec<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let texts = tables
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok());
    texts
        .flat_map(|text| listeners(&text))
        .filter(|(address, _)| wanted(*address))
        .map(|(_, inode)| format!("socket:[{inode}]"))
        .collect()
}

/// `None`: the descriptors of the process cannot be read.
fn holds(process: &Path, links: &[String]) -> Option<bool> {
    let descriptors = std::fs::read_dir(process.join("fd")).ok()?;
    Some(descriptors.flatten().any(|descriptor| {
        std::fs::read_link(descriptor.path())
            .is_ok_and(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
    }))
}

/// Addresses and inodes of the listening sockets of a /proc/net/tcp or tcp6 table.
fn listeners(table: &str) -> Vec<(SocketAddr, u64)> {
    const LISTEN: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            let (ip, port) = local.rsplit_once(':')?;
            let address = SocketAddr::new(parse_ip(ip)?, u16::from_str_radix(port, 16).ok()?);
            (*state == LISTEN).then(|| Some((address, inode.parse().ok()?)))?
        })
        .collect()
}

/// An address of these tables: 32-bit words in the machine's own byte order.
fn parse_ip(hex: &str) -> Option<IpAddr> {
    let words = hex.as_bytes().chunks(8);
    let bytes: Vec<u8> = words
        .map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok())
        .collect::<Option<Vec<u32>>>()?
        .into_iter()
        .flat_map(u32::to_ne_bytes)
        .collect();
    let v4 = |bytes: [u8; 4]| IpAddr::V4(Ipv4Addr::from(bytes));
    let v6 = |bytes: [u8; 16]| IpAddr::V6(Ipv6Addr::from(bytes));
    let four = <[u8; 4]>::try_from(bytes.as_slice()).map(v4);
    four.or_else(|_| <[u8; 16]>::try_from(bytes.as_slice()).map(v6))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_an_address_is_found_and_no_other_listener_of_that_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
        let address = listener.local_addr().expect("address");
        let own = format!("pid {}", std::process::id());
        let holder = |ip: &str| of_address(SocketAddr::new(ip.parse().expect("an address"), address.port()));
        for ip in ["127.0.0.1", "0.0.0.0", "::"] {
            assert!(holder(ip).is_some_and(|holder| holder.contains(&own)), "{ip}");
        }
        assert_eq!(holder("127.0.0.2"), None, "that address is free");
        assert_eq!(holder("::1"), None, "that address is free");
        assert_eq!(holds_port(std::process::id(), address.port()), Some(true));
        drop(listener);
        assert_eq!(holder("127.0.0.1"), None);
        assert_eq!(holds_port(std::process::id(), address.port()), Some(false));
        assert_eq!(holds_port(u32::MAX, address.port()), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn only_listening_sockets_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0\n\
             1: 0100007F:18EB 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0\n\
             2: 00000000000000000000000001000000:18EC 00000000000000000000000000000000:0000 0A \
             00000000:00000000 00:00000000 00000000     0        0 4713 1 0\n";
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        assert_eq!(
            listeners(table),
            [(address("127.0.0.1:6379"), 4711), (address("[::1]:6380"), 4713)]
        );
    }
}
