//! One node from start to stop: listeners, disk, the worker's runtime and its tasks.
//!
//! Order of a start: settings, ports, directory, admin HTTP, then forming and serving. So a port in use
//! is told before the directory is touched, and health is visible while the node reads its disk.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use repligo_core::contract::PeerId;
use repligo_core::limits;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::directory::{Directory, open_directory};
use super::journal::log_start;
use super::listeners::{Bound, Listeners};
use super::parameters::parameters;
use super::shutdown::Shutdown;
use super::topology::Topology;
use super::{NodeConfig, NodeError, Ready, descriptors, keys};
use crate::disk::{DirectoryLock, Forming};
use crate::net::hello::{FEATURE_LEVEL, Hello};
use crate::net::links::Links;
use crate::net::tls_listener;
use crate::origin;
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::for_all_commands;
use crate::telemetry::threads::for_workers;
use crate::telemetry::{Facts, Metrics, Phase, Shared, clock, process};
use crate::tls::clients::ClientKeyStore;
use crate::tls::keys::KeyStore;
use crate::worker::alarm::Alarm;
use crate::worker::backups::Backups;
use crate::worker::drivers::{Report, Reports};
use crate::worker::formation::{Formation, Rejoin, Start};
use crate::worker::placement::Placement;
use crate::worker::{Thread, Worker, arrivals, dial, join, listener};

/// Refuses a mapping that does not fit the database. A node that is part of a cluster starts even where
/// the database is out of reach: everything without an origin can be served.
fn check_origin(config: &NodeConfig, directory: &Directory) -> Result<(), NodeError> {
    let findings = origin::check(&config.origin, &config.origins);
    if findings.is_empty() {
        return Ok(());
    }
    let formed = match directory {
        Directory::Disk(disk) => matches!(disk.0.meta().forming, Forming::Formed { .. }),
        Directory::Lock(_) | Directory::SetAside(..) => false,
    };
    if formed && !origin::reachable(&config.origins) {
        for finding in &findings {
            tracing::error!("the origin cannot be checked: {finding}");
        }
        return Ok(());
    }
    let told = findings.iter().map(|finding| {
        format!(
            "{}\n  where: {}\n  do: {}",
            finding.what, finding.place, finding.remedy
        )
    });
    Err(NodeError::Origin(told.collect::<Vec<_>>().join("\n")))
}

/// Runs one node until it has stopped cleanly (SIGTERM, SIGINT) or cannot go on.
///
/// # Errors
/// Everything that keeps a node from starting or from going on; each text names a remedy.
pub fn run(mut config: NodeConfig) -> Result<(), NodeError> {
    let topology = Topology::new(&config)?;
    let client_keys = keys::open_for_clients(&config)?;
    let peer_keys = keys::open(&config, topology.is_cluster())?;
    let audit = keys::open_audit(&config)?;
    let listeners = Listeners::bind(&config, topology.is_cluster())?;
    config.maxclients = descriptors::fit(config.maxclients)?;
    let metrics = Metrics {
        threads: for_workers(config.workers),
        ..for_all_commands()
    };
    let shared = Arc::new(Shared::new(metrics));
    let ready = listeners.ready(&config.name);
    log_start(&config, &ready);
    if let (Some(hook), Some((listener, _))) = (config.admin_hook.take(), &listeners.admin) {
        let listener = listener.try_clone();
        hook(
            listener.map_err(|source| NodeError::System {
                what: "cannot set up the admin listener",
                source,
            })?,
            shared.clone(),
        );
    }
    let directory = open_directory(&config, &topology)?;
    check_origin(&config, &directory)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .map_err(|source| NodeError::System {
            what: "cannot start the runtime",
            source,
        })?;
    let lock = runtime.block_on(serve(Setup {
        config,
        topology,
        peer_keys,
        client_keys,
        listeners,
        shared,
        ready,
        directory,
        audit,
    }))?;
    if let Some(lock) = lock {
        lock.release();
    }
    tracing::info!("stopped");
    Ok(())
}

struct Setup {
    config: NodeConfig,
    topology: Topology,
    peer_keys: Option<Arc<KeyStore>>,
    client_keys: Option<Arc<ClientKeyStore>>,
    listeners: Listeners,
    shared: Arc<Shared>,
    ready: Ready,
    directory: Directory,
    audit: Audit,
}

/// The host that clients are told. An address that stands for all interfaces is none that a client can
/// use; the one under which the other nodes reach this node is the best guess then.
fn client_host(config: &NodeConfig, topology: &Topology, ready: &Ready) -> String {
    if let Some(host) = &config.advertise {
        return host.clone();
    }
    if !ready.resp.ip().is_unspecified() {
        return ready.resp.ip().to_string();
    }
    let own = topology.is_cluster().then(|| &topology.nodes[&topology.me].1);
    let host = own.and_then(|address| Some(address.rsplit_once(':')?.0.trim_matches(['[', ']']).to_owned()));
    host.unwrap_or_else(|| "127.0.0.1".to_owned())
}

fn facts(config: &NodeConfig, topology: &Topology, ready: &Ready) -> Facts {
    let host = client_host(config, topology, ready);
    let host = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host
    };
    let clock = clock::Clock::new();
    let now = clock.now();
    Facts {
        name: config.name.clone(),
        run_id: format!(
            "{:032x}{:08x}",
            process::random_u128(),
            process::random_u128() as u32
        ),
        client_port: ready.resp.port(),
        client_address: format!("{host}:{}", ready.resp.port()),
        tls_address: ready
            .tls
            .map_or_else(String::new, |address| format!("{host}:{}", address.port())),
        listeners: ready.listeners(config.unix_socket.as_ref()),
        config_file: config.config_file.clone(),
        started_wall_ms: now.wall_ms,
        started_us: now.mono_us,
        origin: config.origin.clone(),
    }
}

fn build(setup: &mut Setup, reports: Reports) -> (Worker, Option<DirectoryLock>) {
    let Setup {
        config,
        topology,
        ready,
        ..
    } = setup;
    let for_backups = reports.clone();
    let directory = std::mem::replace(&mut setup.directory, Directory::Lock(None));
    let mut rejoin = Rejoin {
        possible: topology.has_contacts(),
        forms_none: topology.joins(),
        key: process::random_u128(),
        ..Rejoin::default()
    };
    let (disk, lock) = match directory {
        Directory::Disk(disk) => (Some(*disk), None),
        Directory::Lock(lock) => (None, lock),
        Directory::SetAside(options, lock) => {
            rejoin.key = options.key;
            rejoin.set_aside = Some((*options, lock));
            (None, None)
        }
    };
    let formation = Formation::new(Start {
        peer: topology.me,
        membership: topology.membership(),
        durability: config.durability,
        origin: config.origin.clone(),
        origins: config.origins.clone(),
        disk,
        reports,
        rejoin,
    });
    let facts = facts(config, topology, ready);
    let hello = Hello {
        feature_level: FEATURE_LEVEL,
        name: config.name.clone(),
        client_address: facts.client_address.clone(),
        voters: topology.names(),
        origin_fingerprint: config.origin.fingerprint(),
        forming: formation.state(),
    };
    let own_address = ready
        .peer
        .map_or_else(String::new, |_| topology.nodes[&topology.me].1.clone());
    // A formed node knows its members itself, and one that waits to be admitted has no place in any line.
    let is_new = formation.takes_part();
    let others = topology.others().filter(|_| is_new);
    let links = Links::new(hello, formation.identity(), own_address, others);
    let parameters = parameters(config, facts.client_port);
    let mut worker = Worker::new(facts, parameters, setup.shared.clone(), links);
    worker.guard.audit = std::mem::take(&mut setup.audit);
    worker.backups = Backups::new(for_backups);
    worker.formation = Some(formation);
    worker.line.clone_from(&config.cluster);
    (worker, lock)
}

async fn serve(mut setup: Setup) -> Result<Option<DirectoryLock>, NodeError> {
    let (reports, done) = mpsc::unbounded_channel();
    let (mut worker, lock) = build(&mut setup, reports);
    let (workers, busy_percent) = (setup.config.workers, setup.config.workers_busy_percent);
    worker.placement =
        Placement::start(workers, busy_percent, &setup.shared).map_err(|source| NodeError::System {
            what: "cannot start the I/O threads",
            source,
        })?;
    let thread = Rc::new(Thread {
        worker: RefCell::new(worker),
        gathering: RefCell::default(),
        client_keys: setup.client_keys.take(),
        peer_keys: setup.peer_keys.take(),
    });
    let me = thread.worker.borrow().links.own_peer();
    let (dialler, new_members) = mpsc::unbounded_channel();
    tokio::task::spawn_local(dial::dial_new_members(thread.clone(), new_members));
    {
        let mut worker = thread.worker.borrow_mut();
        worker.links.set_dialler(dialler);
        let state = worker.links.hello().forming;
        worker.forming_announced(me, state);
    }
    let alarm = Rc::new(Alarm::new()?);
    tokio::task::spawn_local(run_turns(thread.clone(), alarm.clone()));
    tokio::task::spawn_local(ring_for_turns(thread.clone(), alarm));
    tokio::task::spawn_local(take_reports(thread.clone(), done));
    tokio::task::spawn_local(keys::reload_on_hangup(thread.clone()));
    let admin_keys = setup.config.admin_keys.take();
    tokio::task::spawn_local(keys::watch_ends(thread.clone(), admin_keys));
    if setup.config.workers > 1 {
        tokio::task::spawn_local(arrivals::exchange_with_io_threads(thread.clone()));
    }
    let accepting = spawn_network(&thread, &setup)?;
    let stop = Stop::new(&mut setup.config)?;
    main_loop(&thread, setup, stop, accepting).await?;
    let disk = thread.worker.borrow_mut().drivers.disk.take();
    if let Some(disk) = disk {
        disk.close().map_err(|error| NodeError::Disk(error.to_string()))?;
    }
    Ok(lock)
}

fn spawn_network(thread: &Rc<Thread>, setup: &Setup) -> Result<Vec<JoinHandle<()>>, NodeError> {
    let system = |what| move |source| NodeError::System { what, source };
    let adopt = |bound: &Bound| tokio::net::TcpListener::from_std(bound.0.try_clone()?);
    if let Some(bound) = &setup.listeners.peer {
        let listener = adopt(bound).map_err(system("cannot set up the peer listener"))?;
        tokio::task::spawn_local(dial::accept_peers(thread.clone(), listener));
        let peers: Vec<PeerId> = thread
            .worker
            .borrow()
            .links
            .iter()
            .map(|link| link.peer)
            .collect();
        for peer in peers {
            tokio::task::spawn_local(dial::dial_peer(thread.clone(), peer));
        }
        tokio::task::spawn_local(join::join(thread.clone(), setup.topology.contacts()));
    }
    let mut accepting = Vec::new();
    if let Some(bound) = &setup.listeners.client {
        let listener = adopt(bound).map_err(system("cannot set up the RESP listener"))?;
        let accept = listener::accept_clients(thread.clone(), listener);
        accepting.push(tokio::task::spawn_local(accept));
    }
    if let (Some(bound), Some(keys)) = (&setup.listeners.tls, &thread.client_keys) {
        let listener = adopt(bound).map_err(system("cannot set up the TLS listener"))?;
        let admit = listener::admission(thread);
        let accept = tls_listener::accept_tls_clients(listener, keys.clone(), admit);
        accepting.push(tokio::task::spawn_local(accept));
    }
    if let Some(file) = &setup.listeners.unix {
        let listener = file.listener().and_then(tokio::net::UnixListener::from_std);
        let listener = listener.map_err(system("cannot set up the Unix socket listener"))?;
        let path = file.path().to_string_lossy().into();
        let accept = listener::accept_local_clients(thread.clone(), listener, path);
        accepting.push(tokio::task::spawn_local(accept));
    }
    Ok(accepting)
}

async fn run_turns(thread: Rc<Thread>, alarm: Rc<Alarm>) {
    loop {
        let goes_on = std::future::poll_fn(|cx| {
            let worker = &mut *thread.worker.borrow_mut();
            worker.turn.set_waker(cx);
            if worker.turn.is_due() {
                let executed_ns = thread.gathering.borrow_mut().execute(worker);
                if let Some(at_us) = worker.run_turn(executed_ns.unwrap_or_else(clock::boottime_ns)) {
                    alarm.set(at_us);
                }
                if worker.has_work() || worker.allowance.is_awaited() {
                    return std::task::Poll::Ready(());
                }
            }
            std::task::Poll::Pending
        });
        goes_on.await;
        // Unlike a task that wakes itself, this one runs again only when sockets have been looked at: what
        // the next slice would keep waiting comes first.
        tokio::task::yield_now().await;
        let worker = &mut *thread.worker.borrow_mut();
        worker.renew_allowance();
        worker.request_turn();
    }
}

async fn ring_for_turns(thread: Rc<Thread>, alarm: Rc<Alarm>) {
    loop {
        alarm.rung().await;
        thread.worker.borrow_mut().request_turn();
    }
}

async fn take_reports(thread: Rc<Thread>, mut done: mpsc::UnboundedReceiver<Report>) {
    while let Some(report) = done.recv().await {
        let worker = &mut *thread.worker.borrow_mut();
        let began_ns = clock::boottime_ns();
        worker.busy.begin(began_ns);
        worker.take_report(report);
        while let Ok(report) = done.try_recv() {
            worker.take_report(report);
        }
        worker
            .busy
            .end_now("reports", began_ns, &worker.shared.metrics.busy);
    }
}

/// Who may ask the node to stop.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
    flag: Option<Arc<std::sync::atomic::AtomicBool>>,
}

impl Stop {
    fn new(config: &mut NodeConfig) -> Result<Self, NodeError> {
        let listen = |kind| {
            signal(kind).map_err(|source| NodeError::System {
                what: "cannot set up the signal handler",
                source,
            })
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            flag: config.stop.take(),
        })
    }

    fn flagged(&self) -> bool {
        self.flag
            .as_ref()
            .is_some_and(|flag| flag.load(Ordering::Relaxed))
    }
}

async fn main_loop(
    thread: &Rc<Thread>,
    mut setup: Setup,
    mut stop: Stop,
    accepting: Vec<JoinHandle<()>>,
) -> Result<(), NodeError> {
    // A timer of the runtime's would cost every wait for sockets two looks at the clock.
    let ticks = Alarm::new()?;
    ticks.set(clock::boottime_us());
    let mut shutdown: Option<Shutdown> = None;
    loop {
        let asked = tokio::select! {
            () = ticks.rung() => stop.flagged() && shutdown.is_none(),
            _ = stop.terminate.recv() => true,
            _ = stop.interrupt.recv() => true,
        };
        let worker = &mut *thread.worker.borrow_mut();
        if asked {
            if shutdown.is_some() {
                // Asked twice: whoever asks does not want to wait. As after a crash, the log is replayed.
                std::process::exit(1);
            }
            tracing::info!("stopping");
            accepting.iter().for_each(JoinHandle::abort);
            setup.listeners.close_clients();
            shutdown = Some(Shutdown::begin(worker));
        }
        worker.tick();
        // After a late one the next is a whole tick away.
        ticks.set(clock::boottime_us() + limits::TICK_US);
        if let Some(verdict) = worker.verdict.take() {
            return verdict;
        }
        if let Some(shutdown) = &mut shutdown {
            if shutdown.is_over(worker) {
                return Ok(());
            }
        } else if setup.config.ready_hook.is_some()
            && worker.phase == Phase::Running
            && worker.status(worker.clock.now()).serving
            && let Some(hook) = setup.config.ready_hook.take()
        {
            hook(&setup.ready);
        }
    }
}
