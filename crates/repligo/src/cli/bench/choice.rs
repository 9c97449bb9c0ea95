//! Which key comes next: uniform or Zipf, from a small generator of chance with a seed.

use std::str::FromStr;

use super::dataset::mix;

/// How often keys are asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    Uniform,
    /// The key of rank k is asked for in proportion to k^-theta.
    Zipf {
        theta: f64,
    },
}

/// As YCSB has it.
const THETA_DEFAULT: f64 = 0.99;

impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Distribution, String> {
        let theta = match text.split_once(':') {
            None if text == "uniform" => return Ok(Distribution::Uniform),
            None if text == "zipf" => Ok(THETA_DEFAULT),
            Some(("zipf", theta)) => theta.parse().map_err(|_| ()),
            _ => Err(()),
        };
        match theta {
            Ok(theta) if (0.01..=10.0).contains(&theta) => Ok(Distribution::Zipf { theta }),
            _ => Err(format!(
                "--distribution {text}: unknown\n  do: give uniform, zipf or zipf:THETA with THETA from 0.01 to 10"
            )),
        }
    }
}

impl std::fmt::Display for Distribution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Distribution::Uniform => f.write_str("uniform"),
            Distribution::Zipf { theta } => write!(f, "zipf:{theta}"),
        }
    }
}

/// Splitmix64: a counter and a good finalizer. Not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Different streams of one seed do not overlap in practice.
    pub fn new(seed: u64, stream: u64) -> Random {
        Random(mix(seed ^ mix(stream)))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Uniform below `bound`; the bias is below `bound` / 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in [0, 1).
    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Draws keys.
#[derive(Clone, Debug)]
pub struct Chooser {
    keys: u64,
    zipf: Option<Zipf>,
}

impl Chooser {
    /// Draws from `0..keys`.
    pub fn new(keys: u64, distribution: Distribution) -> Chooser {
        let zipf = match distribution {
            Distribution::Uniform => None,
            Distribution::Zipf { theta } => Some(Zipf::new(keys, theta)),
        };
        Chooser { keys, zipf }
    }

    /// The next key.
    pub fn draw(&self, random: &mut Random) -> u64 {
        match &self.zipf {
            None => random.below(self.keys),
            // A prime above all key spaces scatters the ranks over the keys, one to one.
            Some(zipf) => zipf.rank(random) * 2_654_435_761 % self.keys,
        }
    }
}

/// Rejection-inversion for monotone discrete distributions (Hörmann and Derflinger, 1996): no table, so any number
/// of keys costs the same and threads share nothing.
#[derive(Clone, Debug)]
struct Zipf {
    keys: f64,
    theta: f64,
    /// The integral up to 1.5, less one.
    low: f64,
    /// The integral up to keys + 0.5.
    high: f64,
    /// Differences up to this are accepted at once.
    sure: f64,
}

impl Zipf {
    fn new(keys: u64, theta: f64) -> Zipf {
        let mut zipf = Zipf {
            keys: keys as f64,
            theta,
            low: 0.0,
            high: 0.0,
            sure: 0.0,
        };
        zipf.low = zipf.integral(1.5) - 1.0;
        zipf.high = zipf.integral(zipf.keys + 0.5);
        zipf.sure = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.density(2.0));
        zipf
    }

    /// From 0, the most frequent.
    fn rank(&self, random: &mut Random) -> u64 {
        loop {
            let area = self.high + random.unit() * (self.low - self.high);
            let place = self.inverse(area);
            let rank = (place + 0.5).floor().clamp(1.0, self.keys);
            if rank - place <= self.sure || area >= self.integral(rank + 0.5) - self.density(rank) {
                return rank as u64 - 1;
            }
        }
    }

    fn density(&self, x: f64) -> f64 {
        (-self.theta * x.ln()).exp()
    }

    /// Of the density, from 1 to x.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        let power = (1.0 - self.theta) * log;
        // expm1(p) / p, which is 1 where theta is 1.
        let slope = if power.abs() > 1e-8 {
            power.exp_m1() / power
        } else {
            1.0 + power / 2.0
        };
        slope * log
    }

    fn inverse(&self, area: f64) -> f64 {
        let power = (area * (1.0 - self.theta)).max(-1.0);
        let slope = if power.abs() > 1e-8 {
            power.ln_1p() / power
        } else {
            1.0 - power / 2.0
        };
        (slope * area).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws per key.
    fn draws(keys: u64, distribution: &str, count: u64) -> Vec<u64> {
        let chooser = Chooser::new(keys, distribution.parse().expect("valid"));
        let mut random = Random::new(1, 2);
        let mut drawn = vec![0; keys as usize];
        for _ in 0..count {
            drawn[chooser.draw(&mut random) as usize] += 1;
        }
        drawn
    }

    #[test]
    fn uniform_reaches_every_key_equally() {
        let drawn = draws(1000, "uniform", 1_000_000);
        // Five standard deviations of a count of 1000.
        assert!(drawn.iter().all(|count| (840..1160).contains(count)), "{drawn:?}");
    }

    #[test]
    fn zipf_follows_its_law() {
        for (text, theta) in [
            ("zipf", 0.99),
            ("zipf:1", 1.0),
            ("zipf:0.5", 0.5),
            ("zipf:1.5", 1.5),
        ] {
            let (keys, count) = (10_000u64, 2_000_000u64);
            let mut drawn = draws(keys, text, count);
            drawn.sort_unstable_by(|left, right| right.cmp(left));
            let total: f64 = (1..=keys).map(|rank| (rank as f64).powf(-theta)).sum();
            for rank in [1u64, 2, 3, 10] {
                let expected = (rank as f64).powf(-theta) / total * count as f64;
                let found = drawn[rank as usize - 1] as f64;
                let tolerance = 6.0 * expected.sqrt() + 1.0;
                assert!(
                    (found - expected).abs() < tolerance,
                    "{text}, rank {rank}: {found}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn a_single_key_is_always_drawn() {
        assert_eq!(draws(1, "uniform", 10), [10]);
        assert_eq!(draws(1, "zipf", 10), [10]);
    }
}
