//! XINFO STREAM FULL: entries, groups, consumers, and what is pending, told part by part.

use repligo_proto::reply::ReplyWriter;

use super::info::tell_count;
use super::{counting, tell_entry, tell_id};
use crate::collection::{Consumer, Group, Stream, StreamId};
use crate::keyspace::contexts::ReadContext;

/// Entries of each kind that are told if it is not said how many.
pub(super) const COUNT: u64 = 10;

/// Where the telling stands.
#[derive(Clone, Copy)]
enum Stage {
    Entries,
    /// The next group.
    Group,
    /// What is pending in the group.
    Pending,
    /// The next consumer of the group.
    Consumer,
    /// What is pending for the consumer.
    Owned,
}

/// How far it has come.
pub(super) struct Full {
    /// Most of each kind.
    count: u64,
    stage: Stage,
    /// The next entry, or pending one, and how many are left.
    next: StreamId,
    left: u64,
    /// How many groups, and how many consumers of the group, were begun.
    groups: u64,
    consumers: u64,
}

impl Full {
    /// All of the stream; 0 for as many as there are.
    pub fn new(stream: &Stream, count: u64) -> Self {
        let mut full = Self {
            count,
            stage: Stage::Entries,
            next: StreamId::MIN,
            left: 0,
            groups: 0,
            consumers: 0,
        };
        full.left = full.most(stream.len());
        full
    }

    /// The head of the entries, which come first.
    pub fn begin_telling(&self, reply: &mut ReplyWriter<'_>) {
        reply.bulk_str("entries");
        reply.array(self.left as usize);
    }

    fn most(&self, there: u64) -> u64 {
        match self.count {
            0 => there,
            count => count.min(there),
        }
    }

    fn begin(&mut self, stage: Stage, there: u64) {
        self.stage = stage;
        self.next = StreamId::MIN;
        self.left = self.most(there);
    }
}

/// About so many steps for all that is told.
pub(super) fn weigh_full(stream: &Stream, count: u64) -> usize {
    let all = stream.part_count();
    let most = match count {
        0 => all,
        // Of each group and consumer so many.
        count => all.min(count.saturating_mul(1 + all - stream.len())),
    };
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// Goes on to tell; true when all is told.
pub(super) fn tell_full(
    context: &ReadContext<'_>,
    stream: &Stream,
    full: &mut Full,
    reply: &mut ReplyWriter<'_>,
) -> bool {
    loop {
        if context.is_spent() {
            return false;
        }
        context.spend(1);
        match full.stage {
            Stage::Entries => {
                let entry = stream.from(full.next).next().filter(|_| full.left > 0);
                if let Some(entry) = entry {
                    context.spend(tell_entry(reply, entry));
                    full.left -= 1;
                    full.next = entry.id.next().unwrap_or(StreamId::MAX);
                    continue;
                }
                full.stage = Stage::Group;
                reply.bulk_str("groups");
                reply.array(stream.group_count() as usize);
            }
            Stage::Group => {
                let Some((name, group)) = stream.groups_from(full.groups).next() else {
                    return true;
                };
                full.groups += 1;
                full.consumers = 0;
                let pending = stream.pending_count(group.number);
                full.begin(Stage::Pending, pending);
                tell_group(stream, (name, group), full.left, reply);
            }
            Stage::Pending | Stage::Consumer | Stage::Owned => {
                let Some((_, group)) = stream.groups_from(full.groups - 1).next() else {
                    return true;
                };
                tell_of_group(stream, group, full, reply);
            }
        }
    }
}

fn tell_group(stream: &Stream, (name, group): (&[u8], Group), told: u64, reply: &mut ReplyWriter<'_>) {
    reply.map(7);
    reply.bulk_str("name");
    reply.bulk(name);
    reply.bulk_str("last-delivered-id");
    tell_id(reply, group.last);
    tell_count(reply, "entries-read", group.read.map(|read| read as i64));
    tell_count(reply, "lag", counting::lag(stream, &group));
    reply.bulk_str("pel-count");
    reply.integer(stream.pending_count(group.number) as i64);
    reply.bulk_str("pending");
    reply.array(told as usize);
}

/// The next thing of a group: a pending entry, a consumer, or a pending entry of that.
fn tell_of_group(stream: &Stream, group: Group, full: &mut Full, reply: &mut ReplyWriter<'_>) {
    let consumer = |full: &Full| {
        let at = full.consumers.saturating_sub(1);
        stream.consumers_from(group.number, at).next()
    };
    let id = match full.stage {
        _ if full.left == 0 => None,
        Stage::Pending => stream
            .pending_from(group.number, full.next)
            .next()
            .map(|(id, _)| id),
        Stage::Owned => {
            let owner = consumer(full).map_or(0, |(_, consumer)| consumer.number);
            stream.owned_from(owner, full.next).next()
        }
        _ => None,
    };
    if let Some((id, pending)) = id.and_then(|id| Some((id, stream.pending(group.number, id)?))) {
        let is_of_group = matches!(full.stage, Stage::Pending);
        reply.array(if is_of_group { 4 } else { 3 });
        tell_id(reply, id);
        if is_of_group {
            reply.bulk(stream.consumer_name(pending.consumer));
        }
        reply.integer(pending.delivered_ms as i64);
        reply.integer(pending.count as i64);
        full.left -= 1;
        full.next = id.next().unwrap_or(StreamId::MAX);
        return;
    }
    match full.stage {
        Stage::Pending => {
            full.stage = Stage::Consumer;
            reply.bulk_str("consumers");
            reply.array(stream.consumer_count(group.number) as usize);
        }
        _ => {
            full.consumers += 1;
            if full.consumers > stream.consumer_count(group.number) {
                full.stage = Stage::Group;
            } else if let Some((name, consumer)) = consumer(full) {
                full.begin(Stage::Owned, stream.owned_count(consumer.number));
                tell_consumer(stream, (name, consumer), full.left, reply);
            }
        }
    }
}

fn tell_consumer(
    stream: &Stream,
    (name, consumer): (&[u8], Consumer),
    told: u64,
    reply: &mut ReplyWriter<'_>,
) {
    reply.map(4);
    reply.bulk_str("name");
    reply.bulk(name);
    reply.bulk_str("seen-time");
    reply.integer(consumer.seen_ms as i64);
    reply.bulk_str("pel-count");
    reply.integer(stream.owned_count(consumer.number) as i64);
    reply.bulk_str("pending");
    reply.array(told as usize);
}
