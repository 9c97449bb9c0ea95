//! The cluster secret: 32 random bytes, as 64 hexadecimal digits on a line of a file.
//!
//! Who has it is a node. A file may hold two, so that one can replace the other without a pause: the first
//! is the one that this node shows, both are accepted.

use std::fmt;
use std::path::Path;

use ring::hkdf;
use ring::rand::SecureRandom as _;

use super::pem;

/// Bytes of a secret.
pub const SECRET_BYTES: usize = 32;
/// A file holds at most so many: the one in use and the one that replaces it, or that it replaces.
const SECRETS_MAX: usize = 2;

/// One secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; SECRET_BYTES]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Overwrites what nobody may find in memory afterwards.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    // The compiler must take the zeroes for read.
    std::hint::black_box(bytes);
}

impl Secret {
    /// A new one, from the operating system's random source.
    pub fn random() -> Self {
        let mut bytes = [0; SECRET_BYTES];
        let random = ring::rand::SystemRandom::new();
        random.fill(&mut bytes).expect("the system has random bytes");
        Self(bytes)
    }

    /// The line of a file.
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }

    fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 2 * SECRET_BYTES || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut bytes = [0; SECRET_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let digit = |digit: u8| (digit as char).to_digit(16).expect("it is one") as u8;
            *byte = digit(pair[0]) << 4 | digit(pair[1]);
        }
        Some(Self(bytes))
    }

    /// Bytes that follow from the secret and a label (HKDF with SHA-256, RFC 5869). They tell nothing of
    /// the secret, nor of the bytes of another label.
    pub fn derive<const BYTES: usize>(&self, label: &str) -> [u8; BYTES] {
        struct Length(usize);
        impl hkdf::KeyType for Length {
            fn len(&self) -> usize {
                self.0
            }
        }
        let key = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&self.0);
        let mut bytes = [0; BYTES];
        key.expand(&[label.as_bytes()], Length(BYTES))
            .and_then(|derived| derived.fill(&mut bytes))
            .expect("so short an output can be derived");
        bytes
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The secrets of a file, the one in use first.
///
/// # Errors
/// What is wrong with the file, and what to do.
pub fn read(path: &Path) -> Result<Vec<Secret>, (String, String)> {
    let mut bytes = pem::read_private(path)?;
    let secrets = parse(&bytes);
    wipe(&mut bytes);
    secrets.map_err(|what| {
        let remedy = format!("make one with: repligo secret new {}", path.display());
        (what.to_owned(), remedy)
    })
}

fn parse(bytes: &[u8]) -> Result<Vec<Secret>, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let secrets: Option<Vec<Secret>> = lines.take(SECRETS_MAX + 1).map(Secret::from_hex).collect();
    match secrets.ok_or("a line of it is not a secret of 64 hexadecimal digits")? {
        secrets if secrets.is_empty() => Err("it is empty"),
        secrets if secrets.len() > SECRETS_MAX => Err("it has more than two lines"),
        secrets => Ok(secrets),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_one_or_two_secrets() {
        let (one, two) = (Secret::random(), Secret::random());
        let check = |text: String, expected: Result<Vec<&Secret>, &'static str>| {
            let expected = expected.map(|secrets| secrets.into_iter().cloned().collect());
            assert_eq!(parse(text.as_bytes()), expected, "{} bytes", text.len());
        };
        check(one.to_hex(), Ok(vec![&one]));
        check(
            format!("{}\r\n\n{}\n", one.to_hex(), two.to_hex().to_uppercase()),
            Ok(vec![&one, &two]),
        );
        check(String::new(), Err("it is empty"));
        check(
            format!("{0}\n{0}\n{0}\n", one.to_hex()),
            Err("it has more than two lines"),
        );
        let wrong = Err("a line of it is not a secret of 64 hexadecimal digits");
        check(one.to_hex()[1..].to_owned(), wrong.clone());
        check(format!("{}\nx", one.to_hex()), wrong.clone());
        check(one.to_hex().replace(|c: char| c.is_ascii_digit(), "+"), wrong);
        assert_eq!(parse(b"\xff"), Err("it is not text"));
    }

    #[test]
    fn what_is_derived_follows_from_secret_and_label_alone() {
        let secret = Secret([11; SECRET_BYTES]);
        // Two steps of HMAC-SHA256: of the secret with 32 zeroes as key, of the label and a byte of one with that.
        let expected = "51eaf3f66bb676af78c82047e26d33532eb51f95a4432eb5e6f0f2e71d8df8f7";
        assert_eq!(hex(&secret.derive::<32>("a")), expected);
        assert_ne!(secret.derive::<32>("a"), secret.derive::<32>("b"));
        assert_ne!(
            secret.derive::<32>("a"),
            Secret([12; SECRET_BYTES]).derive::<32>("a")
        );
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
