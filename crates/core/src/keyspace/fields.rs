//! Deadlines of hash fields: given, told, taken away, and what is read or written with them.
//!
//! A time to live counts from the stamp of the entry, so that every replica finds the same deadline. One that has passed
//! takes the field away at once. Fields whose deadline has come are gone for every command; they are removed with those
//! of keys, in the order of deadlines (`keyspace/clock.rs`).

mod request;

use repligo_proto::reply::ReplyWriter;

use self::request::{
    Existence, Expiring, Getting, Renewal, Setting, check_expire, check_get, check_names, check_set, names_of,
};
use super::EventClasses;
use super::contexts::{Changed, ReadContext, WriteContext};
use super::handlers::{Handler, Slice, by_arguments, long_read, long_write};
use super::slices::steps_of;
use crate::collection::{Hash, HashRef};
use crate::command::{Arguments, CommandError};
use crate::limits::SLICE_STEPS;

pub(super) const HANDLERS: &[Handler] = &[
    long_write("hexpire", hexpire::<SECONDS, FROM_NOW>, weigh_timed)
        .checked(check_expire::<SECONDS, FROM_NOW>),
    long_write("hpexpire", hexpire::<MILLISECONDS, FROM_NOW>, weigh_timed)
        .checked(check_expire::<MILLISECONDS, FROM_NOW>),
    long_write("hexpireat", hexpire::<SECONDS, ABSOLUTE>, weigh_timed)
        .checked(check_expire::<SECONDS, ABSOLUTE>),
    long_write("hpexpireat", hexpire::<MILLISECONDS, ABSOLUTE>, weigh_timed)
        .checked(check_expire::<MILLISECONDS, ABSOLUTE>),
    long_read("httl", httl::<SECONDS, FROM_NOW>, by_arguments).checked(check_names),
    long_read("hpttl", httl::<MILLISECONDS, FROM_NOW>, by_arguments).checked(check_names),
    long_read("hexpiretime", httl::<SECONDS, ABSOLUTE>, by_arguments).checked(check_names),
    long_read("hpexpiretime", httl::<MILLISECONDS, ABSOLUTE>, by_arguments).checked(check_names),
    long_write("hpersist", hpersist, weigh_named).checked(check_names),
    long_write("hgetdel", hgetdel, weigh_named).checked(check_names),
    long_write("hgetex", hgetex, weigh_got).checked(check_get),
    long_write("hsetex", hsetex, by_arguments).checked(check_set),
];

const SECONDS: bool = true;
const MILLISECONDS: bool = false;
const FROM_NOW: bool = true;
const ABSOLUTE: bool = false;

/// There is no such field.
const NO_FIELD: i64 = -2;
/// The field has no deadline.
const NO_DEADLINE: i64 = -1;
/// The condition does not hold.
const REFUSED: i64 = 0;
/// Done.
const DONE: i64 = 1;
/// The deadline has passed, so the field is gone.
const REMOVED: i64 = 2;

/// Steps for the fields that a command names, with what they hold: it is copied or told.
fn weigh(context: &ReadContext<'_>, key: &[u8], fields: Result<Arguments<'_>, CommandError>) -> usize {
    let hash = context.look::<HashRef<'_>>(key);
    let mut steps = 0;
    for field in fields.iter().flat_map(Arguments::iter) {
        let value = hash.and_then(|hash| hash.get(field));
        steps += steps_of(field.len() + value.map_or(0, <[u8]>::len));
        if steps > SLICE_STEPS {
            break;
        }
    }
    steps
}

fn weigh_named(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    weigh(context, arguments.peek(), names_of(arguments))
}

fn weigh_timed(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    // In which unit the time is told makes no difference to the fields.
    let expiring = Expiring::parse::<MILLISECONDS, ABSOLUTE>(arguments);
    weigh(
        context,
        arguments.peek(),
        expiring.map(|expiring| expiring.fields),
    )
}

fn weigh_got(context: &ReadContext<'_>, arguments: Arguments<'_>) -> usize {
    let getting = Getting::parse(arguments);
    weigh(context, arguments.peek(), getting.map(|getting| getting.fields))
}

/// What has become of fields, over all slices.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    /// How many have another deadline.
    renewed: usize,
    /// How many are gone.
    removed: usize,
    /// How many were written.
    written: usize,
}

impl Outcome {
    fn is_anything(&self) -> bool {
        self.renewed + self.removed + self.written > 0
    }
}

/// Gives a field that is there the deadline, or takes it away with one that has passed.
fn renew(hash: &mut Hash, field: &[u8], renewal: &Renewal, outcome: &mut Outcome) -> i64 {
    if renewal.is_past() {
        hash.remove(field);
        outcome.removed += 1;
        return REMOVED;
    }
    outcome.renewed += usize::from(hash.set_deadline(field, renewal.deadline_ms, renewal.seed));
    DONE
}

/// Changes fields in slices; `each` takes what belongs to one from the arguments, and tells of it.
fn change_fields(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    mut each: impl FnMut(&mut Hash, &mut Slice<'_>, &mut Outcome) -> usize,
) -> Result<Option<Outcome>, CommandError> {
    let key = slice.all.peek();
    let mut outcome = *slice
        .kept
        .state_or(|| Ok::<_, CommandError>(Outcome::default()))?;
    context.change(key, |hash: &mut Hash, _, steps| {
        let before = outcome;
        while !slice.rest.is_empty() && *steps > 0 {
            let bytes = each(hash, slice, &mut outcome);
            *steps = steps.saturating_sub(steps_of(bytes));
        }
        let is_changed = (before.renewed, before.removed, before.written)
            != (outcome.renewed, outcome.removed, outcome.written);
        ((), Changed::from(is_changed))
    })?;
    slice.kept.state = Some(Box::new(outcome));
    Ok(slice.rest.is_empty().then_some(outcome))
}

/// Tells who listens what has become of fields, and that the key is gone if it is.
fn tell(context: &mut WriteContext<'_>, key: &[u8], name: &'static str) {
    context.tell_event(key, (EventClasses::HASH, name));
    if !context.exists(key) {
        context.tell_event(key, (EventClasses::GENERIC, "del"));
    }
}

/// `key time [NX | XX | GT | LT] FIELDS numfields field [field ...]`: what has become of each field.
fn hexpire<const IN_SECONDS: bool, const IS_FROM_NOW: bool>(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let expiring = Expiring::parse::<IN_SECONDS, IS_FROM_NOW>(slice.all)?;
    let renewal = Renewal::new(context, Some(expiring.time))?;
    begin(context, slice, expiring.fields, reply)?;
    let done = change_fields(context, slice, |hash, slice, outcome| {
        let field = slice.rest.take();
        let found = hash.as_ref().get_with_deadline(field);
        let bytes = field.len() + found.map_or(0, |(value, _)| value.len());
        let result = match found {
            None => NO_FIELD,
            Some((_, old_ms)) if !expiring.condition.holds(old_ms, renewal.deadline_ms) => REFUSED,
            Some(_) => renew(hash, field, &renewal, outcome),
        };
        reply.integer(result);
        bytes
    })?;
    Ok(done.map(|outcome| {
        if outcome.is_anything() {
            let name = if outcome.removed > 0 { "hdel" } else { "hexpire" };
            tell(context, slice.all.peek(), name);
        }
        Changed::from(outcome.is_anything())
    }))
}

/// `key FIELDS numfields field [field ...]`: how long each has left, or when it ends.
fn httl<const IN_SECONDS: bool, const IS_FROM_NOW: bool>(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    let hash: Option<HashRef<'_>> = context.find(slice.all.peek())?;
    if !slice.kept.begun {
        slice.rest = names_of(slice.all)?;
        reply.array(slice.rest.len());
    }
    while !slice.rest.is_empty() {
        if context.is_spent() {
            return Ok(false);
        }
        let field = slice.rest.take();
        let found = hash.and_then(|hash| hash.get_with_deadline(field));
        reply.integer(match found {
            None => NO_FIELD,
            Some((_, None)) => NO_DEADLINE,
            Some((_, Some(deadline_ms))) => {
                let base_ms = if IS_FROM_NOW { context.now_ms() } else { 0 };
                let left_ms = deadline_ms.saturating_sub(base_ms);
                // Redis rounds these up, and those of keys to the nearest.
                let left = if IN_SECONDS {
                    left_ms.div_ceil(1000)
                } else {
                    left_ms
                };
                left as i64
            }
        });
        context.spend(steps_of(field.len()));
    }
    Ok(true)
}

/// `key FIELDS numfields field [field ...]`: for each, whether it had a deadline.
fn hpersist(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let renewal = Renewal::new(context, None)?;
    begin(context, slice, names_of(slice.all)?, reply)?;
    let done = change_fields(context, slice, |hash, slice, outcome| {
        let field = slice.rest.take();
        let found = hash.as_ref().get_with_deadline(field);
        let bytes = field.len() + found.map_or(0, |(value, _)| value.len());
        reply.integer(match found {
            None => NO_FIELD,
            Some((_, None)) => NO_DEADLINE,
            Some(_) => renew(hash, field, &renewal, outcome),
        });
        bytes
    })?;
    Ok(done.map(|outcome| {
        if outcome.is_anything() {
            tell(context, slice.all.peek(), "hpersist");
        }
        Changed::from(outcome.is_anything())
    }))
}

/// In the first slice: takes these fields and begins a reply for each of them. What is refused is so before anything is
/// told.
fn begin<'a>(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'a>,
    fields: Arguments<'a>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    if std::mem::replace(&mut slice.kept.begun, true) {
        return Ok(());
    }
    context.looking(|context| context.find::<HashRef<'_>>(slice.all.peek()).map(|_| ()))?;
    slice.rest = fields;
    reply.array(slice.rest.len());
    Ok(())
}

/// Tells the value of a field, or null if there is none; how long it is.
fn tell_value(hash: &Hash, field: &[u8], reply: &mut ReplyWriter<'_>) -> Option<usize> {
    let value = hash.as_ref().get(field);
    match value {
        Some(value) => reply.bulk(value),
        None => reply.null(),
    }
    value.map(<[u8]>::len)
}

/// `key FIELDS numfields field [field ...]`: the values of fields that are gone afterwards.
fn hgetdel(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    begin(context, slice, names_of(slice.all)?, reply)?;
    let done = change_fields(context, slice, |hash, slice, outcome| {
        let field = slice.rest.take();
        let bytes = tell_value(hash, field, reply);
        if bytes.is_some() {
            hash.remove(field);
            outcome.removed += 1;
        }
        field.len() + bytes.unwrap_or(0)
    })?;
    Ok(done.map(|outcome| Changed::from(outcome.is_anything())))
}

/// `key [EX seconds | PX milliseconds | EXAT time | PXAT time | PERSIST] FIELDS numfields field [field ...]`: the values,
/// of fields that have this deadline, or none, from now on.
fn hgetex(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let getting = Getting::parse(slice.all)?;
    let renewal = Renewal::new(context, getting.time)?;
    begin(context, slice, getting.fields, reply)?;
    let done = change_fields(context, slice, |hash, slice, outcome| {
        let field = slice.rest.take();
        let bytes = tell_value(hash, field, reply);
        if bytes.is_some() && getting.renews {
            renew(hash, field, &renewal, outcome);
        }
        field.len() + bytes.unwrap_or(0)
    })?;
    Ok(done.map(|outcome| {
        if outcome.is_anything() {
            let name = match (outcome.removed, getting.time) {
                (0, None) => "hpersist",
                (0, Some(_)) => "hexpire",
                _ => "hdel",
            };
            tell(context, slice.all.peek(), name);
        }
        Changed::from(outcome.is_anything())
    }))
}

/// How far HSETEX has come with its condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looked {
    /// More fields are to be looked at.
    Partly,
    Holds,
    Fails,
}

/// Looks whether the fields are there, or are not, in slices.
fn look(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    existence: Option<Existence>,
) -> Result<Looked, CommandError> {
    context.looking(|context| {
        let hash: Option<HashRef<'_>> = context.find(slice.all.peek())?;
        let Some(existence) = existence else {
            return Ok(Looked::Holds);
        };
        while !slice.rest.is_empty() {
            if context.is_spent() {
                return Ok(Looked::Partly);
            }
            let field = slice.rest.take();
            slice.rest.skip(1);
            context.spend(steps_of(field.len()));
            let exists = hash.is_some_and(|hash| hash.get(field).is_some());
            if exists != (existence == Existence::All) {
                return Ok(Looked::Fails);
            }
        }
        Ok(Looked::Holds)
    })
}

/// `key [FNX | FXX] [EX seconds | PX milliseconds | EXAT time | PXAT time | KEEPTTL] FIELDS numfields field value [field
/// value ...]`: 1, or 0 and nothing written where the condition does not hold.
fn hsetex(
    context: &mut WriteContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<Option<Changed>, CommandError> {
    let setting = Setting::parse(slice.all)?;
    let renewal = Renewal::new(context, setting.time)?;
    // The tally says whether the condition was found to hold, plus two for a key that was there.
    if slice.kept.tally == 0 {
        if !std::mem::replace(&mut slice.kept.begun, true) {
            slice.rest = setting.pairs;
        }
        match look(context, slice, setting.existence)? {
            Looked::Partly => return Ok(None),
            Looked::Fails => {
                reply.integer(0);
                return Ok(Some(Changed::Nothing));
            }
            Looked::Holds => slice.rest = setting.pairs,
        }
        slice.kept.tally = 1 + 2 * i64::from(context.exists(slice.all.peek()));
    }
    let is_new = slice.kept.tally == 1;
    let done = change_fields(context, slice, |hash, slice, outcome| {
        let (field, value) = (slice.rest.take(), slice.rest.take());
        if renewal.is_past() {
            outcome.removed += usize::from(hash.remove(field));
        } else {
            outcome.written += 1;
            match (setting.keeps, renewal.deadline_ms) {
                (true, _) => _ = hash.set_keeping(field, value, renewal.seed),
                (false, None) => _ = hash.set(field, value, renewal.seed),
                (false, Some(deadline_ms)) => {
                    hash.set_with_deadline((field, value), deadline_ms, renewal.seed);
                }
            }
        }
        field.len() + value.len()
    })?;
    Ok(done.map(|outcome| {
        reply.integer(1);
        if outcome.is_anything() {
            let key = slice.all.peek();
            if is_new {
                context.tell_event(key, (EventClasses::NEW, "new"));
            }
            context.tell_event(key, (EventClasses::HASH, "hset"));
            match setting.time {
                _ if renewal.is_past() => tell(context, key, "hdel"),
                Some(_) => tell(context, key, "hexpire"),
                None => {}
            }
        }
        Changed::from(outcome.is_anything())
    }))
}
