//! What a node shows on its peer links and whom it believes there; read again when the files change.
//!
//! A thread of its own looks at the files, so that the worker never waits for a disk. Links that exist go
//! on: a change is for the next handshake. A change that cannot be used is logged, and what was in use stays.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection, version};

use super::authority::{Authority, Issued, Subject, Validity};
use super::identity::NodeIdentity;
use super::verify::NodeVerifier;
use super::{pem, provider, reason, secret};

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Of a certificate that a node issues itself.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// How far the clock of another node may be behind.
const BACKDATED: Duration = Duration::from_secs(3600);
/// A certificate that was issued so long ago is renewed.
const RENEW_AFTER: Duration = Duration::from_secs(8 * 3600);
/// The name that is asked for: who answers is judged by its certificate, not by a host name.
const ASKED_NAME: &str = "node.repligo.invalid";

/// Where the keys of a node come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerSource {
    /// A file with the cluster's secret.
    Secret(PathBuf),
    /// Certificates that somebody else has issued.
    Files {
        /// The node's certificate, with those between it and the authority.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
        /// The authorities that certify nodes.
        authority: PathBuf,
    },
}

/// What tells whether a file has changed: when, how long, and which one it is.
type Stamp = Option<(SystemTime, u64, u64)>;

/// What is wrong: the file, what it is, and what to do.
pub type FileTrouble = (PathBuf, String, String);

impl PeerSource {
    fn paths(&self) -> Vec<&Path> {
        match self {
            Self::Secret(path) => vec![path],
            Self::Files {
                certificate,
                key,
                authority,
            } => vec![certificate, key, authority],
        }
    }

    fn stamps(&self) -> Vec<Stamp> {
        use std::os::unix::fs::MetadataExt as _;
        let stamp = |path: &&Path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
        };
        self.paths().iter().map(stamp).collect()
    }
}

/// What a node shows, and whom it believes.
struct Material {
    issued: Issued,
    verifier: Arc<NodeVerifier>,
}

fn of_secret(path: &Path, name: &str, now: UnixTime) -> Result<Material, FileTrouble> {
    let secrets = secret::read(path).map_err(|(what, remedy)| (path.to_owned(), what, remedy))?;
    let authorities: Vec<Authority> = secrets.iter().map(Authority::of_secret).collect();
    let own = &authorities[0];
    let subject = Subject::Node(NodeIdentity {
        cluster: own.cluster.clone(),
        name: name.to_owned(),
    });
    let validity = Validity::starting(now, BACKDATED, LIFETIME);
    let issued = own
        .issue(&subject, validity)
        .expect("names of nodes are plain text");
    let certificates: Vec<_> = authorities.iter().map(Authority::certificate).collect();
    let clusters = authorities
        .into_iter()
        .map(|authority| authority.cluster)
        .collect();
    let verifier = NodeVerifier::new(&certificates, clusters).expect("its own certificates can be read");
    Ok(Material { issued, verifier })
}

fn of_files(source: &PeerSource, name: &str, now: UnixTime) -> Result<Material, FileTrouble> {
    let PeerSource::Files {
        certificate,
        key,
        authority,
    } = source
    else {
        unreachable!("the caller has looked");
    };
    let of = |path: &Path| {
        let path = path.to_owned();
        move |(what, remedy): pem::Trouble| (path, what, remedy)
    };
    let chain = pem::certificates(certificate).map_err(of(certificate))?;
    let key = pem::private_key(key).map_err(of(key))?;
    let authorities = pem::certificates(authority).map_err(of(authority))?;
    let remedy = format!(
        "issue one with usages serverAuth and clientAuth and the URI repligo://CLUSTER/node/{name}, or: repligo \
         cert node --name {name}"
    );
    let wrong = |what: String| (certificate.clone(), what, remedy.clone());
    let end = webpki::EndEntityCert::try_from(&chain[0]).map_err(|error| wrong(error.to_string()))?;
    let own = NodeIdentity::of(&end).ok_or_else(|| wrong("it names no node".to_owned()))?;
    let verifier = NodeVerifier::new(&authorities, vec![own.cluster.clone()]).map_err(|what| {
        (
            authority.clone(),
            what,
            "give certificates of authorities".to_owned(),
        )
    })?;
    // What the others will say of it is better said here, and now.
    verifier.judge(&chain[0], &chain[1..], now).map_err(|error| {
        wrong(format!(
            "the others would refuse it: {}",
            reason::describe(&error)
        ))
    })?;
    if own.name != name {
        return Err(wrong(format!(
            "it names node {}, and this one is {name}",
            own.name
        )));
    }
    let end = end_of_validity(&verifier, &chain, now);
    let issued = Issued { chain, key, end };
    Ok(Material { issued, verifier })
}

/// When a certificate that is good now ends, to the second.
fn end_of_validity(verifier: &NodeVerifier, chain: &[CertificateDer<'static>], now: UnixTime) -> u64 {
    let is_good = |seconds| {
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        verifier.judge(&chain[0], &chain[1..], at).is_ok()
    };
    let (mut good, mut ended) = (now.as_secs(), u64::from(u32::MAX) * 16);
    while ended - good > 1 {
        let middle = good + (ended - good) / 2;
        if is_good(middle) {
            good = middle;
        } else {
            ended = middle;
        }
    }
    good
}

/// Both ends of links as rustls wants them.
pub struct PeerKeys {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    /// The end of the own certificate, in seconds since 1970.
    pub end: u64,
    /// When the own certificate was issued; `None` if somebody else issues it.
    issued_at: Option<u64>,
}

impl PeerKeys {
    /// Reads the files.
    ///
    /// # Errors
    /// Which file is wrong, how, and what to do.
    pub fn load(source: &PeerSource, name: &str, now: UnixTime) -> Result<Self, FileTrouble> {
        let (material, issued_at) = match source {
            PeerSource::Secret(path) => (of_secret(path, name, now)?, Some(now.as_secs())),
            PeerSource::Files { .. } => (of_files(source, name, now)?, None),
        };
        let wrong = |error: rustls::Error| {
            let path = source.paths()[0].to_owned();
            (
                path,
                error.to_string(),
                "give a key and its own certificate".to_owned(),
            )
        };
        let Material { issued, verifier } = material;
        let Issued { chain, key, end } = issued;
        Ok(Self {
            server: server(verifier.clone(), chain.clone(), key.clone_key()).map_err(wrong)?,
            client: client(verifier, chain, key).map_err(wrong)?,
            end,
            issued_at,
        })
    }

    /// The own certificate is old; or the clock was set, and it may not hold by the clocks of others.
    fn is_due(&self, now: UnixTime) -> bool {
        self.issued_at
            .is_some_and(|at| at.abs_diff(now.as_secs()) >= RENEW_AFTER.as_secs())
    }

    /// A connection that this node accepted.
    pub fn accept(&self) -> Result<Connection, rustls::Error> {
        ServerConnection::new(self.server.clone()).map(Connection::Server)
    }

    /// A connection that this node dialled.
    pub fn dial(&self) -> Result<Connection, rustls::Error> {
        let name = ServerName::try_from(ASKED_NAME).expect("it is a name");
        ClientConnection::new(self.client.clone(), name).map(Connection::Client)
    }
}

type Certificates = Vec<CertificateDer<'static>>;

fn server(
    verifier: Arc<NodeVerifier>,
    chain: Certificates,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    // Every link is a whole handshake, so that every certificate is judged.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn client(
    verifier: Arc<NodeVerifier>,
    chain: Certificates,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(chain, key)?;
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// The name that the certificate of the other end carries.
pub fn node_of(session: &Connection) -> Option<String> {
    let certificate = session.peer_certificates()?.first()?;
    let end = webpki::EndEntityCert::try_from(certificate).ok()?;
    Some(NodeIdentity::of(&end)?.name)
}

/// The present keys, shared between the worker and the thread that keeps them fresh.
pub struct KeyStore {
    source: PeerSource,
    name: String,
    current: Mutex<Arc<PeerKeys>>,
    ask: SyncSender<()>,
}

impl std::fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyStore")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl KeyStore {
    /// Reads the files and watches them from now on.
    ///
    /// # Errors
    /// As [`PeerKeys::load`].
    pub fn open(source: PeerSource, name: &str) -> Result<Arc<Self>, FileTrouble> {
        let stamps = source.stamps();
        let keys = PeerKeys::load(&source, name, UnixTime::now())?;
        let (ask, asked) = sync_channel(1);
        let store = Arc::new(Self {
            ask,
            source,
            name: name.to_owned(),
            current: Mutex::new(Arc::new(keys)),
        });
        let watched = Arc::downgrade(&store);
        let watch = move || {
            let mut seen = Seen {
                stamps,
                has_failed: false,
            };
            while let Some(is_asked) = wait(&asked) {
                let Some(store) = watched.upgrade() else { return };
                store.look(&mut seen, is_asked);
            }
        };
        let thread = std::thread::Builder::new().name("repligo-keys".to_owned());
        thread.spawn(watch).map_err(|error| {
            let remedy = "raise the limit of processes and threads (ulimit -u)".to_owned();
            (PathBuf::new(), error.to_string(), remedy)
        })?;
        Ok(store)
    }

    /// Looks at the files at once.
    pub fn look_now(&self) {
        // One word that was not heard yet is as good as two.
        let _ = self.ask.try_send(());
    }

    /// What is in use now.
    pub fn current(&self) -> Arc<PeerKeys> {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn look(&self, seen: &mut Seen, is_asked: bool) {
        let stamps = self.source.stamps();
        let now = UnixTime::now();
        let has_changed = is_asked || stamps != seen.stamps;
        if !has_changed && !self.current().is_due(now) {
            return;
        }
        seen.stamps = stamps;
        match PeerKeys::load(&self.source, &self.name, now) {
            Ok(keys) => {
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                if has_changed {
                    tracing::info!("the keys of the peer links were read again: they hold for new links");
                }
                seen.has_failed = false;
            }
            Err((path, what, remedy)) => {
                if has_changed || !seen.has_failed {
                    tracing::error!("{}: {what}; {remedy}. The keys in use stay", path.display());
                }
                seen.has_failed = true;
            }
        }
    }
}

/// What the thread that watches has seen last.
struct Seen {
    stamps: Vec<Stamp>,
    has_failed: bool,
}

/// Whether somebody has asked; `None` when nobody can any more.
fn wait(asked: &Receiver<()>) -> Option<bool> {
    match asked.recv_timeout(LOOK_EVERY) {
        Ok(()) => Some(true),
        Err(RecvTimeoutError::Timeout) => Some(false),
        Err(RecvTimeoutError::Disconnected) => None,
    }
}
