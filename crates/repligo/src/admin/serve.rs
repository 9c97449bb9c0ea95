//! The listener of admin HTTP: few connections, of which the oldest makes way, and a deadline for each request.
//!
//! Whoever reaches the port can open connections and leave them idle; they take no more descriptors than there are
//! places, and the log of the node never lacks one.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use repligo_core::limits::ADMIN_CONNECTIONS_MAX;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::token::Token;
use crate::net::half_open::{HalfOpen, Place};
use crate::telemetry::Shared;
use crate::tls::clients::ClientKeyStore;
use crate::tls::stream::TlsStream;

/// The head of a request comes within this.
const HEAD_PATIENCE: Duration = Duration::from_secs(3);
/// A connection lasts no longer, however many requests it makes: who scrapes connects again.
const CONNECTION_LASTS: Duration = Duration::from_secs(120);
/// Bytes of the head of a request.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Pause after an error that will not go away at once, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// A handshake of TLS comes to its end within this.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(3);

/// Who is let in, and how.
#[derive(Default)]
pub struct Door {
    /// The token that is asked for, if any.
    pub token: Option<String>,
    /// What is shown over TLS; plain text without.
    pub keys: Option<Arc<ClientKeyStore>>,
}

/// Serves until the process ends, whoever has the token if there is one. A failure to start is logged; the node
/// itself goes on.
pub fn start(listener: TcpListener, shared: Arc<Shared>, door: &Door) {
    let token = door.token.as_deref().map(|text| Arc::new(Token::new(text)));
    let keys = door.keys.clone();
    let spawned = std::thread::Builder::new()
        .name("admin".into())
        .spawn(move || serve(listener, shared, token, keys));
    if let Err(error) = spawned {
        tracing::error!(%error, "admin HTTP has no thread: health and metrics are not served");
    }
}

type Keys = Option<Arc<ClientKeyStore>>;

fn serve(listener: TcpListener, shared: Arc<Shared>, token: Option<Arc<Token>>, keys: Keys) {
    let served = listener.set_nonblocking(true).and_then(|()| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default())?
            .block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let mut pages = super::router(shared);
                if let Some(token) = token {
                    pages = pages.layer(axum::middleware::from_fn_with_state(token, super::token::check));
                }
                if listener.local_addr()?.ip().is_loopback() {
                    pages = pages.layer(axum::middleware::from_fn(super::host::check));
                }
                accept(listener, pages, keys).await
            })
    });
    if let Err(error) = served {
        tracing::error!(%error, "admin HTTP stopped: health and metrics are not served");
    }
}

async fn accept(listener: tokio::net::TcpListener, pages: Router, keys: Keys) -> std::io::Result<()> {
    let places = HalfOpen::new(ADMIN_CONNECTIONS_MAX);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (pages, keys) = (pages.clone(), keys.clone());
                places.spawn(|place| open(stream, pages, keys, place)).await;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to admin HTTP");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Serves one connection, which keeps its place until it ends; after the handshake, where there is one.
async fn open(stream: TcpStream, pages: Router, keys: Keys, place: Place) {
    let Some(keys) = keys else {
        return answer(stream, pages, place).await;
    };
    let Ok(session) = keys.current().accept() else {
        return;
    };
    // Who fails is told by an alert; there is nobody else to be told.
    if let Ok(Ok(stream)) = timeout(HANDSHAKE_PATIENCE, TlsStream::open(stream, session)).await {
        answer(stream, pages, place).await;
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, pages: Router, place: Place) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages));
    // Whatever ends it, there is nobody to be told.
    let _ = timeout(CONNECTION_LASTS, connection).await;
    drop(place);
}
