//! Where and with what a run was made.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::servers::{redis, repligo};
use crate::install::peer_program;
use crate::run::root;

/// Machine, versions, command.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Facts {
    /// The command that was run.
    pub command: String,
    /// Repeats of each pair.
    pub repeats: u32,
    /// Day, in UTC.
    pub date: String,
    /// Processor, cores, memory.
    pub machine: String,
    /// Kernel and distribution.
    pub system: String,
    /// Processes that wanted to run on average in the minute before (load average).
    pub load_average: String,
    /// Name and version of each program.
    pub versions: Vec<(String, String)>,
    /// How long the run took, in seconds.
    pub seconds: f64,
}

impl Facts {
    /// Asks the machine and the programs.
    pub fn gather(command: String, repeats: u32) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str, separator: char| {
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(separator));
            value.map_or_else(String::new, |(_, value)| {
                value.trim().trim_matches('"').to_owned()
            })
        };
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let kib: u64 = field(&read("/proc/meminfo"), "MemTotal", ':')
            .trim_end_matches(" kB")
            .parse()
            .unwrap_or(0);
        Self {
            command,
            repeats,
            date: first_line(Command::new("date").args(["-u", "+%Y-%m-%d"])),
            machine: format!(
                "{}, {cores} cores, {} GiB of memory",
                field(&read("/proc/cpuinfo"), "model name", ':'),
                kib >> 20
            ),
            system: format!(
                "Linux {}, {}",
                read("/proc/sys/kernel/osrelease").trim(),
                field(&read("/etc/os-release"), "PRETTY_NAME", '=')
            ),
            load_average: read("/proc/loadavg")
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned(),
            versions: versions(),
            seconds: 0.0,
        }
    }
}

fn versions() -> Vec<(String, String)> {
    let revision = first_line(
        Command::new("git")
            .args(["describe", "--always", "--dirty"])
            .current_dir(root()),
    );
    let repligo = first_line(Command::new(repligo::binary()).arg("version"));
    let mut found = vec![("Repligo".to_owned(), format!("{repligo}, revision {revision}"))];
    let mut add = |name: &str, program: &str, argument: &str| {
        let line = first_line(
            Command::new(program)
                .env("LD_LIBRARY_PATH", crate::install::peer_libraries())
                .arg(argument),
        );
        found.push((name.to_owned(), line));
    };
    add("Redis", &redis::binary(), "--version");
    add("redis-benchmark", "redis-benchmark", "--version");
    add("memcached", &peer_program("memcached"), "-V");
    add("etcd", &peer_program("etcd"), "--version");
    found
}

fn first_line(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&output);
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}
