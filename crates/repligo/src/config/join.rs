//! Joining a running cluster: whom to ask, and where the others will reach this node.
//!
//! A node that joins has no cluster line: who the members are is what they say. It must have a name of its own choice,
//! since under the name of a member that is lost it would take that member's place.

use super::NodeSettings;
use super::cluster::Member;
use super::error::{Origin, Problem};
use super::layers::Layered;
use super::refusals::place;
use super::value::Value;
use repligo_core::contract::Durability;

const JOIN: &str = "join";

/// Whom to ask; nobody where this node does not join.
pub(super) fn contacts(layered: &Layered) -> Vec<String> {
    match &layered.get(JOIN).value {
        Some(Value::Contacts(contacts)) => contacts.clone(),
        _ => Vec::new(),
    }
}

/// Makes this node its own line, and refuses what does not go with joining.
pub(super) fn settle(layered: &Layered, settings: &mut NodeSettings, problems: &mut Vec<Problem>) {
    if settings.join.is_empty() {
        return;
    }
    let mut refuse = |what: &str, remedy: &str| {
        problems.push(Problem::new(
            place(layered, JOIN),
            what.to_owned(),
            remedy.to_owned(),
        ));
    };
    if !settings.members.is_empty() {
        return refuse(
            "join and cluster are both given",
            "give --cluster to form a cluster with the nodes that it names, or --join to become a member of one that runs",
        );
    }
    if matches!(place(layered, "name"), Origin::Default) {
        refuse(
            "a node that joins needs a name of its own",
            "give --name, one that no member has (see `repligo cluster nodes`); under the name of a lost member it \
             takes that member's place",
        );
    }
    if settings.durability == Durability::None {
        refuse(
            "a member of a cluster cannot run with durability none",
            "give --durability os or fsync: a node that forgets what it acknowledged must not come back under its name",
        );
    }
    let listen = settings.peer_listen;
    let host = match (listen.ip().is_unspecified(), &settings.advertise) {
        (false, _) => listen.ip().to_string(),
        (true, Some(host)) => host.clone(),
        (true, None) => {
            return refuse(
                "it is not said where the other nodes reach this one",
                "give --peer-listen IP:PORT with the address that they reach, or --advertise HOST beside it",
            );
        }
    };
    let is_elsewhere = |contact: &String| {
        let address = contact.parse::<std::net::SocketAddr>();
        address.is_ok_and(|address| !address.ip().is_loopback())
    };
    if listen.ip().is_loopback() && settings.join.iter().any(is_elsewhere) {
        refuse(
            "the other nodes are on other machines, and this one listens for nodes on this machine alone",
            "give --peer-listen IP:PORT with an address that they reach",
        );
    }
    settings.members = vec![Member {
        name: settings.name.clone(),
        host,
        port: listen.port(),
    }];
}

#[cfg(test)]
mod tests {
    use super::super::layers::Sources;
    use super::super::refusals;
    use super::*;

    fn given(flags: &[(&str, &str)]) -> Result<NodeSettings, String> {
        let owned = |(name, text): &(&str, &str)| (name.to_string(), text.to_string());
        let layered = Layered::read(&Sources {
            flags: flags.iter().map(owned).collect(),
            ..Default::default()
        });
        refusals::settle(&layered.expect("well formed")).map_err(|problems| problems.to_string())
    }

    const JOIN: (&str, &str) = ("join", "127.0.0.1:17001");
    const NAME: (&str, &str) = ("name", "n4");
    const SECRET: (&str, &str) = ("cluster-secret-file", "s");

    #[test]
    fn a_node_that_joins_is_its_own_line() {
        let settings = given(&[JOIN, NAME, SECRET, ("peer-listen", "127.0.0.1:17004")]).expect("accepted");
        assert_eq!(settings.join, ["127.0.0.1:17001"]);
        let line: Vec<String> = settings.members.iter().map(ToString::to_string).collect();
        assert_eq!(line, ["n4=127.0.0.1:17004"]);
        let everywhere = [
            JOIN,
            NAME,
            SECRET,
            ("peer-listen", "0.0.0.0:17004"),
            ("advertise", "host4"),
        ];
        let settings = given(&everywhere).expect("accepted");
        assert_eq!(settings.members[0].address(), "host4:17004");
        assert!(given(&[]).expect("accepted").join.is_empty());
    }

    #[test]
    fn what_does_not_go_with_joining_is_refused_with_the_remedy() {
        for (flags, part) in [
            (vec![JOIN, SECRET], "a name of its own"),
            (vec![JOIN, NAME], "--cluster-secret-file"),
            (vec![JOIN, NAME, SECRET, ("cluster", "n4=h:1")], "both given"),
            (
                vec![JOIN, NAME, SECRET, ("durability", "none")],
                "--durability os",
            ),
            (
                vec![JOIN, NAME, SECRET, ("peer-listen", "0.0.0.0:1")],
                "--advertise",
            ),
            (
                vec![("join", "10.0.0.1:1"), NAME, SECRET],
                "on this machine alone",
            ),
        ] {
            let text = given(&flags).expect_err("refused");
            assert!(text.contains(part), "{part}:\n{text}");
        }
    }
}
