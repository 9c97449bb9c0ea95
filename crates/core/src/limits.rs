//! Every limit and period of the core as a named constant; relations between them are asserted when
//! the crate is compiled.

use repligo_proto::frame::PAYLOAD_BYTES_MAX;

/// One consensus tick in microseconds.
pub const TICK_US: u64 = 25_000;
/// Heartbeats leave every so many ticks.
pub const HEARTBEAT_TICKS: usize = 2;
/// Shortest election timeout in ticks; replica number `i` of the cluster adds
/// `i * ELECTION_STAGGER_TICKS`, so that no two replicas of a cluster share one.
pub const ELECTION_TICKS: usize = 36;
/// Distance between the election timeouts of two replicas, in ticks.
pub const ELECTION_STAGGER_TICKS: usize = 4;
/// How long a heartbeat round, counted from when it was SENT, lets the leader serve reads alone.
pub const LEASE_US: u64 = 200_000;
/// What clocks of different nodes may drift apart during one lease, in microseconds.
pub const LEASE_DRIFT_US: u64 = 20_000;
/// How long a request may wait for a leader, from its arrival, before its client gets an error.
pub const FORWARD_HOLD_US: u64 = 5_000_000;
/// Bytes of requests that the connections of one node share between them while their requests wait for a
/// leader, for commit or for apply ([`crate::shares`]). What is held is in front of every later request of
/// the node, so it is the latency of the others: a tenth of a second at 80 MB/s.
pub const HELD_BYTES_MAX: usize = 8 << 20;
/// Bytes that each connection may hold beside that, while the reserve lasts: a write of ordinary size never
/// waits for room behind large ones.
pub const SHARE_BYTES_MIN: usize = 64 << 10;
/// The reserve, for all connections of a node together.
pub const RESERVED_BYTES_MAX: usize = 16 << 20;
/// What a held request costs beside its bytes: its place in the queues of core and driver.
pub const REQUEST_OVERHEAD_BYTES: usize = 128;
/// Connections that are called at once when there is room again; more would only find that it is taken.
pub const CALLED_MAX: usize = 16;
/// Bytes of ops that a leader holds for one node and has not proposed. No node has more that is not answered.
pub const FORWARDED_BYTES_MAX: usize = HELD_BYTES_MAX + RESERVED_BYTES_MAX + REPLICATED_OP_BYTES_MAX;
/// Bytes of ops in one entry; a turn that gathers more is cut into several entries.
pub const ENTRY_BYTES_MAX: usize = 4 << 20;
/// Bytes of a request that is not encoded as an op at once.
/// Small for the simulator, whose values are short.
pub const LONG_REQUEST_BYTES: usize = if cfg!(feature = "bugs") {
    100
} else {
    ENTRY_BYTES_MAX
};
/// Bytes of it that one turn encodes: a millisecond or two, most of it the system's work for new memory.
pub const ENCODED_AT_ONCE_BYTES: usize = if cfg!(feature = "bugs") { 48 } else { 2 << 20 };
/// Bytes of one op in a cluster; a larger request is refused before anything is proposed. It has to reach
/// every follower, in one frame, well within an election timeout on a link of 1 Gbit/s. A single voter sends
/// nothing to anybody and takes all that the protocol allows.
pub const REPLICATED_OP_BYTES_MAX: usize = 32 << 20;
/// Bytes of entries per append message.
pub const APPEND_BYTES_MAX: u64 = 1 << 20;
/// Append messages in flight per follower.
pub const INFLIGHT_APPENDS_MAX: usize = 256;
/// Bytes proposed by this leader and not yet committed; above it proposals wait in the node.
pub const UNCOMMITTED_BYTES_MAX: u64 = 64 << 20;
/// The batching delay between two entries of few ops, in microseconds per op of the first: what an entry costs beside
/// its ops, spread over them.
pub const BATCHING_DELAY_PER_OP_US: u64 = 20;
/// The longest batching delay, in microseconds.
pub const BATCHING_DELAY_US_MAX: u64 = 500;
/// After an entry with fewer ops there is no batching delay: there would be nothing to batch.
pub const BATCHING_OPS_MIN: u64 = 4;
/// So many ops leave at once, whatever the delay.
pub const GATHERED_OPS_MAX: u64 = 64;
/// The same in bytes.
pub const GATHERED_BYTES_MAX: usize = 64 << 10;
/// A leader tells its followers at once that an entry with at most so many ops is committed; of a larger
/// one they hear with the next append, at the latest with the next tick, unless their own clients wait.
pub const PROMPT_OPS_MAX: u64 = 8;
/// Bytes of committed entries handed to apply at once.
pub const COMMITTED_BYTES_PER_READY_MAX: u64 = 16 << 20;
/// Bytes of one snapshot chunk: about a tenth of a millisecond's work, which is what it adds to a turn.
/// Small for the simulator, so that a large collection goes over several.
pub const SNAPSHOT_CHUNK_BYTES: usize = if cfg!(feature = "bugs") { 512 } else { 64 << 10 };
/// A chunk that one large value makes longer than this crosses a peer link in pieces.
pub const SNAPSHOT_PIECE_BYTES_MAX: usize = 8 << 20;
/// Connections to the peer port whose handshake is not over. Real nodes need one each, for milliseconds.
pub const PEER_HANDSHAKES_MAX: usize = 64;
/// Connections of clients over TLS whose handshake is not over.
pub const CLIENT_HANDSHAKES_MAX: usize = 128;
/// Connections to admin HTTP.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;
/// Bytes that connections may hold together which have not logged in although they have to.
pub const STRANGERS_BYTES_MAX: usize = 8 << 20;
/// Snapshot chunks sent to a follower and not yet acknowledged.
pub const SNAPSHOT_CHUNKS_IN_FLIGHT: usize = 16;
/// A snapshot that found no room on the disk is tried again after this, in microseconds.
pub const SNAPSHOT_RETRY_US: u64 = 30_000_000;
/// On a full disk a snapshot is taken in the place of at least so much log.
pub const SNAPSHOT_GAIN_BYTES_MIN: u64 = 1 << 20;
/// A transfer of a snapshot ends when its follower has said nothing at all for so long, in microseconds: meanwhile the
/// log behind the snapshot is held in memory.
pub const SNAPSHOT_SILENT_US_MAX: u64 = 5_000_000;
/// The same for a follower that is heard and acknowledges nothing.
pub const SNAPSHOT_ACK_US_MAX: u64 = 30_000_000;
/// So long a follower may take to write what it has received, in microseconds, before the log behind it may go.
pub const SNAPSHOT_WRITE_US_MAX: u64 = 600_000_000;
/// Transfers of snapshots hold the log in memory until it has so many times what it may have otherwise, which is taken
/// for this much at least, in bytes.
pub const SNAPSHOT_PIN_FACTOR: u64 = 4;
/// See [`SNAPSHOT_PIN_FACTOR`].
pub const SNAPSHOT_PIN_BYTES_MIN: u64 = 8 << 20;
/// Reads that may wait for a confirmed index on one node.
pub const READS_WAITING_MAX: usize = 1 << 20;
/// Shard time is slewed towards wall time by at most this part of the time that passes, in both directions.
pub const CLOCK_SLEW_DIVISOR: i64 = 10;
/// Replicas ask each other for their wall clocks, so far apart in microseconds.
pub const CLOCK_ASK_US: u64 = 1_000_000;
/// What a replica knows of another's wall clock counts for so long.
pub const CLOCK_SAMPLE_US_MAX: u64 = 5_000_000;
/// Two wall clocks that are further apart, in milliseconds, do not agree: more than any time service leaves.
pub const CLOCK_APART_MS_MAX: i64 = 1_000;
/// A leader whose clock is outvoted tries to hand over so often, in microseconds: requests wait meanwhile.
pub const CLOCK_HANDOVER_US: u64 = 3_000_000;
/// An offer of leadership that was not taken up within this, in microseconds, is made to another replica.
pub const OFFER_PATIENCE_US: u64 = 500_000;
/// After so long without a leader a replica campaigns whatever its clock says: nobody else can, it seems.
pub const CLOCK_PATIENCE_US: u64 = 3_000_000;
/// A disk that has finished nothing of what it was given for so many ticks is stalled: its node does not lead. Ticks
/// are counted as they are handled, so that a process that was stopped does not blame its disk.
pub const DISK_STALL_TICKS: u32 = 28;
/// A leader that could hand over to nobody within so many ticks steps down.
pub const DISK_STALL_HANDOVER_TICKS: u32 = 12;
/// A question for a confirmed index that got no answer is asked again after this, in microseconds.
pub const READ_RETRY_US: u64 = 500_000;
/// An eventual read older than this, counted from the last word of the leader, is refused.
pub const STALENESS_US_MAX: u64 = 10_000_000;
/// Bytes of log on disk beside twice the last snapshot that are written before the next snapshot is taken: what
/// little data that is overwritten again and again may take. See `Replica::disk_log_bytes_max`.
pub const DISK_LOG_BYTES_MIN: u64 = 32 << 20;
/// What an entry takes on disk beside its payload, at most: headers of its records, padding, and the hard states that
/// are written with it and for its commit (`docs/storage-format.md`).
pub const DISK_ENTRY_BYTES: u64 = 160;
/// Bytes of log in memory of a single voter, which needs it for nobody.
pub const LONE_LOG_BYTES_MAX: u64 = 1 << 20;
/// Expired keys that one entry removes at most: about a millisecond of work. More that are due at once are
/// absent all the same and are removed by the entries that follow; while there are any the leader makes
/// such entries itself.
/// Small for the simulator, so that a few keys are many.
pub const RECLAIMED_PER_ENTRY: usize = if cfg!(feature = "bugs") { 3 } else { 512 };
/// Bytes of an expired field and its value that count as much as one expired key more: they are read when it is removed,
/// and given back at once, so that an entry removes fields of 16 MiB at most, or one that is longer.
/// Small for the simulator, whose values are short.
pub const RECLAIMED_STEP_BYTES: usize = if cfg!(feature = "bugs") { 64 } else { 32 << 10 };
/// Keys that one turn looks at or writes at most, reads and writes each: a millisecond of work or two
/// where nothing is in a cache. What is longer goes on in the next turn, so that heartbeats, ticks and
/// messages come in between.
/// Small for the simulator, so that a few keys take several turns.
pub const SLICE_STEPS: usize = if cfg!(feature = "bugs") { 6 } else { 512 };
/// Bytes of long values that are given back to the system at once: a millisecond of its work or two.
pub const RELEASED_BYTES: usize = 16 << 20;
/// While more wait to be given back, no entry is applied: what is deleted must go as fast as it comes.
pub const LEAVING_BYTES_MAX: usize = 64 << 20;
/// Bytes of a value that cost as much as one key more.
pub const STEP_BYTES: usize = 1024;
/// Comparisons of a byte with a pattern that cost as much as one key more.
pub const WORK_PER_STEP: usize = if cfg!(feature = "bugs") { 4 } else { 256 };
/// Bytes of values that a read copies at once; one that comes to more goes on in slices.
/// Small for the simulator, so that reads of large collections do.
pub const READ_AT_ONCE_BYTES: usize = if cfg!(feature = "bugs") { 8 << 10 } else { 1 << 20 };
/// Bytes of one string that are copied at once; what is longer is read and written in slices. Not below 999, which a
/// GET does not compare.
/// Small for the simulator, whose values are short.
pub const VALUE_AT_ONCE_BYTES: usize = if cfg!(feature = "bugs") { 999 } else { 1 << 20 };
/// Bytes of one reply. A key can be named many times in one command, so that nothing else bounds it.
pub const REPLY_BYTES_MAX: usize = 1 << 30;
/// Keys that one REPLIGO.INVALIDATE names at most: it is applied at once.
pub const INVALIDATED_KEYS_MAX: usize = 512;
/// Places of the memory of what was invalidated; two keys that share one cost a load more, now and then.
pub const INVALIDATED_PLACES: usize = 1024;
/// Bytes of one node's clients that wait for keys, counted generously; for as much a leader holds those of each node.
pub const BLOCKED_BYTES_MAX: usize = 64 << 20;
/// What such a client takes beside its command.
pub const BLOCKED_OVERHEAD_BYTES: usize = 512;
/// What each of its arguments takes beside its bytes: a place in a queue.
pub const BLOCKED_ARGUMENT_BYTES: usize = 192;
/// Clients that one entry may serve; more are served by the next ones.
/// Small for the simulator, so that a few clients make a crowd.
pub const OFFERS_MAX: usize = if cfg!(feature = "bugs") { 3 } else { 256 };
/// Bytes of what the log says of them, in one entry.
pub const OFFERS_BYTES_MAX: usize = 64 << 10;
/// Keys for which clients wait that a leader looks at in one tick.
pub const SWEPT_PLACES: usize = if cfg!(feature = "bugs") { 2 } else { 256 };
/// Voters in one cluster.
pub const VOTERS_MAX: usize = 7;
/// Members in one cluster: all voters, and one that is on its way to replace one of them.
pub const MEMBERS_MAX: usize = VOTERS_MAX + 1;
/// Numbers that are ever given to members; higher ones are none.
pub const NUMBER_MAX: u64 = 1 << 32;
/// A learner becomes a voter when it lacks at most so many entries: they are with it within a round trip or two.
/// Small for the simulator, whose logs are short.
pub const PROMOTION_GAP_ENTRIES: u64 = if cfg!(feature = "bugs") { 4 } else { 256 };
/// A member that was not heard for so long does not count as alive, in microseconds.
pub const MEMBER_SILENT_US: u64 = 2_000_000;
/// Databases per shard (`SELECT 0` to `SELECT 15`).
pub const DATABASES: usize = 16;
/// Bytes of one string value (Redis' proto-max-bulk-len).
pub const STRING_BYTES_MAX: usize = 512 << 20;
/// Keys that a leader evicts in one turn. Choosing looks at eight entries for each; both together stay
/// at a millisecond or two, since a turn that may take 10 ms does more than that. Writes that need more
/// room wait for the next turns.
pub const VICTIMS_PER_TURN_MAX: usize = 512;
/// Log entries that are forgotten at once, in each turn or tick: far more than come in between, and far less
/// than a millisecond's work. To cut a log of many small entries in half at once would hold the shard up.
pub const ENTRIES_FORGOTTEN_MAX: usize = 4096;
/// Entries that a turn moves to bring free memory together.
pub const RELOCATIONS_PER_TURN_MAX: usize = 512;
/// A higher memory limit is taken for this one, an exbibyte: no sum of a limit and what is held overflows.
pub const MEMORY_LIMIT_BYTES_MAX: u64 = 1 << 60;
/// Eviction begins this part of the limit below it.
pub const MEMORY_SLACK_DIVISOR: u64 = 64;
/// By this part the limit may be passed while victims are under way, before writes are refused.
pub const MEMORY_TOLERANCE_DIVISOR: u64 = 32;
/// The part of the memory limit that the log in memory may take.
pub const MEMORY_LOG_DIVISOR: u64 = 8;
/// A row that was loaded is not evicted for at least this long, in microseconds: the requests for which
/// it was loaded are to find it.
pub const ROW_KEPT_US: u64 = 100_000;
/// Names of clients and of their libraries are shorter; each entry of the slow log has a copy.
pub const CLIENT_NAME_BYTES_MAX: usize = 1024;
/// Bytes of all users and their rules: they travel in the first chunk of every snapshot.
pub const USERS_BYTES_MAX: usize = 8 << 20;
/// Changes of the users in the life of a cluster: one per second for a century.
pub const USER_CHANGES_MAX: u32 = u32::MAX - 1;
/// A buffer for one reply that is kept for the next.
pub const REPLY_BUFFER_KEPT_BYTES_MAX: usize = 1 << 20;
/// So much log is kept however small the memory is.
pub const LOG_BYTES_MIN: u64 = 4 << 10;

/// No term, index or sequence of a peer is higher: counting to it takes longer than anything lasts, and nothing that
/// is added to it overflows.
pub const POSITION_MAX: u64 = 1 << 62;
/// By so much a term may be ahead of the one that is known: a century of elections, ten of them per second.
pub const TERM_LEAP_MAX: u64 = 1 << 35;
/// Starts of one node's process; higher ones are no counts.
pub const INCARNATION_MAX: u64 = 1 << 40;
/// By so much a node's count of starts may be ahead of the one that was seen last.
pub const INCARNATION_LEAP_MAX: u64 = 1 << 20;
/// A stamp may be ahead of this node's clock by so much, in milliseconds: a day, which is more than a wrong time zone.
pub const CLOCK_AHEAD_MS_MAX: u64 = 24 * 3_600_000;
/// Bytes of the context of a consensus message; ours have eight, the library's own sixteen.
pub const CONTEXT_BYTES_MAX: usize = 64;
/// Pieces of one snapshot chunk together: a chunk ends behind the value that made it long.
pub const SNAPSHOT_LONG_CHUNK_BYTES_MAX: usize = STRING_BYTES_MAX + (64 << 20);

/// What one script may execute, in instructions of Lua or as much other work: seconds. Part of the meaning of a
/// script: all replicas stop at the same instruction, so another number is another release of the log.
pub const SCRIPT_INSTRUCTIONS_MAX: u64 = if cfg!(feature = "bugs") {
    200_000
} else {
    200_000_000
};
/// Memory of one script, its machine included; part of its meaning as well.
pub const SCRIPT_MEMORY_BYTES_MAX: u64 = 64 << 20;
/// Instructions that cost as much as one key more.
pub const INSTRUCTIONS_PER_STEP: u64 = if cfg!(feature = "bugs") { 50 } else { 200 };
/// Bytes of all scripts that EVALSHA knows: they are in every snapshot.
pub const SCRIPTS_BYTES_MAX: usize = 8 << 20;
/// What a known script costs beside its text.
pub const SCRIPT_OVERHEAD_BYTES: usize = 128;
/// Bytes of the text of a script or of a library: it is compiled in one step, which takes some ten milliseconds then.
pub const SCRIPT_TEXT_BYTES_MAX: usize = 1 << 20;
/// What a library may execute while it is loaded, in instructions of Lua or as much other work: milliseconds. Part of
/// its meaning, as that of a script.
pub const LIBRARY_INSTRUCTIONS_MAX: u64 = 500_000;
/// Bytes of all libraries of functions: they are in every snapshot.
pub const LIBRARIES_BYTES_MAX: usize = 8 << 20;
/// What a library, and each function of it, costs beside its texts.
pub const LIBRARY_OVERHEAD_BYTES: usize = 128;

const _: () = {
    // What a century of elections takes, and a little more.
    assert!(TERM_LEAP_MAX > 100 * 366 * 86_400 * 10);
    // A lease must have lapsed everywhere before any voter that granted it may vote again.
    assert!(LEASE_US + LEASE_DRIFT_US < ELECTION_TICKS as u64 * TICK_US);
    // Two heartbeats must fit into a lease, or one lost packet would end it.
    assert!(2 * HEARTBEAT_TICKS as u64 * TICK_US < LEASE_US);
    // With what an allocator adds, memory must stay within a tenth of its limit.
    assert!(MEMORY_TOLERANCE_DIVISOR >= 20 && MEMORY_SLACK_DIVISOR >= MEMORY_TOLERANCE_DIVISOR);
    assert!(ENTRY_BYTES_MAX as u64 <= UNCOMMITTED_BYTES_MAX);
    // One connection alone must be able to fill an entry, and small shares must be no more than a part.
    assert!(ENTRY_BYTES_MAX <= HELD_BYTES_MAX / 2 && 16 * SHARE_BYTES_MIN <= HELD_BYTES_MAX);
    // An entry or a forwarded message is closed once it has ENTRY_BYTES_MAX, so one op can be on top of that.
    const ENVELOPE_BYTES: usize = 64 << 10;
    assert!(ENTRY_BYTES_MAX + REPLICATED_OP_BYTES_MAX + ENVELOPE_BYTES <= PAYLOAD_BYTES_MAX);
    // Whatever can be stored can be read.
    assert!(STRING_BYTES_MAX + READ_AT_ONCE_BYTES < REPLY_BYTES_MAX);
    assert!(STRING_BYTES_MAX == repligo_proto::rdb::STRING_BYTES_MAX);
    assert!(SNAPSHOT_PIECE_BYTES_MAX + ENVELOPE_BYTES <= PAYLOAD_BYTES_MAX);
    // Bits of the largest op at 1 Gbit/s, against the shortest election timeout.
    assert!((REPLICATED_OP_BYTES_MAX as u64 * 8) / 1_000 < ELECTION_TICKS as u64 * TICK_US);
    assert!(GATHERED_BYTES_MAX <= ENTRY_BYTES_MAX);
    // Gathering must be nothing against what decides about leaders, or against a tick, which ends it where
    // the driver has no finer clock.
    assert!(10 * BATCHING_DELAY_US_MAX < TICK_US);
    // What a machine under load does is no stall, and a stall is noticed about as soon as a dead leader.
    assert!(500_000 < DISK_STALL_TICKS as u64 * TICK_US && (DISK_STALL_TICKS as usize) < ELECTION_TICKS);
    // A lost answer must not make a clock unknown; others get their chance at an election before.
    assert!(CLOCK_SAMPLE_US_MAX > 2 * CLOCK_ASK_US);
    assert!(CLOCK_PATIENCE_US > 2 * ELECTION_TICKS as u64 * TICK_US);
    assert!(BATCHING_OPS_MIN * BATCHING_DELAY_PER_OP_US < BATCHING_DELAY_US_MAX);
    assert!(PROMPT_OPS_MAX < GATHERED_OPS_MAX);
    // A held request must outlive an election and the lease wait after it.
    assert!(FORWARD_HOLD_US > 2 * ELECTION_TICKS as u64 * TICK_US + LEASE_US);
};
