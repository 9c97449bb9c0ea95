//! Commands that only Repligo has.

use super::prelude::*;

const BASE: Spec = row(Group::Repligo);

pub(super) const COMMANDS: &[Spec] = &[Spec {
    id: CommandId::RepligoStatus,
    name: "repligo.status",
    arity: 1,
    flags: LOADING | STALE,
    tips: &["nondeterministic_output"],
    since: "0.1.0",
    complexity: "O(N) where N is the number of nodes",
    summary: "Get the state of the cluster as JSON",
    ..BASE
}];
