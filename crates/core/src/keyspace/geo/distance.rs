//! Distances on the earth as a ball, and which places a circle or a box covers.

use super::trigonometry::{asin, cos, sin};

/// Radius of the earth in metres, as Redis has it.
pub(super) const EARTH_RADIUS_M: f64 = 6_372_797.560_856;

/// Degrees of a radian: one divided by it.
const RADIANS: f64 = std::f64::consts::PI / 180.0;

/// A place, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub longitude: f64,
    pub latitude: f64,
}

pub(super) fn radians(degrees: f64) -> f64 {
    degrees * RADIANS
}

pub(super) fn degrees(radians: f64) -> f64 {
    radians / RADIANS
}

/// Metres between two latitudes.
fn between_latitudes(one: f64, other: f64) -> f64 {
    EARTH_RADIUS_M * (radians(other) - radians(one)).abs()
}

/// Metres between two places, by the haversine formula.
pub(super) fn between(one: Place, other: Place) -> f64 {
    let v = sin((radians(other.longitude) - radians(one.longitude)) / 2.0);
    if v == 0.0 {
        return between_latitudes(one.latitude, other.latitude);
    }
    let (one_latitude, other_latitude) = (radians(one.latitude), radians(other.latitude));
    let u = sin((other_latitude - one_latitude) / 2.0);
    let a = u * u + cos(one_latitude) * cos(other_latitude) * v * v;
    2.0 * EARTH_RADIUS_M * asin(a.sqrt())
}

/// What a search covers around its center, in the unit that it was given in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Extent {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
}

/// A circle or a box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shape {
    pub center: Place,
    pub extent: Extent,
    /// Metres of the unit.
    pub unit_m: f64,
}

impl Shape {
    /// How far a place is from the center, in metres, if the shape covers it.
    pub fn covers(&self, place: Place) -> Option<f64> {
        match self.extent {
            Extent::Circle { radius } => {
                let distance = between(self.center, place);
                (distance <= radius * self.unit_m).then_some(distance)
            }
            Extent::Box { width, height } => {
                if between_latitudes(place.latitude, self.center.latitude) > height * self.unit_m / 2.0 {
                    return None;
                }
                let below = Place {
                    latitude: place.latitude,
                    ..self.center
                };
                if between(place, below) > width * self.unit_m / 2.0 {
                    return None;
                }
                Some(between(self.center, place))
            }
        }
    }

    /// How far its places are from the center at most, in metres.
    pub fn reach_m(&self) -> f64 {
        self.unit_m
            * match self.extent {
                Extent::Circle { radius } => radius,
                Extent::Box { width, height } => {
                    let (east, north) = (width / 2.0, height / 2.0);
                    (east * east + north * north).sqrt()
                }
            }
    }

    /// How far it goes to the north and to the east, in metres.
    pub fn half_sizes_m(&self) -> (f64, f64) {
        let (height, width) = match self.extent {
            Extent::Circle { radius } => (radius, radius),
            Extent::Box { width, height } => (height / 2.0, width / 2.0),
        };
        (self.unit_m * height, self.unit_m * width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_redis() {
        let palermo = Place {
            longitude: 13.361_389_338_970_184,
            latitude: 38.115_556_395_496_3,
        };
        let catania = Place {
            longitude: 15.087_267_458_438_873,
            latitude: 37.502_668_423_331_62,
        };
        assert_eq!((between(palermo, catania) * 1e4).round(), 1_662_741_516.0);
        assert_eq!(between(palermo, palermo), 0.0);
        let opposite = |longitude, latitude| Place { longitude, latitude };
        let half = std::f64::consts::PI * EARTH_RADIUS_M;
        assert!((between(opposite(0.0, 10.0), opposite(180.0, -10.0)) - half).abs() < 1.0);
    }
}
