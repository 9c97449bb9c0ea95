//! The cluster line of a start: the members of a cluster that forms with it, and where others may be asked.

use std::collections::BTreeMap;
use std::path::Path;

use repligo_core::contract::{Durability, PeerId};
use repligo_core::limits;
use repligo_core::membership::Membership;

use super::{NodeConfig, NodeError};

/// Names and addresses of the cluster, by number.
pub(super) struct Topology {
    pub me: PeerId,
    pub nodes: BTreeMap<PeerId, (String, String)>,
    /// A cluster line was given; without one nobody else can reach this node.
    has_line: bool,
    /// Whom to ask to become a member; nobody where a cluster may form with the line.
    join: Vec<String>,
}

impl Topology {
    pub fn new(config: &NodeConfig) -> Result<Self, NodeError> {
        let mut nodes = config.cluster.clone();
        if nodes.is_empty() {
            nodes.push((config.name.clone(), String::new()));
        }
        nodes.sort();
        if nodes.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(NodeError::Settings(
                "two nodes of --cluster have the same name; give each its own".to_owned(),
            ));
        }
        if nodes.len() > limits::VOTERS_MAX {
            let text = format!(
                "--cluster lists {} nodes, and at most {} are possible; list fewer",
                nodes.len(),
                limits::VOTERS_MAX
            );
            return Err(NodeError::Settings(text));
        }
        if nodes.len() > 1 && config.durability == Durability::None {
            let text = "a cluster needs --durability os or fsync: a node that forgets what it acknowledged must \
                        not come back under its name";
            return Err(NodeError::Settings(text.to_owned()));
        }
        let place = nodes.iter().position(|(name, _)| *name == config.name);
        let Some(place) = place else {
            let names: Vec<&str> = nodes.iter().map(|(name, _)| name.as_str()).collect();
            let text = format!(
                "--name {} is not among the nodes of --cluster; give one of {}",
                config.name,
                names.join(", ")
            );
            return Err(NodeError::Settings(text));
        };
        let nodes = nodes
            .into_iter()
            .enumerate()
            .map(|(place, node)| (place as PeerId + 1, node));
        Ok(Self {
            me: place as PeerId + 1,
            nodes: nodes.collect(),
            has_line: !config.cluster.is_empty(),
            join: config.join.clone(),
        })
    }

    /// Other nodes are there or may come.
    pub fn is_cluster(&self) -> bool {
        self.has_line
    }

    /// This node joins a running cluster, and forms none.
    pub fn joins(&self) -> bool {
        !self.join.is_empty()
    }

    /// What is said of a directory in which there is data of a cluster of its own.
    pub fn refuse_founder(&self, dir: &Path) -> String {
        format!(
            "{} holds the data of a single node, which would not become part of the cluster at {}. Start it without \
             --join, or give an empty --data-dir",
            dir.display(),
            self.join.join(",")
        )
    }

    /// What is said of a directory in which there is data of a node that others cannot reach.
    pub fn refuse_line(&self, dir: &Path) -> String {
        let others: Vec<String> = self.others().map(|(_, name, _)| name).collect();
        format!(
            "{} holds the data of a node that runs alone, and {} would never become members of its cluster: each would go on \
             alone, with data of its own. Give every node of a new cluster an empty --data-dir; to take this data along, make a \
             backup (repligo backup, while it runs alone) and restore it with --cluster on one node; or start this node \
             without --cluster",
            dir.display(),
            others.join(" and ")
        )
    }

    /// There are other nodes that may be asked to let this one in.
    pub fn has_contacts(&self) -> bool {
        self.joins() || self.nodes.len() > 1
    }

    /// Their addresses.
    pub fn contacts(&self) -> Vec<String> {
        let others = self.others().map(|(_, _, address)| address);
        others.chain(self.join.iter().cloned()).collect()
    }

    /// The members of the cluster that forms with this line; nobody where none does.
    pub fn membership(&self) -> Membership {
        match self.joins() {
            true => Membership::default(),
            false => Membership::formed(self.nodes.values().cloned()),
        }
    }

    pub fn names(&self) -> Vec<String> {
        self.nodes.values().map(|(name, _)| name.clone()).collect()
    }

    pub fn others(&self) -> impl Iterator<Item = (PeerId, String, String)> + '_ {
        let others = self.nodes.iter().filter(|(peer, _)| **peer != self.me);
        others.map(|(peer, (name, address))| (*peer, name.clone(), address.clone()))
    }
}
