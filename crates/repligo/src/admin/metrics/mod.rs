//! `/metrics`: Prometheus text. Names of redis_exporter where the meaning is the same, so that existing
//! dashboards work; everything of our own is `repligo_…`.

mod own;
mod page;
mod redis;

use crate::telemetry::{Metrics, NodeStatus};

/// Renders all metrics of a node. `tick_age_us` is the age of the worker's last tick.
pub fn render(status: &NodeStatus, metrics: &Metrics, tick_age_us: u64) -> String {
    let mut page = page::Page::new();
    redis::render(&mut page, status, metrics);
    own::render(&mut page, status, metrics, tick_age_us);
    page.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{DatabaseStatus, PeerStatus};

    #[test]
    fn every_sample_has_a_head_and_a_number() {
        let mut status = NodeStatus {
            name: "n\"1".into(),
            ..Default::default()
        };
        status.databases.push(DatabaseStatus {
            database: 3,
            keys: 7,
            volatile_keys: 1,
        });
        status.nodes.push(PeerStatus {
            peer: 2,
            name: "n2".into(),
            ..Default::default()
        });
        status.replica.followers.push((2, 10, 5));
        status.errors.push(("WRONGTYPE".into(), 4));
        let metrics = Metrics {
            threads: crate::telemetry::threads::for_workers(2),
            ..Metrics::new(["get", "client|list"].into_iter())
        };
        metrics.commands[0].record(3, 1500);
        let text = render(&status, &metrics, 1000);
        let mut heads = std::collections::BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let name = rest.split(' ').next().expect("name").to_string();
                assert!(heads.insert(name.clone()), "{name} has two heads");
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().expect("name");
                let base = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|end| name.strip_suffix(end))
                    .unwrap_or(name);
                assert!(heads.contains(name) || heads.contains(base), "{line} has no head");
                let number = line.rsplit(' ').next().expect("value");
                assert!(number.parse::<f64>().is_ok(), "{line} has no number");
            }
        }
        assert!(text.contains("redis_db_keys{db=\"db3\"} 7"), "{text}");
        assert!(text.contains("redis_commands_total{cmd=\"get\"} 3"), "{text}");
        assert!(
            text.contains("redis_commands_latencies_usec_bucket{cmd=\"get\",le=\"2\"} 3"),
            "{text}"
        );
        assert!(text.contains("redis_errors_total{err=\"WRONGTYPE\"} 4"), "{text}");
        assert!(text.contains("name=\"n\\\"1\""), "labels are escaped");
        assert!(
            !text.contains("cmd=\"client|list\""),
            "unused commands are left out"
        );
    }
}
