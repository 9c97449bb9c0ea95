//! The first frame on a peer link, in both directions: who speaks, and whether the two belong together.
//!
//! It is sent again when a node's forming state changes, so a link is used for replication only when both
//! ends have said on it that they are part of the same cluster. Judging is a pure function; its refusals
//! say what to change.

use bytes::Bytes;
use repligo_core::codec::{Malformed, Reader, put_bytes, put_varint};
use repligo_core::contract::{Identity, PeerId};
use repligo_core::forming::FormingState;
use repligo_core::limits::INCARNATION_MAX;
pub use repligo_core::section::FEATURE_LEVEL;
use repligo_proto::frame::{Header, Kind};

/// Names and addresses are never longer.
const TEXT_BYTES_MAX: usize = 255;

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Version of the messages, see [`FEATURE_LEVEL`].
    pub feature_level: u64,
    /// Its name.
    pub name: String,
    /// Where clients reach it.
    pub client_address: String,
    /// Names of all nodes, sorted, as its cluster line says.
    pub voters: Vec<String>,
    /// Fingerprint of its keyspace policies.
    pub origin_fingerprint: u128,
    /// How far it has come in forming.
    pub forming: FormingState,
}

impl Hello {
    /// The payload of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        put_varint(&mut out, self.feature_level);
        put_bytes(&mut out, self.name.as_bytes());
        put_bytes(&mut out, self.client_address.as_bytes());
        put_varint(&mut out, self.voters.len() as u64);
        for voter in &self.voters {
            put_bytes(&mut out, voter.as_bytes());
        }
        out.extend_from_slice(&self.origin_fingerprint.to_le_bytes());
        self.forming.encode(&mut out);
        out
    }

    /// The reverse of [`Self::encode`]. Later feature levels may append fields.
    ///
    /// # Errors
    /// If the payload is no such frame's.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(Bytes::copy_from_slice(payload));
        let feature_level = reader.varint()?;
        let name = text(&mut reader)?;
        let client_address = text(&mut reader)?;
        let count = reader.varint()?;
        if count > repligo_core::limits::VOTERS_MAX as u64 {
            return Err(Malformed);
        }
        let voters = (0..count).map(|_| text(&mut reader)).collect::<Result<_, _>>()?;
        let fingerprint: [u8; 16] = reader.take(16)?.as_ref().try_into().map_err(|_| Malformed)?;
        let forming = FormingState::decode(&mut reader)?;
        Ok(Self {
            feature_level,
            name,
            client_address,
            voters,
            origin_fingerprint: u128::from_le_bytes(fingerprint),
            forming,
        })
    }
}

/// A name or an address: it gets into logs and into the replies to clients.
fn text(reader: &mut Reader) -> Result<String, Malformed> {
    let text = String::from_utf8(reader.bytes()?.to_vec()).map_err(|_| Malformed)?;
    let is_plain = text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control);
    is_plain.then_some(text).ok_or(Malformed)
}

/// Why a greeting is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// For the other side, which may be a stranger: what kind of thing differs, and nothing of this node.
    pub told: &'static str,
    /// For this node's log: what differs, and what to change.
    pub text: String,
}

impl Refused {
    fn new(told: &'static str, text: String) -> Self {
        Self { told, text }
    }
}

/// What a node tells others while it waits to be admitted.
pub const WAITS_FOR_ADMISSION: &str = "it waits to be admitted to the cluster as a new member";

/// What a node answers to any greeting while it waits to be admitted; the node that greeted has this name.
pub fn waits_for_admission(name: &str) -> Refused {
    let text = format!("{name} greets this node, which waits to be admitted");
    Refused::new(WAITS_FOR_ADMISSION, text)
}

/// Whether a node that says this belongs to this one's cluster; its number if so.
///
/// # Errors
/// One sentence for each operator: what differs, and what to change.
pub fn judge(mine: (&Hello, &Identity), header: &Header, theirs: &Hello) -> Result<PeerId, Refused> {
    let (own, identity) = mine;
    let name = &theirs.name;
    let refuse = |told, text| Err(Refused::new(told, text));
    if header.kind != Kind::HELLO {
        let text = "the other side did not begin with a greeting: it is no repligo node";
        return refuse("no greeting came first", text.to_owned());
    }
    if theirs.feature_level != own.feature_level {
        let text = format!(
            "{name} speaks feature level {}, {} speaks {}: run the same release on both",
            theirs.feature_level, own.name, own.feature_level
        );
        return refuse("the releases differ: run the same one on every node", text);
    }
    let formed = |hello: &Hello| matches!(hello.forming, FormingState::Formed(_));
    let both_formed = formed(own) && formed(theirs);
    // Who the members of a formed cluster are is no matter of anybody's line.
    if !both_formed && theirs.voters != own.voters {
        let text = format!(
            "{name} was started with the nodes {}, {} with {}: give every node the same --cluster",
            theirs.voters.join(", "),
            own.name,
            own.voters.join(", ")
        );
        return refuse("the --cluster lines differ: give every node the same one", text);
    }
    let place = own.voters.iter().position(|voter| voter == name);
    let place = place.map(|place| place as u64 + 1);
    let misplaced = !both_formed && place != Some(header.peer);
    if *name == own.name || header.peer == identity.peer || misplaced {
        let text = format!(
            "a node that calls itself {name} answers where another one was expected: check the addresses in \
             --cluster and the --name of each node"
        );
        let told = "another node is expected: check the addresses in --cluster and the --name of each node";
        return refuse(told, text);
    }
    if header.incarnation > INCARNATION_MAX {
        let text = format!("{name} says that it was started {} times", header.incarnation);
        return refuse("the count of starts is beyond any count", text);
    }
    if theirs.origin_fingerprint != own.origin_fingerprint {
        let text = format!(
            "{name} and {} have different [[keyspace]] sections: give every node the same configuration",
            own.name
        );
        let told = "the [[keyspace]] sections differ: give every node the same configuration";
        return refuse(told, text);
    }
    judge_cluster((own, identity), header, theirs)
}

/// Whether a node that greets under a number has the name of the member with that number, if there is one. Its
/// certificate vouches for the name, so nobody takes another one's number.
///
/// # Errors
/// The refusal, if the names differ.
pub fn judge_name(known: Option<&str>, theirs: &Hello) -> Result<(), Refused> {
    match known {
        Some(known) if known != theirs.name => {
            let text = format!(
                "a node that calls itself {} answers with the number of {known}: check the addresses in --cluster \
                 and the --name of each node",
                theirs.name
            );
            let told =
                "another node is expected: check the addresses in --cluster and the --name of each node";
            Err(Refused::new(told, text))
        }
        _ => Ok(()),
    }
}

fn judge_cluster(
    (own, identity): (&Hello, &Identity),
    header: &Header,
    theirs: &Hello,
) -> Result<PeerId, Refused> {
    let name = &theirs.name;
    if let (FormingState::Formed(mine), FormingState::Formed(other)) = (own.forming, theirs.forming) {
        if mine != other {
            let text = format!(
                "{name} belongs to cluster {other:032x}, {} to {mine:032x}: one of the data directories is the \
                 wrong one",
                own.name
            );
            let told = "the clusters differ: one of the data directories is the wrong one";
            return Err(Refused::new(told, text));
        }
        if header.generation != identity.generation {
            let text = format!(
                "{name} is of generation {} of the cluster, {} of {}: the older one missed a recovery. Stop that \
                 node, move its data directory away and start it again: it comes back as a new member",
                header.generation, own.name, identity.generation
            );
            let told = "the generations of the cluster differ: the node of the older one missed a recovery; stop it, move its \
                        data directory away and start it again: it comes back as a new member";
            return Err(Refused::new(told, text));
        }
    }
    Ok(header.peer)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn hello(name: &str) -> Hello {
        Hello {
            feature_level: FEATURE_LEVEL,
            name: name.to_owned(),
            client_address: "127.0.0.1:1".to_owned(),
            voters: vec!["n1".to_owned(), "n2".to_owned(), "n3".to_owned()],
            origin_fingerprint: 7,
            forming: FormingState::Formed(9),
        }
    }

    fn header(peer: u64) -> Header {
        Header {
            cluster_id: 9,
            generation: 1,
            peer,
            incarnation: 1,
            kind: Kind::HELLO,
        }
    }

    fn check(change: impl FnOnce(&mut Hello, &mut Header), expect: Option<&str>) {
        let (mut theirs, mut header) = (hello("n2"), header(2));
        change(&mut theirs, &mut header);
        let identity = Identity {
            cluster_id: 9,
            generation: 1,
            peer: 1,
            incarnation: 5,
        };
        let result = judge((&hello("n1"), &identity), &header, &theirs);
        match (result, expect) {
            (Ok(peer), None) => assert_eq!(peer, 2),
            (Err(refused), Some(part)) => {
                assert!(refused.text.contains(part), "{refused:?}");
                // A stranger learns nothing of this node.
                for secret in ["n1", "n2", "n3", "00000009", "1 of"] {
                    assert!(!refused.told.contains(secret), "{refused:?}");
                }
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_nodes_of_one_cluster_talk() {
        check(|_, _| (), None);
        check(|hello, _| hello.forming = FormingState::Empty, None);
        check(
            |hello, _| hello.forming = FormingState::Formed(8),
            Some("data directories"),
        );
        check(|_, header| header.generation = 2, Some("generation"));
        let forming = |change: fn(&mut Hello)| {
            move |hello: &mut Hello, _: &mut Header| {
                hello.forming = FormingState::Empty;
                change(hello);
            }
        };
        check(forming(|hello| hello.voters.truncate(2)), Some("--cluster"));
        // Who the members of a formed cluster are is in its log.
        check(|hello, _| hello.voters.truncate(2), None);
        check(|hello, _| hello.origin_fingerprint = 1, Some("[[keyspace]]"));
        check(|hello, _| hello.feature_level += 1, Some("release"));
        check(forming(|hello| hello.name = "n3".to_owned()), Some("--name"));
        check(|hello, _| hello.name = "n1".to_owned(), Some("--name"));
        check(|_, header| header.kind = Kind::CORE, Some("greeting"));
        check(|_, header| header.incarnation = u64::MAX, Some("started"));
    }

    #[test]
    fn a_number_belongs_to_one_name() {
        assert_eq!(judge_name(None, &hello("n3")), Ok(()));
        assert_eq!(judge_name(Some("n3"), &hello("n3")), Ok(()));
        let refused = judge_name(Some("n2"), &hello("n3")).expect_err("the number of n2");
        assert!(
            refused.text.contains("n2") && !refused.told.contains("n2"),
            "{refused:?}"
        );
    }

    /// Greetings in all states of forming, and what is said of joining. `UPDATE=1` writes the file anew.
    #[test]
    fn greetings_are_those_of_the_golden_file() {
        let mut greetings = Vec::new();
        for (name, forming) in [
            ("hello-empty", FormingState::Empty),
            ("hello-prepared", FormingState::Prepared(9)),
            ("hello-formed", FormingState::Formed(u128::MAX - 1)),
        ] {
            let hello = Hello {
                forming,
                ..hello("n1")
            };
            let bytes = hello.encode();
            assert_eq!(Hello::decode(&bytes), Ok(hello));
            greetings.push((name, bytes));
        }
        greetings.extend(super::super::join::tests::golden());
        let mut text = String::new();
        for (name, bytes) in greetings {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            text += &format!("{name} {hex}\n");
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/greetings.txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &text).expect("the golden file can be written");
        }
        assert_eq!(
            std::fs::read_to_string(path).expect("the golden file is there"),
            text
        );
    }

    #[test]
    fn greetings_survive_the_wire_and_nothing_else_is_one() {
        let hello = hello("n1");
        let bytes = hello.encode();
        assert_eq!(Hello::decode(&bytes), Ok(hello.clone()));
        for length in 0..bytes.len() {
            assert!(Hello::decode(&bytes[..length]).is_err(), "{length}");
        }
        for text in ["n1\nroot logged in", "n1\u{1b}[2J", &"n".repeat(256)] {
            let mut forged = hello.clone();
            forged.name = text.to_owned();
            assert_eq!(Hello::decode(&forged.encode()), Err(Malformed), "{text:?}");
        }
    }
}
