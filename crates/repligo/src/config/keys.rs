//! The table of configuration keys: the one place that knows their names, kinds, defaults and texts.
//!
//! It drives the command line flags, the environment variables, the file parser, `config show` and
//! the suggestions for misspelt keys. It does not know what a value means for the node; that is
//! [`super::NodeSettings`].
//!
//! Invariants: names are unique and in kebab case; every default parses by its own kind.

/// What a value must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A node name: letters, digits, `.`, `_`, `-`, at most 64 bytes.
    Name,
    /// `IP:PORT`, or `localhost:PORT`.
    Address,
    /// A host name or IP address without a port.
    Host,
    /// Any text that must not be shown.
    Secret,
    /// A file or directory; relative paths in a file are relative to that file.
    Path,
    /// Permission bits of a file in octal, such as `660`.
    Mode,
    /// Bytes with a unit, such as `2GiB`.
    Size,
    /// The same, or a percentage.
    SizeOrPercent,
    /// A whole number within bounds, both included.
    Count {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `n1=HOST:PORT,n2=HOST:PORT,…`.
    Cluster,
    /// `HOST:PORT,HOST:PORT,…`.
    Contacts,
    /// True or false; as a flag it needs no value.
    Switch,
}

/// One configuration key.
#[derive(Debug)]
pub struct Key {
    /// Name in the file and, after `--`, on the command line.
    pub name: &'static str,
    /// What a value must look like.
    pub kind: Kind,
    /// Text of the default, or `None` where there is none or it is derived from other keys.
    pub default: Option<&'static str>,
    /// How a derived default comes about; shown in place of a default.
    pub derived: Option<&'static str>,
    /// Placeholder in the help.
    pub value_name: &'static str,
    /// One line.
    pub help: &'static str,
    /// True where a node of a cluster cannot share the value with its peers, so `dev` sets it itself.
    pub per_node: bool,
}

impl Key {
    /// The environment variable of the key.
    ///
    /// ```
    /// assert_eq!(repligo::config::keys::find("peer-listen").unwrap().environment(), "REPLIGO_PEER_LISTEN");
    /// ```
    pub fn environment(&self) -> String {
        format!("REPLIGO_{}", self.name.replace('-', "_").to_ascii_uppercase())
    }

    /// True for a key that is present or absent on the command line and takes no value there.
    pub fn is_switch(&self) -> bool {
        self.kind == Kind::Switch
    }
}

/// Finds a key by its exact name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

const fn key(name: &'static str, kind: Kind, value_name: &'static str, help: &'static str) -> Key {
    Key {
        name,
        kind,
        default: None,
        derived: None,
        value_name,
        help,
        per_node: false,
    }
}

const fn with_default(mut key: Key, default: &'static str) -> Key {
    key.default = Some(default);
    key
}

const fn with_derived(mut key: Key, derived: &'static str) -> Key {
    key.derived = Some(derived);
    key
}

const fn per_node(mut key: Key) -> Key {
    key.per_node = true;
    key
}

/// Every key, in the order in which help and `config show` list them.
pub static KEYS: &[Key] = &[
    per_node(with_default(
        key(
            "name",
            Kind::Name,
            "NAME",
            "Name of this node; one of the names in --cluster",
        ),
        "n1",
    )),
    per_node(with_default(
        key("listen", Kind::Address, "IP:PORT", "Where Redis clients connect"),
        "127.0.0.1:6379",
    )),
    per_node(key(
        "tls-listen",
        Kind::Address,
        "IP:PORT",
        "Where Redis clients connect over TLS, beside --listen; the same address: instead of it",
    )),
    key(
        "tls-cert",
        Kind::Path,
        "FILE",
        "Certificate of this node for its clients",
    ),
    key(
        "tls-key",
        Kind::Path,
        "FILE",
        "Key of that certificate (mode 600)",
    ),
    key(
        "tls-client-ca",
        Kind::Path,
        "FILE",
        "Certificates of the authorities whose clients are believed; without it no client is asked for one",
    ),
    with_default(
        key(
            "tls-client-auth",
            Kind::Choice(&["optional", "required"]),
            "MODE",
            "Whether clients must show a certificate of --tls-client-ca: optional or required",
        ),
        "required",
    ),
    with_default(
        key(
            "tls-client-user",
            Kind::Choice(&["off", "cn", "san"]),
            "FROM",
            "Which user a client's certificate logs in: the one of its common name (cn), its alternative name (san), or none",
        ),
        "off",
    ),
    per_node(key(
        "unix-socket",
        Kind::Path,
        "PATH",
        "Socket file through which clients of this machine connect, beside --listen",
    )),
    with_default(
        key(
            "unix-socket-mode",
            Kind::Mode,
            "OCTAL",
            "Permissions of the socket file: who may write to it may connect",
        ),
        "600",
    ),
    per_node(with_derived(
        key(
            "peer-listen",
            Kind::Address,
            "IP:PORT",
            "Where the other nodes connect",
        ),
        "listen, port +10000",
    )),
    per_node(with_derived(
        key(
            "admin-listen",
            Kind::Address,
            "IP:PORT",
            "Where admin HTTP answers (health, metrics)",
        ),
        "listen, port +1000",
    )),
    key(
        "admin-token-file",
        Kind::Path,
        "FILE",
        "File with a token in its one line that admin HTTP asks for, but for /livez and /readyz (mode 600)",
    ),
    key(
        "admin-tls-cert",
        Kind::Path,
        "FILE",
        "Certificate of this node for admin HTTP, which then speaks TLS alone",
    ),
    key(
        "admin-tls-key",
        Kind::Path,
        "FILE",
        "Key of that certificate (mode 600)",
    ),
    per_node(with_derived(
        key(
            "advertise",
            Kind::Host,
            "HOST",
            "Host under which clients are told to reach this node",
        ),
        "the host of listen",
    )),
    key(
        "requirepass",
        Kind::Secret,
        "PASSWORD",
        "Password that clients must give with AUTH or HELLO",
    ),
    key(
        "requirepass-file",
        Kind::Path,
        "FILE",
        "File with that password in its one line; no other user may read it (mode 600)",
    ),
    per_node(with_default(
        key(
            "data-dir",
            Kind::Path,
            "DIR",
            "Where the write-ahead log and the snapshots live",
        ),
        "repligo-data",
    )),
    with_default(
        key(
            "durability",
            Kind::Choice(&["none", "os", "fsync"]),
            "MODE",
            "What an acknowledgement waits for on disk: none, os (written) or fsync (synced)",
        ),
        "os",
    ),
    key(
        "cluster",
        Kind::Cluster,
        "NAME=HOST:PORT,…",
        "All nodes with their peer addresses; the same line on every node. Without it: a single node",
    ),
    per_node(key(
        "join",
        Kind::Contacts,
        "HOST:PORT,…",
        "Peer addresses of members of a running cluster that this node joins, in place of --cluster; needs --name",
    )),
    key(
        "cluster-secret-file",
        Kind::Path,
        "FILE",
        "File with the secret by which the nodes know each other (repligo secret new FILE); the same on every node",
    ),
    per_node(key(
        "peer-cert",
        Kind::Path,
        "FILE",
        "Certificate of this node, in place of a secret; it names repligo://CLUSTER/node/NAME",
    )),
    per_node(key(
        "peer-key",
        Kind::Path,
        "FILE",
        "Key of that certificate (mode 600)",
    )),
    key(
        "peer-ca",
        Kind::Path,
        "FILE",
        "Certificates of the authorities that certify the nodes of this cluster",
    ),
    with_default(
        key(
            "insecure-peers",
            Kind::Switch,
            "",
            "Allow peer links in plain text, to and from anybody (no secret, no certificates)",
        ),
        "false",
    ),
    with_default(
        key(
            "maxmemory",
            Kind::Size,
            "SIZE",
            "Memory that data and buffers may use, such as 2GiB; 0 is no limit",
        ),
        "0",
    ),
    with_default(
        key(
            "maxmemory-policy",
            Kind::Choice(&[
                "noeviction",
                "allkeys-lfu",
                "allkeys-lru",
                "allkeys-random",
                "volatile-lfu",
                "volatile-lru",
                "volatile-random",
                "volatile-ttl",
            ]),
            "POLICY",
            "What is evicted at maxmemory: noeviction refuses writes, allkeys-lfu suits a cache",
        ),
        "noeviction",
    ),
    with_default(
        key(
            "maxclients",
            Kind::Count {
                min: 1,
                max: 1_000_000,
            },
            "N",
            "Client connections at most; further ones are refused with an error",
        ),
        "10000",
    ),
    with_default(
        key(
            "maxmemory-clients",
            Kind::SizeOrPercent,
            "SIZE",
            "Memory of all clients, beside the data: bytes or a part of maxmemory; above it the largest are closed",
        ),
        "25%",
    ),
    with_default(
        key(
            "login-seconds",
            Kind::Count { min: 0, max: 86_400 },
            "SECONDS",
            "A connection that has to log in and has not is closed after so long; 0: never",
        ),
        "30",
    ),
    per_node(key(
        "audit-log",
        Kind::Path,
        "FILE",
        "Logins and changes of users, configuration and members, one JSON object per line, appended",
    )),
    with_derived(
        key(
            "workers",
            Kind::Count { min: 1, max: 32 },
            "N",
            "Threads: one executes requests, the others read and write for it and do TLS",
        ),
        "the cores, 8 at most",
    ),
    with_default(
        key(
            "workers-busy-percent",
            Kind::Count { min: 0, max: 100 },
            "PERCENT",
            "From this load of the executing thread on connections move to the other workers; 0: all are there",
        ),
        "50",
    ),
    with_default(
        key(
            "log-format",
            Kind::Choice(&["text", "json"]),
            "FORMAT",
            "Form of the log lines on stderr",
        ),
        "text",
    ),
    with_default(
        key(
            "log-level",
            Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
            "LEVEL",
            "Least important level that is logged",
        ),
        "info",
    ),
    with_default(
        key(
            "proto-max-bulk-len",
            Kind::Size,
            "SIZE",
            "Largest single argument of a command; a longer one closes the connection",
        ),
        "512MiB",
    ),
    with_default(
        key(
            "output-buffer-limit",
            Kind::Size,
            "SIZE",
            "Unread replies of one connection at most; above it the connection is closed",
        ),
        "256MiB",
    ),
    with_default(
        key(
            "output-stall-seconds",
            Kind::Count { min: 0, max: 86_400 },
            "SECONDS",
            "A client that reads nothing of what it asked for is disconnected after so long; 0: never",
        ),
        "20",
    ),
    with_default(
        key(
            "insecure",
            Kind::Switch,
            "",
            "Allow listening beyond this machine without authentication (the network is trusted)",
        ),
        "false",
    ),
    with_default(
        key(
            "core-dumps",
            Kind::Switch,
            "",
            "Let the system keep the memory of a crashed node in a file: all data and every secret",
        ),
        "false",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_kebab_case() {
        for (position, key) in KEYS.iter().enumerate() {
            assert!(
                key.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'),
                "{}",
                key.name
            );
            assert!(
                KEYS[..position].iter().all(|other| other.name != key.name),
                "{} twice",
                key.name
            );
            assert!(
                !key.help.ends_with('.'),
                "help of {} ends with a full stop",
                key.name
            );
        }
    }

    #[test]
    fn every_default_parses_by_its_own_kind() {
        for key in KEYS {
            if let Some(default) = key.default {
                super::super::value::parse(key.kind, default)
                    .unwrap_or_else(|e| panic!("{}: {e:?}", key.name));
            }
        }
    }
}
