//! When certificates end, read from their bytes: what judges certificates tells only whether they are valid.

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
/// The version of a certificate, which may be left out.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of a certificate (RFC 5280, 4.1), in seconds since 1970; `None` if these are not the bytes of one.
pub fn end_of(certificate: &[u8]) -> Option<u64> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        (_, rest) = element(rest, VERSION)?;
    }
    // Serial number, algorithm of the signature, issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, rest) = element(rest, tag)?;
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (_, rest) = any_element(validity)?;
    seconds_of(rest)
}

/// The content of an element of this kind, and what is behind it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    (bytes.first() == Some(&tag)).then(|| any_element(bytes))?
}

fn any_element(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = usize::from(*bytes.get(1)?);
    let (length, head) = match first {
        0..=0x7f => (first, 2),
        0x81..=0x84 => {
            let digits = bytes.get(2..2 + (first - 0x80))?;
            let length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            (length, 2 + digits.len())
        }
        _ => return None,
    };
    bytes.get(head..)?.split_at_checked(length)
}

/// A time in one of the two forms that certificates have.
fn seconds_of(bytes: &[u8]) -> Option<u64> {
    let (text, _) = any_element(bytes)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match *bytes.first()? {
        UTC_TIME => {
            let year: u64 = text.get(..2)?.parse().ok()?;
            // Two digits stand for 1950 to 2049.
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        GENERALIZED_TIME => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<u64>().ok();
    let days = days_before(year, part(0)?, part(2)?)?;
    Some(((days * 24 + part(4)?) * 60 + part(6)?) * 60 + part(8)?)
}

/// Days from 1970 to a day of the Gregorian calendar.
fn days_before(year: u64, month: u64, day: u64) -> Option<u64> {
    // Years begin with March here, so that the leap day is the last one.
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let month = (month + 9) % 12;
    let of_years = year * 365 + year / 4 - year / 100 + year / 400;
    let of_months = (month * 306 + 5) / 10;
    (of_years + of_months + day).checked_sub(719_469)
}

#[cfg(test)]
mod tests {
    use super::super::authority::{Authority, Subject, Validity};
    use super::super::identity::NodeIdentity;
    use super::super::secret::Secret;
    use super::*;
    use rustls::pki_types::UnixTime;
    use std::time::Duration;

    #[test]
    fn the_end_is_the_one_that_the_authority_has_written() {
        let authority = Authority::of_secret(&Secret::random());
        let subject = Subject::Node(NodeIdentity {
            cluster: authority.cluster.clone(),
            name: "n1".to_owned(),
        });
        // Before and after 2050, where the form of the time changes; on and around a leap day.
        for begin in [
            951_700_000,
            1_709_164_800,
            1_764_000_000,
            2_600_000_000,
            4_000_000_000,
        ] {
            let now = UnixTime::since_unix_epoch(Duration::from_secs(begin));
            let validity = Validity::starting(now, Duration::ZERO, Duration::from_secs(86_400));
            let issued = authority.issue(&subject, validity).expect("plain names");
            assert_eq!(end_of(&issued.chain[0]), Some(issued.end), "{begin}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let authority = Authority::of_secret(&Secret::random());
        let whole = authority.certificate();
        assert!(end_of(&whole).is_some());
        for length in 0..whole.len().min(300) {
            let _ = end_of(&whole[..length]);
            let mut broken = whole.to_vec();
            broken[length] ^= 0xff;
            let _ = end_of(&broken);
        }
        assert_eq!(end_of(b""), None);
        assert_eq!(end_of(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
