//! memcached 1.6 with one worker thread, since the others have one too.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::{Group, fresh_folder};
use crate::bench::process::{Server, free_port};
use crate::install::peer_program;
use crate::run::{Failure, Outcome};

/// One server with 1 GiB of memory at most (the default of 64 MB would evict what is loaded).
///
/// # Errors
/// It does not come up.
pub fn single() -> Outcome<Group> {
    let port = free_port();
    let mut argv = vec![peer_program("memcached")];
    let port_text = port.to_string();
    let options = [
        "-l",
        "127.0.0.1",
        "-p",
        &port_text,
        "-U",
        "0",
        "-t",
        "1",
        "-m",
        "1024",
    ];
    argv.extend(options.iter().map(|word| (*word).to_owned()));
    // Without it, it refuses to run as root.
    argv.extend(["-u", "root"].map(str::to_owned));
    let mut server = Server::start("memcached", &fresh_folder("memcached"), &argv)?;
    server.wait_until("a listener", 20, || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    })?;
    Ok(Group {
        servers: vec![server],
        ports: vec![port],
        entry: 0,
    })
}

/// `bytes` and `curr_items` of its statistics.
///
/// # Errors
/// It does not answer.
pub fn usage(port: u16) -> Outcome<(u64, u64)> {
    let failed = |error: std::io::Error| Failure::new(format!("memcached: {error}"));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(failed)?;
    stream.write_all(b"stats\r\nquit\r\n").map_err(failed)?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(failed)?;
    let number = |name: &str| {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix("STAT ")?.strip_prefix(name));
        value.and_then(|value| value.trim().parse().ok())
    };
    match (number("bytes "), number("curr_items ")) {
        (Some(bytes), Some(count)) => Ok((bytes, count)),
        _ => Err(Failure::new("memcached does not tell its statistics")),
    }
}
