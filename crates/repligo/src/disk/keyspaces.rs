//! What was mapped to databases when the data of a directory was made.
//!
//! Written down at the first start, since the log does not say it: what a key is, and what an entry did, depends on it.

use repligo_core::contract::Boot;
use repligo_core::mapping_fit::{self, Misfit};
use repligo_core::origin::OriginMap;

use super::error::DiskError;
use super::meta::{Forming, Meta};
use super::open::OpenOptions;

/// Names of keyspaces that are written down; the fingerprint covers all of them.
const NAMES_MAX: usize = 8;
/// Bytes of a name that are written down.
const NAME_CHARACTERS_MAX: usize = 64;

/// The `[[keyspace]]` sections under which the data of a directory was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyspaces {
    /// One number for all that they say.
    pub fingerprint: u128,
    /// Names of some of them, for people.
    pub names: String,
}

impl Keyspaces {
    /// Of this mapping.
    pub fn of(map: &OriginMap) -> Self {
        let short = |name: &str| name.chars().take(NAME_CHARACTERS_MAX).collect::<String>();
        let policies = map.policies();
        let mut names: Vec<String> = policies
            .iter()
            .take(NAMES_MAX)
            .map(|policy| short(&policy.name))
            .collect();
        if policies.len() > NAMES_MAX {
            names.push("…".to_owned());
        }
        Self {
            fingerprint: map.fingerprint(),
            names: names.join(", "),
        }
    }

    fn describe(&self) -> String {
        match self.names.is_empty() {
            true => "none".to_owned(),
            false => self.names.clone(),
        }
    }
}

/// Refuses a directory whose data was made under other sections than the start has.
///
/// # Errors
/// [`DiskError::OtherKeyspaces`]; or, behind a restore, [`DiskError::PlainKeys`].
pub(super) fn refuse_others(options: &OpenOptions, recorded: &Meta, boot: &Boot) -> Result<(), DiskError> {
    let (Some(map), Forming::Formed { .. }) = (&options.map, recorded.forming) else {
        return Ok(());
    };
    let wanted = Keyspaces::of(map);
    let other = |then: String| DiskError::OtherKeyspaces {
        dir: options.dir.clone(),
        then,
        now: wanted.describe(),
    };
    if let Some(then) = &recorded.keyspaces {
        return match then.fingerprint == wanted.fingerprint {
            true => Ok(()),
            false => Err(other(then.describe())),
        };
    }
    // The first start behind a restore, which leaves the sections open.
    let Some((_, _, chunks)) = &boot.snapshot else {
        return Ok(());
    };
    mapping_fit::judge(chunks, map).map_err(|misfit| match misfit {
        Misfit::OtherKeyspaces => other("others".to_owned()),
        Misfit::PlainKeys { .. } => DiskError::PlainKeys {
            dir: options.dir.clone(),
            misfit,
        },
    })
}
