//! Redis-rs or fred against one node over TLS, until standard input ends: `LIBRARY HOST PORT CA [CERTIFICATE KEY]`.
//!
//! Two loads run beside each other. `stays` keeps one connection and leaves it to the library to make it again;
//! `comes` connects anew for each round, so that every round is judged by the certificates of now. A round writes a
//! value and reads it back. Ten times a second a line of JSON says how many rounds each has done, what failed, and
//! how often a round was said again because the connection was gone.

mod fred_load;
mod redis_load;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// So long a round may be said again until the node is reached.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two rounds: this measures nothing.
const PAUSE: Duration = Duration::from_millis(2);

/// Where the node is, and with what it is met; PEM as it is in the files.
pub struct Target {
    host: String,
    port: u16,
    authority: Vec<u8>,
    pair: Option<(Vec<u8>, Vec<u8>)>,
}

/// Why a round did not end well.
pub enum Trouble {
    /// There was no connection, or it broke: what was under way says nothing of the node.
    Gone(String),
    /// Everything else.
    Failed(String),
}

/// One side of a load: a connection, however it is kept.
#[expect(async_fn_in_trait, reason = "one thread drives all of it")]
pub trait Client: Sized {
    /// Connects.
    async fn connect(target: &Target) -> Result<Self, Trouble>;
    /// Writes a value.
    async fn set(&mut self, key: &str, value: u64) -> Result<(), Trouble>;
    /// Reads it.
    async fn get(&mut self, key: &str) -> Result<Option<u64>, Trouble>;
    /// Says goodbye.
    async fn close(self);
}

/// What is told, ten times a second.
#[derive(Default)]
struct Report {
    rounds: BTreeMap<&'static str, u64>,
    again: u64,
    failed: Vec<String>,
}

type Shared = Arc<Mutex<Report>>;

impl Report {
    fn line(&self) -> String {
        let rounds = |name| self.rounds.get(name).copied().unwrap_or(0);
        serde_json::json!({
            "stays": rounds("stays"),
            "comes": rounds("comes"),
            "again": self.again,
            "failed": self.failed,
        })
        .to_string()
    }
}

async fn round<C: Client>(client: &mut C, key: &str, value: u64) -> Result<(), Trouble> {
    client.set(key, value).await?;
    match client.get(key).await? {
        Some(found) if found == value => Ok(()),
        found => Err(Trouble::Failed(format!("{key} is {found:?}, not {value}"))),
    }
}

/// One load, until the process ends.
async fn load<C: Client>(target: Arc<Target>, name: &'static str, report: Shared) {
    // Every process has keys of its own: nobody else writes them.
    let key = format!("{name}:{}", std::process::id());
    let (mut client, mut since, mut value) = (None::<C>, Instant::now(), 0);
    loop {
        value += 1;
        let result = async {
            let mut connected = match client.take() {
                Some(connected) => connected,
                None => C::connect(&target).await?,
            };
            let result = round(&mut connected, &key, value).await;
            client = Some(connected);
            result
        }
        .await;
        {
            let mut report = report.lock().expect("nobody panics with it");
            match result {
                Ok(()) => {
                    since = Instant::now();
                    *report.rounds.entry(name).or_default() += 1;
                }
                Err(Trouble::Gone(_)) if since.elapsed() < PATIENCE => report.again += 1,
                Err(Trouble::Gone(why)) => report.failed.push(format!("{name}: not in time: {why}")),
                Err(Trouble::Failed(why)) => report.failed.push(format!("{name}: {why}")),
            }
        }
        if name == "comes"
            && let Some(client) = client.take()
        {
            client.close().await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn drive<C: Client + 'static>(target: Target) {
    let (target, report) = (Arc::new(target), Shared::default());
    let loads = async {
        let stays = load::<C>(target.clone(), "stays", report.clone());
        let comes = load::<C>(target.clone(), "comes", report.clone());
        tokio::join!(stays, comes);
    };
    let tell = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            println!("{}", report.lock().expect("nobody panics with it").line());
        }
    };
    tokio::join!(loads, tell);
}

fn target(words: &[String]) -> Option<Target> {
    let read = |path: &String| std::fs::read(path).ok();
    let (host, port, authority, pair) = match words {
        [host, port, authority] => (host, port, authority, None),
        [host, port, authority, certificate, key] => {
            (host, port, authority, Some((read(certificate)?, read(key)?)))
        }
        _ => return None,
    };
    Some(Target {
        host: host.clone(),
        port: port.parse().ok()?,
        authority: read(authority)?,
        pair,
    })
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((library, target)) = words
        .split_first()
        .and_then(|(library, rest)| Some((library, target(rest)?)))
    else {
        eprintln!(
            "usage: repligo-client-drivers redis-rs|fred HOST PORT CA [CERTIFICATE KEY]: PEM files that can be read"
        );
        std::process::exit(2);
    };
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    // Both libraries take the provider of the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    match library.as_str() {
        "redis-rs" => runtime.block_on(drive::<redis_load::Load>(target)),
        "fred" => runtime.block_on(drive::<fred_load::Load>(target)),
        _ => {
            eprintln!("no library {library}; there are: redis-rs, fred");
            std::process::exit(2);
        }
    }
}
