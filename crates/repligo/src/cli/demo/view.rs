//! What a person sees while the demo runs: a screen on a terminal, or a line each second.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::chaos::Chaos;
use super::client::Progress;
use super::cluster::{Condition, DemoCluster, NodeView};
use super::terminal::RawTerminal;

const SCREEN_EVERY: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(1);
/// The picture is made for terminals of this width, so that one fits beside an editor.
const WIDTH: usize = 60;
/// What stands in front of the bars.
const BARS_LABEL: &str = "writes/s ";
/// Bars of the throughput line.
const BARS: usize = WIDTH - BARS_LABEL.len();
const EVENTS_SHOWN: usize = 8;

/// What a person asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Kill the leader.
    Kill,
    /// Pause the leader.
    Pause,
    /// Resume and restart everything.
    Heal,
    /// End the workload now, and judge.
    Quit,
}

/// Shows progress.
pub struct View {
    terminal: Option<RawTerminal>,
    shown_at: Option<Instant>,
    acked_before: u64,
    rates: VecDeque<u64>,
    events_told: usize,
}

impl View {
    /// A screen where that is possible and wanted, else lines.
    pub fn new(headless: bool) -> View {
        let interactive = !headless && super::terminal::is_interactive();
        View {
            terminal: if interactive { RawTerminal::enter() } else { None },
            shown_at: None,
            acked_before: 0,
            rates: VecDeque::new(),
            events_told: 0,
        }
    }

    /// The wish behind a key that was pressed.
    pub fn wish(&self) -> Option<Wish> {
        match self.terminal.as_ref()?.key()? {
            b'k' | b'K' => Some(Wish::Kill),
            b'p' | b'P' => Some(Wish::Pause),
            b'h' | b'H' => Some(Wish::Heal),
            b'q' | b'Q' => Some(Wish::Quit),
            _ => None,
        }
    }

    /// One sentence outside the regular picture.
    pub fn say(&self, text: &str) {
        match &self.terminal {
            Some(terminal) => terminal.draw(&[format!("repligo demo: {text}")]),
            None => eprintln!("repligo demo: {text}"),
        }
    }

    /// Shows the state if it is time to.
    pub fn show(&mut self, cluster: &DemoCluster, chaos: &Chaos, progress: &Progress) {
        let every = if self.terminal.is_some() {
            SCREEN_EVERY
        } else {
            LINE_EVERY
        };
        let passed = self.shown_at.map(|at| at.elapsed());
        if passed.is_some_and(|passed| passed < every) {
            return;
        }
        let rate = match passed {
            Some(passed) => (progress.acked - self.acked_before) as f64 / passed.as_secs_f64(),
            None => 0.0,
        };
        self.shown_at = Some(Instant::now());
        self.acked_before = progress.acked;
        self.rates.push_back(rate as u64);
        if self.rates.len() > BARS {
            self.rates.pop_front();
        }
        match &self.terminal {
            Some(terminal) => terminal.draw(&self.screen(cluster, chaos, progress)),
            None => self.line(cluster, chaos, progress),
        }
    }

    fn line(&mut self, cluster: &DemoCluster, chaos: &Chaos, progress: &Progress) {
        for (at, text) in &chaos.events[self.events_told..] {
            eprintln!("repligo demo: {:5.1}s {text}", at.as_secs_f64());
        }
        self.events_told = chaos.events.len();
        let leader = match cluster.leader() {
            Some((position, _)) => format!("{} leads", cluster.layout.nodes[position].name),
            None => "no leader".to_owned(),
        };
        eprintln!(
            "repligo demo: {:5.1}s acknowledged {}, in the database {}, unknown {}, reads {}; {leader}",
            chaos.elapsed().as_secs_f64(),
            progress.acked,
            progress.mapped,
            progress.unknown,
            progress.reads,
        );
    }

    fn screen(&self, cluster: &DemoCluster, chaos: &Chaos, progress: &Progress) -> Vec<String> {
        let mut lines = vec![
            format!(
                "repligo demo  {:.1} s of {} s",
                chaos.elapsed().as_secs_f64(),
                chaos.length().as_secs()
            ),
            "k kill leader   p pause leader   h heal   q end".to_string(),
            String::new(),
        ];
        lines.extend(node_table(&cluster.view(), &cluster.addresses()));
        lines.push(String::new());
        lines.push(attach_line(&cluster.addresses()));
        lines.push(String::new());
        lines.push(format!(
            "acknowledged {}   in the database {}",
            progress.acked, progress.mapped
        ));
        lines.push(format!(
            "unknown {}   refused {}   reads {}   stale {}",
            progress.unknown, progress.refused, progress.reads, progress.stale_reads
        ));
        lines.push(format!("{BARS_LABEL}{}", bars(&self.rates)));
        lines.push(String::new());
        let first = chaos.events.len().saturating_sub(EVENTS_SHOWN);
        for (at, text) in &chaos.events[first..] {
            lines.push(format!("{:5.1}s  {text}", at.as_secs_f64()));
        }
        lines
    }
}

/// How to reach the running cluster from another terminal.
pub fn attach_line(addresses: &[SocketAddr]) -> String {
    let port = addresses.first().map_or(0, SocketAddr::port);
    format!("attach: redis-cli -p {port}   (any node takes any command)")
}

fn node_table(nodes: &[NodeView], addresses: &[SocketAddr]) -> Vec<String> {
    let mut lines = vec![format!(
        "{:4} {:9} {:>5} {:>9} {:>6}  clients",
        "node", "role", "term", "applied", "behind"
    )];
    let newest = nodes
        .iter()
        .filter_map(|node| node.report.as_ref()?.own().map(|own| own.applied_index))
        .max();
    for (node, address) in nodes.iter().zip(addresses) {
        let own = node.report.as_ref().and_then(|report| report.own());
        let state = match (node.condition, own) {
            (Condition::Killed, _) => format!("\x1b[31m{:32}\x1b[0m", "killed with -9"),
            (Condition::Paused, _) => format!("\x1b[33m{:32}\x1b[0m", "paused"),
            (Condition::Up, None) => format!("{:32}", "starting"),
            (Condition::Up, Some(own)) => {
                let colour = if own.role == "leader" { "\x1b[32m" } else { "" };
                let behind = newest.unwrap_or(0).saturating_sub(own.applied_index);
                format!(
                    "{colour}{:9}\x1b[0m {:>5} {:>9} {behind:>6}",
                    own.role, own.term, own.applied_index
                )
            }
        };
        lines.push(format!("{:4} {state}  {address}", node.name));
    }
    lines
}

/// Numbers as bars of eight heights, scaled to the largest.
fn bars(rates: &VecDeque<u64>) -> String {
    const HEIGHTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let largest = rates.iter().copied().max().unwrap_or(0).max(1);
    rates
        .iter()
        .map(|rate| HEIGHTS[(rate * 8).div_ceil(largest) as usize])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_scaled_to_the_largest() {
        let check = |rates: &[u64], expect: &str| assert_eq!(bars(&rates.iter().copied().collect()), expect);
        check(&[], "");
        check(&[0, 0], "  ");
        check(&[0, 4, 8], " ▄█");
        check(&[1, 1000], "▁█");
    }
}
