//! Connections that come, ask once over TLS, and go: what a handshake costs, in full and resumed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use super::{Latency, Sample};
use crate::run::{Failure, Outcome};

/// As many clients at once; each waits for its answers, so that one alone would measure the way there and back.
const CLIENTS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(10);

/// How clients begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each connection as if it were the first.
    Full,
    /// With a ticket of the connection before.
    Resumed,
}

/// Connects as often as possible for so many seconds; an operation is a handshake, a PING and its answer.
///
/// # Errors
/// A connection failed, or its handshake was not of this kind.
pub fn run(port: u16, kind: Kind, authority: &str, seconds: f64) -> Outcome<Sample> {
    let config = Arc::new(config(kind, authority)?);
    let start = Instant::now();
    let until = Duration::from_secs_f64(seconds);
    let latencies: Outcome<Vec<Vec<u32>>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                // Tickets of its own: they are good for one connection each.
                let mut config = ClientConfig::clone(&config);
                if kind == Kind::Resumed {
                    config.resumption = Resumption::in_memory_sessions(8);
                }
                scope.spawn(move || client(port, kind, &Arc::new(config), start, until))
            })
            .collect();
        let joined = clients.into_iter().map(|client| {
            let failed = |_| Failure::new("a client of the handshakes panicked");
            client.join().map_err(failed)?
        });
        joined.collect()
    });
    let latencies: Vec<u32> = latencies?.into_iter().flatten().collect();
    Ok(Sample {
        operations: latencies.len() as u64,
        seconds: start.elapsed().as_secs_f64(),
        cpu_seconds: 0.0,
        latency: Latency::of(latencies),
    })
}

fn config(kind: Kind, authority: &str) -> Outcome<ClientConfig> {
    let failed = |error: String| Failure::new(format!("{authority}: {error}"));
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(authority).map_err(|error| failed(error.to_string()))?;
    roots
        .add(certificate)
        .map_err(|error| failed(error.to_string()))?;
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    if kind == Kind::Full {
        config.resumption = Resumption::disabled();
    }
    Ok(config)
}

fn client(
    port: u16,
    kind: Kind,
    config: &Arc<ClientConfig>,
    start: Instant,
    until: Duration,
) -> Outcome<Vec<u32>> {
    let mut latencies = Vec::new();
    let mut is_first = kind == Kind::Resumed;
    while start.elapsed() < until {
        let began = Instant::now();
        let found = once(port, config)
            .map_err(|error| Failure::new(format!("handshake with port {port}: {error}")))?;
        let expected = match kind {
            Kind::Resumed if !is_first => HandshakeKind::Resumed,
            _ => HandshakeKind::Full,
        };
        if found != Some(expected) {
            let message = format!("port {port}: a handshake was {found:?}, not {expected:?}");
            return Err(Failure::new(message));
        }
        is_first = false;
        latencies.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    Ok(latencies)
}

fn once(port: u16, config: &Arc<ClientConfig>) -> std::io::Result<Option<HandshakeKind>> {
    let tcp = TcpStream::connect(("127.0.0.1", port))?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from("localhost").expect("a valid name");
    let connection = ClientConnection::new(config.clone(), name).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, tcp);
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    if answer != *b"+PONG\r\n" {
        let text = String::from_utf8_lossy(&answer).into_owned();
        return Err(std::io::Error::other(format!("PING was answered with {text:?}")));
    }
    Ok(stream.conn.handshake_kind())
}
