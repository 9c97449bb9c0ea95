//! Invalidations as they are sent: as a push in RESP3, as a message of a channel in RESP2.

use bytes::Bytes;
use repligo_proto::reply::ReplyWriter;

use crate::Session;
use crate::replies::BufferPool;
use crate::subscriptions::Sessions;

/// Where clients in RESP2 hear of changes.
const CHANNEL: &str = "__redis__:invalidate";

/// Tells the client in this slot, or the one that it has named, that these keys have changed; none of them: any key.
pub(super) fn send(slot: u32, keys: &[&[u8]], sessions: &mut impl Sessions) {
    let Some((session, pool)) = sessions.reach(slot) else {
        return;
    };
    let Some(redirect) = session.tracker().and_then(|tracker| tracker.redirect) else {
        return push(session, pool, (keys, false));
    };
    if let Some((target, pool)) = sessions.reach(redirect.slot)
        && target.id == redirect.id
    {
        return push(target, pool, (keys, true));
    }
    let Some((session, pool)) = sessions.reach(slot) else {
        return;
    };
    let resp3 = session.resp3;
    if let Some(tracker) = &mut session.tracker {
        tracker.is_broken = true;
    }
    if resp3 {
        let mut out = Vec::new();
        let mut writer = ReplyWriter::new(&mut out, true);
        writer.push(2);
        writer.bulk_str("tracking-redir-broken");
        writer.integer(redirect.id as i64);
        session.replies.push_message(&Bytes::from(out), pool);
    }
}

/// Appends an invalidation, if the session can be sent one: in RESP2 a subscriber that others have named.
fn push(session: &mut Session, pool: &mut BufferPool, (keys, is_for_other): (&[&[u8]], bool)) {
    let resp3 = session.resp3;
    let is_heard = resp3 || is_for_other && session.is_subscribed();
    if !is_heard {
        return;
    }
    let mut out = Vec::new();
    let mut writer = ReplyWriter::new(&mut out, resp3);
    if resp3 {
        writer.push(2);
        writer.bulk_str("invalidate");
    } else {
        writer.push(3);
        writer.bulk_str("message");
        writer.bulk_str(CHANNEL);
    }
    if keys.is_empty() {
        writer.null();
    } else {
        writer.array(keys.len());
        keys.iter().for_each(|key| writer.bulk(key));
    }
    session.replies.push_message(&Bytes::from(out), pool);
}
