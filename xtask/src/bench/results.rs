//! What a run found, kept as JSON so that the report can be written again without measuring again.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::load::Sample;
use super::process::bench_folder;
use crate::run::{Failure, Outcome};

/// A whole run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Results {
    /// Machine, versions, command.
    pub facts: Facts,
    /// Rows in the order in which they ran.
    pub rows: Vec<Row>,
}

/// What one row of the goals table found.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Row {
    /// Name for `--only`.
    pub name: String,
    /// Heading.
    pub title: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Why it has no results, or not all.
    pub failure: Option<String>,
    /// How it was measured.
    pub method: Vec<String>,
    /// What a second client looked at, and found right.
    pub verified: Vec<String>,
    /// Loads, each on several systems.
    pub comparisons: Vec<Comparison>,
    /// What does not have the form of a comparison.
    pub tables: Vec<Table>,
    /// Goals that this row judges.
    pub goals: Vec<Goal>,
    /// Latency over time, for the plot.
    pub timelines: Vec<Timeline>,
}

/// One load on several systems, in alternation.
#[derive(Debug, Serialize, Deserialize)]
pub struct Comparison {
    /// What was asked.
    pub title: String,
    /// The first is Repligo.
    pub sides: Vec<Side>,
}

/// One system's runs; the n-th of each side were neighbours in time.
#[derive(Debug, Serialize, Deserialize)]
pub struct Side {
    /// System.
    pub name: String,
    /// One per repeat.
    pub samples: Vec<Sample>,
}

/// Cells as text.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Table {
    /// Heading.
    pub title: String,
    /// Names of columns.
    pub header: Vec<String>,
    /// Cells.
    pub rows: Vec<Vec<String>>,
}

/// A goal and what was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Goal {
    /// What is compared.
    pub what: String,
    /// The bound, such as `≤ 0.70×`.
    pub goal: String,
    /// What was measured, with its spread.
    pub measured: String,
    /// Whether the median meets it.
    pub met: bool,
    /// False where another row decides and this one informs.
    pub decides: bool,
}

/// Percentiles of latency over time, around a fault.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Timeline {
    /// System and fault.
    pub title: String,
    /// Seconds from the fault, p50 in ms, p99 in ms; of requests that were due in the interval from then on.
    pub points: Vec<(f64, f64, f64)>,
    /// The longest time without an acknowledgement, in seconds.
    pub gap_seconds: f64,
}

impl Comparison {
    /// Repeat by repeat, ours over the peer's, sorted.
    pub fn ratios(&self, peer: &str, of: impl Fn(&Sample) -> f64) -> Vec<f64> {
        let Some(peer) = self.sides.iter().find(|side| side.name == peer) else {
            return Vec::new();
        };
        let pairs = self.sides[0].samples.iter().zip(&peer.samples);
        sorted(pairs.map(|(ours, theirs)| of(ours) / of(theirs)).collect())
    }

    /// All values of one side, sorted.
    pub fn values(&self, side: &str, of: impl Fn(&Sample) -> f64) -> Vec<f64> {
        let side = self.sides.iter().find(|found| found.name == side);
        sorted(side.map_or_else(Vec::new, |side| side.samples.iter().map(of).collect()))
    }
}

/// Ascending.
pub fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// The median of sorted values; not a number if there are none.
pub fn median(sorted: &[f64]) -> f64 {
    let count = sorted.len();
    match count {
        0 => f64::NAN,
        _ if count % 2 == 1 => sorted[count / 2],
        _ => (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0,
    }
}

/// `median (min–max)` of sorted values, with so many digits.
pub fn spread(sorted: &[f64], digits: usize) -> String {
    match sorted {
        [] => "–".to_owned(),
        [only] => format!("{only:.digits$}"),
        [first, .., last] => format!("{:.digits$} ({first:.digits$}–{last:.digits$})", median(sorted)),
    }
}

/// A bound on the median of what was measured.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// Not more.
    AtMost(f64),
    /// Not less.
    AtLeast(f64),
}

impl Goal {
    /// Judges sorted values by their median; nothing measured is not met.
    pub fn judge(what: impl Into<String>, bound: Bound, unit: &str, sorted: &[f64]) -> Self {
        let middle = median(sorted);
        let (goal, met) = match bound {
            Bound::AtMost(most) => (format!("≤ {most}{unit}"), middle <= most),
            Bound::AtLeast(least) => (format!("≥ {least}{unit}"), middle >= least),
        };
        let digits = if middle >= 30.0 { 0 } else { 2 };
        Self {
            what: what.into(),
            goal,
            measured: format!("{}{unit}", spread(sorted, digits)),
            met,
            decides: true,
        }
    }

    /// The same, for information.
    pub fn informative(mut self) -> Self {
        self.decides = false;
        self
    }
}

fn file() -> PathBuf {
    bench_folder().join("results.json")
}

/// Keeps the results of a whole run.
///
/// # Errors
/// The file cannot be written.
pub fn save(results: &Results) -> Outcome {
    let text = serde_json::to_string_pretty(results).expect("numbers and texts always serialize");
    fs::write(file(), text + "\n").map_err(|error| Failure::new(format!("{}: {error}", file().display())))
}

/// The results of the last whole run.
///
/// # Errors
/// There are none, or of another version.
pub fn load() -> Outcome<Results> {
    let failed = |error: String| {
        Failure::new(format!(
            "no results to report ({}: {error}); run: cargo xtask bench",
            file().display()
        ))
    };
    let text = fs::read_to_string(file()).map_err(|error| failed(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_judged_by_the_median() {
        let check = |bound, values: &[f64], met, measured: &str| {
            let goal = Goal::judge("x", bound, "×", values);
            assert_eq!((goal.met, goal.measured.as_str()), (met, measured));
        };
        check(Bound::AtMost(0.7), &[0.6, 0.7, 0.9], true, "0.70 (0.60–0.90)×");
        check(Bound::AtMost(0.7), &[0.6, 0.71, 0.72], false, "0.71 (0.60–0.72)×");
        check(Bound::AtLeast(2.0), &[1.0, 3.0], true, "2.00 (1.00–3.00)×");
        check(Bound::AtLeast(2.0), &[], false, "–×");
    }

    #[test]
    fn ratios_pair_neighbours() {
        let side = |name: &str, seconds: [f64; 2]| Side {
            name: name.to_owned(),
            samples: seconds
                .map(|seconds| Sample {
                    operations: 1,
                    seconds,
                    ..Sample::default()
                })
                .to_vec(),
        };
        let comparison = Comparison {
            title: String::new(),
            sides: vec![side("repligo", [1.0, 2.0]), side("redis", [2.0, 8.0])],
        };
        assert_eq!(comparison.ratios("redis", Sample::throughput), [2.0, 4.0]);
        assert!(comparison.ratios("none", Sample::throughput).is_empty());
    }
}
