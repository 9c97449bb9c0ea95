//! Whether writes to one origin make sense now: what a leader knows from the answers it got.
//!
//! Invariant: while the origin is down, at most one request is out to see whether it is back.

/// Shortest pause before an origin that did not answer is asked again, in microseconds; doubled up to
/// [`PAUSE_US_MAX`].
pub const PAUSE_US_MIN: u64 = 50_000;
/// Longest such pause, in microseconds.
pub const PAUSE_US_MAX: u64 = 1_000_000;

/// An origin that nobody has written to for so long is asked whether it still answers, in microseconds: an
/// operator is to know before a client does.
pub const IDLE_PROBE_US: u64 = 5_000_000;

/// Whether writes to one origin make sense now.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    /// It answered in this leadership.
    proven: bool,
    /// A load failed: find out whether writes work.
    suspect: bool,
    down: Option<String>,
    retry_at_us: u64,
    pause_us: u64,
    /// One request is out to see whether it is back.
    probing: bool,
    /// When it answered or was asked last.
    asked_us: u64,
}

impl Link {
    /// Why it is down.
    pub fn down(&self) -> Option<&str> {
        self.down.as_deref()
    }

    /// It answered in this leadership.
    pub fn is_proven(&self) -> bool {
        self.proven
    }

    /// Whether to send a request: always while it is up, one at a time to see whether it is back.
    pub fn may_ask(&mut self, now_us: u64) -> bool {
        if self.down.is_none() {
            return true;
        }
        let may = !self.probing && now_us >= self.retry_at_us;
        self.probing |= may;
        may
    }

    /// Whether to ask it although nothing has to be written.
    pub fn probe_is_due(&self, now_us: u64) -> bool {
        let idle = self.proven && self.down.is_none() && now_us >= self.asked_us + IDLE_PROBE_US;
        let due = self.suspect || idle || (self.down.is_some() && now_us >= self.retry_at_us);
        due && !self.probing
    }

    /// It is being asked.
    pub fn on_probe(&mut self, now_us: u64) {
        self.suspect = false;
        self.probing = true;
        self.asked_us = now_us;
    }

    /// A load says that it may be down.
    pub fn suspect(&mut self) {
        self.suspect = true;
    }

    /// It answered.
    pub fn on_answer(&mut self, now_us: u64) {
        *self = Self {
            proven: true,
            asked_us: now_us,
            ..Self::default()
        };
    }

    /// It did not answer.
    pub fn on_down(&mut self, now_us: u64, detail: &str) {
        self.probing = false;
        self.suspect = false;
        self.pause_us = (self.pause_us * 2).clamp(PAUSE_US_MIN, PAUSE_US_MAX);
        self.retry_at_us = now_us + self.pause_us;
        self.down = Some(detail.to_owned());
    }

    /// It answered with an error that says nothing of whether it is up.
    pub fn on_other_error(&mut self) {
        self.probing = false;
    }
}
