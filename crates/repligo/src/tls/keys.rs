//! What a node shows on its peer links and whom it believes there: from a secret, or from certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection, version};

use super::authority::{Authority, Issued, Subject, Validity};
use super::identity::NodeIdentity;
use super::verify::NodeVerifier;
use super::watched::{FileTrouble, Source, Watched};
use super::{pem, provider, reason, secret};

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

    /// True if the node issues its certificate itself, and so renews it before it ends.
    pub fn renews_itself(&self) -> bool {
        self.issued_at.is_some()
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

/// A node, and where its keys come from.
pub struct OwnKeys {
    /// Where they come from.
    pub source: PeerSource,
    /// Name of the node.
    pub name: String,
}

impl Source for OwnKeys {
    type Keys = PeerKeys;
    const WHAT: &'static str = "the peer links";

    fn paths(&self) -> Vec<&Path> {
        self.source.paths()
    }

    fn load(&self, now: UnixTime) -> Result<PeerKeys, FileTrouble> {
        PeerKeys::load(&self.source, &self.name, now)
    }

    fn is_due(keys: &PeerKeys, now: UnixTime) -> bool {
        keys.is_due(now)
    }
}

/// The present keys of the peer links.
pub type KeyStore = Watched<OwnKeys>;
