//! What `dev` (and `demo`) will start: names, ports, folders and full command lines, and `cluster.json`.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cores;
use super::secrets::{self, PASSWORD_FILE, take_password};
use crate::cli::process::{AdminToken, NodeSpec};
use crate::cli::{args, holder, ports};
use crate::config::error::Problems;
use crate::config::keys::KEYS;
use crate::config::layers::{Environment, Sources};
use crate::config::refusals::{ADMIN_PORT_OFFSET, PEER_PORT_OFFSET};
use crate::config::{self, NodeSettings};
use crate::private;

/// Name of the file that scripts read.
pub const CLUSTER_FILE: &str = "cluster.json";

/// Locked by the process that uses the folder.
pub const LOCK_FILE: &str = "dev.lock";

/// What was asked for.
#[derive(Clone, Debug, Default)]
pub struct LayoutOptions {
    /// Number of nodes.
    pub nodes: u16,
    /// RESP port of the first; 0 for free ones.
    pub base_port: u16,
    /// Folder for everything.
    pub dir: PathBuf,
    /// `--durability` of every node.
    pub durability: Option<String>,
    /// `--config` of every node.
    pub config: Option<PathBuf>,
    /// Further flags of every node.
    pub extra: Vec<String>,
}

/// The nodes to start.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Absolute.
    pub dir: PathBuf,
    /// In order of their names.
    pub nodes: Vec<NodeSpec>,
    /// What is ignored and worth a line.
    pub warnings: Vec<String>,
    /// Password of the nodes, which stands in a file and on no command line.
    password: Option<String>,
    /// File with the secret of the cluster, if `dev` is to make one.
    secret: Option<PathBuf>,
}

/// `cluster.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterFile {
    /// Every node.
    pub nodes: Vec<ClusterNode>,
}

/// One node of `cluster.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterNode {
    /// Its name.
    pub name: String,
    /// Its process when the file was written.
    pub pid: u32,
    /// `IP:PORT` for clients.
    pub resp: String,
    /// `IP:PORT` for nodes.
    pub peer: String,
    /// `IP:PORT` of admin HTTP.
    pub admin: String,
    /// Absolute.
    pub data_dir: PathBuf,
    /// Program and arguments that start this node again; need no environment.
    pub argv: Vec<String>,
}

impl Layout {
    /// Chooses ports and builds command lines, and checks the flags as `serve` would, so that a mistake is
    /// reported here and not in three logs.
    ///
    /// # Errors
    /// What is wrong and what to do.
    pub fn plan(options: &LayoutOptions) -> Result<Layout, String> {
        let warnings = check_environment()?;
        let dir = absolute(&options.dir)?;
        let addresses = addresses(options)?;
        let program =
            std::env::current_exe().map_err(|error| format!("own program is not known: {error}"))?;
        let line: Vec<String> = (1..)
            .zip(&addresses)
            .map(|(number, node)| format!("n{number}={}", node[1]))
            .collect();
        let mut common = vec![];
        if options.nodes > 1 {
            common.extend(["--cluster".to_string(), line.join(",")]);
        }
        if let Some(durability) = &options.durability {
            common.extend(["--durability".to_string(), durability.clone()]);
        }
        if let Some(config) = &options.config {
            common.extend(["--config".to_string(), absolute(config)?.display().to_string()]);
        }
        common.extend(from_environment(&options.extra, options.durability.is_some()));
        common.extend(options.extra.iter().cloned());
        common.extend(cores::flags(options.nodes.into(), &common));
        let secret = secrets::cluster_secret(&dir, &common).filter(|_| options.nodes > 1);
        if let Some(file) = &secret {
            common.extend(["--cluster-secret-file".to_string(), file.display().to_string()]);
        }
        let mut nodes: Vec<NodeSpec> = (1..)
            .zip(addresses)
            .map(|(number, [resp, peer, admin])| {
                let name = format!("n{number}");
                let data_dir = dir.join(&name);
                let mut argv = vec![program.display().to_string(), "serve".into()];
                argv.extend(["--name".into(), name.clone()]);
                argv.extend(["--listen".into(), resp.to_string()]);
                argv.extend(["--peer-listen".into(), peer.to_string()]);
                argv.extend(["--admin-listen".into(), admin.to_string()]);
                argv.extend(["--data-dir".into(), data_dir.display().to_string()]);
                argv.extend(common.iter().cloned());
                NodeSpec {
                    log: dir.join(format!("{name}.log")),
                    name,
                    resp,
                    peer,
                    admin,
                    data_dir,
                    argv,
                    admin_token: None,
                }
            })
            .collect();
        for node in &mut nodes {
            node.admin_token = check(node)?.admin_token.map(AdminToken);
        }
        let file = dir.join(PASSWORD_FILE).display().to_string();
        let mut password = None;
        for node in &mut nodes {
            password = take_password(&mut node.argv, &file);
        }
        Ok(Layout {
            dir,
            nodes,
            warnings,
            password,
            secret,
        })
    }

    /// Whether the nodes have a configuration file, so that they may have databases.
    pub fn is_mapped(&self) -> bool {
        let names_file = |word: &String| word == "--config" || word.starts_with("--config=");
        self.nodes.iter().any(|node| node.argv.iter().any(names_file))
    }

    /// Makes the folder, takes it for this process, and removes what an earlier run said about itself.
    ///
    /// # Errors
    /// Another `dev` runs there, or the folder cannot be written.
    pub fn prepare(&self) -> Result<File, String> {
        let failed = |what: &str, error: std::io::Error| {
            format!(
                "{what}: {error}\n  where: {}\n  do: give a writable folder with --dir",
                self.dir.display()
            )
        };
        private::create_dir_all(&self.dir).map_err(|error| failed("the folder cannot be made", error))?;
        let lock = private::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.dir.join(LOCK_FILE))
            .map_err(|error| failed("the folder cannot be written", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!(
                    "another `repligo dev` or `demo` runs here\n  where: {}\n  do: stop it, or give another --dir",
                    self.dir.display()
                ));
            }
            Err(TryLockError::Error(error)) => return Err(failed("the folder cannot be locked", error)),
        }
        if let Some(password) = &self.password {
            private::write(&self.dir.join(PASSWORD_FILE), password)
                .map_err(|error| failed("the password cannot be kept", error))?;
        }
        if let Some(secret) = &self.secret {
            secrets::keep_secret(secret).map_err(|error| failed("the secret cannot be kept", error))?;
        }
        match std::fs::remove_file(self.dir.join(CLUSTER_FILE)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed("the old cluster.json cannot be removed", error))
            }
            _ => Ok(lock),
        }
    }

    /// Refuses to start where a node could not listen: told here once, and not in the logs of those nodes.
    ///
    /// # Errors
    /// Every address that is taken, by whom, and what to do.
    pub fn check_addresses(&self) -> Result<(), String> {
        let is_cluster = self.nodes.len() > 1;
        let mut taken = Vec::new();
        for node in &self.nodes {
            let used = node
                .addresses()
                .into_iter()
                .filter(|(what, _)| is_cluster || *what != "peer");
            for (what, address) in used {
                if let Err(error) = TcpListener::bind(address) {
                    let holder = holder::of_address(address);
                    let holder = holder.map_or_else(String::new, |holder| format!(", held by {holder}"));
                    taken.push(format!(
                        "  where: {address} ({what} of {}): {error}{holder}",
                        node.name
                    ));
                }
            }
        }
        if taken.is_empty() {
            return Ok(());
        }
        Err(format!(
            "some nodes could not listen, so none was started\n{}\n  do: stop what listens there, or give another \
             --base-port (0 picks free ports)",
            taken.join("\n")
        ))
    }

    /// Writes `cluster.json` beside its place and renames it, so that nobody reads half of it.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write_cluster_file(&self, pid: impl Fn(usize) -> Option<u32>) -> Result<PathBuf, String> {
        let nodes = self
            .nodes
            .iter()
            .enumerate()
            .map(|(position, spec)| ClusterNode {
                name: spec.name.clone(),
                pid: pid(position).unwrap_or(0),
                resp: spec.resp.to_string(),
                peer: spec.peer.to_string(),
                admin: spec.admin.to_string(),
                data_dir: spec.data_dir.clone(),
                argv: spec.argv.clone(),
            })
            .collect();
        let json = serde_json::to_string_pretty(&ClusterFile { nodes })
            .expect("strings and numbers always serialize");
        let path = self.dir.join(CLUSTER_FILE);
        let temporary = self.dir.join("cluster.json.tmp");
        private::write(&temporary, json + "\n")
            .and_then(|()| std::fs::rename(&temporary, &path))
            .map_err(|error| {
                format!(
                    "cluster.json cannot be written: {error}\n  where: {}",
                    path.display()
                )
            })?;
        Ok(path)
    }
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("the path {} is not usable: {error}", path.display()))
}

/// RESP, peer and admin address of each node.
fn addresses(options: &LayoutOptions) -> Result<Vec<[SocketAddr; 3]>, String> {
    let on_loopback = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if options.base_port == 0 {
        let free = ports::free(usize::from(options.nodes) * 3)
            .map_err(|error| format!("{error}\n  do: stop something, or give --base-port"))?;
        return Ok(free
            .chunks_exact(3)
            .map(|three| [three[0], three[1], three[2]].map(on_loopback))
            .collect());
    }
    (0..options.nodes)
        .map(|number| {
            let port = options.base_port.checked_add(number);
            let peer = port.and_then(|port| port.checked_add(PEER_PORT_OFFSET));
            match (port, peer) {
                (Some(port), Some(peer)) => Ok([port, peer, port + ADMIN_PORT_OFFSET].map(on_loopback)),
                _ => Err(format!(
                    "the peer ports would be above 65535\n  where: --base-port {}\n  do: choose {} or a lower one",
                    options.base_port,
                    65_536 - u32::from(PEER_PORT_OFFSET) - u32::from(options.nodes)
                )),
            }
        })
        .collect()
}

/// What is wrong or ignored in the variables that every node gets as flags.
fn check_environment() -> Result<Vec<String>, String> {
    let all: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let mut problems = Vec::new();
    let environment = Environment::read(&all, &mut problems);
    match problems.as_slice() {
        [] => Ok(environment.warnings),
        _ => Err(Problems(problems).to_string()),
    }
}

/// Nodes see no variables of ours, so what was set for all of them becomes flags. A flag that was given
/// wins, as everywhere.
fn from_environment(extra: &[String], has_durability: bool) -> Vec<String> {
    let mut flags = Vec::new();
    for key in KEYS.iter().filter(|key| !key.per_node && key.name != "cluster") {
        let flag = format!("--{}", key.name);
        let is_given = |flag: &str| {
            let mut words = extra.iter();
            words.any(|word| word == flag || word.starts_with(&format!("{flag}=")))
        };
        let is_password = key.name.starts_with("requirepass");
        let given = (key.name == "durability" && has_durability)
            || is_given(&flag)
            || is_password && (is_given("--requirepass") || is_given("--requirepass-file"));
        let Ok(text) = std::env::var(key.environment()) else {
            continue;
        };
        if given {
            continue;
        }
        if !key.is_switch() {
            flags.extend([flag, text]);
        } else if text == "true" || text == "1" || text == "yes" {
            flags.push(flag);
        }
    }
    flags
}

/// Reads the command line of a node as the node will. Whoever starts it asks it over plain admin HTTP.
fn check(node: &NodeSpec) -> Result<NodeSettings, String> {
    let words = std::iter::once("repligo".into()).chain(node.argv[1..].iter().map(OsString::from));
    let matches = args::parse(words).map_err(|error| error.to_string().trim_end().to_string())?;
    let serve = matches
        .subcommand_matches("serve")
        .ok_or("only flags of `serve` may stand after --")?;
    let sources = Sources {
        environment: Vec::new(),
        ..args::node_sources(serve)?
    };
    let (settings, _) = config::load(&sources).map_err(|problems| problems.to_string())?;
    match settings.admin_tls {
        None => Ok(settings),
        Some(_) => Err(
            "the nodes of `dev` are asked over plain admin HTTP on this machine\n  where: \
                        --admin-tls-cert\n  do: leave it out, or start the nodes with `serve`"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(base_port: u16) -> LayoutOptions {
        LayoutOptions {
            nodes: 3,
            base_port,
            dir: "some/dir".into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_fixed_base_port_gives_the_documented_ports() {
        let layout = Layout::plan(&options(7001)).expect("valid");
        let second = &layout.nodes[1];
        assert_eq!(second.name, "n2");
        assert_eq!(second.resp.port(), 7002);
        assert_eq!(second.peer.port(), 17002);
        assert_eq!(second.admin.port(), 8002);
        assert!(second.data_dir.is_absolute() && second.data_dir.ends_with("some/dir/n2"));
        assert!(Path::new(&second.argv[0]).is_absolute());
        let line = second
            .argv
            .iter()
            .position(|word| word == "--cluster")
            .expect("cluster line")
            + 1;
        assert_eq!(
            second.argv[line],
            "n1=127.0.0.1:17001,n2=127.0.0.1:17002,n3=127.0.0.1:17003"
        );
    }

    #[test]
    fn a_single_node_has_no_cluster_line() {
        let single = LayoutOptions {
            nodes: 1,
            durability: Some("none".into()),
            ..options(0)
        };
        let layout = Layout::plan(&single).expect("none is allowed on a single node");
        assert!(!layout.nodes[0].argv.iter().any(|word| word == "--cluster"));
    }

    #[test]
    fn a_password_stands_on_no_command_line() {
        for extra in [vec!["--requirepass", "hunter2"], vec!["--requirepass=hunter2"]] {
            let extra = extra.into_iter().map(str::to_owned).collect();
            let layout = Layout::plan(&LayoutOptions { extra, ..options(0) }).expect("valid");
            assert_eq!(layout.password.as_deref(), Some("hunter2"));
            for node in &layout.nodes {
                let line = node.argv.join(" ");
                assert!(
                    !line.contains("hunter2") && line.contains("--requirepass-file /"),
                    "{line}"
                );
            }
        }
    }

    #[test]
    fn mistakes_are_found_before_anything_starts() {
        let check = |change: fn(&mut LayoutOptions), part: &str| {
            let mut options = options(0);
            change(&mut options);
            let text = Layout::plan(&options).expect_err("refused");
            assert!(text.contains(part), "no `{part}` in\n{text}");
        };
        check(
            |options| options.base_port = 60_000,
            "choose 55533 or a lower one",
        );
        Layout::plan(&options(55_533)).expect("the bound that is told is allowed");
        check(
            |options| options.durability = Some("none".into()),
            "refused in a cluster",
        );
        check(|options| options.extra = vec!["--lisen".into()], "--lisen");
        check(
            |options| options.extra = vec!["--maxclients".into(), "0".into()],
            "whole number",
        );
        check(
            |options| options.extra = vec!["--name".into(), "x".into()],
            "--name",
        );
    }

    #[test]
    fn cluster_json_has_the_documented_form_and_one_owner() {
        let dir = std::env::temp_dir().join(format!("repligo-layout-{}", std::process::id()));
        let layout = Layout::plan(&LayoutOptions {
            dir: dir.clone(),
            ..options(0)
        })
        .expect("valid");
        let lock = layout.prepare().expect("free");
        assert!(
            layout
                .prepare()
                .expect_err("taken")
                .contains("another `repligo dev`")
        );
        let path = layout
            .write_cluster_file(|position| Some(100 + position as u32))
            .expect("writable");
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).expect("file")).expect("JSON");
        let node = &json["nodes"][2];
        assert_eq!(node["name"], "n3");
        assert_eq!(node["pid"], 102);
        for field in ["resp", "peer", "admin", "data_dir"] {
            assert!(node[field].is_string(), "{field}");
        }
        assert_eq!(node["argv"][1], "serve");
        drop(lock);
        let _ = std::fs::remove_dir_all(&dir);
    }
}
