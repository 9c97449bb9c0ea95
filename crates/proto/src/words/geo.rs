//! Sentences about places.

/// A radius that is no number.
pub const NO_RADIUS: &str = "ERR need numeric radius";
/// A radius below zero.
pub const NEGATIVE_RADIUS: &str = "ERR radius cannot be negative";
/// The width of a box that is no number.
pub const NO_WIDTH: &str = "ERR need numeric width";
/// The height of a box that is no number.
pub const NO_HEIGHT: &str = "ERR need numeric height";
/// A box with a size below zero.
pub const NEGATIVE_SIZE: &str = "ERR height or width cannot be negative";
/// A unit of lengths that is none.
pub const UNKNOWN_UNIT: &str = "ERR unsupported unit provided. please use M, KM, FT, MI";
/// A search around a member that is not there.
pub const NO_MEMBER: &str = "ERR could not decode requested zset member";
/// COUNT of nothing.
pub const NO_COUNT: &str = "ERR COUNT must be > 0";
/// ANY of how many.
pub const ANY_WITHOUT_COUNT: &str = "ERR the ANY argument requires COUNT argument";
/// GEORADIUS that stores and tells.
pub const RADIUS_STORES_ALONE: &str =
    "ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options";
/// GEOSEARCHSTORE that tells.
pub const SEARCH_STORES_ALONE: &str =
    "ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options";

/// A place that cannot be stored.
pub fn no_place(longitude: f64, latitude: f64) -> String {
    format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}")
}

/// A search around nothing.
pub fn no_center(name: &str) -> String {
    format!("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {name}")
}

/// A search of no extent.
pub fn no_extent(name: &str) -> String {
    format!("ERR exactly one of BYRADIUS and BYBOX can be specified for {name}")
}
