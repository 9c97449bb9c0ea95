//! The first second of a peer link: the keys, then one greeting in each direction.
//!
//! A stranger learns nothing here: greetings are exchanged only when both ends have shown the certificate
//! of a node of the cluster. A node that is refused is told the kind of the reason, and both sides log it.

use std::io;
use std::sync::Arc;

use repligo_core::contract::PeerId;
use repligo_core::forming::FormingState;
use repligo_proto::frame::{self, Frame, HEADER_BYTES, Header, Kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::hello::{Hello, Refused, WAITS_FOR_ADMISSION};
use super::link_log;
use super::peer_stream::PeerStream;
use crate::telemetry::refusal::{self, NO_LINK};
use crate::tls::keys::KeyStore;
use crate::tls::reason;
use crate::tls::stream::TlsStream;

/// A greeting or a refusal is never longer.
const GREETING_BYTES_MAX: usize = 64 << 10;
/// What a node is told that was dialled as the member that it was before it came back without its data.
pub const RENUMBERED: &str = "this stream was meant for an earlier number of the node";
/// First bytes of a TLS record of a handshake and of an alert.
const TLS_RECORDS: [[u8; 2]; 2] = [[22, 3], [21, 3]];

/// What a node is asked while it gets to know another.
pub trait Host {
    /// Its keys; `None` where links are plain.
    fn keys(&self) -> Option<Arc<KeyStore>>;
    /// What it says of itself now.
    fn own_greeting(&self) -> (Header, Hello);
    /// The name of another node of the cluster.
    fn name_of(&self, peer: PeerId) -> String;
    /// As [`super::hello::judge`].
    fn judge(&self, header: &Header, theirs: &Hello) -> Result<PeerId, Refused>;
    /// Answers a node that wants to be a member; `certified` is its name as its certificate says.
    ///
    /// # Errors
    /// If the request cannot be read, or names another node.
    fn answer_join(&self, payload: &[u8], certified: Option<String>) -> Result<Vec<u8>, Refusal>;
}

/// Why a stream did not become a link.
pub struct Refusal {
    /// Who it was, if that is known.
    pub peer: Option<PeerId>,
    /// For the log.
    pub text: String,
    /// What the other side is told.
    told: &'static str,
    /// The other side wanted no link but to be a member, and is answered so.
    pub answer: Option<Vec<u8>>,
    /// The connection ended, as it does when a node stops: that says nothing of who it was.
    pub is_broken: bool,
}

impl Refusal {
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            peer: None,
            text: text.into(),
            told: NO_LINK,
            answer: None,
            is_broken: false,
        }
    }

    pub fn of(peer: PeerId, text: impl Into<String>) -> Self {
        Self {
            peer: Some(peer),
            ..Self::new(text)
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        match reason::of_io(&error) {
            Some(reason) => Self::new(reason),
            None => Self {
                is_broken: true,
                ..Self::new(format!("the connection broke during the handshake: {error}"))
            },
        }
    }
}

/// What both sides have said: the other's header and greeting, and the forming state that was told.
pub type Met = (Header, Hello, FormingState);

/// Keys and greetings. `expected` is set on the side that dialled.
pub async fn open(
    host: &impl Host,
    tcp: TcpStream,
    expected: Option<PeerId>,
) -> Result<(PeerStream, Met), Refusal> {
    let mut stream = secure(host, tcp, expected.is_some()).await?;
    match greet(host, &mut stream, expected).await {
        Ok(met) => Ok((stream, met)),
        Err(refusal) => {
            // It is only a courtesy: the connection ends either way.
            let _ = match &refusal.answer {
                Some(answer) => tell(&mut stream, Kind::JOIN_REPLY, answer).await,
                None => tell(&mut stream, Kind::REFUSED, refusal.told.as_bytes()).await,
            };
            Err(refusal)
        }
    }
}

async fn secure(host: &impl Host, tcp: TcpStream, is_dialler: bool) -> Result<PeerStream, Refusal> {
    let Some(store) = host.keys() else {
        return Ok(PeerStream::Plain(tcp));
    };
    let keys = store.current();
    let session = if is_dialler { keys.dial() } else { keys.accept() };
    let session = session.map_err(|error| Refusal::new(reason::describe(&error)))?;
    Ok(PeerStream::Tls(Box::new(TlsStream::open(tcp, session).await?)))
}

async fn greet(host: &impl Host, stream: &mut PeerStream, expected: Option<PeerId>) -> Result<Met, Refusal> {
    let Some(expected) = expected else {
        let (header, theirs) = hear_hello(host, stream).await?;
        let told = say_hello(host, stream).await?;
        return Ok((header, theirs, told));
    };
    let elsewhere = |name: &str| {
        let text = format!("{name} answers at the address of another node: check --cluster");
        Refusal::of(expected, text)
    };
    // As it is told too: both sides go on to talk under the number that it has now.
    let renumbered = |name: &str| Refusal {
        told: RENUMBERED,
        is_broken: true,
        ..Refusal::of(
            expected,
            format!("{name} answers under a new number: it is a new member now"),
        )
    };
    if let Some(certified) = stream.certified_name()
        && certified != host.name_of(expected)
    {
        return Err(elsewhere(&certified));
    }
    let told = say_hello(host, stream).await?;
    let (header, theirs) = hear_hello(host, stream).await?;
    if header.peer > expected && theirs.name == host.name_of(expected) {
        return Err(renumbered(&theirs.name));
    }
    if header.peer != expected {
        return Err(elsewhere(&theirs.name));
    }
    Ok((header, theirs, told))
}

/// Asks a node whether this one may be a member; gives its answer.
pub async fn ask_to_join(host: &impl Host, tcp: TcpStream, request: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut stream = secure(host, tcp, true).await?;
    tell(&mut stream, Kind::JOIN, request).await?;
    let (bytes, frame) = hear(&mut stream).await?;
    let payload = &bytes[frame.payload];
    match frame.header.kind {
        Kind::JOIN_REPLY => Ok(payload.to_vec()),
        Kind::REFUSED => Err(Refusal::new(refused_by_other(payload))),
        _ => Err(Refusal::new("the other side did not answer the request")),
    }
}

/// Says one thing and no more, and nothing of this node: who asks may be anybody.
async fn tell(stream: &mut PeerStream, kind: Kind, payload: &[u8]) -> io::Result<()> {
    let header = Header {
        cluster_id: 0,
        generation: 0,
        peer: 0,
        incarnation: 0,
        kind,
    };
    let mut bytes = Vec::new();
    frame::encode(&mut bytes, &header, payload);
    stream.write_all(&bytes).await?;
    match kind {
        Kind::JOIN => stream.flush().await,
        _ => stream.shutdown().await,
    }
}

async fn say_hello(host: &impl Host, stream: &mut PeerStream) -> Result<FormingState, Refusal> {
    let (header, hello) = host.own_greeting();
    let mut bytes = Vec::new();
    frame::encode(&mut bytes, &header, &hello.encode());
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    Ok(hello.forming)
}

/// Reads a header; what comes instead is recognized where it can be.
async fn read_header(stream: &mut PeerStream) -> Result<Vec<u8>, Refusal> {
    let mut bytes = vec![0; HEADER_BYTES];
    let mut filled = 0;
    while filled < HEADER_BYTES {
        let count = stream.read(&mut bytes[filled..]).await?;
        filled += count;
        let is_tls = filled >= 2 && TLS_RECORDS.iter().any(|record| bytes.starts_with(record));
        if is_tls {
            return Err(Refusal::new(
                "the other side speaks TLS, and this node was started with --insecure-peers",
            ));
        }
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    Ok(bytes)
}

async fn hear(stream: &mut PeerStream) -> Result<(Vec<u8>, Frame), Refusal> {
    let mut bytes = read_header(stream).await?;
    // Decoding the header alone tells foreign bytes, versions and absurd lengths.
    frame::decode(&bytes).map_err(|error| Refusal::new(error.to_string()))?;
    let missing = frame::bytes_missing(&bytes);
    if missing > GREETING_BYTES_MAX {
        return Err(Refusal::new(
            "the other side began with something too long to be a greeting",
        ));
    }
    bytes.resize(HEADER_BYTES + missing, 0);
    stream.read_exact(&mut bytes[HEADER_BYTES..]).await?;
    let frame = frame::decode(&bytes)
        .map_err(|error| Refusal::new(error.to_string()))?
        .ok_or_else(|| Refusal::new("the greeting was cut off"))?;
    Ok((bytes, frame))
}

async fn hear_hello(host: &impl Host, stream: &mut PeerStream) -> Result<(Header, Hello), Refusal> {
    let (bytes, frame) = hear(stream).await?;
    let payload = &bytes[frame.payload.clone()];
    if frame.header.kind == Kind::JOIN {
        let answer = host.answer_join(payload, stream.certified_name())?;
        return Err(Refusal {
            answer: Some(answer),
            ..Refusal::new("a request to join was answered")
        });
    }
    if frame.header.kind == Kind::REFUSED {
        return Err(Refusal {
            // That is no fault of anybody, and passes.
            is_broken: payload == WAITS_FOR_ADMISSION.as_bytes(),
            ..Refusal::new(refused_by_other(payload))
        });
    }
    let theirs = Hello::decode(payload).map_err(|_| Refusal::new("the greeting cannot be read"))?;
    if let Some(certified) = stream.certified_name()
        && certified != theirs.name
    {
        let text = format!(
            "the certificate is that of {certified}, and the greeting says {}",
            theirs.name
        );
        return Err(Refusal {
            told: "the certificate and the greeting name different nodes",
            ..Refusal::new(text)
        });
    }
    match host.judge(&frame.header, &theirs) {
        Ok(_) => Ok((frame.header, theirs)),
        Err(refused) => Err(Refusal {
            told: refused.told,
            ..Refusal::of(frame.header.peer, refused.text)
        }),
    }
}

/// For the log: the reason that the other side gives.
pub fn refused_by_other(payload: &[u8]) -> String {
    refusal::of_other(&link_log::plain(payload))
}
