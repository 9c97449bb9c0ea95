//! A server that does nothing: it answers every GET and SET with the same bytes. What it costs is what the
//! kernel takes for the requests, so no server that waits, receives and sends in this way can cost less.
//!
//! It counts requests by their first byte, which must occur nowhere else in them.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use super::{Group, fresh_folder};
use crate::bench::process::{Server, free_port};
use crate::run::{Failure, Outcome};

/// The command of this program that is such a server; not in its usage, as it is of no other use.
pub const COMMAND: &str = "constant-server";
const EVENTS_MAX: usize = 256;
const READ_BYTES: usize = 64 << 10;

/// Starts one.
///
/// # Errors
/// It does not come up.
pub fn single() -> Outcome<Group> {
    let port = free_port();
    let program =
        std::env::current_exe().map_err(|error| Failure::new(format!("our own program: {error}")))?;
    let program = program.to_string_lossy().into_owned();
    let argv = vec![program, COMMAND.to_owned(), port.to_string()];
    let mut server = Server::start("constant", &fresh_folder("constant"), &argv)?;
    server.wait_until("a listener", 20, || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    })?;
    Ok(Group {
        servers: vec![server],
        ports: vec![port],
        entry: 0,
    })
}

/// Serves on a port of loopback until it is killed; `arguments` are the port.
///
/// # Errors
/// No port, or the system refuses.
pub fn serve(arguments: &[String]) -> Outcome {
    let port = arguments.first().and_then(|text| text.parse::<u16>().ok());
    let port = port.ok_or_else(|| Failure::new(format!("usage: cargo xtask {COMMAND} PORT")))?;
    run(port).map_err(|error| Failure::new(format!("{COMMAND}: {error}")))
}

fn run(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    // SAFETY: the call takes no pointers.
    let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and nobody else owns it.
    let poll = unsafe { OwnedFd::from_raw_fd(descriptor) };
    watch(&poll, listener.as_raw_fd())?;
    // By descriptor, which the system numbers from the smallest on.
    let mut clients: Vec<Option<TcpStream>> = Vec::new();
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX];
    let (mut request, mut reply) = (vec![0; READ_BYTES], Vec::new());
    loop {
        // SAFETY: the pointer and the count name `events`.
        let count = unsafe { libc::epoll_wait(poll.as_raw_fd(), events.as_mut_ptr(), EVENTS_MAX as i32, -1) };
        for event in &events[..usize::try_from(count).unwrap_or(0)] {
            let slot = event.u64 as usize;
            if slot == listener.as_raw_fd() as usize {
                let (client, _) = listener.accept()?;
                client.set_nonblocking(true)?;
                client.set_nodelay(true)?;
                watch(&poll, client.as_raw_fd())?;
                let slot = client.as_raw_fd() as usize;
                clients.resize_with(clients.len().max(slot + 1), || None);
                clients[slot] = Some(client);
            } else if let Some(client) = &mut clients[slot]
                && !answer(client, &mut request, &mut reply)
            {
                clients[slot] = None;
            }
        }
    }
}

fn watch(poll: &OwnedFd, descriptor: i32) -> io::Result<()> {
    let mut event = libc::epoll_event {
        events: libc::EPOLLIN as u32,
        u64: descriptor as u64,
    };
    // SAFETY: both descriptors are open, and the event lives through the call.
    let result =
        unsafe { libc::epoll_ctl(poll.as_raw_fd(), libc::EPOLL_CTL_ADD, descriptor, &raw mut event) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Answers what has come; false when the client is gone.
fn answer(client: &mut TcpStream, request: &mut [u8], reply: &mut Vec<u8>) -> bool {
    let received = match client.read(request) {
        Ok(0) => return false,
        Ok(count) => &request[..count],
        Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
    };
    let constant: &[u8] = if received.starts_with(b"*2") {
        b"$32\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"
    } else {
        b"+OK\r\n"
    };
    reply.clear();
    for _ in received.iter().filter(|&&byte| byte == b'*') {
        reply.extend_from_slice(constant);
    }
    // A client that does not read is none that this is made for.
    client.write_all(reply).is_ok()
}
