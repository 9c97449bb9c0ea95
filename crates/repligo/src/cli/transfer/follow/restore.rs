//! RESTORE as the requests that make its key.
//!
//! A payload is tied to a version of its format: servers refuse those of later ones, and some have no payload for every
//! type. What it holds is written like an entry of a snapshot instead.

use repligo_proto::rdb::{END_BYTES, checksum};

use super::requests::Request;
use crate::cli::transfer::content::{Kind, write_piece};
use crate::cli::transfer::rdb::read_value;

/// Versions of the format that are read.
const VERSION_MAX: u16 = 12;

/// The requests of a RESTORE whose time is none or a point in time; `None` if it is something else, or its payload
/// cannot be read: then the target judges it.
pub fn unpack(request: &Request) -> Option<Vec<Request>> {
    let [name, key, at_ms, payload, words @ ..] = request.as_slice() else {
        return None;
    };
    let is_absolute = words.iter().any(|word| word.eq_ignore_ascii_case(b"ABSTTL"));
    let has_none = at_ms.as_slice() == b"0";
    if !name.eq_ignore_ascii_case(b"RESTORE") || !(has_none || is_absolute) {
        return None;
    }
    let content = read_value(value_of(payload)?)?;
    // A key that was there was replaced: without REPLACE the source would have refused it.
    let mut requests = match content.kind {
        Kind::String => Vec::new(),
        _ => vec![vec![b"DEL".to_vec(), key.clone()]],
    };
    for piece in content.pieces() {
        for words in write_piece(content.kind, key, piece) {
            requests.push(words.into_iter().map(<[u8]>::to_vec).collect());
        }
    }
    if !has_none {
        requests.push(vec![b"PEXPIREAT".to_vec(), key.clone(), at_ms.clone()]);
    }
    Some(requests)
}

/// The type and the value of a payload that is whole.
fn value_of(payload: &[u8]) -> Option<&[u8]> {
    let (value, _) = payload.split_at_checked(payload.len().checked_sub(END_BYTES)?)?;
    let (told, sum) = payload.split_last_chunk::<8>()?;
    let (_, version) = told.split_last_chunk::<2>()?;
    let is_known = u16::from_le_bytes(*version) <= VERSION_MAX;
    // A server may write no checksum.
    let sum = u64::from_le_bytes(*sum);
    (is_known && (sum == 0 || sum == checksum(0, told))).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(value: &[u8], version: u16) -> Vec<u8> {
        let mut bytes = [value, &version.to_le_bytes()].concat();
        let sum = checksum(0, &bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn unpacked(time: &str, payload: &[u8], words: &[&str]) -> Option<Vec<String>> {
        let mut request: Request = vec![b"restore".to_vec(), b"k".to_vec(), time.into(), payload.to_vec()];
        request.extend(words.iter().map(|word| word.as_bytes().to_vec()));
        let shown = |request: Request| String::from_utf8(request.join(&b' ')).expect("text");
        Some(unpack(&request)?.into_iter().map(shown).collect())
    }

    #[test]
    fn a_payload_of_a_later_version_becomes_what_it_holds() {
        for version in [9, 11, 12] {
            let string = payload(b"\x00\x03abc", version);
            assert_eq!(unpacked("0", &string, &[]), Some(vec!["SET k abc".into()]));
            assert_eq!(
                unpacked("5", &string, &["REPLACE", "ABSTTL"]),
                Some(vec!["SET k abc".into(), "PEXPIREAT k 5".into()])
            );
            let list = payload(b"\x01\x02\x01a\x01b", version);
            assert_eq!(
                unpacked("0", &list, &[]),
                Some(vec!["DEL k".into(), "RPUSH k a b".into()])
            );
        }
    }

    /// A request that follows may give it more time.
    #[test]
    fn a_field_whose_time_has_passed_is_kept() {
        let hash = payload(b"\x18\x07\0\0\0\0\0\0\0\x01\x01\x01f\x01v", 12);
        assert_eq!(
            unpacked("0", &hash, &[]),
            Some(vec!["DEL k".into(), "HSET k f v".into()])
        );
    }

    #[test]
    fn what_cannot_be_read_is_left_to_the_target() {
        let good = payload(b"\x00\x03abc", 11);
        assert_eq!(unpacked("5", &good, &[]), None, "the time that is left");
        assert_eq!(unpacked("0", &payload(b"\x00\x03abc", 13), &[]), None);
        assert_eq!(unpacked("0", &payload(b"\x00\x04abc", 11), &[]), None);
        assert_eq!(unpacked("0", &payload(b"\x00\x03abcd", 11), &[]), None);
        let mut changed = good;
        changed[2] ^= 1;
        assert_eq!(unpacked("0", &changed, &[]), None);
        assert_eq!(unpacked("0", b"short", &[]), None);
        assert_eq!(unpack(&vec![b"RESTORE".to_vec(), b"k".to_vec()]), None);
    }
}
