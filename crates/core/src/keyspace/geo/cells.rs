//! Places on the earth as numbers: the world is cut in halves, by longitude and by latitude in turn, and each cut gives
//! a bit. The first bits of a place name a cell that it is in.
//!
//! Numbers are those of Redis to the bit, its ways with what lies on the last edge included: a place there gets a bit
//! more than others.

use super::distance::Place;

/// Cuts by longitude, and as many by latitude, of a place that is stored: its number is a score that is exact.
pub(super) const STEPS: u32 = 26;

/// Degrees from the first to the last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub min: f64,
    pub max: f64,
}

impl Span {
    /// The middle, but nothing beyond what `of` allows.
    fn middle(self, of: Span) -> f64 {
        f64::midpoint(self.min, self.max).clamp(of.min, of.max)
    }

    /// Which of the cells that so many cuts make a coordinate is in.
    fn index(self, coordinate: f64, steps: u32) -> u32 {
        let offset = (coordinate - self.min) / (self.max - self.min);
        (offset * scale(steps)) as u32
    }

    /// The cell with this index.
    fn cell(self, index: u32, steps: u32) -> Span {
        let at = |index: u32| self.min + (f64::from(index) / scale(steps)) * (self.max - self.min);
        Span {
            min: at(index),
            max: at(index.wrapping_add(1)),
        }
    }
}

fn scale(steps: u32) -> f64 {
    (1_u64 << steps) as f64
}

/// Longitudes that can be stored.
pub(super) const LONGITUDES: Span = Span {
    min: -180.0,
    max: 180.0,
};
/// Latitudes that can be stored: those of the square maps of the web.
pub(super) const LATITUDES: Span = Span {
    min: -85.051_128_78,
    max: 85.051_128_78,
};
/// Latitudes of the texts that others know as geohashes.
const ALL_LATITUDES: Span = Span {
    min: -90.0,
    max: 90.0,
};

/// Puts the bits of a number into every other place.
fn spread(number: u32) -> u64 {
    const STAGES: [(u32, u64); 5] = [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, EVEN_BITS),
    ];
    STAGES.iter().fold(u64::from(number), |bits, (shift, mask)| {
        (bits | bits << shift) & mask
    })
}

const EVEN_BITS: u64 = 0x5555_5555_5555_5555;

/// The number whose bits are in every other place.
fn gather(bits: u64) -> u32 {
    const STAGES: [(u32, u64); 5] = [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ];
    let gathered = STAGES.iter().fold(bits & EVEN_BITS, |bits, (shift, mask)| {
        (bits | bits >> shift) & mask
    });
    gathered as u32
}

/// A cell, or a place as the smallest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    bits: u64,
    steps: u32,
}

impl Cell {
    /// The cell that so many cuts leave around a place.
    pub fn around(place: Place, steps: u32) -> Self {
        Self::within((LONGITUDES, LATITUDES), place, steps)
    }

    fn within((longitudes, latitudes): (Span, Span), place: Place, steps: u32) -> Self {
        let longitude = spread(longitudes.index(place.longitude, steps));
        let latitude = spread(latitudes.index(place.latitude, steps));
        Self {
            bits: latitude | longitude << 1,
            steps,
        }
    }

    /// The smallest cell with this score.
    pub fn of_score(score: f64) -> Self {
        Self {
            bits: unsigned(score),
            steps: STEPS,
        }
    }

    /// The score of its first place.
    pub fn score(self) -> f64 {
        (self.bits << (2 * (STEPS - self.steps))) as f64
    }

    /// The score of the first place behind it.
    pub fn end_score(self) -> f64 {
        let next = Self {
            bits: self.bits + 1,
            ..self
        };
        next.score()
    }

    /// Longitudes and latitudes that it has.
    pub fn spans(self) -> (Span, Span) {
        let (latitude, longitude) = (gather(self.bits), gather(self.bits >> 1));
        (
            LONGITUDES.cell(longitude, self.steps),
            LATITUDES.cell(latitude, self.steps),
        )
    }

    /// Its middle.
    pub fn place(self) -> Place {
        let (longitudes, latitudes) = self.spans();
        Place {
            longitude: longitudes.middle(LONGITUDES),
            latitude: latitudes.middle(LATITUDES),
        }
    }

    /// The cell of its size that lies so many cells to the east and to the north, around the world if need be.
    pub fn neighbor(self, east: i32, north: i32) -> Self {
        let moved = |index: u32, by: i32| match by {
            0 => index,
            by => index.wrapping_add_signed(by) & ((1 << self.steps) - 1),
        };
        let latitude = moved(gather(self.bits), north);
        let longitude = moved(gather(self.bits >> 1), east);
        Self {
            bits: spread(latitude) | spread(longitude) << 1,
            ..self
        }
    }
}

/// A score as an unsigned number, as the processors that Redis is compared on turn one into the other.
fn unsigned(score: f64) -> u64 {
    const HALF: f64 = 9_223_372_036_854_775_808.0;
    match score {
        score if score < HALF => signed(score) as u64,
        score => (signed(score - HALF) as u64) ^ (1 << 63),
    }
}

/// A number without its fraction; the least integer for one that is out of range, as there.
pub(super) fn signed(number: f64) -> i64 {
    const END: f64 = 9_223_372_036_854_775_808.0;
    match number {
        number if (-END..END).contains(&number) => number as i64,
        _ => i64::MIN,
    }
}

/// The text that others know a place by.
pub(super) fn geohash(place: Place) -> [u8; 11] {
    const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
    const BITS: u32 = 5;
    let cell = Cell::within((LONGITUDES, ALL_LATITUDES), place, STEPS);
    std::array::from_fn(|at| {
        // There are bits for ten digits; Redis has always told eleven.
        let shift = (2 * STEPS).checked_sub(BITS * (at as u32 + 1));
        let digit = shift.map_or(0, |shift| cell.bits >> shift & 0x1f);
        ALPHABET[digit as usize]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(longitude: f64, latitude: f64) -> Place {
        Place { longitude, latitude }
    }

    /// Scores that Redis 7.0.15 told.
    #[test]
    fn places_have_the_scores_of_redis() {
        for (longitude, latitude, score) in SCORES {
            let cell = Cell::around(place(*longitude, *latitude), STEPS);
            assert_eq!(cell.score(), *score, "{longitude} {latitude}");
        }
    }

    const SCORES: &[(f64, f64, f64)] = &[
        (13.361_389, 38.115_556, 3_479_099_956_230_698.0),
        (15.087_269, 37.502_669, 3_479_447_370_796_909.0),
        (-180.0, -85.051_128_78, 0.0),
    ];

    #[test]
    fn bits_are_spread_and_gathered() {
        for number in [0, 1, 2, 0x8000_0001, 0xdead_beef, u32::MAX] {
            assert_eq!(gather(spread(number)), number);
            assert_eq!(gather(spread(number) << 1), 0);
        }
    }

    #[test]
    fn neighbors_go_around_the_world() {
        let west = Cell::around(place(-180.0, -85.0), 3);
        let (longitudes, latitudes) = west.neighbor(-1, -1).spans();
        assert_eq!((longitudes.max, latitudes.max), (180.0, LATITUDES.max));
        assert_eq!(west.neighbor(-1, 0).neighbor(1, 0), west);
        assert_eq!(west.neighbor(0, 1).neighbor(1, -1).neighbor(-1, 0), west);
    }

    #[test]
    fn scores_that_are_no_places_are_taken_as_redis_takes_them() {
        for (score, expect) in [
            (-1.0, u64::MAX),
            (1.9, 1),
            (1e19, 10_000_000_000_000_000_000),
            (f64::INFINITY, 0),
            (f64::NEG_INFINITY, 1 << 63),
            (-1e300, 1 << 63),
        ] {
            assert_eq!(Cell::of_score(score).bits, expect, "{score}");
        }
    }

    #[test]
    fn texts_are_those_of_others() {
        let cell = Cell::around(place(13.361_389, 38.115_556), STEPS);
        assert_eq!(&geohash(cell.place()), b"sqc8b49rny0");
    }
}
