//! `--compare`: the same load against two servers in alternation (a b a b …), and their ratio run by run.
//!
//! A machine that others use changes from minute to minute; a ratio of neighbours changes less than a ratio of
//! means. Both servers stay up the whole time; the one that is not measured is idle.

use serde_json::{Value, json};

use super::load::Loaded;
use super::progress::Progress;
use super::report::{self, Report};
use super::run::Bench;
use super::screen;
use super::server::BenchError;

/// One server and its runs.
pub struct Side<'a> {
    pub bench: Bench<'a>,
    pub load: Option<Loaded>,
    pub runs: Vec<Report>,
}

/// Median, lowest and highest.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

/// What is compared: a name, and how it is read from a run.
type Quantity = (&'static str, fn(&Report) -> Option<f64>);

const QUANTITIES: [Quantity; 4] = [
    ("ops_per_second", |report| Some(report.ops_per_second)),
    ("p50_us", |report| report.latency_us.p50),
    ("p99_us", |report| report.latency_us.p99),
    ("cpu_us_per_op", |report| report.cpu_us_per_op),
];

/// Runs both sides in turn. An interruption ends it with the pairs that are complete.
///
/// # Errors
/// A server cannot be used any more; with a remedy.
pub fn alternate(sides: &mut [Side<'_>; 2], progress: &mut Progress) -> Result<(), BenchError> {
    let repeats = sides[0].bench.settings.repeats;
    for round in 1..=repeats {
        for side in &mut *sides {
            progress.label(format!("{} {}/{repeats}: ", side.bench.server.name, round));
            let measured = side.bench.measure(progress)?;
            let is_over = measured.interrupted || measured.gave_up;
            side.runs.push(Report::new(side.bench.settings, measured));
            if is_over {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn spread(mut values: Vec<f64>) -> Option<Spread> {
    values.sort_unstable_by(f64::total_cmp);
    let (min, max) = (*values.first()?, *values.last()?);
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 {
        values[middle]
    } else {
        (values[middle - 1] + values[middle]) / 2.0
    };
    Some(Spread { median, min, max })
}

/// `None` where a run does not have the quantity.
fn over(runs: &[Report], read: fn(&Report) -> Option<f64>) -> Option<Spread> {
    spread(runs.iter().map(read).collect::<Option<Vec<f64>>>()?)
}

/// Of pairs that were both run.
fn ratio(sides: &[Side<'_>; 2], read: fn(&Report) -> Option<f64>) -> Option<Spread> {
    let pairs = sides[0].runs.iter().zip(&sides[1].runs);
    let ratios = pairs.map(|(left, right)| Some(read(left)? / read(right).filter(|value| *value > 0.0)?));
    spread(ratios.collect::<Option<Vec<f64>>>()?)
}

fn to_json(spread: Option<Spread>) -> Value {
    spread.map_or(
        Value::Null,
        |spread| json!({ "median": spread.median, "min": spread.min, "max": spread.max }),
    )
}

/// The document of the comparison.
pub fn document(sides: &[Side<'_>; 2]) -> Value {
    let side = |side: &Side<'_>| {
        let mut document = json!({ "server": side.bench.server, "load": side.load, "runs": side.runs });
        for (name, read) in QUANTITIES {
            document[name] = to_json(over(&side.runs, read));
        }
        document
    };
    let ratios: serde_json::Map<String, Value> = QUANTITIES
        .iter()
        .map(|(name, read)| ((*name).to_string(), to_json(ratio(sides, *read))))
        .collect();
    let settings = sides[0].bench.settings;
    json!({
        "kind": "compare",
        "version": env!("CARGO_PKG_VERSION"),
        "settings": report::settings(settings),
        "repeats": settings.repeats,
        "a": side(&sides[0]),
        "b": side(&sides[1]),
        "ratio": ratios,
    })
}

/// The comparison for people.
pub fn table(sides: &[Side<'_>; 2]) -> String {
    let mut out = String::new();
    for (letter, side) in ["a", "b"].iter().zip(sides) {
        out.push_str(&format!("{letter}: {}\n", screen::server(&side.bench.server)));
    }
    out.push_str(&format!(
        "{:16}{:>26}{:>26}{:>22}\n",
        "median (min–max)", "a", "b", "a/b, pair by pair"
    ));
    let shown = |spread: Option<Spread>, digits: usize| {
        spread.map_or("-".to_string(), |spread| {
            format!(
                "{:.digits$} ({:.digits$}–{:.digits$})",
                spread.median, spread.min, spread.max
            )
        })
    };
    for (name, read) in QUANTITIES {
        let digits = match name {
            "ops_per_second" => 0,
            "cpu_us_per_op" => 3,
            _ => 1,
        };
        let (a, b) = (over(&sides[0].runs, read), over(&sides[1].runs, read));
        let ratio = ratio(sides, read);
        out.push_str(&format!(
            "{name:16}{:>26}{:>26}{:>22}\n",
            shown(a, digits),
            shown(b, digits),
            shown(ratio, 2)
        ));
    }
    for (letter, side) in ["a", "b"].iter().zip(sides) {
        let sum = |read: fn(&Report) -> u64| side.runs.iter().map(read).sum::<u64>();
        let (errors, wrong) = (sum(|run| run.errors), sum(|run| run.wrong_replies));
        out.push_str(&format!(
            "{letter}: {} runs, {errors} errors, {wrong} wrong replies\n",
            side.runs.len()
        ));
        let examples = side
            .runs
            .iter()
            .flat_map(|run| run.error_examples.iter().chain(&run.wrong_examples));
        for text in examples.take(5) {
            out.push_str(&format!("  {text}\n"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers() {
        let check = |values: &[f64], expect: Option<(f64, f64, f64)>| {
            let expect = expect.map(|(median, min, max)| Spread { median, min, max });
            assert_eq!(spread(values.to_vec()), expect, "{values:?}");
        };
        check(&[], None);
        check(&[2.0], Some((2.0, 2.0, 2.0)));
        check(&[3.0, 1.0, 2.0], Some((2.0, 1.0, 3.0)));
        check(&[4.0, 1.0, 2.0, 3.0], Some((2.5, 1.0, 4.0)));
    }
}
