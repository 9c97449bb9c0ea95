//! REPLIGO.CLUSTER: the members of the cluster, and changes of them.
//!
//! Changes are the leader's. Any other node names it, and whoever asks goes there: nothing waits here.

use repligo_core::membership::Refusal;
use repligo_core::replica::MemberRequest;
use repligo_proto::resp::ArgSlice;

use super::Local;
use crate::telemetry::audit::shown;

const USAGE: &str = "ERR usage: REPLIGO.CLUSTER NODES | ADD name address | REMOVE name | REPLACE old name address | \
                     TRANSFER name";

pub(super) fn dispatch(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) {
    let words: Option<Vec<&str>> = request
        .iter()
        .skip(1)
        .map(|word| std::str::from_utf8(word).ok())
        .collect();
    let Some(words) = words else {
        return local.reply(out).error(USAGE);
    };
    let Some((verb, rest)) = words.split_first() else {
        return local.reply(out).error(USAGE);
    };
    let text = |word: &str| word.to_owned();
    let asked = match (verb.to_ascii_uppercase().as_str(), rest) {
        ("NODES", []) => {
            let json = local.node.members_json();
            return local.reply(out).bulk_str(&json);
        }
        ("ADD", [name, address]) => MemberRequest::Add {
            name: text(name),
            address: text(address),
            key: 0,
        },
        ("REMOVE", [name]) => MemberRequest::Remove { name: text(name) },
        ("REPLACE", [old, name, address]) => MemberRequest::Replace {
            old: text(old),
            name: text(name),
            address: text(address),
        },
        ("TRANSFER", [name]) => MemberRequest::Transfer { name: text(name) },
        _ => return local.reply(out).error(USAGE),
    };
    let changed = local.node.change_members(&asked);
    let outcome = if changed.is_ok() { "requested" } else { "refused" };
    let words = request.skip(1).iter().map(shown).collect::<Vec<_>>();
    local.audit(("members", outcome), None, &[("change", words.into())]);
    match changed {
        Ok(()) => local.reply(out).ok(),
        Err(Refusal::NotLeader) => {
            let address = local.node.leader_address();
            let error = match address.is_empty() {
                true => "TRYAGAIN there is no leader now: try again in a second".to_owned(),
                false => format!("ERR this node does not lead: ask the leader at {address}"),
            };
            local.reply(out).error(&error);
        }
        Err(refusal) => {
            let word = if refusal.is_passing() { "TRYAGAIN" } else { "ERR" };
            local.reply(out).error(&format!("{word} {}", refusal.explain()));
        }
    }
}
