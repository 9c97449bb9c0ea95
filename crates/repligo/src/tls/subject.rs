//! Which user a client's certificate names.

use rustls::pki_types::CertificateDer;

/// Where the name of the user stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserFrom {
    /// Nowhere: a certificate lets its client in, and AUTH says who it is.
    #[default]
    Nowhere,
    /// The common name of its subject.
    CommonName,
    /// Its alternative name: the only DNS name, or the only URI.
    AlternativeName,
}

/// The object identifier of a common name, 2.5.4.3, as it is encoded.
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
/// Tags of texts whose bytes are those of UTF-8: UTF8String and PrintableString, IA5String.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];

/// The user that a certificate names; `None` if it names none, or more than one.
pub fn user_of(certificate: &CertificateDer<'_>, from: UserFrom) -> Option<Vec<u8>> {
    let end = webpki::EndEntityCert::try_from(certificate).ok()?;
    match from {
        UserFrom::Nowhere => None,
        UserFrom::CommonName => common_name(end.subject()),
        UserFrom::AlternativeName => {
            let dns = end.valid_dns_names().map(|name| name.as_bytes().to_vec());
            let uris = end.valid_uri_names().map(|name| name.as_bytes().to_vec());
            only(dns.chain(uris))
        }
    }
}

/// The common name in an encoded subject. Whatever is not encoded as it should be names nobody.
fn common_name(subject: &[u8]) -> Option<Vec<u8>> {
    let places = subject.windows(COMMON_NAME.len()).enumerate();
    let names = places
        .filter(|(_, window)| *window == COMMON_NAME)
        .map(|(at, _)| text(&subject[at + COMMON_NAME.len()..]).unwrap_or_default());
    only(names).filter(|name| !name.is_empty())
}

/// A text with its tag and its length, which is short.
fn text(encoded: &[u8]) -> Option<Vec<u8>> {
    let [tag, length, rest @ ..] = encoded else {
        return None;
    };
    let is_short = *length < 0x80;
    let bytes = rest.get(..usize::from(*length))?;
    (TEXTS.contains(tag) && is_short).then(|| bytes.to_vec())
}

fn only(mut names: impl Iterator<Item = Vec<u8>>) -> Option<Vec<u8>> {
    let first = names.next()?;
    names.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_names_one_user_or_none() {
        let name = |tag: u8, text: &[u8]| {
            let mut encoded = vec![0x31, 0x00, 0x30, 0x00];
            encoded.extend(COMMON_NAME);
            encoded.extend([tag, text.len() as u8]);
            encoded.extend(text);
            encoded
        };
        assert_eq!(common_name(&name(0x0c, b"app")), Some(b"app".to_vec()));
        assert_eq!(common_name(&name(0x13, b"app")), Some(b"app".to_vec()));
        assert_eq!(common_name(&name(0x1e, b"\0a")), None, "another kind of text");
        assert_eq!(common_name(&name(0x0c, b"")), None);
        assert_eq!(common_name(&[name(0x0c, b"a"), name(0x0c, b"b")].concat()), None);
        assert_eq!(common_name(&name(0x0c, b"app")[..12]), None, "cut off");
        assert_eq!(common_name(b""), None);
    }
}
