//! `repligo demo --stay`: after the verdict the cluster stays up until ^C, with hints what to try.
//!
//! A node whose process ends, such as one that a person kills, is started again after a pause, so that
//! one can go on trying without losing the majority.

use std::time::Duration;

use super::cluster::DemoCluster;
use super::view::attach_line;
use crate::cli::signals::StopFlag;

const POLL: Duration = Duration::from_millis(50);
/// Long enough to see the others elect a leader.
const RESTART_AFTER: Duration = Duration::from_secs(3);

/// What a person can try; no line is wider than 60 columns unless a path is.
pub fn hints(cluster: &DemoCluster, mapped_key: Option<&str>) -> Vec<String> {
    let ports: Vec<u16> = cluster.addresses().iter().map(|address| address.port()).collect();
    let [first, second, third] = [0, 1, 2].map(|position| ports.get(position).copied().unwrap_or(0));
    let mut lines = vec![
        String::new(),
        "The cluster stays up until ^C. In another terminal:".to_string(),
        format!("  {}", attach_line(&cluster.addresses())),
        format!("  redis-cli -p {second} set greeting hello"),
        format!("  redis-cli -p {third} get greeting"),
    ];
    if let Some(key) = mapped_key {
        lines.push(format!("  redis-cli -p {first} get {key}  # a row"));
    }
    lines.push(format!("  repligo status --addr 127.0.0.1:{first}"));
    if let Some((position, _)) = cluster.leader()
        && let Some(pid) = cluster.pid(position)
    {
        let name = &cluster.layout.nodes[position].name;
        lines.push(format!("  kill -9 {pid}  # {name} leads; it is started again"));
    }
    lines
}

/// Keeps the cluster up until a signal.
///
/// # Errors
/// A node cannot be started again.
pub fn wait(cluster: &mut DemoCluster, stop: &StopFlag) -> Result<(), String> {
    while !stop.is_set() {
        std::thread::sleep(POLL);
        if cluster.fallen().is_none() {
            continue;
        }
        let waited = std::time::Instant::now();
        while waited.elapsed() < RESTART_AFTER && !stop.is_set() {
            std::thread::sleep(POLL);
        }
        if !stop.is_set() {
            let names = cluster.restart_fallen()?;
            eprintln!("repligo demo: restarted {}", names.join(", "));
        }
    }
    Ok(())
}
