//! CONFIG GET, SET: every parameter of Redis 7.0, with its names, forms and ranges.
//!
//! It is a view for compatibility; the node's own configuration is `config`. A parameter that can be
//! changed takes effect at once; one that nothing depends on is kept and shown; one that decides
//! something here which cannot be changed says what to do instead. Nothing is written back to a file.

#[cfg(test)]
mod document;
mod form;
mod output;
mod rows;

use repligo_core::contract::Role;
use repligo_core::eviction::{EvictionPolicy, MemoryLimit};
use repligo_core::keyspace::EventClasses;
use repligo_proto::glob::{self, Glob, PATTERN_BYTES_MAX};
use repligo_proto::resp::ArgSlice;
use repligo_proto::words;

use super::Local;
use crate::config::ClientMemory;
use crate::telemetry::audit::shown;
use form::Form;
pub use output::OutputLimit;
use rows::{Effect, ROWS, Row};

/// Why the password cannot be taken away.
const PASSWORD_NEEDED: &str = "clients of other machines or users can connect: set another password, or listen on \
                               127.0.0.1 only, or give --insecure at start";

/// The budget of clients.
const CLIENT_MEMORY: &str = "maxmemory-clients";

/// A name that CONFIG takes; several may name one parameter.
#[derive(Clone, Debug)]
struct Name {
    text: String,
    /// Position in [`ROWS`] and of the value.
    place: usize,
    is_hidden: bool,
}

/// All parameters, and typed copies of those that matter on the hot path.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// In alphabetical order.
    names: Vec<Name>,
    /// One for each row.
    values: Vec<String>,
    password: Option<Vec<u8>>,
    needs_password: bool,
    output_bytes_max: usize,
    output_stall_seconds: u64,
    subscriber_output: OutputLimit,
    maxclients: usize,
    client_memory: ClientMemory,
    login_seconds: u64,
    timeout_seconds: u64,
    proto_max_bulk_bytes: usize,
    memory: MemoryLimit,
    events: EventClasses,
}

/// What the node was started with that no parameter shows as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// True if the password must not be taken away.
    pub needs_password: bool,
    /// Unsent bytes above which a client is disconnected; 0: no limit.
    pub output_bytes_max: usize,
    /// Seconds after which a client that reads none of its replies is disconnected; 0: never.
    pub output_stall_seconds: u64,
    /// Most clients at once.
    pub maxclients: usize,
    /// Seconds in which a connection must have logged in where that is needed; 0: any time.
    pub login_seconds: u64,
    /// Longest bulk string of a request.
    pub proto_max_bulk_bytes: usize,
    /// Memory limit and policy.
    pub memory: MemoryLimit,
}

impl Parameters {
    /// Parameters with these values, by name, and what Redis has for all others.
    pub fn new(given: impl Fn(&str) -> Option<String>, limits: Limits) -> Self {
        let value = |row: &Row| given(row.name).unwrap_or_else(|| row.value.to_owned());
        let hard = limits.output_bytes_max;
        let values: Vec<String> = ROWS.iter().map(value).collect();
        let output = ROWS.iter().position(|row| row.form == Form::OutputLimits);
        let output = output.map_or("", |place| values[place].as_str());
        Self {
            names: names(),
            subscriber_output: OutputLimit::of_subscribers(output),
            values,
            password: given("requirepass")
                .map(String::into_bytes)
                .filter(|secret| !secret.is_empty()),
            needs_password: limits.needs_password,
            output_bytes_max: if hard == 0 { usize::MAX } else { hard },
            output_stall_seconds: limits.output_stall_seconds,
            maxclients: limits.maxclients,
            client_memory: given(CLIENT_MEMORY)
                .and_then(|text| ClientMemory::read(&text))
                .unwrap_or(ClientMemory::Bytes(0)),
            login_seconds: limits.login_seconds,
            timeout_seconds: 0,
            proto_max_bulk_bytes: limits.proto_max_bulk_bytes,
            memory: limits.memory,
            events: EventClasses::default(),
        }
    }

    /// Password of the default user.
    pub fn password(&self) -> Option<&[u8]> {
        self.password.as_deref()
    }

    /// True if the node must not be open to whoever reaches it.
    pub fn needs_password(&self) -> bool {
        self.needs_password
    }

    /// Unsent bytes above which a client is disconnected.
    #[inline]
    pub fn output_bytes_max(&self) -> usize {
        /// What may be unsent before the reply with the value, and what is around the value itself.
        const AROUND_BYTES: usize = 2 << 20;
        // A value that was taken must be readable, whatever else the limit is.
        self.output_bytes_max
            .max(self.proto_max_bulk_bytes.saturating_add(AROUND_BYTES))
    }

    /// Seconds after which a client that reads none of its replies is disconnected; 0: never.
    pub fn output_stall_seconds(&self) -> u64 {
        self.output_stall_seconds
    }

    /// What subscribers may leave unread.
    pub fn subscriber_output(&self) -> OutputLimit {
        self.subscriber_output
    }

    /// Most clients at once.
    pub fn maxclients(&self) -> usize {
        self.maxclients
    }

    /// What all clients together may take.
    pub fn client_memory(&self) -> ClientMemory {
        self.client_memory
    }

    /// Seconds in which a connection must have logged in where that is needed; 0: any time.
    pub fn login_seconds(&self) -> u64 {
        self.login_seconds
    }

    /// Seconds after which an idle client is disconnected; 0: never.
    pub fn timeout_seconds(&self) -> u64 {
        self.timeout_seconds
    }

    /// Longest bulk string of a request.
    pub fn proto_max_bulk_bytes(&self) -> usize {
        self.proto_max_bulk_bytes
    }

    /// Memory limit and policy.
    pub fn memory(&self) -> MemoryLimit {
        self.memory
    }

    /// Classes of events that subscribers are told of.
    #[inline]
    pub fn events(&self) -> EventClasses {
        self.events
    }

    /// Value of a parameter, as CONFIG GET shows it.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.position(name.as_bytes())
            .map(|position| self.shown(position))
    }

    /// Value of what the name at this position names.
    fn shown(&self, position: usize) -> &str {
        &self.values[self.names[position].place]
    }

    /// The value as it would be stored, or why it is refused.
    fn check(&self, position: usize, text: &[u8]) -> Result<String, String> {
        let row = &ROWS[self.names[position].place];
        // A text is shown and compared as it is, so that nothing may be put in place of its bytes.
        if row.form == Form::Text && std::str::from_utf8(text).is_err() {
            return Err("argument must be UTF-8".to_owned());
        }
        let value = row.form.check(&String::from_utf8_lossy(text))?;
        if row.name == "requirepass" && value.is_empty() && self.needs_password {
            return Err(PASSWORD_NEEDED.to_owned());
        }
        if row.form == Form::OutputLimits {
            return output::merged(self.shown(position), &value).ok_or_else(|| rows::OUTPUT.to_owned());
        }
        match row.effect {
            Effect::Given(remedy) if value != self.shown(position) => Err(remedy.to_owned()),
            _ => Ok(value),
        }
    }

    fn store(&mut self, position: usize, mut value: String) {
        let number = value.parse::<u64>().unwrap_or(0);
        let place = self.names[position].place;
        match ROWS[place].name {
            "requirepass" => self.password = (!value.is_empty()).then(|| value.clone().into_bytes()),
            "client-output-buffer-limit" => self.subscriber_output = OutputLimit::of_subscribers(&value),
            "maxclients" => self.maxclients = number as usize,
            CLIENT_MEMORY => {
                self.client_memory = ClientMemory::read(&value).unwrap_or(ClientMemory::Bytes(0));
            }
            "timeout" => self.timeout_seconds = number,
            "proto-max-bulk-len" => self.proto_max_bulk_bytes = number as usize,
            "notify-keyspace-events" => {
                self.events = EventClasses::parse(&value).unwrap_or_default();
                // What is shown is not all that is in force: `A` hides `n`, as in Redis.
                value = self.events.to_string();
            }
            "maxmemory" => self.memory.bytes_max = number,
            "maxmemory-policy" => self.memory.policy = EvictionPolicy::named(&value).unwrap_or_default(),
            _ => {}
        }
        self.values[place] = value;
    }

    /// Positions of the names that are to be set; the first that cannot be decides, as in Redis.
    fn settable(&self, pairs: ArgSlice<'_>) -> Result<Vec<usize>, Vec<u8>> {
        let mut positions: Vec<usize> = Vec::with_capacity(pairs.len() / 2);
        for name in pairs.iter().step_by(2) {
            let position = self
                .position(name)
                .ok_or_else(|| words::unknown_parameter(name))?;
            let why = match ROWS[self.names[position].place].effect {
                Effect::Immutable => Some("can't set immutable config"),
                Effect::Protected => Some("can't set protected config"),
                _ if positions.contains(&position) => Some("duplicate parameter"),
                _ => None,
            };
            if let Some(why) = why {
                return Err(words::config_set_failed(name, why));
            }
            positions.push(position);
        }
        Ok(positions)
    }

    /// CONFIG SET of parameters and their values, all or none.
    ///
    /// # Errors
    /// The error text, if one of them is refused.
    pub fn set(&mut self, pairs: ArgSlice<'_>) -> Result<(), Vec<u8>> {
        let positions = self.settable(pairs)?;
        let mut values = Vec::with_capacity(positions.len());
        for (pair, position) in positions.iter().enumerate() {
            let value = self.check(*position, pairs.get(2 * pair + 1));
            values.push(value.map_err(|why| words::config_set_failed(pairs.get(2 * pair), &why))?);
        }
        for (position, value) in positions.into_iter().zip(values) {
            self.store(position, value);
        }
        Ok(())
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        let name = name.to_ascii_lowercase();
        self.names
            .binary_search_by(|known| known.text.as_bytes().cmp(&name))
            .ok()
    }
}

/// All names of all rows, in alphabetical order.
fn names() -> Vec<Name> {
    let mut names = Vec::new();
    for (place, row) in ROWS.iter().enumerate() {
        let mut add = |text| {
            names.push(Name {
                text,
                place,
                is_hidden: row.is_hidden,
            });
        };
        add(row.name.to_owned());
        if row.has_old_name {
            add(row.name.replace("replica", words::FOLLOWER_ROLE));
        }
        if !row.alias.is_empty() {
            add(row.alias.to_owned());
        }
    }
    names.sort_by(|one, other| one.text.cmp(&other.text));
    names
}

/// CONFIG GET pattern…. A name without wildcards is answered in the letters in which it was asked.
pub(super) fn get(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) {
    let parameters = local.node.parameters();
    let mut found: Vec<(&[u8], usize)> = Vec::new();
    let mut is_found = vec![false; parameters.names.len()];
    for pattern in request.skip(2).iter() {
        if glob::is_literal(pattern) {
            found.extend(parameters.position(pattern).map(|position| (pattern, position)));
            continue;
        }
        if pattern.len() > PATTERN_BYTES_MAX {
            return local.reply(out).error(words::PATTERN_TOO_LONG);
        }
        let pattern = Glob::new(&pattern.to_ascii_lowercase());
        for (position, name) in parameters.names.iter().enumerate() {
            if !is_found[position] && !name.is_hidden && pattern.matches(name.text.as_bytes()) {
                is_found[position] = true;
                found.push((name.text.as_bytes(), position));
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    let leader = leader_address(local);
    let mut reply = local.reply(out);
    reply.map(found.len());
    for (name, position) in found {
        reply.bulk(name);
        match ROWS[parameters.names[position].place].name {
            "replicaof" => reply.bulk_str(&leader),
            _ => reply.bulk_str(parameters.shown(position)),
        }
    }
}

/// Host and port of the leader that this node follows; nothing on the leader itself.
fn leader_address(local: &Local<'_>) -> String {
    let status = local.node.status();
    if status.role == Role::Leader {
        return String::new();
    }
    let nodes = local.node.nodes();
    let leader = nodes.iter().find(|node| node.peer == status.leader);
    leader.map_or_else(String::new, |node| node.client_address.replace(':', " "))
}

/// CONFIG SET parameter value…: all or nothing. Names are judged before values, as in Redis.
pub(super) fn set(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) {
    let pairs = request.skip(2);
    if !pairs.len().is_multiple_of(2) {
        return local.reply(out).error(words::SYNTAX);
    }
    let outcome = match local.node.set_parameters(pairs) {
        Ok(()) => {
            local.reply(out).ok();
            "ok"
        }
        Err(text) => {
            local.reply(out).error_bytes(&text);
            "refused"
        }
    };
    // The names alone: a value may be a password.
    let names = pairs.iter().step_by(2).map(shown).collect::<Vec<_>>();
    local.audit(("config", outcome), None, &[("parameters", names.into())]);
}

#[cfg(test)]
mod tests {
    use repligo_proto::resp::OwnedRequest;

    use super::*;

    #[test]
    fn names_are_sorted_and_unique() {
        let parameters = Parameters::new(|_| None, Limits::default());
        let names: Vec<_> = parameters.names.iter().map(|name| &name.text).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }

    #[test]
    fn a_password_is_kept_as_it_is_and_a_node_that_needs_one_keeps_one() {
        let limits = Limits {
            needs_password: true,
            ..Limits::default()
        };
        let given = |name: &str| (name == "requirepass").then(|| "first".to_owned());
        let mut parameters = Parameters::new(given, limits);
        let mut set = |value: &[u8]| {
            let request = OwnedRequest::new([b"requirepass".as_slice(), value]);
            let text = parameters.set(request.view()).err().unwrap_or_default();
            (
                String::from_utf8_lossy(&text).into_owned(),
                parameters.password().map(<[u8]>::to_vec),
            )
        };
        let (text, password) = set(b"");
        assert!(text.contains("--insecure"), "{text}");
        assert_eq!(password.as_deref(), Some(b"first".as_slice()));
        let (text, password) = set(b"\xff\xfe");
        assert!(text.contains("must be UTF-8"), "{text}");
        assert_eq!(password.as_deref(), Some(b"first".as_slice()));
        assert_eq!(set(b"next"), (String::new(), Some(b"next".to_vec())));
        parameters.needs_password = false;
        let request = OwnedRequest::new(["requirepass", ""]);
        assert_eq!(parameters.set(request.view()), Ok(()));
        assert_eq!(parameters.password(), None);
    }

    #[test]
    fn every_value_is_written_as_it_would_have_to_be_set() {
        let parameters = crate::node::parameters::parameters(&crate::node::NodeConfig::default(), 6379);
        for (row, value) in ROWS.iter().zip(&parameters.values) {
            assert_eq!(row.form.check(value).as_ref(), Ok(value), "{}", row.name);
        }
    }
}
