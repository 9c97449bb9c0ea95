//! `repligo dev`: a cluster of node processes on this machine, in the foreground.
//!
//! It starts every node once. It never restarts one and does not exit when one dies: killing, pausing and
//! restarting nodes is the business of whoever reads `cluster.json`. At the end it stops all nodes, also
//! those that others have restarted.

mod cores;
pub mod layout;
mod secrets;
mod used;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, ExitCode};
use std::time::{Duration, Instant};

use clap::ArgMatches;

use super::process::{self, NodeSpec, Unready};
use super::signals::StopFlag;
use layout::{Layout, LayoutOptions};

/// Between two looks at the nodes.
const POLL: Duration = Duration::from_millis(50);
/// After this time without readiness, say what is missing.
const PATIENCE: Duration = Duration::from_secs(10);

/// `repligo dev …`.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let options = LayoutOptions {
        nodes: *matches.get_one::<u16>("nodes").expect("clap has a default"),
        base_port: *matches.get_one::<u16>("base-port").expect("clap has a default"),
        dir: matches
            .get_one::<String>("dir")
            .expect("clap has a default")
            .into(),
        durability: matches.get_one::<String>("durability").cloned(),
        config: matches.get_one::<String>("config").map(Into::into),
        extra: matches
            .get_many::<String>("extra")
            .map(|flags| flags.cloned().collect())
            .unwrap_or_default(),
    };
    let stop = match StopFlag::install() {
        Ok(stop) => stop,
        Err(error) => return super::fail(super::FAILED, format_args!("signals cannot be caught: {error}")),
    };
    let layout = match Layout::plan(&options) {
        Ok(layout) => layout,
        Err(text) => return super::fail(super::WRONG_USAGE, text),
    };
    for warning in &layout.warnings {
        eprintln!("repligo dev: {warning}");
    }
    if let Err(text) = used::check(&layout.dir, options.nodes) {
        return super::fail(super::WRONG_USAGE, text);
    }
    if let Some(text) = used::growth(&layout.dir, options.nodes) {
        eprintln!("repligo dev: {text}");
    }
    let _lock = match layout.prepare() {
        Ok(lock) => lock,
        Err(text) => return super::fail(super::FAILED, text),
    };
    if let Err(text) = layout.check_addresses() {
        return super::fail(super::FAILED, text);
    }
    let mut cluster = Cluster::new(layout);
    let code = match cluster.start() {
        Ok(()) => cluster.watch(&stop),
        Err(text) => super::fail(super::FAILED, text),
    };
    cluster.stop();
    code
}

struct Cluster {
    layout: Layout,
    children: Vec<Option<Child>>,
}

impl Cluster {
    fn new(layout: Layout) -> Cluster {
        let children = layout.nodes.iter().map(|_| None).collect();
        Cluster { layout, children }
    }

    fn start(&mut self) -> Result<(), String> {
        for (spec, slot) in self.layout.nodes.iter().zip(&mut self.children) {
            let child = spec.spawn(libc::SIGTERM).map_err(|error| {
                format!(
                    "node {} cannot be started: {error}\n  where: {}",
                    spec.name, spec.argv[0]
                )
            })?;
            *slot = Some(child);
        }
        Ok(())
    }

    /// Waits for readiness, then for a signal.
    fn watch(&mut self, stop: &StopFlag) -> ExitCode {
        let started = Instant::now();
        let mut announced: Option<Instant> = None;
        let mut warned = false;
        let mut told = BTreeSet::new();
        while !stop.is_set() {
            let died = self.report_deaths();
            if let Some(since) = announced {
                // A node serves before its databases have answered for the first time.
                if self.layout.is_mapped() && since.elapsed() < PATIENCE {
                    tell_origins(&self.waiting(), &mut told);
                }
                for spec in &died {
                    eprintln!(
                        "repligo dev: to start {} again: {}",
                        spec.name,
                        spec.command_line()
                    );
                }
            } else {
                if !died.is_empty() {
                    // Before `cluster.json` is there nobody else knows how to start it again.
                    return super::fail(super::FAILED, did_not_start(&died));
                }
                let waiting = self.waiting();
                tell_origins(&waiting, &mut told);
                if waiting.is_empty() {
                    announced = Some(Instant::now());
                    if let Err(text) = self.announce() {
                        return super::fail(super::FAILED, text);
                    }
                } else if !warned && started.elapsed() > PATIENCE {
                    warned = true;
                    let logs = self.layout.dir.join("NAME.log");
                    eprintln!("repligo dev: still waiting; see {}", logs.display());
                    for (name, reason) in &waiting {
                        eprintln!("  {name}: {reason}");
                    }
                }
            }
            std::thread::sleep(POLL);
        }
        ExitCode::SUCCESS
    }

    /// Process of a node: our child while it lives, or one that others started in its place.
    fn pid(&self, position: usize) -> Option<u32> {
        let child = self.children[position].as_ref().map(Child::id);
        child.or_else(|| self.layout.nodes[position].running_pid())
    }

    /// Names of the nodes that are not ready, with why.
    fn waiting(&self) -> Vec<(String, Unready)> {
        let nodes = self.layout.nodes.iter().enumerate();
        nodes
            .filter_map(|(position, spec)| Some((spec.name.clone(), spec.unready(self.pid(position))?)))
            .collect()
    }

    /// Tells of the nodes that have ended since the last look, and returns them.
    fn report_deaths(&mut self) -> Vec<NodeSpec> {
        let mut died = Vec::new();
        for (spec, slot) in self.layout.nodes.iter().zip(&mut self.children) {
            if let Some(child) = slot
                && let Ok(Some(status)) = child.try_wait()
            {
                eprintln!(
                    "repligo dev: node {} (pid {}) ended: {status}",
                    spec.name,
                    child.id()
                );
                if !status.success() && std::os::unix::process::ExitStatusExt::signal(&status).is_none() {
                    eprintln!("{}", spec.log_tail(8));
                }
                *slot = None;
                died.push(spec.clone());
            }
        }
        died
    }

    fn announce(&self) -> Result<(), String> {
        let path = self.layout.write_cluster_file(|position| self.pid(position))?;
        let nodes: Vec<String> = self
            .layout
            .nodes
            .iter()
            .map(|spec| format!("{}={}", spec.name, spec.resp))
            .collect();
        super::print(format_args!(
            "repligo dev ready {} cluster={}\n",
            nodes.join(" "),
            shown(&path)
        ));
        Ok(())
    }

    fn stop(&mut self) {
        for name in process::stop_all(&self.layout.nodes, &mut self.children) {
            eprintln!("repligo dev: node {name} did not stop in time and was killed");
        }
    }
}

/// Tells at once of databases that cannot be used, each reason once: unlike missing nodes, they do not come by waiting.
fn tell_origins(waiting: &[(String, Unready)], told: &mut BTreeSet<String>) {
    for (_, reason) in waiting {
        if let Unready::Origin(reason) = reason
            && told.insert(reason.clone())
        {
            eprintln!("repligo dev: plain keys are served, mapped ones are not: {reason}");
        }
    }
}

fn did_not_start(died: &[NodeSpec]) -> String {
    let names: Vec<&str> = died.iter().map(|spec| spec.name.as_str()).collect();
    let logs: Vec<String> = died.iter().map(|spec| spec.log.display().to_string()).collect();
    format!(
        "the cluster did not start, because {} ended\n  where: {}\n  do: remove the cause that is told above, and \
         start again",
        names.join(", "),
        logs.join(", ")
    )
}

fn shown(path: &Path) -> std::path::Display<'_> {
    path.display()
}
