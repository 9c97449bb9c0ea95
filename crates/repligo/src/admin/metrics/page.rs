//! Prometheus text, line by line. Knows the format and no metric.

use std::fmt::{Display, Write as _};

/// A page of metrics under construction.
pub(super) struct Page {
    text: String,
}

impl Page {
    pub(super) fn new() -> Page {
        Page {
            text: String::with_capacity(16 << 10),
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// Announces a metric; its samples must follow at once.
    pub(super) fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One sample.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(name);
        for (position, (label, text)) in labels.iter().enumerate() {
            let escaped = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(
                self.text,
                "{}{label}=\"{escaped}\"",
                if position == 0 { '{' } else { ',' }
            );
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// Metrics of one sample each: (name, value, help).
    pub(super) fn gauges(&mut self, rows: &[(&str, u64, &str)]) {
        self.rows("gauge", rows);
    }

    /// As [`Page::gauges`], for numbers that only grow.
    pub(super) fn counters(&mut self, rows: &[(&str, u64, &str)]) {
        self.rows("counter", rows);
    }

    fn rows(&mut self, kind: &str, rows: &[(&str, u64, &str)]) {
        for (name, value, help) in rows {
            self.head(name, kind, help);
            self.sample(name, &[], value);
        }
    }
}
