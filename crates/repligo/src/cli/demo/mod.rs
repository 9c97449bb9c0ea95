//! `repligo demo`: three nodes, a database, a workload, a killed leader, and a verdict.
//!
//! Everything that counts happens in other processes: nodes are `repligo serve`, clients are
//! `repligo demo-client`. This process kills, watches, and at the end judges from the history file, the
//! nodes and the database alone.

pub mod chaos;
pub mod check;
pub mod client;
pub mod cluster;
pub mod database;
pub mod folder;
pub mod history;
pub mod stay;
pub mod terminal;
pub mod verdict;
pub mod view;
pub mod workload;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ArgMatches;

use super::dev::layout::{Layout, LayoutOptions};
use super::signals::StopFlag;
use chaos::{By, Chaos};
use cluster::DemoCluster;
use database::DemoDatabase;
use folder::DemoFolder;
use history::Ledger;
use verdict::Verdict;
use view::{View, Wish};
use workload::Workload;

const NODES: u16 = 3;
const START_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);
/// Exit code after ^C, as shells have it.
const INTERRUPTED: u8 = 130;

/// `repligo demo …`.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let stop = match StopFlag::install() {
        Ok(stop) => stop,
        Err(error) => return super::fail(super::FAILED, format_args!("signals cannot be caught: {error}")),
    };
    let length = Duration::from_secs(*matches.get_one::<u64>("seconds").expect("clap has a default"));
    let asked = matches.get_one::<String>("dir").map(String::as_str);
    let mut folder = match DemoFolder::open(asked, matches.get_flag("overwrite")) {
        Ok(folder) => folder,
        Err(text) => return super::fail(super::WRONG_USAGE, text),
    };
    let database = match DemoDatabase::prepare(
        matches.get_one::<String>("origin").map(String::as_str),
        &folder.path,
    ) {
        Ok(database) => database,
        Err(text) => return super::fail(super::WRONG_USAGE, text),
    };
    let is_given = matches.contains_id("origin");
    let mut demo = Demo {
        stop,
        length,
        view: View::new(matches.get_flag("headless")),
    };
    let ran = demo.run(&folder, &database);
    // The screen is given back before anything is printed.
    drop(demo.view);
    let ended = match ran {
        Ok(Some((verdict, cluster))) => {
            conclude(&verdict, &mut folder);
            if is_given {
                eprintln!("repligo demo: {}", database.left_behind());
            }
            let stay = matches.get_flag("stay").then_some(&demo.stop);
            end(cluster, &verdict, stay)
        }
        Ok(None) => return super::fail(INTERRUPTED, "interrupted; nothing was judged"),
        Err(text) => Err(text),
    };
    ended.unwrap_or_else(|text| {
        folder.keep();
        let folder = folder.path.display();
        super::fail(
            super::FAILED,
            format_args!("{text}\n  where: logs and data are kept in {folder}"),
        )
    })
}

/// Says the verdict: words to stderr, the line for scripts to stdout.
fn conclude(verdict: &Verdict, folder: &mut DemoFolder) {
    if !verdict.is_good() {
        folder.keep();
        for word in &verdict.findings.words {
            eprintln!("repligo demo: {word}");
        }
        let path = folder.path.display();
        eprintln!("repligo demo: logs, data and history are kept in {path}");
    }
    for line in verdict.words() {
        eprintln!("{line}");
    }
    super::print(format_args!("{}\n", verdict.json()));
}

/// Stops the nodes, with `--stay` only after a signal.
fn end(mut cluster: DemoCluster, verdict: &Verdict, stay: Option<&StopFlag>) -> Result<ExitCode, String> {
    if let Some(stop) = stay {
        let mapped = verdict.ledger.keys.iter().filter(|(_, fate)| fate.row.is_some());
        let key = mapped.map(|(key, _)| key.as_str()).min();
        for line in stay::hints(&cluster, key) {
            eprintln!("{line}");
        }
        stay::wait(&mut cluster, stop)?;
    }
    for name in cluster.stop() {
        eprintln!("repligo demo: node {name} did not stop in time and was killed");
    }
    Ok(if verdict.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(super::FAILED)
    })
}

struct Demo {
    stop: StopFlag,
    length: Duration,
    view: View,
}

/// The verdict with the cluster that still runs, or `None` when it was interrupted.
type Ran = Option<(Verdict, DemoCluster)>;

impl Demo {
    fn run(&mut self, folder: &DemoFolder, database: &DemoDatabase) -> Result<Ran, String> {
        let config = folder.file("demo.toml");
        std::fs::write(&config, database.configuration()).map_err(|error| format!("demo.toml: {error}"))?;
        let layout = Layout::plan(&LayoutOptions {
            nodes: NODES,
            base_port: 0,
            dir: folder.path.clone(),
            config: Some(config),
            ..Default::default()
        })?;
        let _lock = layout.prepare()?;
        self.view
            .say(&format!("starting {NODES} nodes in {}", folder.path.display()));
        let mut cluster = DemoCluster::start(layout)?;
        if !self.wait_until_serving(&mut cluster)? {
            return Ok(None);
        }
        let history = folder.file("history.jsonl");
        let addresses: Vec<String> = cluster
            .layout
            .nodes
            .iter()
            .map(|node| node.resp.to_string())
            .collect();
        self.view.say(&view::attach_line(&cluster.addresses()));
        let mut workload = Workload::start(&addresses, &history, database.first_row)?;
        let mut chaos = Chaos::plan(self.length);
        let finished = self.drive(&mut cluster, &mut workload, &mut chaos)?;
        let seconds = chaos.elapsed().as_secs_f64();
        if !finished {
            return Ok(None);
        }
        chaos.heal(&mut cluster)?;
        self.view.say("workload done; waiting for the clients");
        workload.stop()?;
        let progress = workload.progress();
        self.view.say("comparing every key on every node, and every row");
        if !self.wait_until_serving(&mut cluster)? {
            return Ok(None);
        }
        let replicas_equal = check::wait_until_equal(&cluster.layout.nodes)?;
        let ledger = Ledger::read(&history).map_err(|error| format!("history.jsonl: {error}"))?;
        let rows = database.rows()?;
        let mut findings = check::judge(&cluster.layout.nodes, &ledger, &rows)?;
        findings.replicas_equal = replicas_equal;
        if !replicas_equal {
            findings
                .words
                .push("the nodes do not agree on one index and digest".to_string());
        }
        for (text, count) in &ledger.refusals {
            eprintln!("repligo demo: refused {count} times: {text}");
        }
        let verdict = Verdict::new(ledger, findings, progress.reads, &chaos, seconds);
        Ok(Some((verdict, cluster)))
    }

    /// False when it was interrupted.
    fn wait_until_serving(&mut self, cluster: &mut DemoCluster) -> Result<bool, String> {
        let started = Instant::now();
        while !cluster.all_serve() {
            if self.stop.is_set() {
                return Ok(false);
            }
            if let Some(text) = cluster.fallen() {
                return Err(text);
            }
            if started.elapsed() > START_WITHIN {
                return Err(format!(
                    "the nodes do not serve after {} s",
                    START_WITHIN.as_secs()
                ));
            }
            std::thread::sleep(POLL);
        }
        Ok(true)
    }

    /// Runs the workload to its end; false when it was interrupted.
    fn drive(
        &mut self,
        cluster: &mut DemoCluster,
        workload: &mut Workload,
        chaos: &mut Chaos,
    ) -> Result<bool, String> {
        chaos.begin();
        while !chaos.is_over() {
            if self.stop.is_set() {
                return Ok(false);
            }
            match self.view.wish() {
                Some(Wish::Kill) => drop(chaos.kill_leader(cluster, By::You)),
                Some(Wish::Pause) => chaos.pause_leader(cluster),
                Some(Wish::Heal) => chaos.heal(cluster)?,
                Some(Wish::Quit) => break,
                None => {}
            }
            chaos.step(cluster)?;
            if let Some(text) = cluster.fallen() {
                return Err(text);
            }
            if workload.has_fallen() {
                return Err("a client process ended by itself".to_string());
            }
            self.view.show(cluster, chaos, &workload.progress());
            std::thread::sleep(POLL);
        }
        Ok(true)
    }
}
