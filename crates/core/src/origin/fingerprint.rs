//! One number for all mappings of a configuration: nodes and snapshots that differ in it do not fit together.

use super::map::{Mode, Policy, ValueMapping};

/// FNV-1a of 128 bits over a description in which every part has its length before it. It must be the
/// same in every build, so neither a hash that may change with a dependency nor derived text will do.
pub(super) fn fingerprint(policies: &[Policy], origins: &[String]) -> u128 {
    let mut description = Vec::from(*b"mapping 1");
    let mut put = |part: &str| crate::packed::put_bytes(&mut description, part.as_bytes());
    for policy in policies {
        put(&policy.name);
        put(policy.pattern.source());
        put(&origins[usize::from(policy.origin)]);
        put(match policy.mode {
            Mode::ReadThrough => "read-through",
            Mode::WriteThrough => "write-through",
        });
        put(&policy.table);
        policy.key.iter().for_each(|key| put(&key.column));
        match &policy.value {
            ValueMapping::Raw { column } => ["raw", column].map(&mut put),
            ValueMapping::Json { members, columns } => {
                members.iter().chain(columns).for_each(|name| put(name));
                ["json", &members.len().to_string()].map(&mut put)
            }
        };
        put(&policy.cache_ttl_ms.map_or("none".to_owned(), |ms| ms.to_string()));
        let numbers = [
            u64::from(policy.database),
            u64::from(policy.lanes),
            policy.negative_ttl_ms,
            policy.flush_deadline_ms,
        ];
        numbers.iter().for_each(|number| put(&number.to_string()));
    }
    description
        .iter()
        .fold(0x6c62272e07bb014262b821756295c58d, |hash, byte| {
            (hash ^ u128::from(*byte)).wrapping_mul(0x0000000001000000000000000000013b)
        })
}
