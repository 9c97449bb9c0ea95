//! The servers that are measured: ours and the installed peers, each on free ports of loopback with its
//! data in the run's folder. Options that differ from a server's defaults stand in its file, with the reason.

pub mod constant;
pub mod etcd;
pub mod memcached;
pub mod redis;
pub mod repligo;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::process::{Server, run_folder};
use crate::run::{Failure, Outcome};

/// A folder for one server's data that no other server of this run has.
fn fresh_folder(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    run_folder().join(format!("{number}-{name}"))
}

/// What servers show to clients over TLS, and what clients believe: PEM files of this run.
#[derive(Clone, Debug)]
pub struct Pki {
    folder: PathBuf,
}

impl Pki {
    /// An authority and a certificate for loopback, made by `repligo cert`.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn fresh() -> Outcome<Self> {
        let folder = fresh_folder("pki");
        let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", folder.display()));
        std::fs::create_dir_all(&folder).map_err(failed)?;
        for words in [&["ca"][..], &["server", "--name", "localhost", "127.0.0.1"]] {
            let mut command = std::process::Command::new(repligo::binary());
            command.arg("cert").args(words).current_dir(&folder);
            let output = command.output().map_err(failed)?;
            if !output.status.success() {
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                return Err(Failure::new(format!("repligo cert: {text}")));
            }
        }
        Ok(Self { folder })
    }

    /// The authority's certificate.
    pub fn authority(&self) -> String {
        self.file("ca.crt")
    }

    /// The server's certificate.
    pub fn certificate(&self) -> String {
        self.file("localhost.crt")
    }

    /// Its key.
    pub fn key(&self) -> String {
        self.file("localhost.key")
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }
}

/// Processes that serve together, such as the three nodes of a cluster.
#[derive(Debug)]
pub struct Group {
    /// In order of start; whoever clients talk to is `entry`.
    pub servers: Vec<Server>,
    /// Ports for clients, in the same order.
    pub ports: Vec<u16>,
    /// Index of the server that clients talk to.
    pub entry: usize,
}

impl Group {
    /// The port that clients talk to.
    pub fn port(&self) -> u16 {
        self.ports[self.entry]
    }

    /// The server that clients talk to.
    pub fn server(&self) -> &Server {
        &self.servers[self.entry]
    }

    /// All processes, for what they spend together.
    pub fn all(&self) -> Vec<&Server> {
        self.servers.iter().collect()
    }

    /// Stops all and removes their data.
    pub fn stop(&mut self) {
        for server in &mut self.servers {
            server.stop();
        }
    }
}
