//! Certificates: the authority of a cluster, derived from its secret or from a file, and what it issues.
//!
//! Every node derives the same authority, so a node needs nothing but the secret to certify itself, and
//! its certificate can be short-lived.

use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SanType,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};

use super::identity::NodeIdentity;
use super::secret::{Secret, hex, wipe};

/// Label of the authority's key.
const KEY_LABEL: &str = "repligo cluster authority key 1";
/// Label of the name of the cluster.
const NAME_LABEL: &str = "repligo cluster name 1";
/// What stands before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410, section 7).
const ED25519_PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// How long a certificate is good for, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From.
    pub begin: u64,
    /// Until.
    pub end: u64,
}

impl Validity {
    /// So long from now on, and a while before: clocks differ.
    pub fn starting(now: UnixTime, backdated: Duration, length: Duration) -> Self {
        Self {
            begin: now.as_secs().saturating_sub(backdated.as_secs()),
            end: now.as_secs().saturating_add(length.as_secs()),
        }
    }
}

/// What a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A node of a cluster.
    Node(NodeIdentity),
    /// A client.
    Client(String),
    /// A server that clients connect to, under these host names and addresses.
    Server(Vec<String>),
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Issued {
    /// The certificate and those between it and the authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// The end of its validity, in seconds since 1970.
    pub end: u64,
}

/// An authority that can issue certificates.
pub struct Authority {
    /// The name of the cluster whose nodes it certifies.
    pub cluster: String,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// That of a secret: the same on every node.
    pub fn of_secret(secret: &Secret) -> Self {
        let mut seed = secret.derive::<32>(KEY_LABEL);
        let mut pkcs8 = [&ED25519_PKCS8[..], &seed].concat();
        let der = PrivatePkcs8KeyDer::from(pkcs8.as_slice());
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).expect("any 32 bytes are a key");
        wipe(&mut pkcs8);
        wipe(&mut seed);
        let cluster = hex(&secret.derive::<8>(NAME_LABEL));
        Self::new(cluster, key, None)
    }

    /// A new one, for files.
    pub fn random(cluster: &str, validity: Validity) -> Self {
        Self::new(cluster.to_owned(), new_key(), Some(validity))
    }

    /// One from files.
    ///
    /// # Errors
    /// The key cannot be used, or is not that of the certificate.
    pub fn from_pem(cluster: &str, certificate: &str, key: &str) -> Result<Self, String> {
        let text = |error: rcgen::Error| error.to_string();
        let key = KeyPair::from_pem(key).map_err(text)?;
        let der =
            CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|error| error.to_string())?;
        let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|error| error.to_string())?;
        let same_key = anchor.subject_public_key_info.ends_with(key.public_key_raw());
        let own = Self::new(cluster.to_owned(), key, None);
        let subject = anchor_subject(&own.certificate());
        if !same_key || anchor.subject.as_ref() != subject.as_slice() {
            return Err("ca.crt is of another key or another cluster name".to_owned());
        }
        Ok(own)
    }

    fn new(cluster: String, key: KeyPair, validity: Option<Validity>) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(&authority_name(&cluster));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        if let Some(validity) = validity {
            set_validity(&mut params, validity);
        }
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a fixed form can be signed");
        Self { cluster, issuer }
    }

    /// Its own certificate.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// Its own certificate and its key, as files.
    pub fn pem(&self) -> (String, String) {
        (self.issuer.pem(), self.issuer.key().serialize_pem())
    }

    /// A certificate with a new key.
    ///
    /// # Errors
    /// A name in it has a form that certificates do not take.
    pub fn issue(&self, subject: &Subject, validity: Validity) -> Result<Issued, String> {
        let (certificate, key) = self.sign(subject, validity)?;
        Ok(Issued {
            chain: vec![certificate.into()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            end: validity.end,
        })
    }

    /// The same as files: the certificate and its key.
    ///
    /// # Errors
    /// As [`Self::issue`].
    pub fn issue_pem(&self, subject: &Subject, validity: Validity) -> Result<(String, String), String> {
        let (certificate, key) = self.sign(subject, validity)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    fn sign(&self, subject: &Subject, validity: Validity) -> Result<(Certificate, KeyPair), String> {
        let key = new_key();
        let mut params = CertificateParams::default();
        set_validity(&mut params, validity);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let (name, usages) = match subject {
            Subject::Node(node) => {
                let uri = node
                    .to_string()
                    .try_into()
                    .map_err(|_| "the name is not plain text")?;
                params.subject_alt_names = vec![SanType::URI(uri)];
                let both = vec![
                    ExtendedKeyUsagePurpose::ServerAuth,
                    ExtendedKeyUsagePurpose::ClientAuth,
                ];
                (node.name.as_str(), both)
            }
            Subject::Client(name) => (name.as_str(), vec![ExtendedKeyUsagePurpose::ClientAuth]),
            Subject::Server(hosts) => {
                let names = CertificateParams::new(hosts.clone()).map_err(|error| error.to_string())?;
                params.subject_alt_names = names.subject_alt_names;
                let first = hosts.first().map_or("server", String::as_str);
                (first, vec![ExtendedKeyUsagePurpose::ServerAuth])
            }
        };
        params.distinguished_name = named(name);
        params.extended_key_usages = usages;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(|error| error.to_string())?;
        Ok((certificate, key))
    }
}

fn anchor_subject(certificate: &CertificateDer<'_>) -> Vec<u8> {
    let anchor = webpki::anchor_from_trusted_cert(certificate).expect("it was just made");
    anchor.subject.as_ref().to_vec()
}

/// On the curve that every client knows; in the form of PKCS #8 that OpenSSL reads.
fn new_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("the system has random bytes")
}

/// The subject of the authority's certificate, which stands as the issuer in all that it issues.
fn authority_name(cluster: &str) -> String {
    format!("repligo cluster {cluster}")
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn set_validity(params: &mut CertificateParams, validity: Validity) {
    // Beyond this year the form of dates in certificates ends.
    const LAST: u64 = 253_402_300_799;
    let at = |seconds: u64| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.min(LAST));
    params.not_before = at(validity.begin);
    params.not_after = at(validity.end);
}
