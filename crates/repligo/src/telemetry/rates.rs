//! Rates of the last moments, smoothed as Redis smooths them: the mean of sixteen samples.

use super::metrics::Metrics;

const SAMPLES: usize = 16;
/// Distance between two samples, microseconds.
const PERIOD_US: u64 = 100_000;

/// A counter's rate.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    last: u64,
    samples: [f64; SAMPLES],
}

impl Rate {
    fn sample(&mut self, position: usize, value: u64, seconds: f64) {
        // A reset makes the counter go back.
        let grown = value.saturating_sub(self.last);
        self.last = value;
        self.samples[position] = grown as f64 / seconds;
    }

    fn per_second(&self) -> f64 {
        self.samples.iter().sum::<f64>() / SAMPLES as f64
    }
}

/// Rates that INFO shows.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    commands: Rate,
    input: Rate,
    output: Rate,
    position: usize,
    sampled_us: u64,
}

impl Rates {
    /// Takes a sample if one is due.
    pub fn sample(&mut self, now_us: u64, metrics: &Metrics) {
        let elapsed_us = now_us.saturating_sub(self.sampled_us);
        if elapsed_us < PERIOD_US {
            return;
        }
        self.sampled_us = now_us;
        let seconds = elapsed_us as f64 / 1e6;
        self.commands
            .sample(self.position, metrics.commands_processed.get(), seconds);
        self.input.sample(self.position, metrics.bytes_in.get(), seconds);
        self.output
            .sample(self.position, metrics.bytes_out.get(), seconds);
        self.position = (self.position + 1) % SAMPLES;
        metrics.ops_per_second.set(self.commands.per_second() as u64);
    }

    /// Kibibytes read per second.
    pub fn input_kbps(&self) -> f64 {
        self.input.per_second() / 1024.0
    }

    /// Kibibytes written per second.
    pub fn output_kbps(&self) -> f64 {
        self.output.per_second() / 1024.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_shown_as_it_is() {
        let metrics = Metrics::default();
        let mut rates = Rates::default();
        for step in 1..=40 {
            metrics.commands_processed.add(50);
            rates.sample(step * PERIOD_US, &metrics);
        }
        assert_eq!(metrics.ops_per_second.get(), 500);
    }
}
