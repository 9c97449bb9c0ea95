//! Files with keys and certificates.

use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::secret::wipe;
use crate::private;

/// No file of keys or certificates is longer; this bounds what is taken of a wrong one.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What is wrong with a file, and what to do.
pub type Trouble = (String, String);

/// A file that only its owner may read.
///
/// # Errors
/// It cannot be read, or others may read it.
pub fn read_private(path: &Path) -> Result<Vec<u8>, Trouble> {
    if let Some(mode) = private::open_to_others(path) {
        return Err((
            format!("mode {mode:o} lets other users of this machine read it"),
            format!("chmod 600 {}", path.display()),
        ));
    }
    read(path)
}

/// A file that anybody may read.
///
/// # Errors
/// It cannot be read, or is no such file.
pub fn read(path: &Path) -> Result<Vec<u8>, Trouble> {
    let length = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if length > FILE_BYTES_MAX {
        return Err(("it is too long".to_owned(), "give the right file".to_owned()));
    }
    std::fs::read(path).map_err(|error| {
        let remedy = "make it, readable by the user that runs the node (chmod 600)";
        (error.to_string(), remedy.to_owned())
    })
}

/// The certificates of a file, in their order.
///
/// # Errors
/// It cannot be read or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err((
            "it holds no certificate in PEM form".to_owned(),
            "give a file that begins with -----BEGIN CERTIFICATE-----".to_owned(),
        )),
    }
}

/// The private key of a file.
///
/// # Errors
/// It cannot be read, others may read it, or it holds none.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Trouble> {
    let mut bytes = read_private(path)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes);
    wipe(&mut bytes);
    key.map_err(|_| {
        (
            "it holds no private key in PEM form without a passphrase".to_owned(),
            "give a file that begins with -----BEGIN PRIVATE KEY-----".to_owned(),
        )
    })
}
