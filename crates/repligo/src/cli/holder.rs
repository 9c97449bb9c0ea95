//! Who holds a port: the process that listens on it, as far as /proc lets us see.

use std::path::Path;

/// `pid 123 (redis-server)` of the process that listens on the port, or `None` where /proc does not tell
/// (another user's process, or another network namespace).
pub fn of_port(port: u16) -> Option<String> {
    let links = listening_links(port);
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
    holds(Path::new(&format!("/proc/{pid}")), &listening_links(port))
}

/// How sockets that listen on a port appear among the descriptors of their processes.
fn listening_links(port: u16) -> Vec<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let texts = tables
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok());
    texts
        .flat_map(|text| listening_inodes(&text, port))
        .map(|inode| format!("socket:[{inode}]"))
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

/// Inodes of the sockets of a /proc/net/tcp table that listen on a port.
fn listening_inodes(table: &str, port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            let local_port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
            (local_port == port && *state == LISTEN).then(|| inode.parse().ok())?
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
        let port = listener.local_addr().expect("address").port();
        let holder = of_port(port).expect("this process");
        assert!(
            holder.contains(&format!("pid {}", std::process::id())),
            "{holder}"
        );
        assert_eq!(holds_port(std::process::id(), port), Some(true));
        drop(listener);
        assert_eq!(of_port(port), None);
        assert_eq!(holds_port(std::process::id(), port), Some(false));
        assert_eq!(holds_port(u32::MAX, port), None);
    }

    #[test]
    fn only_listening_sockets_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0\n\
             1: 0100007F:18EB 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0\n";
        assert_eq!(listening_inodes(table, 6379), [4711]);
        assert_eq!(listening_inodes(table, 6380), [0u64; 0]);
    }
}
