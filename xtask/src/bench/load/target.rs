//! Where a client goes when its server fails: to the next node of Repligo, or to whom a Sentinel names.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::bench::servers::redis::question_for_primary;

/// How long a client waits for a reply, of a server or a Sentinel, before it turns elsewhere. The same for
/// all systems; a frozen process is noticed by nothing else.
pub const PATIENCE: Duration = Duration::from_millis(300);

/// How long a change of the primary may stay unnoticed by those who are told by a Sentinel.
const WATCH_PAUSE: Duration = Duration::from_millis(10);

/// How clients find a server that takes writes.
#[derive(Clone, Debug)]
pub enum Target {
    /// Any node takes writes; after a failure the next one is tried.
    AnyOf(Vec<u16>),
    /// These Sentinels know the primary.
    Sentinels(Vec<u16>),
}

impl Target {
    /// Connects to a server for the `attempt`-th time (0: at the start).
    ///
    /// # Errors
    /// It is not reachable, or no Sentinel knows one.
    pub async fn connect(&self, attempt: usize) -> std::io::Result<TcpStream> {
        let port = match self {
            Self::AnyOf(ports) => ports[attempt % ports.len()],
            Self::Sentinels(ports) => ask(ports[attempt % ports.len()]).await?,
        };
        let connecting = TcpStream::connect(("127.0.0.1", port));
        let stream = tokio::time::timeout(PATIENCE, connecting).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Counts in `changes` whenever the first Sentinel names another primary, as clients learn it that
    /// subscribe to its announcements. Never returns; at Repligo there is nothing to watch.
    pub async fn watch(self, changes: Rc<Cell<u64>>) {
        let Self::Sentinels(ports) = self else { return };
        let mut known = None;
        loop {
            if let Ok(port) = ask(ports[0]).await {
                if known.is_some_and(|known| known != port) {
                    changes.set(changes.get() + 1);
                }
                known = Some(port);
            }
            tokio::time::sleep(WATCH_PAUSE).await;
        }
    }
}

/// The port that a Sentinel gives for the primary.
async fn ask(sentinel: u16) -> std::io::Result<u16> {
    let question = async {
        let mut stream = TcpStream::connect(("127.0.0.1", sentinel)).await?;
        stream.write_all(&question_for_primary()).await?;
        let mut reply = Vec::new();
        loop {
            if let Some(port) = port_in(&reply) {
                return Ok(port);
            }
            if stream.read_buf(&mut reply).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    };
    tokio::time::timeout(PATIENCE, question).await?
}

/// From a whole reply `*2 $9 127.0.0.1 $5 12345`.
fn port_in(reply: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(reply).ok()?;
    let lines: Vec<&str> = text.split("\r\n").collect();
    // The last line is whole only if an empty rest follows it.
    match lines.as_slice() {
        ["*2", _, _, _, port, ""] => port.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_read_from_a_whole_reply_only() {
        assert_eq!(port_in(b"*2\r\n$9\r\n127.0.0.1\r\n$5\r\n20001\r\n"), Some(20001));
        assert_eq!(port_in(b"*2\r\n$9\r\n127.0.0.1\r\n$5\r\n200"), None);
        assert_eq!(port_in(b"*-1\r\n"), None);
    }
}
