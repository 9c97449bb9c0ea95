//! Why a TLS connection did not come about, as a sentence for the log of this side.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

use super::verify::NotANode;

/// Both sides of a wrong clock say this.
const CLOCKS: &str = "one of the two clocks is wrong";

/// The sentence for a failed read or write of a TLS stream.
pub fn of_io(error: &io::Error) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<Error>()?;
    Some(describe(inner))
}

/// The sentence.
pub fn describe(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(certificate) => describe_certificate(certificate),
        Error::AlertReceived(alert) => describe_alert(*alert),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the other side speaks plain text on a TLS port: it was started with --insecure-peers, or it is no \
             node"
                .to_owned()
        }
        Error::PeerIncompatible(PeerIncompatible::SupportedVersionsExtensionRequired)
        | Error::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic) => {
            "the other side does not speak TLS 1.3".to_owned()
        }
        Error::NoCertificatesPresented => "the other side shows no certificate: it is no node".to_owned(),
        other => format!("TLS failed: {other}"),
    }
}

/// The sentence for a connection on the port of clients, if the error is one of TLS.
pub fn of_client(error: &io::Error) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match inner {
        Error::AlertReceived(AlertDescription::UnknownCA | AlertDescription::DecryptError) => {
            "the client does not believe the authority of this node's certificate: give it the file of that authority \
             (as --ca, in the tools)"
                .to_owned()
        }
        Error::AlertReceived(AlertDescription::CertificateUnknown | AlertDescription::BadCertificate) => {
            "the client does not take this node's certificate: it asks for another host name than those in it, or \
             believes another authority"
                .to_owned()
        }
        Error::NoCertificatesPresented => {
            "the client shows no certificate, and --tls-client-ca asks for one: give it one (as --cert and --key, in \
             the tools)"
                .to_owned()
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the client speaks plain text on a TLS port: let it speak TLS, or connect it to --listen".to_owned()
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "the certificate of the client comes from another authority than those of --tls-client-ca".to_owned()
        }
        other => describe(other),
    })
}

fn describe_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the certificate of the other side comes from another authority: its cluster secret (or --peer-ca) \
             is another one, or it belongs to another cluster"
                .to_owned()
        }
        CertificateError::ExpiredContext { time, not_after } => format!(
            "the certificate of the other side ended {} ago: {CLOCKS}, or it was not renewed",
            roughly(time.as_secs().saturating_sub(not_after.as_secs()))
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the certificate of the other side begins only in {}: {CLOCKS}",
            roughly(not_before.as_secs().saturating_sub(time.as_secs()))
        ),
        CertificateError::Other(other) if other.0.is::<NotANode>() => other.0.to_string(),
        other => format!("the certificate of the other side cannot be used: {other}"),
    }
}

fn describe_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "the other side does not know the authority of this node's certificate: its cluster secret (or \
             --peer-ca) is another one, or it belongs to another cluster"
                .to_owned()
        }
        AlertDescription::CertificateExpired => {
            format!("for the other side this node's certificate is not valid now: {CLOCKS}")
        }
        AlertDescription::CertificateUnknown | AlertDescription::BadCertificate => {
            "the other side does not take this node's certificate for a node's of its cluster".to_owned()
        }
        AlertDescription::CertificateRequired => {
            "the other side wants a certificate, and this one shows none".to_owned()
        }
        other => format!("the other side ended the handshake: {other:?}"),
    }
}

/// So rough that a reason stays the same from one attempt to the next, and is logged once.
fn roughly(seconds: u64) -> String {
    match seconds {
        0..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
