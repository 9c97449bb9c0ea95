//! The threads of the origin drivers: per origin one for the lanes, one for loads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use repligo_core::origin::plan::{LaneStore, execute};
use repligo_core::origin::{Load, OriginError, OriginEvent, OriginMap, OriginRequest};

use super::sqlite::{SqliteStore, StoreSettings};
use super::{DriverIdentity, OnEvent, OriginConfig, configured, origin_of, sqlite_path};

/// Loads that go into one read transaction at most.
const LOADS_TOGETHER: usize = 1024;

/// The running drivers. Dropping them ends their threads; what is under way is finished or rolled back.
pub struct Drivers {
    map: Arc<OriginMap>,
    origins: Vec<Channels>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

struct Channels {
    lanes: Sender<OriginRequest>,
    loads: Sender<Load>,
}

impl Drivers {
    /// Starts the threads; connections are opened when they are first needed. The error says what to
    /// change.
    pub fn start(
        map: Arc<OriginMap>,
        configs: &[OriginConfig],
        identity: &DriverIdentity,
        on_event: OnEvent,
    ) -> Result<Self, String> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut new = Self {
            origins: Vec::new(),
            threads: Vec::new(),
            stop: Arc::clone(&stop),
            map: Arc::clone(&map),
        };
        for config in configured(&map, configs)? {
            let settings = StoreSettings {
                path: sqlite_path(&config.url)?,
                timeout: config.statement_timeout,
                cluster: format!("{:032x}", identity.cluster),
                owner: identity.node.clone(),
                map: Arc::clone(&map),
                stop: Arc::clone(&stop),
            };
            let (lanes, lane_requests) = channel();
            let (loads, load_requests) = channel();
            let (store, report) = (SqliteStore::new(settings.clone()), Arc::clone(&on_event));
            new.spawn(format!("origin-{}", config.name), move || {
                serve_lanes(store, &lane_requests, &report);
            })?;
            let (store, report) = (SqliteStore::new(settings), Arc::clone(&on_event));
            new.spawn(format!("loads-{}", config.name), move || {
                serve_loads(store, &load_requests, &report);
            })?;
            new.origins.push(Channels { lanes, loads });
        }
        Ok(new)
    }

    /// Hands a request to its driver; never blocks.
    pub fn submit(&self, request: OriginRequest) {
        let channels = &self.origins[origin_of(&self.map, &request)];
        // A thread that is gone has panicked, and then the process is going down.
        let _ = match request {
            OriginRequest::Load(load) => channels.loads.send(load).is_ok(),
            other => channels.lanes.send(other).is_ok(),
        };
    }

    fn spawn(&mut self, name: String, run: impl FnOnce() + Send + 'static) -> Result<(), String> {
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(run)
            .map_err(|error| format!("cannot start a thread for an origin: {error}"))?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Drivers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.origins.clear();
        for thread in self.threads.drain(..) {
            // A panic in it has been reported already.
            let _ = thread.join();
        }
    }
}

fn serve_lanes(mut store: SqliteStore, requests: &Receiver<OriginRequest>, report: &OnEvent) {
    while let Ok(request) = requests.recv() {
        report(execute(&mut store, &request));
    }
}

fn serve_loads(mut store: SqliteStore, requests: &Receiver<Load>, report: &OnEvent) {
    while let Ok(first) = requests.recv() {
        let mut waiting = vec![first];
        waiting.extend(requests.try_iter().take(LOADS_TOGETHER - 1));
        waiting.sort_by_key(|load| load.keyspace);
        for together in waiting.chunk_by(|left, right| left.keyspace == right.keyspace) {
            load_together(&mut store, together, report);
        }
    }
}

/// Loads of one keyspace in one read transaction.
fn load_together(store: &mut SqliteStore, loads: &[Load], report: &OnEvent) {
    let Some(first) = loads.first() else { return };
    let keys: Vec<Bytes> = loads.iter().map(|load| load.key.clone()).collect();
    match store.load(first.keyspace, &keys) {
        Ok(values) => {
            for (load, value) in loads.iter().zip(values) {
                report(OriginEvent::Loaded {
                    id: load.id,
                    result: Ok(value),
                });
            }
        }
        // One row that cannot be read must not fail the others; whose the database is, is one answer for all.
        Err(error)
            if loads.len() == 1 || matches!(error, OriginError::Unclaimed | OriginError::Foreign(_)) =>
        {
            for load in loads {
                report(OriginEvent::Loaded {
                    id: load.id,
                    result: Err(error.clone()),
                });
            }
        }
        Err(_) => {
            for load in loads {
                load_together(store, std::slice::from_ref(load), report);
            }
        }
    }
}
