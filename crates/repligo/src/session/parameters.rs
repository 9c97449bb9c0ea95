//! CONFIG GET, SET: the parameters that clients and tools ask for, with Redis' names and forms.
//!
//! It is a view for compatibility; the node's own configuration is `config`. A parameter that can be
//! changed takes effect at once; one that cannot says so. Nothing here is written back to a file.

use repligo_core::contract::Durability;
use repligo_core::eviction::{EvictionPolicy, MemoryLimit};
use repligo_proto::glob::{self, Glob};
use repligo_proto::resp::ArgSlice;
use repligo_proto::words;

use super::Local;
use crate::node::NodeConfig;

/// How a value is written, and what may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Cannot be set.
    Fixed,
    /// Can be set only to what it is; the text says what to do instead.
    Constant(&'static str),
    Integer(i64, i64),
    /// Bytes, with an optional unit.
    Memory,
    /// The name of an eviction policy.
    Policy,
    Text,
}

#[derive(Clone, Debug)]
struct Parameter {
    name: &'static str,
    value: String,
    form: Form,
}

/// All parameters, and typed copies of those that matter on the hot path.
#[derive(Clone, Debug)]
pub struct Parameters {
    table: Vec<Parameter>,
    password: Option<Vec<u8>>,
    output_bytes_max: usize,
    output_stall_seconds: u64,
    maxclients: usize,
    timeout_seconds: u64,
    proto_max_bulk_bytes: usize,
    memory: MemoryLimit,
}

const DURABILITY_REMEDY: &str = "durability is chosen at start with --durability";

impl Parameters {
    /// Parameters of a node that was started with this configuration and listens on this port.
    pub fn new(config: &NodeConfig, port: u16) -> Self {
        let mut table = Vec::new();
        let mut add = |name, value: String, form| table.push(Parameter { name, value, form });
        let append_only = if config.durability == Durability::None {
            "no"
        } else {
            "yes"
        };
        let append_sync = if config.durability == Durability::Fsync {
            "always"
        } else {
            "everysec"
        };
        let bind = config
            .listen
            .rsplit_once(':')
            .map_or("127.0.0.1", |(host, _)| host);
        add(
            "appendfsync",
            append_sync.into(),
            Form::Constant(DURABILITY_REMEDY),
        );
        add(
            "appendonly",
            append_only.into(),
            Form::Constant(DURABILITY_REMEDY),
        );
        add("bind", bind.into(), Form::Fixed);
        add(
            "databases",
            repligo_core::limits::DATABASES.to_string(),
            Form::Fixed,
        );
        add("dir", config.data_dir.display().to_string(), Form::Fixed);
        add(
            "maxclients",
            config.maxclients.to_string(),
            Form::Integer(1, u32::MAX as i64),
        );
        add("maxmemory", config.memory.bytes_max.to_string(), Form::Memory);
        add(
            "maxmemory-policy",
            config.memory.policy.name().into(),
            Form::Policy,
        );
        add("port", port.to_string(), Form::Fixed);
        add(
            "proto-max-bulk-len",
            config.proto_max_bulk_bytes.to_string(),
            Form::Memory,
        );
        add(
            "requirepass",
            config.requirepass.clone().unwrap_or_default(),
            Form::Text,
        );
        add(
            "slowlog-log-slower-than",
            config.slowlog.threshold_us.to_string(),
            Form::Integer(-1, i64::MAX),
        );
        add(
            "slowlog-max-len",
            config.slowlog.entries_max.to_string(),
            Form::Integer(0, i64::MAX),
        );
        let socket = config.unix_socket.as_ref();
        let path = socket.map(|socket| socket.path.display().to_string());
        add("unixsocket", path.unwrap_or_default(), Form::Fixed);
        let mode = socket.map_or(0, |socket| socket.mode);
        add("unixsocketperm", format!("{mode:o}"), Form::Fixed);
        let hard = config.output_bytes_max;
        let limits = format!("normal {hard} 0 0 {} 0 0 0 pubsub 0 0 0", words::FOLLOWER_ROLE);
        add("client-output-buffer-limit", limits, Form::Fixed);
        for (name, value, form) in STATIC {
            add(name, (*value).into(), *form);
        }
        table.sort_by_key(|parameter| parameter.name);
        Self {
            table,
            password: config
                .requirepass
                .clone()
                .map(String::into_bytes)
                .filter(|secret| !secret.is_empty()),
            output_bytes_max: if hard == 0 { usize::MAX } else { hard },
            output_stall_seconds: config.output_stall_seconds,
            maxclients: config.maxclients,
            timeout_seconds: 0,
            proto_max_bulk_bytes: config.proto_max_bulk_bytes,
            memory: config.memory,
        }
    }

    /// Password of the default user.
    pub fn password(&self) -> Option<&[u8]> {
        self.password.as_deref()
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

    /// Most clients at once.
    pub fn maxclients(&self) -> usize {
        self.maxclients
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

    /// Value of a parameter, as CONFIG GET shows it.
    pub fn value(&self, name: &str) -> Option<&str> {
        let found = self.table.iter().find(|parameter| parameter.name == name);
        found.map(|parameter| parameter.value.as_str())
    }

    /// The value as it would be stored, or why it is refused.
    fn check(&self, position: usize, text: &[u8]) -> Result<String, String> {
        let parameter = &self.table[position];
        let text = String::from_utf8_lossy(text);
        match parameter.form {
            Form::Fixed => Err("can't set immutable config".to_owned()),
            Form::Constant(_) if *text == parameter.value => Ok(text.into_owned()),
            Form::Constant(remedy) => Err(remedy.to_owned()),
            Form::Text => Ok(text.into_owned()),
            Form::Memory => match parse_memory(&text) {
                Some(bytes) => Ok(bytes.to_string()),
                None => Err("argument must be a memory value".to_owned()),
            },
            Form::Policy => match EvictionPolicy::named(&text) {
                Some(policy) => Ok(policy.name().to_owned()),
                None => {
                    let names = EvictionPolicy::ALL.map(|(name, _)| name).join(", ");
                    Err(format!("argument(s) must be one of the following: {names}"))
                }
            },
            Form::Integer(least, most) => match text.parse::<i64>() {
                Err(_) => Err("argument couldn't be parsed into an integer".to_owned()),
                Ok(number) if (least..=most).contains(&number) => Ok(number.to_string()),
                Ok(_) => Err(format!("argument must be between {least} and {most} inclusive")),
            },
        }
    }

    fn store(&mut self, position: usize, value: String) {
        let number = value.parse::<u64>().unwrap_or(0);
        match self.table[position].name {
            "requirepass" => self.password = (!value.is_empty()).then(|| value.clone().into_bytes()),
            "maxclients" => self.maxclients = number as usize,
            "timeout" => self.timeout_seconds = number,
            "proto-max-bulk-len" => self.proto_max_bulk_bytes = number as usize,
            "maxmemory" => self.memory.bytes_max = number,
            "maxmemory-policy" => self.memory.policy = EvictionPolicy::named(&value).unwrap_or_default(),
            _ => {}
        }
        self.table[position].value = value;
    }

    fn set(&mut self, pairs: ArgSlice<'_>) -> Result<(), Vec<u8>> {
        let count = pairs.len() / 2;
        let mut places: Vec<usize> = Vec::with_capacity(count);
        for pair in 0..count {
            let name = pairs.get(2 * pair);
            places.push(
                self.position(name)
                    .ok_or_else(|| words::unknown_parameter(name))?,
            );
        }
        for (pair, place) in places.iter().enumerate() {
            let failed = |why| words::config_set_failed(pairs.get(2 * pair), why);
            if self.table[*place].form == Form::Fixed {
                return Err(failed("can't set immutable config"));
            }
            if places[..pair].contains(place) {
                return Err(failed("duplicate parameter"));
            }
        }
        let mut values = Vec::with_capacity(count);
        for (pair, place) in places.iter().enumerate() {
            let value = self.check(*place, pairs.get(2 * pair + 1));
            values.push(value.map_err(|why| words::config_set_failed(pairs.get(2 * pair), &why))?);
        }
        for (place, value) in places.into_iter().zip(values) {
            self.store(place, value);
        }
        Ok(())
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        let known = |parameter: &Parameter| parameter.name.as_bytes().eq_ignore_ascii_case(name);
        self.table.iter().position(known)
    }
}

/// Parameters that do not depend on how the node was started.
const STATIC: &[(&str, &str, Form)] = &[
    ("active-expire-effort", "1", Form::Fixed),
    (
        "activedefrag",
        "no",
        Form::Constant("there is nothing to defragment"),
    ),
    ("auto-aof-rewrite-min-size", "67108864", Form::Fixed),
    ("auto-aof-rewrite-percentage", "100", Form::Fixed),
    ("client-query-buffer-limit", "1073741824", Form::Fixed),
    ("cluster-enabled", "no", Form::Fixed),
    ("daemonize", "no", Form::Fixed),
    ("dbfilename", "", Form::Fixed),
    ("enable-debug-command", "no", Form::Fixed),
    ("enable-module-command", "no", Form::Fixed),
    ("hz", "40", Form::Fixed),
    ("io-threads", "1", Form::Fixed),
    (
        "latency-monitor-threshold",
        "0",
        Form::Constant("use LATENCY HISTOGRAM or the metrics of admin HTTP"),
    ),
    ("lazyfree-lazy-eviction", "no", Form::Fixed),
    ("lazyfree-lazy-expire", "no", Form::Fixed),
    ("lazyfree-lazy-user-del", "no", Form::Fixed),
    ("lfu-decay-time", "1", Form::Fixed),
    ("lfu-log-factor", "10", Form::Fixed),
    ("logfile", "", Form::Fixed),
    ("loglevel", "notice", Form::Fixed),
    ("maxmemory-samples", "5", Form::Fixed),
    ("min-replicas-max-lag", "10", Form::Fixed),
    (
        "min-replicas-to-write",
        "0",
        Form::Constant("every write waits for a majority"),
    ),
    (
        "notify-keyspace-events",
        "",
        Form::Constant("keyspace notifications are not supported"),
    ),
    ("protected-mode", "yes", Form::Fixed),
    ("rdbcompression", "yes", Form::Fixed),
    ("repl-backlog-size", "1048576", Form::Fixed),
    ("save", "", Form::Constant(DURABILITY_REMEDY)),
    ("stop-writes-on-bgsave-error", "yes", Form::Fixed),
    ("supervised", "no", Form::Fixed),
    ("tcp-backlog", "1024", Form::Fixed),
    ("tcp-keepalive", "300", Form::Fixed),
    ("timeout", "0", Form::Integer(0, i32::MAX as i64)),
];

/// Bytes with an optional unit, as Redis writes them: `1k` is 1000, `1kb` is 1024.
fn parse_memory(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// CONFIG GET pattern…. A name without wildcards is answered in the letters in which it was asked.
pub(super) fn get(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) {
    let parameters = &local.worker.parameters;
    let mut found: Vec<(&[u8], usize)> = Vec::new();
    let mut is_found = vec![false; parameters.table.len()];
    for pattern in request.skip(2).iter() {
        if glob::is_literal(pattern) {
            found.extend(parameters.position(pattern).map(|position| (pattern, position)));
            continue;
        }
        let pattern = Glob::new(&pattern.to_ascii_lowercase());
        for (position, parameter) in parameters.table.iter().enumerate() {
            if !is_found[position] && pattern.matches(parameter.name.as_bytes()) {
                is_found[position] = true;
                found.push((parameter.name.as_bytes(), position));
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    let mut reply = local.reply(out);
    reply.map(found.len());
    for (name, position) in found {
        reply.bulk(name);
        reply.bulk_str(&parameters.table[position].value);
    }
}

/// CONFIG SET parameter value…: all or nothing. Names are judged before values, as in Redis.
pub(super) fn set(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) {
    let pairs = request.skip(2);
    if !pairs.len().is_multiple_of(2) {
        return local.reply(out).error(words::SYNTAX);
    }
    match local.worker.parameters.set(pairs) {
        Ok(()) => {
            local.worker.parameters_changed();
            local.reply(out).ok();
        }
        Err(text) => local.reply(out).error_bytes(&text),
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn memory_is_written_as_in_redis() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("100", Some(100)),
            ("1k", Some(1000)),
            ("1KB", Some(1024)),
            ("2gb", Some(2 << 30)),
            ("x", None),
            ("1tb", None),
            ("99999999999999999999gb", None),
        ] {
            assert_eq!(parse_memory(text), bytes, "{text}");
        }
    }

    #[test]
    fn names_are_sorted_and_unique() {
        let parameters = Parameters::new(&NodeConfig::default(), 6379);
        let names: Vec<_> = parameters.table.iter().map(|parameter| parameter.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        assert_eq!(parameters.value("save"), Some(""));
        assert_eq!(parameters.value("appendonly"), Some("yes"));
    }
}
