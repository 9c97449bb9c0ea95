//! Whether the certificate of the other end of a peer link is a node's of this cluster.
//!
//! It must come from an authority of this cluster, be valid now, be made for both ends of a link (both
//! extended key usages) and name a node of the cluster. A certificate of a client has neither. Which node
//! it is, is compared with the greeting by the links.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible,
    SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage};

use super::identity::NodeIdentity;
use super::provider;

/// Usages of a certificate (RFC 5280, section 4.2.1.12): the two ends of a connection.
const SERVER_USAGE: &[u8] = &[43, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_USAGE: &[u8] = &[43, 6, 1, 5, 5, 7, 3, 2];

/// What a node believes.
#[derive(Debug)]
pub struct NodeVerifier {
    anchors: Vec<TrustAnchor<'static>>,
    clusters: Vec<String>,
}

/// Why a certificate of the right authority is not a node's of this cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotANode {
    /// It is good for one end of a connection only, or names no node.
    #[error("the certificate is not a node's: it lacks the name or the usages of one")]
    Role,
    /// It names a node of another cluster.
    #[error("the certificate is of a node of cluster {0}, which is another one")]
    Cluster(String),
}

impl NodeVerifier {
    /// Believes nodes of these clusters that these authorities certify.
    ///
    /// # Errors
    /// A certificate of an authority is none.
    pub fn new(authorities: &[CertificateDer<'static>], clusters: Vec<String>) -> Result<Arc<Self>, String> {
        let anchor = |certificate: &CertificateDer<'static>| {
            let anchor = webpki::anchor_from_trusted_cert(certificate).map_err(|error| error.to_string());
            anchor.map(|anchor| anchor.to_owned())
        };
        Ok(Arc::new(Self {
            anchors: authorities.iter().map(anchor).collect::<Result<_, _>>()?,
            clusters,
        }))
    }

    /// The node that a certificate names.
    ///
    /// # Errors
    /// It is not one of this cluster, or not valid now.
    pub fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<NodeIdentity, Error> {
        let end = EndEntityCert::try_from(certificate).map_err(translate)?;
        let algorithms = provider().signature_verification_algorithms;
        for usage in [SERVER_USAGE, CLIENT_USAGE] {
            let usage = KeyUsage::required(usage);
            end.verify_for_usage(algorithms.all, &self.anchors, between, now, usage, None, None)
                .map_err(translate)?;
        }
        let node = NodeIdentity::of(&end).ok_or_else(|| other(NotANode::Role))?;
        if !self.clusters.contains(&node.cluster) {
            return Err(other(NotANode::Cluster(node.cluster)));
        }
        Ok(node)
    }
}

fn other(reason: NotANode) -> Error {
    CertificateError::Other(OtherError(Arc::new(reason))).into()
}

fn translate(error: webpki::Error) -> Error {
    use webpki::Error as Reason;
    match error {
        Reason::CertExpired { time, not_after } => {
            CertificateError::ExpiredContext { time, not_after }.into()
        }
        Reason::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }.into()
        }
        Reason::UnknownIssuer => CertificateError::UnknownIssuer.into(),
        Reason::InvalidSignatureForPublicKey => CertificateError::BadSignature.into(),
        Reason::RequiredEkuNotFoundContext(_) | Reason::CaUsedAsEndEntity => other(NotANode::Role),
        _ => CertificateError::BadEncoding.into(),
    }
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(certificate, between, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for NodeVerifier {
    /// A stranger is not told whose certificates are believed.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(certificate, between, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ServerCertVerifier::supported_verify_schemes(self)
    }
}
