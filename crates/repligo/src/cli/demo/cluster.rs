//! The three node processes of the demo: start, watch, kill, pause, heal, stop.
//!
//! Each node is watched by a thread that polls its admin port, so a paused node stalls nobody else.

use std::net::SocketAddr;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::cli::dev::layout::Layout;
use crate::cli::process::{self, AdminToken, http_get};
use crate::telemetry::report::Report;

/// Between two looks at a node.
const WATCH_EVERY: Duration = Duration::from_millis(40);
/// A report older than this says nothing about now.
const FRESH: Duration = Duration::from_millis(400);

/// What the demo did to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Its process runs.
    Up,
    /// Killed with signal 9 and not yet restarted.
    Killed,
    /// Stopped with SIGSTOP.
    Paused,
}

/// One node with what is known of it.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// What the demo did to it.
    pub condition: Condition,
    /// What it last said of itself, if that is fresh.
    pub report: Option<Report>,
}

type Seen = Arc<Mutex<Option<(Instant, Report)>>>;

/// The processes.
pub struct DemoCluster {
    /// How they are started.
    pub layout: Layout,
    children: Vec<Option<Child>>,
    conditions: Vec<Condition>,
    seen: Vec<Seen>,
    ended: Arc<AtomicBool>,
}

impl DemoCluster {
    /// Starts all nodes and their watchers. Call it from the main thread.
    ///
    /// # Errors
    /// A process cannot be started.
    pub fn start(layout: Layout) -> Result<DemoCluster, String> {
        let count = layout.nodes.len();
        let mut cluster = DemoCluster {
            layout,
            children: (0..count).map(|_| None).collect(),
            conditions: vec![Condition::Up; count],
            seen: (0..count).map(|_| Seen::default()).collect(),
            ended: Arc::new(AtomicBool::new(false)),
        };
        for position in 0..count {
            cluster.spawn(position)?;
            let (seen, ended) = (cluster.seen[position].clone(), cluster.ended.clone());
            let node = &cluster.layout.nodes[position];
            let asked = (node.admin, node.admin_token.clone());
            std::thread::spawn(move || watch(asked, &seen, &ended));
        }
        Ok(cluster)
    }

    fn spawn(&mut self, position: usize) -> Result<(), String> {
        let spec = &self.layout.nodes[position];
        let child = spec.spawn(libc::SIGKILL).map_err(|error| {
            format!(
                "node {} cannot be started: {error}\n  where: {}",
                spec.name, spec.argv[0]
            )
        })?;
        self.children[position] = Some(child);
        self.conditions[position] = Condition::Up;
        Ok(())
    }

    /// Every node as it is now.
    pub fn view(&self) -> Vec<NodeView> {
        (0..self.layout.nodes.len())
            .map(|position| self.view_of(position))
            .collect()
    }

    fn view_of(&self, position: usize) -> NodeView {
        let condition = self.conditions[position];
        let seen = self.seen[position].lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = seen
            .as_ref()
            .filter(|(at, _)| at.elapsed() < FRESH && condition == Condition::Up);
        NodeView {
            name: self.layout.nodes[position].name.clone(),
            condition,
            report: fresh.map(|(_, report)| report.clone()),
        }
    }

    /// Where clients connect, in order of the nodes.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.layout.nodes.iter().map(|node| node.resp).collect()
    }

    /// The process of a node, if it runs.
    pub fn pid(&self, position: usize) -> Option<u32> {
        self.children[position].as_ref().map(Child::id)
    }

    /// Starts nodes again whose process has ended, and returns their names.
    ///
    /// # Errors
    /// The process cannot be started again.
    pub fn restart_fallen(&mut self) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        for position in 0..self.children.len() {
            let ended = self.children[position]
                .as_mut()
                .is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_some()));
            if ended {
                self.spawn(position)?;
                names.push(self.layout.nodes[position].name.clone());
            }
        }
        Ok(names)
    }

    /// The serving leader of the newest term: its position and term.
    pub fn leader(&self) -> Option<(usize, u64)> {
        self.view()
            .iter()
            .enumerate()
            .filter_map(|(position, view)| {
                let own = view.report.as_ref()?.own()?;
                (own.role == "leader" && own.healthy).then_some((position, own.term))
            })
            .max_by_key(|(_, term)| *term)
    }

    /// Whether every node runs and says that it serves.
    pub fn all_serve(&self) -> bool {
        self.view().iter().all(|view| {
            view.condition == Condition::Up
                && view
                    .report
                    .as_ref()
                    .and_then(Report::own)
                    .is_some_and(|own| own.healthy)
        })
    }

    /// How many nodes run.
    pub fn up_count(&self) -> usize {
        self.conditions
            .iter()
            .filter(|condition| **condition == Condition::Up)
            .count()
    }

    /// Kills a node with signal 9.
    pub fn kill(&mut self, position: usize) {
        if let Some(mut child) = self.children[position].take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        *self.seen[position].lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.conditions[position] = Condition::Killed;
    }

    /// Stops a node with SIGSTOP.
    pub fn pause(&mut self, position: usize) {
        if let Some(child) = &self.children[position]
            && self.conditions[position] == Condition::Up
        {
            process::send_signal(child.id(), libc::SIGSTOP);
            self.conditions[position] = Condition::Paused;
        }
    }

    /// Resumes or restarts a node that the demo has paused or killed.
    ///
    /// # Errors
    /// The process cannot be started again.
    pub fn heal(&mut self, position: usize) -> Result<(), String> {
        match self.conditions[position] {
            Condition::Up => Ok(()),
            Condition::Killed => self.spawn(position),
            Condition::Paused => {
                if let Some(child) = &self.children[position] {
                    process::send_signal(child.id(), libc::SIGCONT);
                }
                self.conditions[position] = Condition::Up;
                Ok(())
            }
        }
    }

    /// What the demo did to a node.
    pub fn condition(&self, position: usize) -> Condition {
        self.conditions[position]
    }

    /// The first node whose process has ended by itself, with the end of its log.
    pub fn fallen(&mut self) -> Option<String> {
        for (position, slot) in self.children.iter_mut().enumerate() {
            if let Some(child) = slot
                && let Ok(Some(status)) = child.try_wait()
            {
                let spec = &self.layout.nodes[position];
                return Some(format!(
                    "node {} ended by itself: {status}\n{}",
                    spec.name,
                    spec.log_tail(8)
                ));
            }
        }
        None
    }

    /// Stops all nodes. Returns the names of those that had to be killed.
    pub fn stop(&mut self) -> Vec<String> {
        self.ended.store(true, Ordering::Relaxed);
        process::stop_all(&self.layout.nodes, &mut self.children)
    }
}

impl Drop for DemoCluster {
    fn drop(&mut self) {
        self.stop();
    }
}

fn watch((admin, token): (SocketAddr, Option<AdminToken>), seen: &Seen, ended: &AtomicBool) {
    while !ended.load(Ordering::Relaxed) {
        if let Ok((200, body)) = http_get(admin, "/api/status", token.as_ref())
            && let Ok(report) = serde_json::from_str::<Report>(&body)
        {
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), report));
        }
        std::thread::sleep(WATCH_EVERY);
    }
}
