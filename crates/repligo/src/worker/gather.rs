//! What the worker reads from its clients between two turns, and its execution.
//!
//! Connections read into one buffer, one behind the other, and are executed together when everything that
//! was ready has been read: one clock sample judges all of them, the memory that they will look at is
//! asked for before the first one needs it, and all replies leave afterwards. A connection holds no
//! buffer of its own unless a request is incomplete.
//!
//! Invariants: a connection is in the gathering at most once, and reads nothing more until it has been
//! executed; the clock is sampled after all bytes were read.

use super::connection::Connection;
use crate::telemetry::clock::boottime_ns;
use crate::worker::Worker;
use repligo_core::time::Now;
use repligo_proto::resp::{Args, RequestDecoder};
use repligo_session::window::Window;

/// Bytes of the buffer that all connections share.
const BUFFER_BYTES: usize = 256 << 10;
/// A connection reads at most so much at once.
pub const READ_BYTES_MAX: usize = 64 << 10;
/// With less room than this, what was gathered is executed first.
const ROOM_BYTES_MIN: usize = 16 << 10;
/// Connections gathered at most: each may hold a buffer of replies until the turn sends them.
const CHUNKS_MAX: usize = 1024;

const _: () = assert!(ROOM_BYTES_MIN <= READ_BYTES_MAX && READ_BYTES_MAX <= BUFFER_BYTES / 2);

/// What one connection has read.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    slot: u32,
    /// Number of its client: the slot may have a new tenant.
    client: u64,
    start: usize,
    end: usize,
    /// Database and hash of the first request's key.
    hint: Option<(u8, u64)>,
}

/// Bytes read and not executed, and what executing them needs; see the module.
#[derive(Debug)]
pub struct Gathering {
    buffer: Box<[u8]>,
    used: usize,
    chunks: Vec<Chunk>,
    /// Requests decoded ahead.
    pub window: Window,
    peeker: RequestDecoder,
    peeked: Args,
}

impl Default for Gathering {
    fn default() -> Self {
        Self {
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            used: 0,
            chunks: Vec::new(),
            window: Window::default(),
            peeker: RequestDecoder::default(),
            peeked: Args::new(),
        }
    }
}

impl Gathering {
    /// True if nothing more is to be read before the turn that is due.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.buffer.len() - self.used < ROOM_BYTES_MIN || self.chunks.len() >= CHUNKS_MAX
    }

    /// Whether so many bytes that were read elsewhere find room before the turn that is due.
    pub fn takes(&self, bytes: usize) -> bool {
        self.chunks.len() < CHUNKS_MAX && self.used + bytes <= self.buffer.len()
    }

    /// Where a connection reads into.
    #[inline]
    pub fn room(&mut self) -> &mut [u8] {
        let end = self.buffer.len().min(self.used + READ_BYTES_MAX);
        &mut self.buffer[self.used..end]
    }

    /// The connection has read so many bytes into [`Self::room`].
    #[inline]
    pub fn add(&mut self, slot: u32, client: u64, bytes: usize) {
        let start = self.used;
        self.used += bytes;
        self.chunks.push(Chunk {
            slot,
            client,
            start,
            end: self.used,
            hint: None,
        });
    }

    /// Executes what was gathered; replies and what is left of the bytes are with the connections
    /// afterwards, and those are flushed by the turn. When it ended by the boot clock, in nanoseconds;
    /// `None` if nothing was gathered.
    pub fn execute(&mut self, worker: &mut Worker) -> Option<u64> {
        if self.chunks.is_empty() {
            return None;
        }
        let began_ns = boottime_ns();
        worker.busy.begin(began_ns);
        let now = worker.clock.at(began_ns / 1000);
        self.prefetch(worker);
        worker.batch.begin();
        for chunk in &self.chunks {
            if let Some(mut connection) = worker.connections.take(chunk.slot) {
                if connection.session.id == chunk.client {
                    let bytes = &self.buffer[chunk.start..chunk.end];
                    connection.execute_gathered(bytes, (&mut self.window, now), worker);
                }
                worker.connections.put_back(connection);
            }
        }
        let ended_ns = worker.end_batch(began_ns);
        self.chunks.clear();
        self.used = 0;
        Some(ended_ns)
    }

    /// Executes bytes of one connection that it has kept; returns how many were consumed.
    pub fn execute_alone(&mut self, connection: &mut Connection, bytes: &[u8], worker: &mut Worker) -> usize {
        let began_ns = boottime_ns();
        worker.busy.begin(began_ns);
        let now: Now = worker.clock.at(began_ns / 1000);
        worker.batch.begin();
        let consumed = connection.execute_kept(bytes, (&mut self.window, now), worker);
        worker.end_batch(began_ns);
        consumed
    }

    /// Asks for what the first request of each connection will look at. The others of a pipeline are
    /// seen to by its window.
    fn prefetch(&mut self, worker: &mut Worker) {
        if self.chunks.len() < 2 {
            return;
        }
        for chunk in &mut self.chunks {
            let Some(connection) = worker.connections.get_mut(chunk.slot) else {
                continue;
            };
            let db = connection.session.database;
            let bytes = &self.buffer[chunk.start..chunk.end];
            let Ok(Some(_)) = self.peeker.decode(bytes, &mut self.peeked) else {
                self.peeker.restart();
                continue;
            };
            if let Some(key) = first_key(&self.peeked, bytes)
                && let Some(replica) = worker.replica()
            {
                chunk.hint = replica.keyspace().prefetch_key(db, key).map(|hash| (db, hash));
            }
        }
        let Some(replica) = worker.replica() else { return };
        for (db, hash) in self.chunks.iter().filter_map(|chunk| chunk.hint) {
            replica.keyspace().prefetch_entry(db, hash);
        }
    }
}

/// The word behind the command, which is a key more often than not; a wrong guess costs a cache line.
fn first_key<'a>(request: &'a Args, bytes: &'a [u8]) -> Option<&'a [u8]> {
    request.view(bytes).try_get(1)
}
