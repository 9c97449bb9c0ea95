//! Whom a certificate names: `repligo://CLUSTER/node/NAME`, as a URI among its alternative names.

use std::fmt;

const SCHEME: &str = "repligo://";
const ROLE: &str = "/node/";

/// A node of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// What tells clusters apart that one authority certifies.
    pub cluster: String,
    /// Name of the node.
    pub name: String,
}

impl fmt::Display for NodeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}{ROLE}{}", self.cluster, self.name)
    }
}

impl NodeIdentity {
    /// The node that a URI names; `None` if it names something else.
    pub fn parse(uri: &str) -> Option<Self> {
        let (cluster, name) = uri.strip_prefix(SCHEME)?.split_once(ROLE)?;
        (is_name(cluster) && is_name(name)).then(|| Self {
            cluster: cluster.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The node that a certificate names, if it names exactly one.
    pub fn of(certificate: &webpki::EndEntityCert<'_>) -> Option<Self> {
        let mut nodes = certificate
            .valid_uri_names()
            .filter(|uri| uri.starts_with(SCHEME));
        match (nodes.next(), nodes.next()) {
            (Some(uri), None) => Self::parse(uri),
            _ => None,
        }
    }
}

/// Letters, digits, `.`, `_` and `-`: what names of nodes are made of.
pub fn is_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=64).contains(&text.len()) && text.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_form_names_a_node() {
        let node = NodeIdentity {
            cluster: "c-1".to_owned(),
            name: "n.2".to_owned(),
        };
        assert_eq!(NodeIdentity::parse(&node.to_string()), Some(node));
        for uri in [
            "repligo://c/client/n1",
            "repligo://c/node/",
            "repligo:///node/n1",
            "repligo://c/node/n1/node/n2",
            "repligo://c/node/n1?x",
            "https://c/node/n1",
            "repligo://c/node/n\n1",
        ] {
            assert_eq!(NodeIdentity::parse(uri), None, "{uri}");
        }
    }
}
