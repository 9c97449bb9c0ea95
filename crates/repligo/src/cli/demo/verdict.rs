//! What the demo found: in words for people on stderr, as one line of JSON for scripts on stdout.

use serde_json::json;

use super::chaos::Chaos;
use super::check::Findings;
use super::history::Ledger;

/// Everything that the verdict is made of.
pub struct Verdict {
    /// What clients were told.
    pub ledger: Ledger,
    /// What the judge found afterwards.
    pub findings: Findings,
    /// Linearizable reads that were checked.
    pub reads: u64,
    /// Leaders killed, and how many of them by a key.
    pub kills: (u64, u64),
    /// Elections after a kill.
    pub failover_ms: Vec<u64>,
    /// How long the workload ran.
    pub seconds: f64,
}

impl Verdict {
    /// Puts together what the run and the judge know.
    pub fn new(ledger: Ledger, findings: Findings, reads: u64, chaos: &Chaos, seconds: f64) -> Verdict {
        Verdict {
            ledger,
            findings,
            reads,
            kills: (chaos.kills, chaos.kills_by_you),
            failover_ms: chaos.failover_ms.clone(),
            seconds,
        }
    }

    /// Whether nothing that was acknowledged is missing anywhere.
    pub fn is_good(&self) -> bool {
        let findings = &self.findings;
        findings.lost == 0
            && findings.phantoms == 0
            && findings.origin_mismatches == 0
            && findings.replicas_equal
            && self.ledger.stale_reads == 0
            && self.ledger.acknowledged > 0
    }

    /// The verdict as a person wants to hear it; no line is wider than 60 columns.
    pub fn words(&self) -> Vec<String> {
        let ledger = &self.ledger;
        let findings = &self.findings;
        let (kills, by_you) = self.kills;
        let mut lines = vec![
            format!(
                "acknowledged    {} writes, {} in the database",
                ledger.acknowledged, ledger.mapped_acknowledged
            ),
            format!("lost            {}", findings.lost),
            format!("unknown         {} (their connection broke)", ledger.unknown),
            format!(
                "database        {} rows, {} of them wrong",
                findings.origin_rows, findings.origin_mismatches
            ),
            format!("leaders killed  {kills} ({by_you} by you)"),
            format!(
                "longest gap     {} ms between two acknowledgements",
                ledger.longest_gap_ms
            ),
        ];
        if findings.phantoms > 0 {
            lines.push(format!("never written   {} values", findings.phantoms));
        }
        if ledger.stale_reads > 0 {
            lines.push(format!("stale reads     {}", ledger.stale_reads));
        }
        if !findings.replicas_equal {
            lines.push("nodes           differ from each other".to_string());
        }
        lines.push(
            if self.is_good() {
                "verdict         good: every node holds what was answered"
            } else if ledger.acknowledged == 0 {
                "verdict         BAD: no write was acknowledged"
            } else {
                "verdict         BAD: see above"
            }
            .to_string(),
        );
        lines
    }

    /// The verdict for scripts.
    pub fn json(&self) -> serde_json::Value {
        json!({
            "acked": self.ledger.acknowledged,
            "lost": self.findings.lost,
            "unknown": self.ledger.unknown,
            "origin_rows": self.findings.origin_rows,
            "origin_mismatches": self.findings.origin_mismatches,
            "failovers": self.failover_ms.len(),
            "longest_gap_ms": self.ledger.longest_gap_ms,
            "mapped_acked": self.ledger.mapped_acknowledged,
            "not_applied": self.ledger.not_applied,
            "phantoms": self.findings.phantoms,
            "keys": self.ledger.keys.len(),
            "reads": self.reads,
            "stale_reads": self.ledger.stale_reads,
            "replicas_equal": self.findings.replicas_equal,
            "kills": self.kills.0,
            "kills_by_you": self.kills.1,
            "failover_ms": self.failover_ms,
            "seconds": (self.seconds * 10.0).round() / 10.0,
            "ok": self.is_good(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(findings: Findings) -> Verdict {
        Verdict {
            ledger: Ledger {
                acknowledged: 518_400_000,
                mapped_acknowledged: 51_840_000,
                unknown: 1234,
                longest_gap_ms: 123_456,
                ..Default::default()
            },
            findings,
            reads: 5,
            kills: (3, 1),
            failover_ms: vec![1200, 1300],
            seconds: 20.04,
        }
    }

    #[test]
    fn the_words_name_what_counts_and_fit_60_columns() {
        let check = |findings: Findings, parts: &[&str]| {
            let words = verdict(findings).words();
            assert!(words.iter().all(|line| line.chars().count() <= 60), "{words:#?}");
            let text = words.join("\n");
            for part in parts {
                assert!(text.contains(part), "no `{part}` in\n{text}");
            }
        };
        let good = Findings {
            replicas_equal: true,
            ..Default::default()
        };
        check(
            good.clone(),
            &[
                "acknowledged    518400000",
                "lost            0",
                "leaders killed  3 (1 by you)",
                "longest gap     123456 ms",
                "good",
            ],
        );
        check(
            Findings {
                lost: 7,
                phantoms: 2,
                replicas_equal: false,
                ..good
            },
            &["lost            7", "never written   2", "differ", "BAD"],
        );
    }
}
