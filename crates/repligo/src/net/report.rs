//! What a node tells the others of its status, several times a second, so that each of them can show the
//! whole cluster. It is for people and dashboards: no decision rests on it.

use bytes::Bytes;
use repligo_core::codec::{Malformed, Reader, put_bytes, put_varint};
use repligo_core::contract::Role;

use crate::telemetry::PeerStatus;

/// The payload of the own report.
pub fn encode(own: &PeerStatus) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    out.push(match own.role {
        Role::Follower => 0,
        Role::Candidate => 1,
        Role::Leader => 2,
    });
    out.push(u8::from(own.healthy));
    for number in [own.term, own.leader, own.applied_index, own.commit_index] {
        put_varint(&mut out, number);
    }
    out.extend_from_slice(&own.digest.to_le_bytes());
    put_bytes(&mut out, own.client_address.as_bytes());
    out
}

/// Takes a peer's report into its row.
///
/// # Errors
/// If the payload is no report.
pub fn decode(payload: &[u8], into: &mut PeerStatus) -> Result<(), Malformed> {
    let mut reader = Reader::new(Bytes::copy_from_slice(payload));
    into.role = match reader.u8()? {
        0 => Role::Follower,
        1 => Role::Candidate,
        2 => Role::Leader,
        _ => return Err(Malformed),
    };
    into.healthy = reader.u8()? == 1;
    into.term = reader.varint()?;
    into.leader = reader.varint()?;
    into.applied_index = reader.varint()?;
    into.commit_index = reader.varint()?;
    let digest: [u8; 16] = reader.take(16)?.as_ref().try_into().map_err(|_| Malformed)?;
    into.digest = u128::from_le_bytes(digest);
    into.client_address = String::from_utf8(reader.bytes()?.to_vec()).map_err(|_| Malformed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_the_wire() {
        let own = PeerStatus {
            role: Role::Leader,
            term: 3,
            leader: 1,
            applied_index: 1 << 40,
            commit_index: 5,
            digest: u128::MAX - 1,
            healthy: true,
            client_address: "h:1".to_owned(),
            ..PeerStatus::default()
        };
        let mut read = PeerStatus::default();
        let bytes = encode(&own);
        assert_eq!(decode(&bytes, &mut read), Ok(()));
        assert_eq!(read, own);
        assert!(decode(&bytes[..bytes.len() - 1], &mut read).is_err());
    }
}
