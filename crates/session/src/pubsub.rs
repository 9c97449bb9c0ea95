//! SUBSCRIBE and its relatives, PUBLISH, PUBSUB.
//!
//! Confirmations are pushes of their own, one for each name, and stand where the reply would: `CLIENT REPLY OFF` does
//! not silence them. Messages come later, see [`crate::subscriptions`].

use repligo_proto::command::CommandId;
use repligo_proto::glob::{Glob, PATTERN_BYTES_MAX};
use repligo_proto::words;

use crate::subscriptions::{self, Kind, MESSAGE_BYTES_MAX, NAMES_BYTES_MAX, SUBSCRIPTIONS_MAX};
use crate::{Call, Host, Session};

/// What handing a message to one receiver takes, nanoseconds, about: it is charged to the turn when the message is
/// published, so that a pipeline of messages to thousands holds nobody up.
const RECEIVER_NS: u64 = 150;

/// True for what this module answers.
pub(crate) fn answers(id: CommandId) -> bool {
    use CommandId as Id;
    confirms(id)
        || publishes(id)
        || matches!(
            id,
            Id::PubSubChannels
                | Id::PubSubShardChannels
                | Id::PubSubNumSub
                | Id::PubSubShardNumSub
                | Id::PubSubNumPat
        )
}

/// True for PUBLISH and SPUBLISH.
pub(crate) fn publishes(id: CommandId) -> bool {
    matches!(id, CommandId::Publish | CommandId::SPublish)
}

/// True for what is answered by pushes, which nothing silences.
pub(crate) fn confirms(id: CommandId) -> bool {
    use CommandId as Id;
    matches!(
        id,
        Id::Subscribe
            | Id::PSubscribe
            | Id::SSubscribe
            | Id::Unsubscribe
            | Id::PUnsubscribe
            | Id::SUnsubscribe
    )
}

/// Whether a subscriber may send it in RESP2, where a reply to anything else could not be told from a message.
pub(crate) fn is_for_subscribers(id: CommandId) -> bool {
    confirms(id) || matches!(id, CommandId::Ping | CommandId::Quit | CommandId::Reset)
}

/// Executes one of them.
pub(crate) fn execute(session: &mut Session, host: &mut impl Host, call: Call<'_>, out: &mut Vec<u8>) {
    use CommandId as Id;
    match call.spec.id {
        Id::Subscribe => subscribe(session, host, (Kind::Channel, call), out),
        Id::PSubscribe => subscribe(session, host, (Kind::Pattern, call), out),
        Id::SSubscribe => subscribe(session, host, (Kind::Shard, call), out),
        Id::Unsubscribe => unsubscribe(session, host, (Kind::Channel, call), out),
        Id::PUnsubscribe => unsubscribe(session, host, (Kind::Pattern, call), out),
        Id::SUnsubscribe => unsubscribe(session, host, (Kind::Shard, call), out),
        Id::Publish | Id::SPublish => publish(session, host, call, out),
        _ => tell(session, host, call, out),
    }
}

fn subscribe(session: &mut Session, host: &mut impl Host, (kind, call): (Kind, Call<'_>), out: &mut Vec<u8>) {
    let names = call.request.skip(1);
    if !session.has_room_for(names.len(), names.total_bytes()) {
        let text = words::pubsub::too_many_subscriptions(SUBSCRIPTIONS_MAX, NAMES_BYTES_MAX);
        return session.reply(out).error(&text);
    }
    let longest = names.iter().map(<[u8]>::len).max().unwrap_or(0);
    if kind == Kind::Pattern && longest > subscriptions::PATTERN_BYTES_MAX {
        let text = words::pubsub::pattern_too_long(subscriptions::PATTERN_BYTES_MAX);
        return session.reply(out).error(&text);
    }
    host.posted();
    for name in names.iter() {
        session.listen(host.subscriptions(), kind, name);
        confirm(session, kind, "subscribe", Some(name), out);
    }
}

fn unsubscribe(
    session: &mut Session,
    host: &mut impl Host,
    (kind, call): (Kind, Call<'_>),
    out: &mut Vec<u8>,
) {
    let names = call.request.skip(1);
    host.posted();
    for name in names.iter() {
        session.ignore(host.subscriptions(), kind, name);
        confirm(session, kind, "unsubscribe", Some(name), out);
    }
    if !names.is_empty() {
        return;
    }
    if session.subscription_count(kind) == 0 {
        confirm(session, kind, "unsubscribe", None, out);
    }
    while let Some(name) = session.last_name(kind) {
        session.ignore(host.subscriptions(), kind, &name);
        confirm(session, kind, "unsubscribe", Some(&name), out);
    }
}

/// Says to how many names the session listens now. Those of shard channels are counted apart.
fn confirm(session: &Session, kind: Kind, word: &str, name: Option<&[u8]>, out: &mut Vec<u8>) {
    let count = match kind {
        Kind::Shard => session.subscription_count(Kind::Shard),
        _ => session.subscription_count(Kind::Channel) + session.subscription_count(Kind::Pattern),
    };
    let letter = match kind {
        Kind::Channel => "",
        Kind::Pattern => "p",
        Kind::Shard => "s",
    };
    let mut reply = session.reply(out);
    reply.push(3);
    reply.bulk_str(&[letter, word].concat());
    match name {
        Some(name) => reply.bulk(name),
        None => reply.null(),
    }
    reply.integer(count as i64);
}

fn publish(session: &mut Session, host: &mut impl Host, call: Call<'_>, out: &mut Vec<u8>) {
    let (channel, message) = (call.request.get(1), call.request.get(2));
    if channel.len() + message.len() > MESSAGE_BYTES_MAX {
        let text = words::pubsub::message_too_long(MESSAGE_BYTES_MAX);
        return session.reply(out).error(&text);
    }
    let is_sharded = call.spec.id == CommandId::SPublish;
    let (here, elsewhere) = host.subscriptions().publish(is_sharded, channel, message);
    host.charge(here as u64 * RECEIVER_NS);
    host.posted();
    session.reply(out).integer((here + elsewhere) as i64);
}

/// PUBSUB.
fn tell(session: &Session, host: &mut impl Host, call: Call<'_>, out: &mut Vec<u8>) {
    use CommandId as Id;
    let Call { spec, request } = call;
    let is_sharded = matches!(spec.id, Id::PubSubShardChannels | Id::PubSubShardNumSub);
    let mut reply = session.reply(out);
    let all = host.subscriptions();
    match spec.id {
        Id::PubSubNumPat => reply.integer(all.all_patterns() as i64),
        Id::PubSubNumSub | Id::PubSubShardNumSub => {
            let asked = request.skip(2);
            // A flat array in both protocols, as in Redis.
            reply.array(2 * asked.len());
            for channel in asked.iter() {
                reply.bulk(channel);
                reply.integer(all.count(is_sharded, channel) as i64);
            }
        }
        _ => {
            let pattern = request.try_get(2);
            if request.len() > 3 {
                return reply.error_bytes(&words::subcommand_syntax("PUBSUB", request.get(1)));
            }
            if pattern.is_some_and(|pattern| pattern.len() > PATTERN_BYTES_MAX) {
                return reply.error(words::PATTERN_TOO_LONG);
            }
            let glob = pattern.map(Glob::new);
            let mut found = all.names(is_sharded);
            found.retain(|name| glob.as_ref().is_none_or(|glob| glob.matches(name)));
            reply.array(found.len());
            found.iter().for_each(|name| reply.bulk(name));
        }
    }
}
