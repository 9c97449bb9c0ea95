//! CLIENT TRACKING, CACHING, TRACKINGINFO and GETREDIR.

use bytes::Bytes;
use repligo_core::command::parse_i64;
use repligo_proto::command::CommandId;
use repligo_proto::resp::ArgSlice;
use repligo_proto::words;

use super::{Mode, Redirect, Tracker};
use crate::{Call, Host, Session};

/// Prefixes of one client, and their bytes: each is compared with others, and with keys that change.
const PREFIXES_MAX: usize = 1024;
const PREFIX_BYTES_MAX: usize = 64 << 10;

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
    let prefix_bytes: usize = known.iter().chain(&tracker.prefixes).map(Bytes::len).sum();
    if prefix_bytes > PREFIX_BYTES_MAX {
        return Err(words::tracking::too_long_prefixes(PREFIX_BYTES_MAX).into());
    }
    check_overlaps(known, &tracker.prefixes)
}

/// Prefixes of a client must not overlap: it would be told twice of a key. Both are refused in the words of Redis, of
/// the first prefix that overlaps and the first one that it overlaps with.
fn check_overlaps(known: &[Bytes], prefixes: &[Bytes]) -> Result<(), Vec<u8>> {
    let first = first_overlapping(prefixes);
    for (place, prefix) in prefixes.iter().enumerate() {
        if let Some(other) = find_overlapping(known, prefix) {
            return Err(words::tracking::overlaps(prefix, "an existing", other));
        }
        if first == Some(place)
            && let Some(other) = prefixes[place + 1..].iter().find(|other| overlap(prefix, other))
        {
            return Err(words::tracking::overlaps(prefix, "another provided", other));
        }
    }
    Ok(())
}

fn overlap(one: &[u8], other: &[u8]) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// The first of the ascending prefixes of a client that overlaps with this one. Only an empty one may overlap with
/// others of them, so all that do otherwise are this one's neighbours.
fn find_overlapping<'a>(known: &'a [Bytes], prefix: &Bytes) -> Option<&'a Bytes> {
    let place = known.partition_point(|other| other < prefix);
    let neighbours = [place.checked_sub(1), Some(place)];
    let neighbours = neighbours.into_iter().flatten();
    let candidates = std::iter::once(0).chain(neighbours);
    let mut candidates = candidates.filter_map(|place| known.get(place));
    candidates.find(|other| overlap(prefix, other))
}

/// The place of the first prefix that overlaps with a later one.
fn first_overlapping(prefixes: &[Bytes]) -> Option<usize> {
    let mut places: Vec<usize> = (0..prefixes.len()).collect();
    places.sort_by_key(|place| &prefixes[*place]);
    // Each of them begins with the one below it. In this order it comes directly behind those.
    let mut nested: Vec<usize> = Vec::new();
    let mut first = None;
    for place in places {
        while nested
            .last()
            .is_some_and(|outer| !prefixes[place].starts_with(&prefixes[*outer]))
        {
            nested.pop();
        }
        if let Some(outer) = nested.last() {
            let lower = place.min(*outer);
            first = Some(first.map_or(lower, |first: usize| first.min(lower)));
        }
        nested.push(place);
    }
    first
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What comparing each prefix with each other one finds.
    fn compare_all(known: &[Bytes], prefixes: &[Bytes]) -> Result<(), Vec<u8>> {
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

    /// Up to four prefixes of up to three of two letters, as a number says.
    fn prefixes(mut number: usize) -> Vec<Bytes> {
        const ALL: [&str; 15] = [
            "", "a", "b", "aa", "ab", "ba", "bb", "aaa", "aab", "aba", "abb", "baa", "bab", "bba", "bbb",
        ];
        let mut chosen = Vec::new();
        while number > 0 && chosen.len() < 4 {
            chosen.push(Bytes::from_static(ALL[number % ALL.len()].as_bytes()));
            number /= ALL.len();
        }
        chosen
    }

    #[test]
    fn neighbours_tell_of_every_overlap() {
        for number in 0..15 * 15 * 15 {
            let given = prefixes(number);
            let (known, added) = given.split_at(given.len() / 2);
            for (known, added) in [(known, added), (&[], &given[..])] {
                let mut known = known.to_vec();
                known.sort();
                if compare_all(
                    &[],
                    &known[usize::from(known.first().is_some_and(Bytes::is_empty))..],
                )
                .is_ok()
                {
                    assert_eq!(
                        check_overlaps(&known, added),
                        compare_all(&known, added),
                        "{known:?} {added:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn prefixes_of_a_client_have_a_limit_in_bytes() {
        let session = Session::new(1, 0, 0, 1 << 20);
        for (length, is_fine) in [(PREFIX_BYTES_MAX / 2, true), (PREFIX_BYTES_MAX / 2 + 1, false)] {
            let mut tracker = Tracker::default();
            tracker.mode = Mode::Broadcast;
            tracker.prefixes = [b'a', b'b'].map(|letter| vec![letter; length].into()).into();
            let checked = check(&session, &tracker, false);
            assert_eq!(checked.is_ok(), is_fine, "{checked:?}");
        }
    }
}
