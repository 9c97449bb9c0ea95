//! Which scores have the places that a shape covers: those of a cell around its center and of that one's neighbours,
//! in the order in which Redis goes through them.

use super::cells::{Cell, LATITUDES, LONGITUDES, STEPS, Span};
use super::distance::{EARTH_RADIUS_M, Place, Shape, degrees, radians};
use super::trigonometry::cos;

/// Half of the way around the earth on the maps of the web, in metres.
const HALF_WAY_M: f64 = 20_037_726.37;

/// Neighbours as cells to the east and to the north, behind the cell itself.
const ORDER: [(i32, i32); 9] = [
    (0, 0),
    (0, 1),
    (0, -1),
    (1, 0),
    (-1, 0),
    (1, 1),
    (-1, 1),
    (1, -1),
    (-1, -1),
];

/// How many cuts leave cells that are about as large as what is searched, which is not more than what a cell and its
/// neighbours have.
fn steps_for(reach_m: f64, latitude: f64) -> u32 {
    if reach_m == 0.0 {
        return STEPS;
    }
    let mut steps = -1_i32;
    let mut reach_m = reach_m;
    while reach_m < HALF_WAY_M {
        reach_m *= 2.0;
        steps += 1;
    }
    // Meridians come near each other towards the poles.
    steps -= i32::from(latitude.abs() > 66.0) + i32::from(latitude.abs() > 80.0);
    steps.clamp(1, STEPS as i32) as u32
}

/// Longitudes and latitudes that a shape has at most, as Redis computes them: with the side of the box that it takes
/// for the longer one.
fn bounds(shape: &Shape) -> (Span, Span) {
    let Place { longitude, latitude } = shape.center;
    let (height_m, width_m) = shape.half_sizes_m();
    let north = degrees(height_m / EARTH_RADIUS_M);
    let side = if latitude < 0.0 {
        latitude - north
    } else {
        latitude + north
    };
    let east = degrees(width_m / EARTH_RADIUS_M / cos(radians(side)));
    let around = |middle: f64, by: f64| Span {
        min: middle - by,
        max: middle + by,
    };
    (around(longitude, east), around(latitude, north))
}

/// A cell and those of its neighbours that are to be looked at.
fn cells(shape: &Shape) -> Vec<Cell> {
    let mut steps = steps_for(shape.reach_m(), shape.center.latitude);
    let mut cell = Cell::around(shape.center, steps);
    // With one cut a cell and its neighbours are the world. With more the reach is far below the way to a pole.
    let bounds = (steps > 1).then(|| bounds(shape));
    if let Some((longitudes, latitudes)) = bounds {
        let latitudes_at = |north| cell.neighbor(0, north).spans().1;
        let longitudes_at = |east| cell.neighbor(east, 0).spans().0;
        let is_too_small = latitudes_at(1).max < latitudes.max
            || latitudes_at(-1).min > latitudes.min
            || longitudes_at(1).max < longitudes.max
            || longitudes_at(-1).min > longitudes.min;
        if is_too_small {
            steps -= 1;
            cell = Cell::around(shape.center, steps);
        }
    }
    let bounds = bounds.filter(|_| steps > 1);
    let is_wanted = |(east, north): (i32, i32)| {
        let Some((longitudes, latitudes)) = bounds else {
            return true;
        };
        let (own_longitudes, own_latitudes) = cell.spans();
        !(north < 0 && own_latitudes.min < latitudes.min
            || north > 0 && own_latitudes.max > latitudes.max
            || east < 0 && own_longitudes.min < longitudes.min
            || east > 0 && own_longitudes.max > longitudes.max)
    };
    let wanted = ORDER.into_iter().filter(|at| is_wanted(*at));
    let mut cells: Vec<Cell> = wanted.map(|(east, north)| cell.neighbor(east, north)).collect();
    // Around the world two neighbours can be one.
    cells.dedup();
    cells
}

/// Scores of the places of each cell, from the first one to the one that is beyond the last.
pub(super) fn score_ranges(shape: &Shape) -> Vec<(f64, f64)> {
    let of = |cell: Cell| (cell.score(), cell.end_score());
    cells(shape).into_iter().map(of).collect()
}

/// Whether a place can be stored.
pub(super) fn can_be_stored(place: Place) -> bool {
    (LONGITUDES.min..=LONGITUDES.max).contains(&place.longitude)
        && (LATITUDES.min..=LATITUDES.max).contains(&place.latitude)
}

#[cfg(test)]
mod tests {
    use super::super::distance::Extent;
    use super::*;

    /// What lies in a shape lies in one of its ranges, but where Redis looks too near, too.
    #[test]
    fn ranges_have_all_that_a_shape_covers() {
        let fraction = |at: u32| f64::from(at.wrapping_mul(2_654_435_761)) / f64::from(u32::MAX);
        let mut covered = 0;
        for at in 0..2_000_u32 {
            let center = Place {
                longitude: fraction(4 * at) * 300.0 - 150.0,
                latitude: fraction(4 * at + 1) * 120.0 - 60.0,
            };
            let extent = match at % 2 {
                0 => Extent::Circle {
                    radius: 1_500.0 * fraction(4 * at + 2).powi(3),
                },
                _ => Extent::Box {
                    width: 900.0 * fraction(4 * at + 2),
                    height: 900.0 * fraction(4 * at + 3),
                },
            };
            let unit_m = 1_000.0;
            let shape = Shape {
                center,
                extent,
                unit_m,
            };
            let ranges = score_ranges(&shape);
            for near in 0..50 {
                let reach = degrees(shape.reach_m() / EARTH_RADIUS_M) * 2.0;
                let place = Place {
                    longitude: center.longitude + (fraction(100 * at + 2 * near) - 0.5) * reach,
                    latitude: center.latitude + (fraction(100 * at + 2 * near + 1) - 0.5) * reach,
                };
                let score = Cell::around(place, STEPS).score();
                if !can_be_stored(place) || shape.covers(Cell::of_score(score).place()).is_none() {
                    continue;
                }
                covered += 1;
                let holding = ranges
                    .iter()
                    .filter(|(first, end)| (*first..*end).contains(&score));
                assert_eq!(holding.count(), 1, "{shape:?} {place:?}");
            }
        }
        assert!(covered > 10_000, "{covered}");
    }

    #[test]
    fn large_shapes_look_at_the_world_once() {
        for reach in [5_100.0, 20_100.0, f64::INFINITY] {
            let shape = Shape {
                center: Place {
                    longitude: 12.0,
                    latitude: -85.0,
                },
                extent: Extent::Circle { radius: reach },
                unit_m: 1_000.0,
            };
            let mut ranges = score_ranges(&shape);
            ranges.sort_by(|one, other| one.0.total_cmp(&other.0));
            let quarter = 2_f64.powi(50);
            let all = [0.0, 1.0, 2.0, 3.0].map(|at| (at * quarter, (at + 1.0) * quarter));
            assert_eq!(ranges, all, "{reach}");
        }
    }
}
