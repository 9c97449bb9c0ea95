//! Accepts clients over TLS. A connection becomes a client's when its handshake is over; until then it has one
//! of a few places, of which the oldest makes way, and a deadline.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use repligo_core::limits::CLIENT_HANDSHAKES_MAX;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::half_open::{HalfOpen, Place};
use super::link_log::LinkLog;
use super::options;
use super::stream::ClientStream;
use crate::session::Endpoints;
use crate::tls::clients::ClientTls;
use crate::tls::reason;
use crate::tls::stream::TlsStream;
use crate::tls::watched::Watched;

/// A handshake takes milliseconds; a bad network, a few round trips of seconds.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(5);
/// Pause after an error that will not go away at once, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Who takes a client whose handshake is over.
pub type Admit = Rc<dyn Fn(ClientStream, Endpoints)>;

/// Accepts until the task is aborted.
pub async fn accept_tls_clients(listener: TcpListener, keys: Arc<Watched<ClientTls>>, admit: Admit) {
    let half_open = HalfOpen::new(CLIENT_HANDSHAKES_MAX);
    let log = Rc::new(std::cell::RefCell::new(LinkLog::default()));
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (keys, admit, log) = (keys.clone(), admit.clone(), log.clone());
                let opened = half_open.spawn(|place| async move {
                    if let Err(error) = open((stream, peer), &keys, &admit, place).await
                        && log.borrow_mut().admits()
                    {
                        let reason = reason::of_client(&error).unwrap_or_else(|| error.to_string());
                        tracing::warn!(client = %peer, "TLS handshake failed: {reason}");
                    }
                });
                opened.await;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a client; if these are too many open files, raise ulimit -n");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn open(
    (stream, peer): (TcpStream, SocketAddr),
    keys: &Watched<ClientTls>,
    admit: &Admit,
    place: Place,
) -> std::io::Result<()> {
    options::for_client(&stream)?;
    let local = stream.local_addr()?;
    let keys = keys.current();
    let session = keys.accept().map_err(std::io::Error::other)?;
    let opened = timeout(HANDSHAKE_PATIENCE, TlsStream::open(stream, session)).await;
    let mut opened = opened.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
    opened.set_user(keys.user_of(opened.session()));
    drop(place);
    admit(
        ClientStream::Tls(Box::new(opened)),
        Endpoints::Internet { peer, local },
    );
    Ok(())
}
