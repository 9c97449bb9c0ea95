//! How the nodes of a cluster know each other: a secret, certificates, or nothing at all.

use super::NodeSettings;
use super::error::Problem;
use super::layers::Layered;
use super::refusals::{path, place, switch};
use crate::tls::keys::PeerSource;

const SECRET: &str = "cluster-secret-file";
const CERTIFICATES: [&str; 3] = ["peer-cert", "peer-key", "peer-ca"];
const INSECURE: &str = "insecure-peers";

/// Where the keys come from, if anything is said about that.
pub(super) fn settle(layered: &Layered, problems: &mut Vec<Problem>) -> Option<PeerSource> {
    let secret = path(layered, SECRET);
    let given = CERTIFICATES.map(|name| (name, path(layered, name)));
    if let Some((name, _)) = given.iter().find(|(_, path)| path.is_some()) {
        if secret.is_some() {
            let what = format!("{SECRET} and {name} are both given");
            let remedy = "give the secret, or certificates of your own authority, not both";
            problems.push(Problem::new(place(layered, name), what, remedy));
        }
        if let Some((missing, _)) = given.iter().find(|(_, path)| path.is_none()) {
            let what = format!("{name} is given and {missing} is not");
            let remedy = "give all of --peer-cert, --peer-key and --peer-ca";
            problems.push(Problem::new(place(layered, name), what, remedy));
        }
    }
    if let [(_, Some(certificate)), (_, Some(key)), (_, Some(authority))] = given {
        return Some(PeerSource::Files {
            certificate,
            key,
            authority,
        });
    }
    secret.map(PeerSource::Secret)
}

/// A cluster whose nodes do not know each other is one that anybody can join.
pub(super) fn check(layered: &Layered, settings: &NodeSettings, problems: &mut Vec<Problem>) {
    let is_said = CERTIFICATES.iter().any(|name| path(layered, name).is_some());
    let is_alone = settings.members.len() < 2 && settings.join.is_empty();
    if is_alone || settings.peer_source.is_some() || is_said {
        return;
    }
    if switch(layered, INSECURE) {
        return;
    }
    problems.push(Problem::new(
        place(layered, if settings.join.is_empty() { "cluster" } else { "join" }),
        "the nodes of a cluster need a secret by which they know each other".to_owned(),
        "make one with `repligo secret new FILE`, give every node a copy, and give --cluster-secret-file FILE; or \
         give --insecure-peers if anybody who reaches the peer ports may be a node",
    ));
}

#[cfg(test)]
mod tests {
    use super::super::layers::Sources;
    use super::super::refusals;
    use super::*;

    fn given(flags: &[(&str, &str)]) -> Result<NodeSettings, String> {
        given_to("n1=127.0.0.1:16379,n2=127.0.0.1:16380", flags)
    }

    fn given_to(line: &str, flags: &[(&str, &str)]) -> Result<NodeSettings, String> {
        let cluster = ("cluster", line);
        let owned = |(name, text): &(&str, &str)| (name.to_string(), text.to_string());
        let flags = [&[cluster], flags].concat().iter().map(owned).collect();
        let layered = Layered::read(&Sources {
            flags,
            ..Default::default()
        });
        refusals::settle(&layered.expect("well formed")).map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_cluster_is_given_one_way_for_its_nodes_to_know_each_other() {
        let secret = ("cluster-secret-file", "s");
        let files = [("peer-cert", "c"), ("peer-key", "k"), ("peer-ca", "a")];
        let source = |flags: &[(&str, &str)]| given(flags).expect("accepted").peer_source;
        assert_eq!(source(&[secret]), Some(PeerSource::Secret("s".into())));
        assert!(matches!(source(&files), Some(PeerSource::Files { .. })));
        assert_eq!(source(&[("insecure-peers", "true")]), None);
        for (flags, part) in [
            (vec![], "repligo secret new FILE"),
            (vec![("insecure", "true")], "--insecure-peers"),
            (files[..2].to_vec(), "peer-cert is given and peer-ca is not"),
            ([&files[..], &[secret]].concat(), "both given"),
        ] {
            let text = given(&flags).expect_err("refused");
            assert!(text.contains(part), "{part}:\n{text}");
        }
        let single = given_to("n1=127.0.0.1:16379", &[]);
        assert!(single.is_ok(), "a line of one node has no links");
    }
}
