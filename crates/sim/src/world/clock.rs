//! A node's clocks: they run at their own rate, and the wall clock is wrong and jumps.

use repligo_core::time::Now;

use super::queue::Micros;

/// The world begins at this wall time.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// Both clocks of one machine.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Reading of the monotonic clock when the world began.
    mono_offset_us: u64,
    /// Parts per million that the monotonic clock runs fast (or slow).
    drift_ppm: i64,
    wall_offset_ms: i64,
    /// Parts per million that the wall clock runs fast (or slow).
    wall_drift_ppm: i64,
}

impl Clock {
    /// A clock whose monotonic reading at world time 0 would be `mono_offset_us`.
    pub fn new(mono_offset_us: u64, drift_ppm: i64, wall_offset_ms: i64) -> Self {
        Self {
            mono_offset_us,
            drift_ppm,
            wall_offset_ms,
            wall_drift_ppm: 0,
        }
    }

    /// Makes the wall clock run at a rate of its own.
    pub fn set_wall_drift_ppm(&mut self, drift_ppm: i64) {
        self.wall_drift_ppm = drift_ppm;
    }

    /// Moves the wall clock.
    pub fn jump_ms(&mut self, by: i64) {
        self.wall_offset_ms += by;
    }

    /// The same clocks after a reboot: the monotonic one reads something unrelated.
    pub fn rebooted(self, mono_offset_us: u64) -> Self {
        Self {
            mono_offset_us,
            ..self
        }
    }

    /// Sets the wall clock right.
    pub fn correct(&mut self) {
        self.wall_offset_ms = 0;
        self.wall_drift_ppm = 0;
    }

    /// A reading of both.
    pub fn read(&self, at: Micros) -> Now {
        let elapsed = i128::from(at) * (1_000_000 + i128::from(self.drift_ppm)) / 1_000_000;
        let since_ms = i128::from(at) * (1_000_000 + i128::from(self.wall_drift_ppm)) / 1_000_000_000;
        let wall = i128::from(EPOCH_MS) + since_ms + i128::from(self.wall_offset_ms);
        Now {
            mono_us: self.mono_offset_us + elapsed as u64,
            wall_ms: wall.max(0) as u64,
        }
    }

    /// By how many milliseconds the wall clock is ahead of world time.
    pub fn wall_ahead_ms(&self, at: Micros) -> i64 {
        let world_ms = EPOCH_MS + at / 1_000;
        self.read(at).wall_ms as i64 - world_ms as i64
    }

    /// World time at which the monotonic clock will have reached `mono_us`.
    pub fn when(&self, mono_us: u64) -> Micros {
        let elapsed = i128::from(mono_us.saturating_sub(self.mono_offset_us)) * 1_000_000;
        let rate = 1_000_000 + i128::from(self.drift_ppm);
        ((elapsed + rate - 1) / rate) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn an_alarm_rings_when_its_time_has_come() {
        for drift in [-40_000, 0, 333, 40_000] {
            let clock = Clock::new(777, drift, 5);
            for target in [777, 778, 25_777, 1_000_000] {
                let at = clock.when(target);
                assert!(clock.read(at).mono_us >= target);
                assert!(at == 0 || clock.read(at - 1).mono_us < target, "{drift} {target}");
            }
        }
    }
}
