//! How peer links come to be: accepting, dialling, and the handshake.
//!
//! The node with the lower number dials, and dials again with a short backoff for as long as the process
//! lives. Nothing of the handshake reaches the core; a refused node is told why and logged once.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use repligo_core::contract::{Input, PeerId};
use repligo_core::forming::FormingState;
use repligo_core::limits::PEER_HANDSHAKES_MAX;
use repligo_proto::frame::{self, Header, Kind};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Thread;
use super::probe::probe;
use crate::net::greeting::{self, Host, Refusal};
use crate::net::half_open::{HalfOpen, Place};
use crate::net::hello::{self, Hello, Refused};
use crate::net::join::JoinRequest;
use crate::net::options;
use crate::net::peer_stream::PeerStream;
use crate::net::socket::{AT_ONCE_BYTES, Socket};
use crate::telemetry::clock;
use crate::telemetry::refusal::cause_of_other;
use crate::tls::keys::KeyStore;
use crate::worker::Worker;
use crate::worker::formation::Formation;

const BACKOFF_LEAST: Duration = Duration::from_millis(50);
const BACKOFF_MOST: Duration = Duration::from_millis(500);
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(2);
/// Between two lines about connections that made way for others.
const FULL_TOLD_EVERY: Duration = Duration::from_secs(5);

impl Host for Thread {
    fn keys(&self) -> Option<Arc<KeyStore>> {
        self.peer_keys.clone()
    }

    fn own_greeting(&self) -> (Header, Hello) {
        let links = &self.worker.borrow().links;
        (links.header(Kind::HELLO), links.hello().clone())
    }

    fn name_of(&self, peer: PeerId) -> String {
        self.worker.borrow().links.name(peer).to_owned()
    }

    fn judge(&self, header: &Header, theirs: &Hello) -> Result<PeerId, Refused> {
        let worker = self.worker.borrow();
        // It has no place among the members yet, so nothing of the rest would tell anybody anything.
        if worker
            .formation
            .as_ref()
            .is_some_and(Formation::waits_for_admission)
        {
            return Err(hello::waits_for_admission(&theirs.name));
        }
        let links = &worker.links;
        let peer = hello::judge((links.hello(), links.identity()), header, theirs)?;
        let known = Some(links.name(peer)).filter(|known| *known != "?");
        hello::judge_name(known, theirs)?;
        Ok(peer)
    }

    fn answer_join(&self, payload: &[u8], certified: Option<String>) -> Result<Vec<u8>, Refusal> {
        let request = JoinRequest::decode(payload);
        let request = request.map_err(|_| Refusal::new("a request to join cannot be read"))?;
        if certified.is_some_and(|certified| certified != request.name) {
            return Err(Refusal::new(
                "a request to join and its certificate name different nodes",
            ));
        }
        let mut worker = self.worker.borrow_mut();
        let now = worker.clock.now();
        Ok(worker.answer_join(now, &request).encode())
    }
}

/// Accepts links from nodes with lower numbers.
pub async fn accept_peers(thread: Rc<Thread>, listener: TcpListener) {
    let half_open = HalfOpen::new(PEER_HANDSHAKES_MAX);
    let mut told: Option<Instant> = None;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                half_open
                    .spawn(|place| accept_one(thread.clone(), stream, place))
                    .await
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a peer connection");
                tokio::time::sleep(BACKOFF_MOST).await;
            }
        }
        if told.is_none_or(|at| at.elapsed() >= FULL_TOLD_EVERY) {
            let dropped = half_open.take_dropped();
            if dropped > 0 {
                told = Some(Instant::now());
                tracing::warn!(
                    dropped,
                    "peer links refused: too many connections whose handshake is not over"
                );
            }
        }
    }
}

async fn accept_one(thread: Rc<Thread>, stream: TcpStream, place: Place) {
    if let Err(reason) = meet(&thread, stream, None, Some(place)).await
        && reason.answer.is_none()
    {
        let worker = &mut *thread.worker.borrow_mut();
        let waits = worker
            .formation
            .as_ref()
            .is_some_and(Formation::waits_for_admission);
        // Members greet a node that waits for them, and were told that it does.
        if !waits {
            worker.links.note_refusal(reason.peer, &reason);
        }
    }
}

/// Keeps a link to a member for as long as it is one: the node with the lower number dials, the other one only when
/// nobody comes.
pub async fn dial_peer(thread: Rc<Thread>, peer: PeerId) {
    let mut backoff = BACKOFF_LEAST;
    loop {
        let target = thread.worker.borrow().links.to_dial(peer);
        let Some((address, due)) = target else { return };
        if !due {
            tokio::time::sleep(BACKOFF_LEAST).await;
            continue;
        }
        if let Ok(Ok(stream)) = timeout(CONNECT_PATIENCE, TcpStream::connect(&address)).await {
            match meet(&thread, stream, Some(peer), None).await {
                Ok(()) => backoff = BACKOFF_LEAST,
                Err(reason) => {
                    let links = &mut thread.worker.borrow_mut().links;
                    links.note_refusal(Some(peer), &reason);
                }
            }
        }
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(BACKOFF_MOST);
    }
}

/// Dials members that are new.
pub async fn dial_new_members(thread: Rc<Thread>, mut peers: mpsc::UnboundedReceiver<PeerId>) {
    while let Some(peer) = peers.recv().await {
        tokio::task::spawn_local(dial_peer(thread.clone(), peer));
    }
}

/// Handshake, then the link for as long as it lasts. `expected` is set on the side that dialled; `place` is
/// given back when the handshake is over.
async fn meet(
    thread: &Rc<Thread>,
    stream: TcpStream,
    expected: Option<PeerId>,
    place: Option<Place>,
) -> Result<(), Refusal> {
    options::for_peer(&stream)?;
    let opened = timeout(HANDSHAKE_PATIENCE, greeting::open(&**thread, stream, expected)).await;
    let (stream, (header, theirs, told)) =
        opened.map_err(|_| Refusal::new("the other side did not finish the handshake in time"))??;
    drop(place);
    let peer = header.peer;
    let epoch = {
        let mut worker = thread.worker.borrow_mut();
        let up = worker.link_up(stream, &header, &theirs, told);
        up.map_err(|text| Refusal::of(peer, text))?
    };
    LinkTask {
        thread: thread.clone(),
        peer,
        epoch,
    }
    .await;
    tokio::task::spawn_local(probe(thread.clone(), peer));
    Ok(())
}

/// Moves one link for as long as its stream lasts.
struct LinkTask {
    thread: Rc<Thread>,
    peer: PeerId,
    epoch: u64,
}

impl Future for LinkTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut worker = self.thread.worker.borrow_mut();
        let began_ns = clock::boottime_ns();
        worker.busy.begin(began_ns);
        let polled = self.poll_link(cx, &mut worker);
        let worker = &mut *worker;
        worker.busy.end_now("peer", began_ns, &worker.shared.metrics.busy);
        polled
    }
}

/// What a frame holds.
#[derive(Clone, Copy)]
struct Payload<'a> {
    bytes: &'a [u8],
    /// What holds the bytes, if they can be shared.
    shared: Option<&'a Bytes>,
}

impl Payload<'_> {
    fn to_bytes(self) -> Bytes {
        match self.shared {
            Some(shared) => shared.slice_ref(self.bytes),
            None => Bytes::copy_from_slice(self.bytes),
        }
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
            let gives_way = socket.read_bytes >= AT_ONCE_BYTES;
            if let Err(reason) = result {
                drop(socket);
                worker.link_down(self.peer, self.epoch, &reason);
                return Poll::Ready(());
            }
            if gives_way {
                socket.read_bytes = 0;
                worker.links.put_back(self.peer, socket);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            worker.links.put_back(self.peer, socket);
        }
    }
}

impl Worker {
    /// A stream has passed the handshake. Returns its epoch.
    ///
    /// # Errors
    /// As [`crate::net::links::Links::attach`].
    fn link_up(
        &mut self,
        stream: PeerStream,
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
            } else if cause_of_other(reason) == Some(greeting::RENUMBERED) {
                // It comes back under the number that it has now.
                tracing::info!(peer = %name, "peer link down: {reason}");
            } else {
                tracing::warn!(peer = %name, "peer link torn down: {reason}");
            }
        }
        self.lost(peer);
    }

    fn lost(&mut self, peer: PeerId) {
        self.subscriptions.forget(peer);
        self.forming_lost(peer);
        if self.links.close(peer) {
            let now = self.clock.now();
            self.step(now, Input::PeerLost { peer });
        }
    }

    /// Executes the frames that a stream has read. The clock is sampled here, after their bytes were read.
    fn read_frames(&mut self, peer: PeerId, socket: &mut Socket) -> Result<(), String> {
        if socket.has_long_frame() {
            let shared = Bytes::from(socket.take_input());
            let (position, result) = self.decode_frames((peer, socket), &shared, Some(&shared));
            socket.give_input(shared[position..].to_vec(), 0);
            return result;
        }
        let input = socket.take_input();
        let (position, result) = self.decode_frames((peer, socket), &input, None);
        socket.give_input(input, position);
        result
    }

    /// Handles the whole frames at the start of `input`; how many bytes they took. Messages refer to `shared`, if the
    /// input is in it, instead of copying it.
    fn decode_frames(
        &mut self,
        (peer, socket): (PeerId, &mut Socket),
        input: &[u8],
        shared: Option<&Bytes>,
    ) -> (usize, Result<(), String>) {
        let now = self.clock.at(clock::boottime_us());
        let mut position = 0;
        loop {
            match frame::decode(&input[position..]) {
                Ok(None) => return (position, Ok(())),
                Err(error) => return (position, Err(error.to_string())),
                Ok(Some(frame)) => {
                    let bytes = &input[position..][frame.payload.clone()];
                    let payload = Payload { bytes, shared };
                    if let Err(error) = self.on_frame(now, (peer, socket), &frame.header, payload) {
                        return (position, Err(error));
                    }
                    position += frame.encoded_bytes();
                }
            }
        }
    }

    fn on_frame(
        &mut self,
        now: repligo_core::time::Now,
        (peer, socket): (PeerId, &mut Socket),
        header: &Header,
        content: Payload<'_>,
    ) -> Result<(), String> {
        let payload = content.bytes;
        let is_refusal = header.kind == Kind::REFUSED;
        if !is_refusal && (header.peer != peer || header.incarnation != socket.incarnation) {
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
            Kind::REFUSED => Err(greeting::refused_by_other(payload)),
            _ if !same => Err("a frame of another cluster or generation came over the link".to_owned()),
            // The other side has heard our greeting and opened the link before our turn did.
            Kind::CORE if !self.open_if_both_formed(peer, socket) => {
                Err("a message came before both nodes had said that the cluster has formed".to_owned())
            }
            Kind::CORE => {
                let message = content.to_bytes();
                self.step(now, Input::Peer { from: peer, message });
                match self.links.take_implausible(peer) {
                    None => Ok(()),
                    Some(reason) => Err(format!("no correct node says this: {reason}")),
                }
            }
            Kind::PUBLISHED if socket.open => self.take_published(payload),
            Kind::SUBSCRIBED if socket.open => self.take_subscribed(peer, payload),
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
        self.untold.insert(peer);
        let now = self.clock.now();
        self.step(now, Input::PeerConnected { peer });
    }
}
