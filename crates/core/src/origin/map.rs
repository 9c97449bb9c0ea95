//! Which keys are mapped to which rows. Built from the configuration, equal on all nodes, never changed
//! while a node runs.
//!
//! It knows no SQL and no connection: a driver asks it for tables and columns, apply asks it for lanes
//! and lifetimes. Invariant: a key belongs to at most one keyspace, and to exactly one lane of it.

use std::collections::BTreeSet;

use super::fingerprint::fingerprint;
use super::json::{Scalar, parse_row, render_row};
use super::pattern::{KeyKind, Pattern};
use super::request::LaneId;
use super::words;

/// Lanes of a keyspace unless it says otherwise: how many of its transactions can be in flight.
pub const LANES: u16 = 4;
/// Most lanes of a keyspace.
pub const LANES_MAX: u16 = 64;
/// Shortest lifetime of a cached copy or of a known-absent marker. Below it a command with many keys
/// could find its first key gone again before its last one was loaded.
pub const CACHE_LIFETIME_MS_MIN: u64 = 100;

/// What happens to writes of a keyspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Misses are loaded; writes are refused.
    ReadThrough,
    /// Misses are loaded; a write is in the origin before it is acknowledged and visible.
    WriteThrough,
}

/// How a value is kept in columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueConfig {
    /// The value as it is, in one column.
    Raw {
        /// Its name.
        column: String,
    },
    /// A JSON object, one column per member.
    Json {
        /// (member, column), in the order of the canonical form.
        fields: Vec<(String, String)>,
    },
}

/// One `[[keyspace]]` of the configuration, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyspaceConfig {
    /// Its name in messages.
    pub name: String,
    /// Such as `user:{id:int}`; see [`Pattern`].
    pub pattern: String,
    /// Database (SELECT number) whose keys are mapped; keys of the others are plain.
    pub database: u8,
    /// How many transactions can be in flight; [`LANES`] unless there is a reason.
    pub lanes: u16,
    /// Name of its `[origin.NAME]`.
    pub origin: String,
    /// What happens to writes.
    pub mode: Mode,
    /// Table.
    pub table: String,
    /// (placeholder, key column); empty means that the columns are called like the placeholders.
    pub key: Vec<(String, String)>,
    /// How the value is kept.
    pub value: ValueConfig,
    /// Lifetime of cached rows in milliseconds of shard time; `None` keeps them.
    pub cache_ttl_ms: Option<u64>,
    /// How long a missing row is remembered, in milliseconds of shard time.
    pub negative_ttl_ms: u64,
    /// After which a client whose write the origin has not decided gets `UNKNOWN`, in milliseconds.
    pub flush_deadline_ms: u64,
}

/// A column that is part of the primary key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    /// Its name.
    pub column: String,
    /// Its type.
    pub kind: KeyKind,
}

/// How a value is kept, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueMapping {
    /// One column.
    Raw {
        /// Its name.
        column: String,
    },
    /// One column per member; equal lengths, canonical order.
    Json {
        /// JSON member names.
        members: Vec<String>,
        /// Column names.
        columns: Vec<String>,
    },
}

impl ValueMapping {
    /// The value columns, in canonical order.
    pub fn columns(&self) -> &[String] {
        match self {
            Self::Raw { column } => std::slice::from_ref(column),
            Self::Json { columns, .. } => columns,
        }
    }

    /// The canonical form of what a client sent, or `None` when it is canonical already.
    pub fn canonical(&self, value: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let Self::Json { members, .. } = self else {
            return Ok(None);
        };
        let canonical = render_row(members, &parse_row(members, value)?);
        Ok((canonical != value).then_some(canonical))
    }

    /// The columns of a JSON value in order. An error means that it is not one of this mapping.
    pub fn scalars(&self, value: &[u8]) -> Result<Vec<Scalar>, String> {
        match self {
            Self::Raw { .. } => Err("a raw value has no members".to_owned()),
            Self::Json { members, .. } => parse_row(members, value),
        }
    }
}

/// One keyspace with an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its name in messages.
    pub name: String,
    /// Its keys.
    pub pattern: Pattern,
    /// Database (SELECT number) of its keys.
    pub database: u8,
    /// Number of its lanes.
    pub lanes: u16,
    /// Lanes of the keyspaces before it.
    pub(super) first_lane: usize,
    /// Position in [`OriginMap::origins`].
    pub origin: u16,
    /// What happens to writes.
    pub mode: Mode,
    /// Table.
    pub table: String,
    /// Key columns in the order of the placeholders.
    pub key: Vec<KeyColumn>,
    /// How the value is kept.
    pub value: ValueMapping,
    /// Lifetime of cached rows in milliseconds of shard time; `None` keeps them.
    pub cache_ttl_ms: Option<u64>,
    /// How long a missing row is remembered, in milliseconds of shard time.
    pub negative_ttl_ms: u64,
    /// Deadline of a pending write, in milliseconds of shard time.
    pub flush_deadline_ms: u64,
}

/// Where a key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// In the replicated keyspace only.
    Plain,
    /// In a row; the lane is the keyspace's.
    Mapped(LaneId),
    /// It starts like the keys of this keyspace but names no row: an error for every command.
    NotCanonical(&'a Policy),
}

/// All keyspaces with an origin. The default has none.
#[derive(Clone, Debug)]
pub struct OriginMap {
    policies: Vec<Policy>,
    origins: Vec<String>,
    /// Positions in the order of (database, prefix). No prefix is the beginning of another one, so the key's is
    /// the last one that is not above the key.
    sorted: Vec<u16>,
    /// `first[b]`: some prefix starts with the byte `b`.
    first: [bool; 256],
    fingerprint: u128,
}

impl Default for OriginMap {
    fn default() -> Self {
        Self {
            policies: Vec::new(),
            origins: Vec::new(),
            sorted: Vec::new(),
            first: [false; 256],
            fingerprint: fingerprint(&[], &[]),
        }
    }
}

impl OriginMap {
    /// Checks the keyspaces and builds the map. The error says what to change.
    pub fn new(configs: Vec<KeyspaceConfig>) -> Result<Self, String> {
        Self::build(configs).map_err(|(_, text)| text)
    }

    /// The same; with the error comes the position of the keyspace that is wrong.
    pub fn build(configs: Vec<KeyspaceConfig>) -> Result<Self, (usize, String)> {
        if configs.len() > usize::from(u16::MAX) {
            return Err((0, "more than 65,535 keyspaces".to_owned()));
        }
        let mut map = Self::default();
        let mut names = BTreeSet::new();
        let mut lanes = 0;
        for (position, config) in configs.into_iter().enumerate() {
            if !names.insert(config.name.clone()) {
                let text = format!("keyspace '{}': the name is used twice; rename one", config.name);
                return Err((position, text));
            }
            let mut policy = map.check(config).map_err(|text| (position, text))?;
            policy.first_lane = lanes;
            lanes += usize::from(policy.lanes);
            map.first[usize::from(policy.pattern.prefix()[0])] = true;
            let place = map.place_of(policy.database, policy.pattern.prefix());
            map.sorted.insert(place, position as u16);
            map.policies.push(policy);
        }
        map.fingerprint = fingerprint(&map.policies, &map.origins);
        Ok(map)
    }

    /// True when no keyspace has an origin.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// The keyspaces, by their position.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// One keyspace. Panics for a number that is not of this configuration.
    pub fn policy(&self, keyspace: u16) -> &Policy {
        &self.policies[usize::from(keyspace)]
    }

    /// Names of the origins in order of first use.
    pub fn origins(&self) -> &[String] {
        &self.origins
    }

    /// Differs between nodes whose mappings differ; URLs do not count, since paths may differ by node.
    pub fn fingerprint(&self) -> u128 {
        self.fingerprint
    }

    /// Where `key` of `database` lives.
    pub fn place(&self, database: u8, key: &[u8]) -> Place<'_> {
        match self.candidate(database, key) {
            None => Place::Plain,
            Some((keyspace, policy)) => match policy.pattern.split(key, |_| {}) {
                Ok(()) => Place::Mapped(LaneId {
                    keyspace,
                    lane: policy.lane_of(key),
                }),
                Err(_) => Place::NotCanonical(policy),
            },
        }
    }

    /// The keyspace whose prefix `key` has, without a look at the rest of the key.
    pub fn candidate(&self, database: u8, key: &[u8]) -> Option<(u16, &Policy)> {
        if self.policies.is_empty() || !self.first[usize::from(*key.first()?)] {
            return None;
        }
        let index = *self.sorted.get(self.place_of(database, key).checked_sub(1)?)?;
        let policy = self.policy(index);
        (policy.database == database && key.starts_with(policy.pattern.prefix())).then_some((index, policy))
    }

    /// The first keyspace of a database.
    pub(super) fn first_of(&self, database: u8) -> Option<(u16, &Policy)> {
        let index = self.sorted.get(self.place_of(database, b"")).copied()?;
        let policy = self.policy(index);
        (policy.database == database).then_some((index, policy))
    }

    /// How many prefixes are not above `key`.
    fn place_of(&self, database: u8, key: &[u8]) -> usize {
        self.sorted.partition_point(|index| {
            let policy = self.policy(*index);
            (policy.database, policy.pattern.prefix()) <= (database, key)
        })
    }

    /// A keyspace whose prefix begins with this one, or the other way round.
    fn overlapping(&self, database: u8, prefix: &[u8]) -> Option<&Policy> {
        let shorter = self.candidate(database, prefix).map(|(_, policy)| policy);
        shorter.or_else(|| {
            let next = self.policy(*self.sorted.get(self.place_of(database, prefix))?);
            let longer = next.database == database && next.pattern.prefix().starts_with(prefix);
            longer.then_some(next)
        })
    }

    /// All lanes, in order.
    pub fn lanes(&self) -> impl Iterator<Item = LaneId> + '_ {
        self.policies.iter().enumerate().flat_map(|(keyspace, policy)| {
            (0..policy.lanes).map(move |lane| LaneId {
                keyspace: keyspace as u16,
                lane,
            })
        })
    }

    /// True for a lane that this configuration has.
    pub(super) fn has_lane(&self, lane: LaneId) -> bool {
        let policy = self.policies.get(usize::from(lane.keyspace));
        policy.is_some_and(|policy| lane.lane < policy.lanes)
    }

    /// Position of a lane in [`OriginMap::lanes`].
    pub(super) fn lane_index(&self, lane: LaneId) -> usize {
        let policy = self.policy(lane.keyspace);
        assert!(lane.lane < policy.lanes, "a lane of another configuration");
        policy.first_lane + usize::from(lane.lane)
    }

    fn check(&mut self, config: KeyspaceConfig) -> Result<Policy, String> {
        let name = &config.name;
        let wrong = |what: String| format!("keyspace '{name}': {what}");
        if name.is_empty() || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(wrong("give it a name without spaces".to_owned()));
        }
        let pattern = Pattern::parse(&config.pattern).map_err(wrong)?;
        if let Some(other) = self.overlapping(config.database, pattern.prefix()) {
            return Err(wrong(format!(
                "its prefix '{}' overlaps '{}' of keyspace '{}'; a key must belong to one keyspace, so change one of them",
                pattern.prefix().escape_ascii(),
                other.pattern.prefix().escape_ascii(),
                other.name
            )));
        }
        let key = key_columns(&pattern, &config.key).map_err(wrong)?;
        let value = value_mapping(config.value.clone()).map_err(wrong)?;
        check_columns(&config.table, &key, &value).map_err(wrong)?;
        check_times(&config).map_err(wrong)?;
        if !(1..=LANES_MAX).contains(&config.lanes) {
            return Err(wrong(format!("lanes must be between 1 and {LANES_MAX}")));
        }
        if usize::from(config.database) >= crate::limits::DATABASES {
            return Err(wrong(format!("db must be below {}", crate::limits::DATABASES)));
        }
        if config.origin.is_empty() {
            return Err(wrong(
                "name its origin: origin = \"NAME\" of an [origin.NAME]".to_owned(),
            ));
        }
        let origin = match self.origins.iter().position(|origin| *origin == config.origin) {
            Some(index) => index as u16,
            None => {
                self.origins.push(config.origin.clone());
                (self.origins.len() - 1) as u16
            }
        };
        Ok(Policy {
            name: config.name,
            pattern,
            database: config.database,
            lanes: config.lanes,
            first_lane: 0,
            origin,
            mode: config.mode,
            table: config.table,
            key,
            value,
            cache_ttl_ms: config.cache_ttl_ms,
            negative_ttl_ms: config.negative_ttl_ms,
            flush_deadline_ms: config.flush_deadline_ms,
        })
    }
}

impl Policy {
    /// The lane of one of its keys. A hash tag decides it, as it decides a slot.
    pub fn lane_of(&self, key: &[u8]) -> u16 {
        repligo_proto::slot::slot(key) % self.lanes
    }

    /// Error text for a key that has the prefix but does not fit.
    pub fn not_canonical(&self, key: &[u8]) -> String {
        let rule = self.pattern.split(key, |_| {}).err().unwrap_or_default();
        words::not_canonical(key, &self.name, self.pattern.source(), &rule)
    }

    /// When a copy that is cached at `now_ms` is dropped, both in shard time.
    pub fn deadline_ms(&self, now_ms: u64, exists: bool) -> Option<u64> {
        let lifetime_ms = if exists {
            self.cache_ttl_ms?
        } else {
            self.negative_ttl_ms
        };
        Some(now_ms.saturating_add(lifetime_ms))
    }
}

fn key_columns(pattern: &Pattern, config: &[(String, String)]) -> Result<Vec<KeyColumn>, String> {
    if let Some((name, _)) = config
        .iter()
        .find(|(name, _)| pattern.placeholders().iter().all(|p| p.name != *name))
    {
        return Err(format!(
            "key maps '{name}', which is not a placeholder of the pattern '{}'",
            pattern.source()
        ));
    }
    let mut columns = Vec::new();
    for placeholder in pattern.placeholders() {
        let column = match config.iter().find(|(name, _)| *name == placeholder.name) {
            Some((_, column)) => column.clone(),
            None if config.is_empty() => placeholder.name.clone(),
            None => {
                return Err(format!(
                    "key does not say the column of placeholder '{0}'; add {0} = \"COLUMN\"",
                    placeholder.name
                ));
            }
        };
        columns.push(KeyColumn {
            column,
            kind: placeholder.kind,
        });
    }
    Ok(columns)
}

fn value_mapping(config: ValueConfig) -> Result<ValueMapping, String> {
    match config {
        ValueConfig::Raw { column } => Ok(ValueMapping::Raw { column }),
        ValueConfig::Json { fields } => {
            if fields.is_empty() {
                return Err("value = \"json\" needs fields = { member = \"column\", … }".to_owned());
            }
            let (members, columns): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
            if let Some(twice) = first_duplicate(&members) {
                return Err(format!("fields has the member '{twice}' twice; remove one"));
            }
            Ok(ValueMapping::Json { members, columns })
        }
    }
}

fn check_columns(table: &str, key: &[KeyColumn], value: &ValueMapping) -> Result<(), String> {
    if table.is_empty() {
        return Err("name its table: table = \"NAME\"".to_owned());
    }
    // SQL identifiers are compared without case.
    let all: Vec<String> = key
        .iter()
        .map(|k| &k.column)
        .chain(value.columns())
        .map(|column| column.to_lowercase())
        .collect();
    if all.iter().any(String::is_empty) {
        return Err("a column name is empty; name every key and value column".to_owned());
    }
    if all.iter().any(|c| c.contains('\0')) || table.contains('\0') {
        return Err("a table or column name contains NUL; rename it".to_owned());
    }
    match first_duplicate(&all) {
        Some(twice) => Err(format!(
            "the column '{twice}' is mapped twice; map each column once"
        )),
        None => Ok(()),
    }
}

fn check_times(config: &KeyspaceConfig) -> Result<(), String> {
    if config.cache_ttl_ms.is_some_and(|ttl| ttl < CACHE_LIFETIME_MS_MIN) {
        return Err(format!(
            "cache_ttl is too short; use at least {CACHE_LIFETIME_MS_MIN} ms, or leave it out to keep rows cached"
        ));
    }
    if config.negative_ttl_ms < CACHE_LIFETIME_MS_MIN {
        return Err(format!(
            "negative_ttl is too short; use at least {CACHE_LIFETIME_MS_MIN} ms"
        ));
    }
    if !(1_000..=3_600_000).contains(&config.flush_deadline_ms) {
        return Err("flush_deadline must be between 1 s and 1 h".to_owned());
    }
    Ok(())
}

fn first_duplicate(names: &[String]) -> Option<&String> {
    names
        .iter()
        .enumerate()
        .find(|(index, name)| names[..*index].contains(name))
        .map(|(_, name)| name)
}

#[cfg(test)]
#[path = "map_tests.rs"]
pub(super) mod tests;
