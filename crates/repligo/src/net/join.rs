//! What a node that wants to become a member says, and what it is told, as bytes.

use bytes::Bytes;
use repligo_core::codec::{Malformed, Reader, put_bytes, put_varint};
use repligo_core::membership::Membership;

use super::hello::FEATURE_LEVEL;
use crate::disk::Admission;

/// What a node that wants to be a member says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRequest {
    /// Version of the messages between nodes.
    pub feature_level: u64,
    /// Its name.
    pub name: String,
    /// Where it listens for nodes.
    pub address: String,
    /// Key of its directory.
    pub key: u128,
    /// Fingerprint of its keyspace policies.
    pub origin_fingerprint: u128,
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinAnswer {
    /// It is a member.
    Admitted(Admission),
    /// Not now, and why: it asks again.
    Wait(String),
    /// The leader listens for nodes at this address.
    Ask(String),
}

fn take_u128(reader: &mut Reader) -> Result<u128, Malformed> {
    let bytes: [u8; 16] = reader.take(16)?.as_ref().try_into().map_err(|_| Malformed)?;
    Ok(u128::from_le_bytes(bytes))
}

fn take_text(reader: &mut Reader) -> Result<String, Malformed> {
    String::from_utf8(reader.bytes()?.to_vec()).map_err(|_| Malformed)
}

impl JoinRequest {
    /// The payload of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.feature_level);
        put_bytes(&mut out, self.name.as_bytes());
        put_bytes(&mut out, self.address.as_bytes());
        out.extend_from_slice(&self.key.to_le_bytes());
        out.extend_from_slice(&self.origin_fingerprint.to_le_bytes());
        out
    }

    /// The reverse of [`Self::encode`].
    ///
    /// # Errors
    /// If the payload is no such frame's.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(Bytes::copy_from_slice(payload));
        Ok(Self {
            feature_level: reader.varint()?,
            name: take_text(&mut reader)?,
            address: take_text(&mut reader)?,
            key: take_u128(&mut reader)?,
            origin_fingerprint: take_u128(&mut reader)?,
        })
    }
}

impl JoinAnswer {
    /// The payload of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Admitted(admission) => {
                out.push(0);
                out.extend_from_slice(&admission.cluster_id.to_le_bytes());
                put_varint(&mut out, admission.generation);
                put_varint(&mut out, admission.peer);
                put_bytes(&mut out, &admission.membership.to_bytes());
            }
            Self::Wait(text) => {
                out.push(1);
                put_bytes(&mut out, text.as_bytes());
            }
            Self::Ask(address) => {
                out.push(2);
                put_bytes(&mut out, address.as_bytes());
            }
        }
        out
    }

    /// The reverse of [`Self::encode`].
    ///
    /// # Errors
    /// If the payload is no such frame's.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(Bytes::copy_from_slice(payload));
        match reader.u8()? {
            0 => {
                let admission = Admission {
                    cluster_id: take_u128(&mut reader)?,
                    generation: reader.varint()?,
                    peer: reader.varint()?,
                    membership: Membership::from_bytes(reader.bytes()?)?,
                };
                let is_in = admission.membership.get(admission.peer).is_some();
                if is_in && admission.cluster_id != 0 {
                    Ok(Self::Admitted(admission))
                } else {
                    Err(Malformed)
                }
            }
            1 => Ok(Self::Wait(take_text(&mut reader)?)),
            2 => Ok(Self::Ask(take_text(&mut reader)?)),
            _ => Err(Malformed),
        }
    }
}

/// What a node of the cluster says to a request that cannot be granted on any account.
pub fn refuse(request: &JoinRequest, origin_fingerprint: u128) -> Option<String> {
    if request.feature_level != FEATURE_LEVEL {
        return Some("the releases differ: run the same one on every node".to_owned());
    }
    if request.origin_fingerprint != origin_fingerprint {
        return Some("the [[keyspace]] sections differ: give every node the same configuration".to_owned());
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One of each, with its name, that came back from its bytes as it was.
    pub fn golden() -> Vec<(&'static str, Vec<u8>)> {
        let request = JoinRequest {
            feature_level: FEATURE_LEVEL,
            name: "n4".to_owned(),
            address: "h:1".to_owned(),
            key: 7,
            origin_fingerprint: 8,
        };
        let admission = Admission {
            cluster_id: 9,
            generation: 1,
            peer: 2,
            membership: Membership::of_count(3),
        };
        let answers = [
            ("admitted", JoinAnswer::Admitted(admission)),
            ("wait", JoinAnswer::Wait("it is full".to_owned())),
            ("ask", JoinAnswer::Ask("h:2".to_owned())),
        ];
        let bytes = request.encode();
        assert_eq!(JoinRequest::decode(&bytes), Ok(request));
        let answers = answers.into_iter().map(|(name, answer)| {
            let bytes = answer.encode();
            assert_eq!(JoinAnswer::decode(&bytes), Ok(answer));
            (name, bytes)
        });
        [("join", bytes)].into_iter().chain(answers).collect()
    }

    #[test]
    fn requests_and_answers_round_trip_and_every_cut_is_refused() {
        let request = JoinRequest {
            feature_level: FEATURE_LEVEL,
            name: "n4".to_owned(),
            address: "h:1".to_owned(),
            key: 7,
            origin_fingerprint: 8,
        };
        let bytes = request.encode();
        assert_eq!(JoinRequest::decode(&bytes), Ok(request.clone()));
        for cut in 0..bytes.len() {
            assert!(JoinRequest::decode(&bytes[..cut]).is_err());
        }
        assert!(refuse(&request, 8).is_none() && refuse(&request, 9).is_some());
        let admission = Admission {
            cluster_id: 9,
            generation: 1,
            peer: 2,
            membership: Membership::of_count(3),
        };
        let answers = [
            JoinAnswer::Admitted(admission.clone()),
            JoinAnswer::Wait("why".to_owned()),
            JoinAnswer::Ask("h:2".to_owned()),
        ];
        for answer in answers {
            let bytes = answer.encode();
            assert_eq!(JoinAnswer::decode(&bytes), Ok(answer));
            for cut in 0..bytes.len() {
                assert!(JoinAnswer::decode(&bytes[..cut]).is_err());
            }
        }
        let stranger = JoinAnswer::Admitted(Admission { peer: 9, ..admission });
        assert_eq!(
            JoinAnswer::decode(&stranger.encode()),
            Err(Malformed),
            "not among the members"
        );
    }
}
