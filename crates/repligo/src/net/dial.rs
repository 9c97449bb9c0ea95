//! How peer links come to be: accepting, dialling, and the handshake.
//!
//! The node with the lower number dials, and dials again with a short backoff for as long as the process
//! lives. Nothing of the handshake reaches the core; a refused node is told why and logged once.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use repligo_core::contract::{Input, PeerId};
use repligo_core::forming::FormingState;
use repligo_proto::frame::{self, HEADER_BYTES, Header, Kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::hello::{self, Hello};
use super::link_log;
use super::options;
use super::socket::Socket;
use crate::node::Node;
use crate::node::worker::Worker;
use crate::telemetry::clock;

const BACKOFF_LEAST: Duration = Duration::from_millis(50);
const BACKOFF_MOST: Duration = Duration::from_millis(500);
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(2);
/// A greeting or a refusal is never longer.
const GREETING_BYTES_MAX: usize = 64 << 10;

/// Accepts links from nodes with lower numbers.
pub async fn accept_peers(node: Rc<Node>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let node = node.clone();
                tokio::task::spawn_local(async move {
                    if let Err(reason) = meet(&node, stream, None).await {
                        node.worker
                            .borrow_mut()
                            .links
                            .note_refusal(reason.peer, &reason.text);
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a peer connection");
                tokio::time::sleep(BACKOFF_MOST).await;
            }
        }
    }
}

/// Keeps a link to a node with a higher number, for as long as the process lives.
pub async fn dial_peer(node: Rc<Node>, peer: PeerId, address: String) {
    let mut backoff = BACKOFF_LEAST;
    loop {
        if let Ok(Ok(stream)) = timeout(CONNECT_PATIENCE, TcpStream::connect(&address)).await {
            match meet(&node, stream, Some(peer)).await {
                Ok(()) => backoff = BACKOFF_LEAST,
                Err(reason) => node
                    .worker
                    .borrow_mut()
                    .links
                    .note_refusal(Some(peer), &reason.text),
            }
        }
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(BACKOFF_MOST);
    }
}

/// Why a stream did not become a link.
struct Refusal {
    peer: Option<PeerId>,
    text: String,
    /// What the other side is told.
    told: &'static str,
}

/// What a stranger is told where nothing better can be said.
const NO_LINK: &str = "no link: see the log of the node that was asked";

impl Refusal {
    fn new(text: impl Into<String>) -> Self {
        Self {
            peer: None,
            text: text.into(),
            told: NO_LINK,
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::new(format!("the connection broke during the handshake: {error}"))
    }
}

/// Handshake, then the link for as long as it lasts. `expected` is set on the side that dialled.
async fn meet(node: &Rc<Node>, mut stream: TcpStream, expected: Option<PeerId>) -> Result<(), Refusal> {
    options::for_peer(&stream)?;
    let greeting = timeout(HANDSHAKE_PATIENCE, greet(node, &mut stream, expected)).await;
    let (header, theirs, told) =
        greeting.map_err(|_| Refusal::new("the other side did not answer the greeting in time"))??;
    let peer = header.peer;
    let epoch = {
        let mut worker = node.worker.borrow_mut();
        worker
            .link_up(stream, &header, &theirs, told)
            .map_err(|text| Refusal {
                peer: Some(peer),
                ..Refusal::new(text)
            })?
    };
    LinkTask {
        node: node.clone(),
        peer,
        epoch,
    }
    .await;
    Ok(())
}

type Met = (Header, Hello, FormingState);

async fn greet(node: &Rc<Node>, stream: &mut TcpStream, expected: Option<PeerId>) -> Result<Met, Refusal> {
    if expected.is_some() {
        let told = say_hello(node, stream).await?;
        let (header, theirs) = hear_hello(node, stream).await?;
        if Some(header.peer) != expected {
            let text = format!(
                "{} answers at the address of another node: check --cluster",
                theirs.name
            );
            return Err(Refusal {
                peer: expected,
                ..Refusal::new(text)
            });
        }
        return Ok((header, theirs, told));
    }
    match hear_hello(node, stream).await {
        Ok((header, theirs)) => {
            let told = say_hello(node, stream).await?;
            Ok((header, theirs, told))
        }
        Err(refusal) => {
            // Nothing of this node: who asks may be anybody.
            let header = Header {
                cluster_id: 0,
                generation: 0,
                peer: 0,
                incarnation: 0,
                kind: Kind::REFUSED,
            };
            let mut bytes = Vec::new();
            frame::encode(&mut bytes, &header, refusal.told.as_bytes());
            // It is only a courtesy: the connection ends either way.
            let _ = stream.write_all(&bytes).await;
            Err(refusal)
        }
    }
}

async fn say_hello(node: &Rc<Node>, stream: &mut TcpStream) -> Result<FormingState, Refusal> {
    let mut bytes = Vec::new();
    let told = {
        let worker = node.worker.borrow();
        let hello = worker.links.hello();
        frame::encode(&mut bytes, &worker.links.header(Kind::HELLO), &hello.encode());
        hello.forming
    };
    stream.write_all(&bytes).await?;
    Ok(told)
}

async fn hear_hello(node: &Rc<Node>, stream: &mut TcpStream) -> Result<(Header, Hello), Refusal> {
    let mut bytes = vec![0; HEADER_BYTES];
    stream.read_exact(&mut bytes).await?;
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
    let payload = &bytes[frame.payload.clone()];
    if frame.header.kind == Kind::REFUSED {
        return Err(Refusal::new(format!(
            "the other node says: {}",
            link_log::plain(payload)
        )));
    }
    let theirs = Hello::decode(payload).map_err(|_| Refusal::new("the greeting cannot be read"))?;
    let worker = node.worker.borrow();
    let mine = (worker.links.hello(), worker.links.identity());
    match hello::judge(mine, &frame.header, &theirs) {
        Ok(_) => Ok((frame.header, theirs)),
        Err(refused) => Err(Refusal {
            peer: Some(frame.header.peer),
            text: refused.text,
            told: refused.told,
        }),
    }
}

/// Moves one link for as long as its stream lasts.
struct LinkTask {
    node: Rc<Node>,
    peer: PeerId,
    epoch: u64,
}

impl Future for LinkTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut worker = self.node.worker.borrow_mut();
        let began_ns = clock::boottime_ns();
        worker.busy.begin(began_ns);
        let polled = self.poll_link(cx, &mut worker);
        let worker = &mut *worker;
        worker.busy.end_now("peer", began_ns, &worker.shared.metrics);
        polled
    }
}

impl LinkTask {
    fn poll_link(&self, cx: &mut Context<'_>, worker: &mut Worker) -> Poll<()> {
        loop {
            let Some(mut socket) = worker.links.take(self.peer, self.epoch) else {
                return Poll::Ready(());
            };
            let polled = socket.poll(cx, &worker.shared.metrics);
            let result = match polled {
                Poll::Pending => {
                    worker.links.put_back(self.peer, socket);
                    return Poll::Pending;
                }
                Poll::Ready(false) => Err(String::new()),
                Poll::Ready(true) => worker.read_frames(self.peer, &mut socket),
            };
            if let Err(reason) = result {
                drop(socket);
                worker.link_down(self.peer, self.epoch, &reason);
                return Poll::Ready(());
            }
            worker.links.put_back(self.peer, socket);
        }
    }
}

impl Worker {
    /// A stream has passed the handshake. Returns its epoch.
    ///
    /// # Errors
    /// As [`super::links::Links::attach`].
    fn link_up(
        &mut self,
        stream: TcpStream,
        header: &Header,
        theirs: &Hello,
        told: FormingState,
    ) -> Result<u64, String> {
        let peer = header.peer;
        let replaced = self
            .links
            .iter()
            .any(|link| link.peer == peer && link.is_attached());
        let epoch = self.links.attach(stream, header, theirs, told)?;
        if replaced {
            self.lost(peer);
        }
        self.shared.metrics.peer_connects.add(1);
        if self.links.log.admits() {
            tracing::info!(peer = %theirs.name, "peer link up");
        }
        self.forming_announced(peer, theirs.forming);
        self.turn.request();
        Ok(epoch)
    }

    fn link_down(&mut self, peer: PeerId, epoch: u64, reason: &str) {
        if !self.links.detach(peer, epoch) {
            return;
        }
        if self.links.log.admits() {
            let name = self.links.name(peer);
            if reason.is_empty() {
                tracing::info!(peer = %name, "peer link down");
            } else {
                tracing::warn!(peer = %name, "peer link torn down: {reason}");
            }
        }
        self.lost(peer);
    }

    fn lost(&mut self, peer: PeerId) {
        self.forming_lost(peer);
        if self.links.close(peer) {
            let now = self.clock.now();
            self.step(now, Input::PeerLost { peer });
        }
    }

    /// Executes the frames that a stream has read. The clock is sampled here, after their bytes were read.
    fn read_frames(&mut self, peer: PeerId, socket: &mut Socket) -> Result<(), String> {
        let now = self.clock.at(clock::boottime_us());
        let input = socket.take_input();
        let mut position = 0;
        let result = loop {
            match frame::decode(&input[position..]) {
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.to_string()),
                Ok(Some(frame)) => {
                    let payload = &input[position..][frame.payload.clone()];
                    if let Err(error) = self.on_frame(now, (peer, socket), &frame.header, payload) {
                        break Err(error);
                    }
                    position += frame.encoded_bytes();
                }
            }
        };
        socket.give_input(input, position);
        result
    }

    fn on_frame(
        &mut self,
        now: repligo_core::time::Now,
        (peer, socket): (PeerId, &mut Socket),
        header: &Header,
        payload: &[u8],
    ) -> Result<(), String> {
        if header.peer != peer || header.incarnation != socket.incarnation {
            return Err("a frame of another node or of another run came over the link".to_owned());
        }
        let own = *self.links.identity();
        let same = (header.cluster_id, header.generation) == (own.cluster_id, own.generation);
        match header.kind {
            Kind::HELLO => {
                let theirs = Hello::decode(payload).map_err(|_| "the greeting cannot be read".to_owned())?;
                let mine = (self.links.hello(), self.links.identity());
                hello::judge(mine, header, &theirs).map_err(|refused| refused.text)?;
                socket.theirs = theirs.forming;
                self.forming_announced(peer, theirs.forming);
                self.open_if_both_formed(peer, socket);
                self.turn.request();
                Ok(())
            }
            _ if !same => Err("a frame of another cluster or generation came over the link".to_owned()),
            // The other side has heard our greeting and opened the link before our turn did.
            Kind::CORE if !self.open_if_both_formed(peer, socket) => {
                Err("a message came before both nodes had said that the cluster has formed".to_owned())
            }
            Kind::CORE => {
                let message = bytes::Bytes::copy_from_slice(payload);
                self.step(now, Input::Peer { from: peer, message });
                match self.links.take_implausible(peer) {
                    None => Ok(()),
                    Some(reason) => Err(format!("no correct node says this: {reason}")),
                }
            }
            Kind::STATUS_REPLY => {
                let taken = self.links.take_report(now, peer, payload);
                taken.map_err(|_| "a status report cannot be read".to_owned())
            }
            // Kinds of a later release of the same feature level carry nothing that must be understood.
            _ => Ok(()),
        }
    }

    /// Opens a link as soon as it may be; true if it is open.
    fn open_if_both_formed(&mut self, peer: PeerId, socket: &mut Socket) -> bool {
        if !socket.open && self.links.may_open(peer, socket.theirs) {
            socket.open = true;
            self.opened(peer);
        }
        socket.open
    }

    /// Opens the links on which both ends have said that they belong together; before each turn.
    pub fn open_links(&mut self) {
        for peer in self.links.open_ready() {
            self.opened(peer);
        }
    }

    fn opened(&mut self, peer: PeerId) {
        self.links.mark_open(peer);
        let now = self.clock.now();
        self.step(now, Input::PeerConnected { peer });
    }
}
