//! Sine, cosine and arcsine that are the same on every machine.
//!
//! Those of a C library are not: it picks a variant by the processor, and the last bit differs. Here numbers are
//! sums of two floating-point numbers where precision is needed, and only operations are used that the standard for
//! floating-point numbers rounds exactly. So results are the nearest number in nearly all cases, and
//! else its neighbour; but for cosines of what is nearly a right angle, which no place needs.

/// Distance of the points of [`POINTS`].
const GRID: f64 = 1.0 / 64.0;
/// How many of them are between zero and a right angle, and one more.
const POINT_COUNT: usize = 102;
/// Half a turn, in two parts.
const PI: Sum = Sum {
    high: std::f64::consts::PI,
    low: 1.224_646_799_147_353_2e-16,
};

/// A number as the sum of two, the second at most half a unit in the last place of the first.
#[derive(Clone, Copy, Debug)]
struct Sum {
    high: f64,
    low: f64,
}

impl Sum {
    const fn new(number: f64) -> Self {
        Self {
            high: number,
            low: 0.0,
        }
    }

    /// The exact sum of two numbers.
    const fn of(left: f64, right: f64) -> Self {
        let high = left + right;
        let rounded = high - left;
        let low = (left - (high - rounded)) + (right - rounded);
        Self { high, low }
    }

    /// The exact product of two numbers that are far from the ends of what can be represented.
    const fn product(left: f64, right: f64) -> Self {
        /// Cuts a number into two halves of 26 bits.
        const CUT: f64 = 134_217_729.0;
        let high = left * right;
        let (left_cut, right_cut) = (CUT * left, CUT * right);
        let (left_top, right_top) = (left_cut - (left_cut - left), right_cut - (right_cut - right));
        let (left_rest, right_rest) = (left - left_top, right - right_top);
        let low = ((left_top * right_top - high) + left_top * right_rest + left_rest * right_top)
            + left_rest * right_rest;
        Self { high, low }
    }

    const fn plus(self, other: Self) -> Self {
        let sum = Self::of(self.high, other.high);
        Self::of(sum.high, sum.low + (self.low + other.low))
    }

    const fn times(self, other: Self) -> Self {
        let product = Self::product(self.high, other.high);
        let low = product.low + (self.high * other.low + self.low * other.high);
        Self::of(product.high, low)
    }

    const fn negated(self) -> Self {
        Self {
            high: -self.high,
            low: -self.low,
        }
    }

    /// The square root of a number that is not negative.
    fn root(self) -> Self {
        let high = self.high.sqrt();
        if high == 0.0 {
            return Self::new(0.0);
        }
        let square = Self::product(high, high);
        let rest = ((self.high - square.high) - square.low) + self.low;
        Self::of(high, rest / (2.0 * high))
    }

    const fn rounded(self) -> f64 {
        self.high + self.low
    }
}

/// Sine and cosine of a point of the grid.
#[derive(Clone, Copy)]
struct Point {
    sine: Sum,
    cosine: Sum,
}

/// Made when the program is compiled: one step of the grid by its series, the others by adding that to the last.
static POINTS: [Point; POINT_COUNT] = {
    let step = Point {
        sine: series(1),
        cosine: series(0),
    };
    let mut points = [Point {
        sine: Sum::new(0.0),
        cosine: Sum::new(1.0),
    }; POINT_COUNT];
    let mut at = 1;
    while at < POINT_COUNT {
        let last = points[at - 1];
        points[at] = Point {
            sine: (last.sine.times(step.cosine)).plus(last.cosine.times(step.sine)),
            cosine: (last.cosine.times(step.cosine)).plus(last.sine.times(step.sine).negated()),
        };
        at += 1;
    }
    points
};

/// The sum of every other term of the exponential series of [`GRID`], from this one on, with alternating signs.
const fn series(first: u32) -> Sum {
    const TERMS: u32 = 20;
    let mut sum = Sum::new(0.0);
    let mut term = Sum::new(1.0);
    let mut at = 0;
    while at < TERMS {
        if at % 2 == first {
            let is_negative = (at / 2) % 2 == 1;
            sum = sum.plus(if is_negative { term.negated() } else { term });
        }
        at += 1;
        // A step of the grid is a power of two, so that a product with it is exact.
        let scaled = Sum {
            high: term.high * GRID,
            low: term.low * GRID,
        };
        term = quotient(scaled, at as f64);
    }
    sum
}

const fn quotient(dividend: Sum, divisor: f64) -> Sum {
    let high = dividend.high / divisor;
    let product = Sum::product(high, divisor);
    let rest = ((dividend.high - product.high) - product.low) + dividend.low;
    Sum::of(high, rest / divisor)
}

/// The point of the grid nearest to an angle between zero and a right one, and how far the angle is from it.
fn nearest(angle: Sum) -> (Point, Sum) {
    let index = ((angle.high / GRID + 0.5) as usize).min(POINT_COUNT - 1);
    let distance = Sum::of(angle.high - index as f64 * GRID, angle.low);
    (POINTS[index], distance)
}

/// An angle of at most half a turn as one of at most a right angle with the same sine, and whether it was another.
fn folded(angle: f64) -> (Sum, bool) {
    debug_assert!((0.0..3.2).contains(&angle), "an angle of at most half a turn");
    if angle <= std::f64::consts::FRAC_PI_2 {
        return (Sum::new(angle), false);
    }
    (Sum::new(-angle).plus(PI), true)
}

/// What sine and cosine of a small angle have beyond its first power and beyond one.
fn beyond(angle: f64) -> (f64, f64) {
    let square = angle * angle;
    let sine = angle * square * (-1.0 / 6.0 + square * (1.0 / 120.0 - square / 5040.0));
    let cosine = square * (-0.5 + square * (1.0 / 24.0 - square * (1.0 / 720.0 - square / 40320.0)));
    (sine, cosine)
}

/// The sine of an angle of at most half a turn, in radians.
pub(super) fn sin(angle: f64) -> f64 {
    let (folded, _) = folded(angle.abs());
    let (point, distance) = nearest(folded);
    let (sine, cosine) = beyond(distance.high);
    let small = point.cosine.high * sine + point.sine.high * cosine;
    let sum = point.cosine.times(distance).plus(Sum::new(small));
    let result = point.sine.plus(sum).rounded();
    if angle.is_sign_negative() { -result } else { result }
}

/// The cosine of an angle of at most half a turn, in radians.
pub(super) fn cos(angle: f64) -> f64 {
    let (folded, is_obtuse) = folded(angle.abs());
    let (point, distance) = nearest(folded);
    let (sine, cosine) = beyond(distance.high);
    let small = point.cosine.high * cosine - point.sine.high * sine;
    let sum = point.sine.times(distance).negated().plus(Sum::new(small));
    let result = point.cosine.plus(sum).rounded();
    if is_obtuse { -result } else { result }
}

/// The angle between zero and a right one, in radians, that has a sine between zero and one. What is beyond one counts
/// as one.
pub(super) fn asin(sine: f64) -> f64 {
    let sine = sine.min(1.0);
    let index = POINTS.partition_point(|point| point.sine.high <= sine).max(1) - 1;
    let point = POINTS[index];
    let square = Sum::product(sine, sine);
    let cosine = Sum::of(1.0, -square.high).plus(Sum::new(-square.low)).root();
    // The sine of how far the angle is from the point.
    let small = (point.cosine.times(Sum::new(sine))).plus(point.sine.times(cosine).negated());
    let square = small.high * small.high;
    let series =
        square * (1.0 / 6.0 + square * (3.0 / 40.0 + square * (5.0 / 112.0 + square * (35.0 / 1152.0))));
    let distance = small.plus(Sum::new(small.high * series));
    Sum::new(index as f64 * GRID).plus(distance).rounded()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from 0 to 1 in an order that looks like chance.
    fn fractions(count: u32) -> impl Iterator<Item = f64> {
        (0..count).map(|at| f64::from(at.wrapping_mul(2_654_435_761)) / f64::from(u32::MAX))
    }

    fn units_apart(one: f64, other: f64) -> u64 {
        assert_eq!(one.is_sign_negative(), other.is_sign_negative(), "{one} {other}");
        one.to_bits().abs_diff(other.to_bits())
    }

    /// The C library's are within one unit of the right number, and nearly always it.
    #[test]
    fn functions_agree_with_those_of_the_system_but_for_the_last_bit_of_a_few() {
        const COUNT: u32 = 100_000;
        let mut others = [0_u32; 3];
        for fraction in fractions(COUNT) {
            let angle = (fraction - 0.5) * std::f64::consts::TAU;
            let found = [
                (sin(angle), angle.sin()),
                (cos(angle), angle.cos()),
                (asin(fraction), fraction.asin()),
            ];
            for ((ours, theirs), others) in found.into_iter().zip(&mut others) {
                let apart = units_apart(ours, theirs);
                assert!(apart <= 1, "{angle} {fraction}: {ours:e} {theirs:e}");
                *others += u32::from(apart > 0);
            }
        }
        assert!(others.iter().all(|count| *count < COUNT / 20), "{others:?}");
    }

    #[test]
    fn angles_at_the_ends_are_exact() {
        let pi = std::f64::consts::PI;
        assert_eq!(sin(0.0).to_bits(), 0.0_f64.to_bits());
        assert_eq!((sin(pi / 2.0), sin(-pi / 2.0)), (1.0, -1.0));
        assert_eq!(sin(pi), 1.224_646_799_147_353_2e-16);
        assert_eq!((cos(0.0), cos(pi)), (1.0, -1.0));
        assert!(
            cos(pi / 2.0).abs() < 1e-16,
            "exact to less than the last bit of one"
        );
        assert_eq!((asin(0.0), asin(1.0), asin(1.5)), (0.0, pi / 2.0, pi / 2.0));
        for small in [5e-324, 1e-300, 1e-20, 1e-9] {
            assert_eq!((sin(small), asin(small)), (small, small));
        }
    }

    #[test]
    fn results_are_the_nearest_numbers() {
        for (angle, sine, cosine) in [
            (1.0, 0.841_470_984_807_896_5, 0.540_302_305_868_139_8),
            (0.5, 0.479_425_538_604_203, 0.877_582_561_890_372_8),
            (3.0, 0.141_120_008_059_867_2, -0.989_992_496_600_445_4),
        ] {
            assert_eq!((sin(angle), cos(angle)), (sine, cosine), "{angle}");
            assert_eq!(sin(-angle), -sine, "{angle}");
        }
    }
}
