//! TLS of the tools: what they are told of certificates, and a stream that is encrypted or not.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use clap::{Arg, ArgMatches};
use rustls::pki_types::ServerName;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, Error, InvalidMessage, RootCertStore,
    StreamOwned,
};

use super::failure::Failure;
use super::flags::{switch, value};
use crate::tls::{pem, provider, reason};

/// Why a handshake failed, and what to do.
const OTHER_AUTHORITY: &str = "its certificate was issued by none of the authorities of --ca";
const OTHER_NAME: &str = "its certificate is for other host names than that of --addr";
const PLAIN_TEXT: &str = "the port speaks plain text, not TLS";
const WANTS_CERTIFICATE: &str = "the node asks for a certificate, and none is shown";

/// What to do about a connection that failed for one of these reasons.
pub fn remedy(text: &str) -> Option<&'static str> {
    match text {
        OTHER_AUTHORITY => Some("give with --ca the file of the authority that issued the node's --tls-cert"),
        OTHER_NAME => {
            Some("give with --addr a name or address that is in the certificate, or issue one that has it")
        }
        PLAIN_TEXT => Some("leave --tls away, or give the port of --tls-listen"),
        WANTS_CERTIFICATE => {
            Some("give one with --cert FILE and --key FILE, of an authority of --tls-client-ca")
        }
        _ => None,
    }
}

/// The flags; each needs `--tls`.
pub fn flags() -> [Arg; 4] {
    [
        switch("tls", "Speak TLS"),
        value(
            "ca",
            "FILE",
            "Certificates of the authorities that the node is believed by",
        )
        .requires("tls"),
        value("cert", "FILE", "Certificate to show, where the node asks for one")
            .requires("tls")
            .requires("key"),
        value("key", "FILE", "Key of that certificate (mode 600)")
            .requires("tls")
            .requires("cert"),
    ]
}

/// The same for the source of a copy.
pub fn source_flags() -> [Arg; 2] {
    [
        switch("from-tls", "Speak TLS with the source").requires("from"),
        value("from-ca", "FILE", "Authorities that the source is believed by").requires("from-tls"),
    ]
}

/// The same for a server that is compared with.
pub fn compare_flags() -> [Arg; 2] {
    [
        switch("compare-tls", "Speak TLS with the other server").requires("compare"),
        value(
            "compare-ca",
            "FILE",
            "Authorities that the other server is believed by",
        )
        .requires("compare-tls"),
    ]
}

/// How to speak TLS: whom to believe, and what to show.
#[derive(Clone)]
pub struct ClientSide(Arc<ClientConfig>);

impl fmt::Debug for ClientSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSide(…)")
    }
}

impl PartialEq for ClientSide {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ClientSide {}

impl ClientSide {
    /// What [`flags`] say; `None` for plain text.
    ///
    /// # Errors
    /// A file is missing or cannot be used.
    pub fn find(matches: &ArgMatches) -> Result<Option<Self>, Failure> {
        if !matches.get_flag("tls") {
            return Ok(None);
        }
        let path = |name: &str| matches.get_one::<String>(name).map(Path::new);
        Self::read("ca", path("ca"), path("cert").zip(path("key"))).map(Some)
    }

    /// What [`source_flags`] say.
    ///
    /// # Errors
    /// As [`ClientSide::find`].
    pub fn find_source(matches: &ArgMatches) -> Result<Option<Self>, Failure> {
        if !matches.get_flag("from-tls") {
            return Ok(None);
        }
        let authority = matches.get_one::<String>("from-ca").map(Path::new);
        Self::read("from-ca", authority, None).map(Some)
    }

    /// What [`compare_flags`] say.
    ///
    /// # Errors
    /// As [`ClientSide::find`].
    pub fn find_compare(matches: &ArgMatches) -> Result<Option<Self>, Failure> {
        if !matches.get_flag("compare-tls") {
            return Ok(None);
        }
        let path = |name: &str| matches.get_one::<String>(name).map(Path::new);
        let shown = path("cert").zip(path("key"));
        Self::read("compare-ca", path("compare-ca").or(path("ca")), shown).map(Some)
    }

    fn read(flag: &str, authority: Option<&Path>, shown: Option<(&Path, &Path)>) -> Result<Self, Failure> {
        let authority = authority.ok_or_else(|| {
            let what = format!("--tls: nothing says whom to believe, since --{flag} is not given");
            Failure::new(
                what,
                format!("give --{flag} FILE, the certificate of the authority"),
            )
        })?;
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |(what, remedy): pem::Trouble| Failure::new(format!("{path}: {what}"), remedy)
        };
        let mut roots = RootCertStore::empty();
        for certificate in pem::certificates(authority).map_err(failed(authority))? {
            let added = roots.add(certificate).map_err(|error| error.to_string());
            added.map_err(|what| {
                failed(authority)((what, "give the certificate of an authority".to_owned()))
            })?;
        }
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider knows both versions")
            .with_root_certificates(roots);
        let config = match shown {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = pem::certificates(certificate).map_err(failed(certificate))?;
                let secret = pem::private_key(key).map_err(failed(key))?;
                let made = builder.with_client_auth_cert(chain, secret);
                made.map_err(|error| {
                    let remedy = "give a certificate and its own key".to_owned();
                    failed(certificate)((error.to_string(), remedy))
                })?
            }
        };
        Ok(Self(Arc::new(config)))
    }

    /// A session with the server of `address`, which is `HOST:PORT`, before its handshake.
    ///
    /// # Errors
    /// The address names no host.
    pub fn begin(&self, address: &str) -> io::Result<ClientConnection> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        ClientConnection::new(self.0.clone(), name).map_err(io::Error::other)
    }

    /// The handshake, with the deadlines of the socket; `address` is `HOST:PORT`.
    ///
    /// # Errors
    /// The connection broke, or either side refused the other.
    pub fn connect(&self, mut tcp: TcpStream, address: &str) -> io::Result<Stream> {
        let mut session = self.begin(address)?;
        while session.is_handshaking() {
            session.complete_io(&mut tcp).map_err(plain)?;
        }
        Ok(Stream::Tls(Box::new(StreamOwned::new(session, tcp))))
    }
}

/// An error of TLS with a sentence for people; others as they are.
fn plain(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let text = match inner {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            Some(OTHER_AUTHORITY.to_owned())
        }
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => Some(OTHER_NAME.to_owned()),
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => Some(PLAIN_TEXT.to_owned()),
        Some(Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            Some(WANTS_CERTIFICATE.to_owned())
        }
        _ => reason::of_io(&error),
    };
    match text {
        Some(text) => io::Error::new(error.kind(), text),
        None => error,
    }
}

/// A connection, encrypted or not.
#[derive(Debug)]
pub enum Stream {
    /// It is not.
    Plain(TcpStream),
    /// It is.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(stream) => stream.read(buffer).map_err(plain),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(stream) => stream.write(bytes).map_err(plain),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(stream) => stream.flush().map_err(plain),
        }
    }
}
