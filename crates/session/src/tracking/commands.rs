//! CLIENT TRACKING, CACHING, TRACKINGINFO and GETREDIR.

use bytes::Bytes;
use repligo_core::command::parse_i64;
use repligo_proto::command::CommandId;
use repligo_proto::resp::ArgSlice;
use repligo_proto::words;

use super::{Mode, Redirect, Tracker};
use crate::{Call, Host, Session};

/// Prefixes of one client.
const PREFIXES_MAX: usize = 1024;

/// True for what this module answers.
pub(crate) fn answers(id: CommandId) -> bool {
    use CommandId as Id;
    matches!(
        id,
        Id::ClientTracking | Id::ClientCaching | Id::ClientTrackingInfo | Id::ClientGetRedir
    )
}

/// Executes one of them.
pub(crate) fn execute(session: &mut Session, host: &mut impl Host, call: Call<'_>, out: &mut Vec<u8>) {
    use CommandId as Id;
    let done = match call.spec.id {
        Id::ClientTracking => track(session, host, call.request),
        Id::ClientCaching => announce(session, call.request.get(2)),
        Id::ClientGetRedir => {
            let redirection = session.redirection();
            return session.reply(out).integer(redirection);
        }
        _ => return describe(session, out),
    };
    match done {
        Ok(()) => session.reply(out).ok(),
        Err(text) => session.reply(out).error_bytes(&text),
    }
}

/// CLIENT TRACKING ON|OFF and its options.
fn track(session: &mut Session, host: &mut impl Host, request: ArgSlice<'_>) -> Result<(), Vec<u8>> {
    let (tracker, has_both) = parse(session, &*host, request)?;
    match request.get(2) {
        word if word.eq_ignore_ascii_case(b"on") => {
            check(session, &tracker, has_both)?;
            session.track(host.subscriptions().tracking_mut(), tracker);
        }
        word if word.eq_ignore_ascii_case(b"off") => session.untrack(host.subscriptions().tracking_mut()),
        _ => return Err(words::SYNTAX.into()),
    }
    host.tracked();
    Ok(())
}

/// What the options say, and whether they name OPTIN or OPTOUT beside another mode.
fn parse(session: &Session, host: &impl Host, request: ArgSlice<'_>) -> Result<(Tracker, bool), Vec<u8>> {
    let (mut tracker, mut modes) = (Tracker::default(), [false; 3]);
    let options = request.skip(3);
    let mut options = options.iter();
    while let Some(word) = options.next() {
        match word.to_ascii_lowercase().as_slice() {
            b"bcast" => modes[0] = true,
            b"optin" => modes[1] = true,
            b"optout" => modes[2] = true,
            b"noloop" => tracker.no_loop = true,
            b"redirect" => {
                let number = options.next().ok_or(words::SYNTAX)?;
                if tracker.redirect.is_some() {
                    return Err(words::tracking::ONE_REDIRECT.into());
                }
                tracker.redirect = Some(find(session, host, number)?);
            }
            b"prefix" => {
                let prefix = options.next().ok_or(words::SYNTAX)?;
                tracker.prefixes.push(Bytes::copy_from_slice(prefix));
            }
            _ => return Err(words::SYNTAX.into()),
        }
    }
    tracker.mode = match modes {
        [true, ..] => Mode::Broadcast,
        [_, true, _] => Mode::OptIn,
        [_, _, true] => Mode::OptOut,
        _ => Mode::Read,
    };
    Ok((
        tracker,
        modes.into_iter().filter(|is_named| *is_named).count() > 1,
    ))
}

fn find(session: &Session, host: &impl Host, number: &[u8]) -> Result<Redirect, Vec<u8>> {
    let number = parse_i64(number).ok_or(words::NOT_AN_INTEGER)?;
    let id = u64::try_from(number).unwrap_or(u64::MAX);
    let slot = match id == session.id {
        true => Some(session.slot),
        false => host.find(id),
    };
    let slot = slot.ok_or(words::tracking::NO_SUCH_REDIRECT)?;
    Ok(Redirect { id, slot })
}

/// Whether it may track so, in the order in which Redis judges.
fn check(session: &Session, tracker: &Tracker, has_both: bool) -> Result<(), Vec<u8>> {
    let known = session.tracker();
    let is_broadcast = tracker.mode == Mode::Broadcast;
    if !is_broadcast && !tracker.prefixes.is_empty() {
        return Err(words::tracking::PREFIX_WITHOUT_BROADCAST.into());
    }
    if known.is_some_and(|known| (known.mode == Mode::Broadcast) != is_broadcast) {
        return Err(words::tracking::OTHER_BROADCAST.into());
    }
    if has_both {
        let text = match is_broadcast {
            true => words::tracking::BROADCAST_AND_CHOICE,
            false => words::tracking::BOTH_CHOICES,
        };
        return Err(text.into());
    }
    let other = match tracker.mode {
        Mode::OptIn => Some(Mode::OptOut),
        Mode::OptOut => Some(Mode::OptIn),
        Mode::Read | Mode::Broadcast => None,
    };
    if other.is_some() && other == known.map(|known| known.mode) {
        return Err(words::tracking::OTHER_CHOICE.into());
    }
    let known = known.map_or(&[][..], |known| &known.prefixes);
    if known.len() + tracker.prefixes.len() > PREFIXES_MAX {
        return Err(words::tracking::too_many_prefixes(PREFIXES_MAX).into());
    }
    check_overlaps(known, &tracker.prefixes)
}

/// Prefixes of a client must not overlap: it would be told twice of a key.
fn check_overlaps(known: &[Bytes], prefixes: &[Bytes]) -> Result<(), Vec<u8>> {
    let overlap = |one: &Bytes, other: &Bytes| one.starts_with(other) || other.starts_with(one);
    for (place, prefix) in prefixes.iter().enumerate() {
        if let Some(other) = known.iter().find(|other| overlap(prefix, other)) {
            return Err(words::tracking::overlaps(prefix, "an existing", other));
        }
        if let Some(other) = prefixes[place + 1..].iter().find(|other| overlap(prefix, other)) {
            return Err(words::tracking::overlaps(prefix, "another provided", other));
        }
    }
    Ok(())
}

/// CLIENT CACHING YES|NO.
fn announce(session: &mut Session, word: &[u8]) -> Result<(), Vec<u8>> {
    let is_item = session.runs_item;
    let Some(tracker) = &mut session.tracker else {
        return Err(words::tracking::CACHING_WITHOUT_TRACKING.into());
    };
    let (mode, text) = match word.to_ascii_lowercase().as_slice() {
        b"yes" => (Mode::OptIn, words::tracking::YES_WITHOUT_OPTIN),
        b"no" => (Mode::OptOut, words::tracking::NO_WITHOUT_OPTOUT),
        _ => return Err(words::SYNTAX.into()),
    };
    if tracker.mode != mode {
        return Err(text.into());
    }
    // In a block it was said of what was queued behind it.
    if !is_item {
        tracker.announce();
    }
    Ok(())
}

impl Session {
    /// The number of the client that is told of changes instead of this one, as CLIENT GETREDIR says it: 0 if none is,
    /// and -1 if it does not track.
    pub fn redirection(&self) -> i64 {
        match self.tracker() {
            None => -1,
            Some(tracker) => tracker.redirect.map_or(0, |redirect| redirect.id as i64),
        }
    }
}

/// CLIENT TRACKINGINFO.
fn describe(session: &Session, out: &mut Vec<u8>) {
    let tracker = session.tracker();
    let mut flags = vec![if tracker.is_some() { "on" } else { "off" }];
    if let Some(tracker) = tracker {
        let of_mode: &[&str] = match (tracker.mode, tracker.is_announced()) {
            (Mode::Read, _) => &[],
            (Mode::Broadcast, _) => &["bcast"],
            (Mode::OptIn, false) => &["optin"],
            (Mode::OptIn, true) => &["optin", "caching-yes"],
            (Mode::OptOut, false) => &["optout"],
            (Mode::OptOut, true) => &["optout", "caching-no"],
        };
        flags.extend(of_mode);
        flags.extend(tracker.no_loop.then_some("noloop"));
        flags.extend(tracker.is_broken.then_some("broken_redirect"));
    }
    let prefixes = tracker.map_or(&[][..], |tracker| &tracker.prefixes);
    let mut reply = session.reply(out);
    reply.map(3);
    reply.bulk_str("flags");
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk_str(flag));
    reply.bulk_str("redirect");
    reply.integer(session.redirection());
    reply.bulk_str("prefixes");
    reply.array(prefixes.len());
    prefixes.iter().for_each(|prefix| reply.bulk(prefix));
}
