//! Places as members of sorted sets: a score is the number of a place, so that near places have near scores.
//!
//! Scores, distances and what is told of them are the same on every replica, and those of Redis; see
//! [`trigonometry`].

mod areas;
mod cells;
mod distance;
mod request;
mod search;
mod trigonometry;

use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use self::cells::{Cell, STEPS};
use self::distance::Place;
use self::search::{BY_MEMBER, BY_MEMBER_READ, RADIUS, RADIUS_READ, SEARCH, SEARCH_STORE};
use super::contexts::ReadContext;
use super::elements::tell_each;
use super::handlers::{Handler, Slice, by_arguments, long_read, long_write, read};
use super::sorted_set::add;
use crate::collection::{SortedSet, SortedSetRef};
use crate::command::{Arguments, CommandError};

pub(super) const HANDLERS: &[Handler] = &[
    long_write("geoadd", add::geoadd, by_arguments).checked(add::check_places),
    long_read("geopos", geopos, by_arguments),
    long_read("geohash", geohash, by_arguments),
    read("geodist", geodist),
    long_read("geosearch", search::read::<SEARCH>, search::weigh::<SEARCH>),
    long_write(
        "geosearchstore",
        search::write::<SEARCH_STORE>,
        search::weigh::<SEARCH_STORE>,
    ),
    long_write("georadius", search::write::<RADIUS>, search::weigh::<RADIUS>),
    long_read(
        "georadius_ro",
        search::read::<RADIUS_READ>,
        search::weigh::<RADIUS_READ>,
    ),
    long_write(
        "georadiusbymember",
        search::write::<BY_MEMBER>,
        search::weigh::<BY_MEMBER>,
    ),
    long_read(
        "georadiusbymember_ro",
        search::read::<BY_MEMBER_READ>,
        search::weigh::<BY_MEMBER_READ>,
    ),
];

/// The score of a place that comes as longitude and latitude.
///
/// # Errors
/// Redis' error for what is no place that can be stored.
pub(super) fn take_score(arguments: &mut Arguments<'_>) -> Result<f64, CommandError> {
    let place = request::take_place(arguments)?;
    Ok(Cell::around(place, STEPS).score())
}

/// Seventeen digits behind the point, without the zeros at their end.
fn tell_coordinate(degrees: f64, reply: &mut ReplyWriter<'_>) {
    let text = format!("{degrees:.17}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let text = if text == "-0" { "0" } else { text };
    match reply.is_resp3() {
        true => reply.raw(format!(",{text}\r\n").as_bytes()),
        false => reply.bulk_str(text),
    }
}

fn tell_coordinates(place: Place, reply: &mut ReplyWriter<'_>) {
    reply.array(2);
    tell_coordinate(place.longitude, reply);
    tell_coordinate(place.latitude, reply);
}

/// Four digits behind the point.
fn tell_distance(distance: f64, reply: &mut ReplyWriter<'_>) {
    const DIGITS: u64 = 10_000;
    let scaled = (distance * DIGITS as f64).round_ties_even() as u64;
    reply.bulk_str(&format!("{}.{:04}", scaled / DIGITS, scaled % DIGITS));
}

fn place_of(set: Option<SortedSetRef<'_>>, member: &[u8]) -> Option<Place> {
    let score = set?.score(member)?;
    Some(Cell::of_score(score.get()).place())
}

/// `key member [member ...]`: longitudes and latitudes.
fn geopos(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    tell_places(context, slice, reply, |place, reply| match place {
        Some(place) => tell_coordinates(place, reply),
        None => reply.null_array(),
    })
}

/// `key member [member ...]`: texts of eleven letters and digits.
fn geohash(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<bool, CommandError> {
    tell_places(context, slice, reply, |place, reply| match place {
        Some(place) => reply.bulk(&cells::geohash(place)),
        None => reply.null(),
    })
}

/// `key [member ...]`, where Redis takes no member, too, and tells nothing then.
fn tell_places(
    context: &ReadContext<'_>,
    slice: &mut Slice<'_>,
    reply: &mut ReplyWriter<'_>,
    tell: fn(Option<Place>, &mut ReplyWriter<'_>),
) -> Result<bool, CommandError> {
    tell_each::<SortedSet>(context, slice, reply, |set, member, reply| {
        tell(place_of(set, member), reply);
        0
    })
}

/// `key member member [unit]`: the distance, or null.
fn geodist(
    context: &ReadContext<'_>,
    mut arguments: Arguments<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), CommandError> {
    let (key, one, other) = (arguments.take(), arguments.take(), arguments.take());
    let unit_m = match arguments.len() {
        0 => 1.0,
        1 => request::take_unit(&mut arguments)?,
        _ => return Err(CommandError::fixed(words::SYNTAX)),
    };
    let set: Option<SortedSetRef<'_>> = context.find(key)?;
    match place_of(set, one).zip(place_of(set, other)) {
        Some((one, other)) => tell_distance(distance::between(one, other) / unit_m, reply),
        None => reply.null(),
    }
    Ok(())
}
