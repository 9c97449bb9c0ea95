//! TLS for clients: the certificate of the node, and whose clients are believed.
//!
//! TLS 1.2 and 1.3, with resumption by tickets that only this process can read, so that after new files every
//! client is judged anew. A certificate of a node is never good for a client.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, Connection, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, ServerConnection, SignatureScheme,
};

use super::identity::NodeIdentity;
use super::subject::{self, UserFrom};
use super::watched::{FileTrouble, Source, Watched};
use super::{pem, provider, validity};

/// Whether clients must show certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Who shows one must show a good one.
    Optional,
    /// Who shows none is refused.
    Required,
}

/// Files of the listener for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// Certificate of the node, with those between it and its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authorities of the clients; `None` asks for no certificate.
    pub authority: Option<(PathBuf, ClientCertificates)>,
    /// Where the certificate of a client names its user.
    pub user_from: UserFrom,
}

/// The listener's side of TLS, ready for connections.
pub struct ClientKeys(Arc<ServerConfig>, UserFrom, Option<u64>);

impl ClientKeys {
    /// A connection that was accepted.
    ///
    /// # Errors
    /// The system has no memory or random bytes.
    pub fn accept(&self) -> Result<Connection, Error> {
        ServerConnection::new(self.0.clone()).map(Connection::Server)
    }

    /// When the certificate ends, in seconds since 1970, where that can be read.
    pub fn end(&self) -> Option<u64> {
        self.2
    }

    /// The user that the client's certificate names, once the handshake is over.
    pub fn user_of(&self, session: &Connection) -> Option<Vec<u8>> {
        let certificate = session.peer_certificates()?.first()?;
        subject::user_of(certificate, self.1)
    }
}

/// The present keys of the listener.
pub type ClientKeyStore = Watched<ClientTls>;

impl Source for ClientTls {
    type Keys = ClientKeys;
    const WHAT: &'static str = "the TLS listener";

    fn paths(&self) -> Vec<&Path> {
        let authority = self.authority.as_ref().map(|(path, _)| path.as_path());
        [&self.certificate, &self.key]
            .map(PathBuf::as_path)
            .into_iter()
            .chain(authority)
            .collect()
    }

    fn load(&self, _now: UnixTime) -> Result<ClientKeys, FileTrouble> {
        let of = |path: &Path| {
            let path = path.to_owned();
            move |(what, remedy): pem::Trouble| (path, what, remedy)
        };
        let chain = pem::certificates(&self.certificate).map_err(of(&self.certificate))?;
        let key = pem::private_key(&self.key).map_err(of(&self.key))?;
        let end = chain.iter().filter_map(|der| validity::end_of(der)).min();
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider knows both versions");
        let builder = match &self.authority {
            None => builder.with_no_client_auth(),
            Some((path, which)) => builder.with_client_cert_verifier(verifier(path, *which)?),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            let remedy = "give a key and its own certificate".to_owned();
            (self.certificate.clone(), error.to_string(), remedy)
        })?;
        // Tickets of earlier files cannot be read any more: their clients are judged anew.
        config.ticketer = rustls::crypto::ring::Ticketer::new().expect("the system has random bytes");
        Ok(ClientKeys(Arc::new(config), self.user_from, end))
    }
}

fn verifier(path: &Path, which: ClientCertificates) -> Result<Arc<ClientsOnly>, FileTrouble> {
    let wrong = |(what, remedy): pem::Trouble| (path.to_owned(), what, remedy);
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(path).map_err(wrong)? {
        let remedy = "give certificates of authorities".to_owned();
        roots
            .add(certificate)
            .map_err(|error| wrong((error.to_string(), remedy)))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = match which {
        ClientCertificates::Optional => builder.allow_unauthenticated(),
        ClientCertificates::Required => builder,
    };
    let inner = builder
        .build()
        .map_err(|error| wrong((error.to_string(), "give certificates of authorities".to_owned())))?;
    Ok(Arc::new(ClientsOnly(inner)))
}

/// Believes what the inner one does, but for certificates of nodes.
#[derive(Debug)]
struct ClientsOnly(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for ClientsOnly {
    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.0.verify_client_cert(certificate, between, now)?;
        let end = webpki::EndEntityCert::try_from(certificate).map_err(|_| CertificateError::BadEncoding)?;
        if NodeIdentity::of(&end).is_some() {
            return Err(CertificateError::InvalidPurpose.into());
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
