//! Socket options, and listeners whose errors name a remedy.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// A client that is silent so long is probed.
const CLIENT_KEEPALIVE: Duration = Duration::from_secs(300);
const PEER_KEEPALIVE: Duration = Duration::from_secs(1);
/// A peer that acknowledges nothing for so long is gone.
const PEER_UNACKNOWLEDGED_MS: libc::c_uint = 5000;

/// Options of a client connection. Errors mean that it is already gone.
pub fn for_client(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(CLIENT_KEEPALIVE)
        .with_interval(CLIENT_KEEPALIVE / 3);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Options of a peer link: no delay, and a dead peer is found in seconds.
pub fn for_peer(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(PEER_KEEPALIVE)
        .with_interval(PEER_KEEPALIVE);
    socket.set_tcp_keepalive(&keepalive)?;
    set_user_timeout(stream)
}

fn set_user_timeout(stream: &TcpStream) -> io::Result<()> {
    let value = PEER_UNACKNOWLEDGED_MS;
    // SAFETY: the descriptor is open, and the pointer and length name `value`.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_USER_TIMEOUT,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Bytes that were sent and that the other side has not taken yet; 0 where the system does not say.
pub fn bytes_in_flight(stream: &impl AsRawFd) -> usize {
    count_bytes(stream, libc::TIOCOUTQ)
}

/// Bytes that have come and were not read; 0 where the system does not say.
pub fn bytes_unread(stream: &impl AsRawFd) -> usize {
    count_bytes(stream, libc::FIONREAD)
}

fn count_bytes(stream: &impl AsRawFd, request: libc::Ioctl) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open, and both requests write one integer.
    let result = unsafe { libc::ioctl(stream.as_raw_fd(), request, &raw mut bytes) };
    if result == 0 {
        usize::try_from(bytes).unwrap_or(0)
    } else {
        0
    }
}

/// An address cannot be listened on, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({what}): {source}; {remedy}")]
pub struct ListenError {
    /// Which listener: "RESP", "unix socket", "peer" or "admin".
    pub what: &'static str,
    /// As configured.
    pub address: String,
    /// From the system.
    pub source: io::Error,
    /// What to do.
    pub remedy: &'static str,
}

/// Listens on `address` (`host:port`).
///
/// # Errors
/// If the system refuses.
pub fn listen(what: &'static str, address: &str) -> Result<(TcpListener, SocketAddr), ListenError> {
    bind(address).map_err(|source| ListenError {
        what,
        address: address.to_owned(),
        remedy: remedy(what, &source),
        source,
    })
}

fn bind(address: &str) -> io::Result<(TcpListener, SocketAddr)> {
    let no_address = || io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    let address = address.to_socket_addrs()?.next().ok_or_else(no_address)?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// What to do, with the flag that gave the address.
fn remedy(what: &'static str, error: &io::Error) -> &'static str {
    macro_rules! of_flag {
        ($flag:literal) => {
            match error.kind() {
                io::ErrorKind::AddrInUse => {
                    concat!(
                        "another process uses the port: stop it, or choose another one with ",
                        $flag
                    )
                }
                io::ErrorKind::AddrNotAvailable => {
                    concat!("give ", $flag, " an address that this machine has")
                }
                io::ErrorKind::PermissionDenied => {
                    concat!(
                        "give ",
                        $flag,
                        " a port above 1023, or run with the right to bind it"
                    )
                }
                _ => concat!(
                    "give ",
                    $flag,
                    " HOST:PORT with a name or address of this machine"
                ),
            }
        };
    }
    match what {
        "peer" => of_flag!("--peer-listen"),
        "TLS" => of_flag!("--tls-listen"),
        "admin" => of_flag!("--admin-listen"),
        _ => of_flag!("--listen"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_names_the_flag_to_change() {
        let (_held, address) = listen("RESP", "127.0.0.1:0").expect("a free port");
        let error = listen("peer", &address.to_string()).expect_err("the port is taken");
        let text = error.to_string();
        assert!(
            text.contains("--peer-listen") && text.contains(&address.to_string()),
            "{text}"
        );
        let error = listen("RESP", "nonsense").expect_err("no address");
        assert!(error.to_string().contains("give --listen HOST:PORT"), "{error}");
        let error = listen("admin", "192.0.2.1:1").expect_err("not an address of this machine");
        assert!(
            error.to_string().contains("give --admin-listen an address"),
            "{error}"
        );
    }

    #[test]
    fn a_listen_error_names_address_and_remedy() {
        let error = ListenError {
            what: "RESP",
            address: "127.0.0.1:1".to_owned(),
            source: io::Error::from_raw_os_error(libc::EADDRINUSE),
            remedy: "stop the other process or choose another port with --listen",
        };
        let text = error.to_string();
        assert!(
            text.contains("127.0.0.1:1") && text.contains("--listen"),
            "{text}"
        );
    }
}
