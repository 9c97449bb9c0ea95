//! Who kills the leader and when, and how long it takes until another one serves.

use std::time::{Duration, Instant};

use super::cluster::{Condition, DemoCluster};

/// A killed node comes back after this time.
const RESTART_AFTER: Duration = Duration::from_millis(1000);
/// No kill so short before the end, so that the last failover is seen by the workload.
const QUIET_END: Duration = Duration::from_millis(1500);

/// Who wants something: events tell a person's own kills from those of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The plan of the run.
    Schedule,
    /// A key that was pressed.
    You,
}

impl std::fmt::Display for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            By::Schedule => "schedule",
            By::You => "you",
        })
    }
}

/// What the schedule and the keys of the live view do.
#[derive(Debug)]
pub struct Chaos {
    started: Instant,
    length: Duration,
    /// Times of kills still to come, earliest last.
    due: Vec<Duration>,
    restarts: Vec<(usize, Instant)>,
    /// The kill whose election is not over: when, and in which term.
    open: Option<(Instant, u64)>,
    /// Leaders killed, by whomever.
    pub kills: u64,
    /// Those of them that a key killed.
    pub kills_by_you: u64,
    /// Elections after a kill.
    pub failover_ms: Vec<u64>,
    /// For people, newest last.
    pub events: Vec<(Duration, String)>,
}

impl Chaos {
    /// Plans the kills of a run of this length: at least two, and one for each six seconds.
    pub fn plan(length: Duration) -> Chaos {
        let count = (length.as_secs() / 6).max(2) as u32;
        let due = (1..=count)
            .rev()
            .map(|number| length * number / (count + 1))
            .collect();
        Chaos {
            started: Instant::now(),
            length,
            due,
            restarts: Vec::new(),
            open: None,
            kills: 0,
            kills_by_you: 0,
            failover_ms: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Starts the clock.
    pub fn begin(&mut self) {
        self.started = Instant::now();
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// How long the run is meant to take.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// Whether the time is over.
    pub fn is_over(&self) -> bool {
        self.elapsed() >= self.length
    }

    /// Does what is due.
    ///
    /// # Errors
    /// A killed node cannot be started again.
    pub fn step(&mut self, cluster: &mut DemoCluster) -> Result<(), String> {
        self.watch_election(cluster);
        let due_restarts: Vec<usize> = self
            .restarts
            .iter()
            .filter(|(_, at)| Instant::now() >= *at)
            .map(|(position, _)| *position)
            .collect();
        for position in due_restarts {
            self.restarts.retain(|(other, _)| *other != position);
            if cluster.condition(position) == Condition::Killed {
                cluster.heal(position)?;
                self.note(format!("restarted {}", cluster.layout.nodes[position].name));
            }
        }
        let elapsed = self.elapsed();
        let kill_is_due = self.due.last().is_some_and(|due| *due <= elapsed);
        // A second kill while a node is away would take the majority: it waits until all are back.
        if kill_is_due
            && elapsed + QUIET_END < self.length
            && cluster.all_serve()
            && self.kill_leader(cluster, By::Schedule)
        {
            self.due.pop();
        }
        Ok(())
    }

    /// Kills the leader; false when there is none to kill, or too few other nodes.
    pub fn kill_leader(&mut self, cluster: &mut DemoCluster, by: By) -> bool {
        let Some((position, term)) = self.leader_to_harm(cluster, "killed", by) else {
            return false;
        };
        cluster.kill(position);
        self.kills += 1;
        self.kills_by_you += u64::from(by == By::You);
        self.open = Some((Instant::now(), term));
        self.restarts.push((position, Instant::now() + RESTART_AFTER));
        let name = &cluster.layout.nodes[position].name;
        self.note(format!("{by}: kill -9 {name}, leader of term {term}"));
        true
    }

    /// Pauses the leader until it is healed.
    pub fn pause_leader(&mut self, cluster: &mut DemoCluster) {
        let Some((position, term)) = self.leader_to_harm(cluster, "paused", By::You) else {
            return;
        };
        cluster.pause(position);
        let name = &cluster.layout.nodes[position].name;
        self.note(format!("you: paused {name}, leader of term {term}"));
    }

    /// The leader and its term, if there is one and the others are a majority without it; else the
    /// reason is told to whoever asked.
    fn leader_to_harm(&mut self, cluster: &DemoCluster, verb: &str, by: By) -> Option<(usize, u64)> {
        let away = (0..cluster.layout.nodes.len())
            .find(|position| cluster.condition(*position) != Condition::Up)
            .map(|position| cluster.layout.nodes[position].name.clone());
        let Some(leader) = cluster.leader() else {
            if by == By::You {
                self.note(format!("you: nothing {verb}, there is no leader right now"));
            }
            return None;
        };
        if let Some(name) = away {
            self.note(format!("{by}: not {verb}, {name} is away: no majority left"));
            return None;
        }
        Some(leader)
    }

    /// Resumes and restarts everything.
    ///
    /// # Errors
    /// A killed node cannot be started again.
    pub fn heal(&mut self, cluster: &mut DemoCluster) -> Result<(), String> {
        self.restarts.clear();
        for position in 0..cluster.layout.nodes.len() {
            if cluster.condition(position) != Condition::Up {
                cluster.heal(position)?;
                self.note(format!("healed {}", cluster.layout.nodes[position].name));
            }
        }
        Ok(())
    }

    fn watch_election(&mut self, cluster: &DemoCluster) {
        let Some((since, old_term)) = self.open else {
            return;
        };
        if let Some((position, term)) = cluster.leader()
            && term > old_term
        {
            let milliseconds = since.elapsed().as_millis() as u64;
            self.open = None;
            self.failover_ms.push(milliseconds);
            let name = &cluster.layout.nodes[position].name;
            self.note(format!(
                "{name} leads term {term}, {milliseconds} ms after the kill"
            ));
        }
    }

    fn note(&mut self, text: String) {
        self.events.push((self.elapsed(), text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_kills_at_least_twice_and_never_at_the_end() {
        let check = |seconds: u64, kills: usize| {
            let length = Duration::from_secs(seconds);
            let chaos = Chaos::plan(length);
            assert_eq!(chaos.due.len(), kills, "{seconds} s");
            assert!(
                chaos.due.windows(2).all(|pair| pair[0] > pair[1]),
                "the next one is last"
            );
            let last = *chaos.due.first().expect("at least two");
            assert!(last < length, "{seconds} s");
        };
        check(4, 2);
        check(6, 2);
        check(20, 3);
        check(60, 10);
    }
}
