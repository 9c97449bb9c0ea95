//! Whether a process whose stream has ended is still there: its machine refuses connections if it is not.
//!
//! This tells a process that was killed from a network that was cut, at once where nothing between the nodes accepts
//! connections on its behalf. What follows from it is the core's affair.

use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use repligo_core::contract::{Input, PeerId};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::Thread;

/// Before each attempt. A process that is about to end may still accept.
const WAITS: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(10),
    Duration::from_millis(30),
    Duration::from_millis(60),
];
const PATIENCE: Duration = Duration::from_millis(500);

/// Asks a few times whether anybody listens where a peer did, until there is a stream to it again.
pub async fn probe(thread: Rc<Thread>, peer: PeerId) {
    for wait in WAITS {
        sleep(wait).await;
        let address = thread.worker.borrow().links.address_without_stream(peer);
        let Some(address) = address else { return };
        let connected = timeout(PATIENCE, TcpStream::connect(&address)).await;
        if !matches!(connected, Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused) {
            continue;
        }
        let mut worker = thread.worker.borrow_mut();
        // A stream may have come meanwhile, of a process that has just begun to listen.
        if worker.links.address_without_stream(peer).is_some() {
            let now = worker.clock.now();
            worker.step(now, Input::PeerRefused { peer });
        }
        return;
    }
}
