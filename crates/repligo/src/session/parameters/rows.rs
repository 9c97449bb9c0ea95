//! Every parameter that `CONFIG GET *` of redis-server 7.0.15 lists, and the few that it hides: how its
//! value is written, what it is here, and what setting it does.
//!
//! Data only. `docs/parameters.md` is generated from it.

use repligo_proto::words;

use super::form::Form;

/// What CONFIG SET does with a value that is well written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The node follows it at once.
    Live,
    /// It is kept and shown. Nothing depends on it: no reply and no promise is another one.
    Kept,
    /// Only the value that it has is taken; the text says what to do instead.
    Given(&'static str),
    /// Refused, as in Redis.
    Immutable,
    /// Refused, as in Redis unless it was started with `enable-protected-configs`.
    Protected,
}

/// One parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Its name; where that says `replica`, and `has_old_name`, it can also be said in Redis' older word.
    pub name: &'static str,
    pub form: Form,
    /// Its value, unless the node's configuration decides: see `Parameters::new`.
    pub value: &'static str,
    pub effect: Effect,
    pub has_old_name: bool,
    /// Another name that Redis still takes, or empty.
    pub alias: &'static str,
    /// Found by its whole name only.
    pub is_hidden: bool,
}

impl Row {
    const fn named_before(self) -> Self {
        Self {
            has_old_name: true,
            ..self
        }
    }

    const fn or(self, alias: &'static str) -> Self {
        Self { alias, ..self }
    }

    const fn hidden(self) -> Self {
        Self {
            is_hidden: true,
            ..self
        }
    }
}

const fn row(name: &'static str, form: Form, value: &'static str, effect: Effect) -> Row {
    Row {
        name,
        form,
        value,
        effect,
        has_old_name: false,
        alias: "",
        is_hidden: false,
    }
}

const fn live(name: &'static str, form: Form, value: &'static str) -> Row {
    row(name, form, value, Effect::Live)
}

const fn kept(name: &'static str, form: Form, value: &'static str) -> Row {
    row(name, form, value, Effect::Kept)
}

const fn given(name: &'static str, form: Form, value: &'static str, remedy: &'static str) -> Row {
    row(name, form, value, Effect::Given(remedy))
}

const fn immutable(name: &'static str, value: &'static str) -> Row {
    row(name, Form::Text, value, Effect::Immutable)
}

const NATURAL: Form = Form::Integer(0, i64::MAX);
const NATURAL_32: Form = Form::Integer(0, i32::MAX as i64);
const POSITIVE_32: Form = Form::Integer(1, i32::MAX as i64);
const ANY_32: Form = Form::Integer(i32::MIN as i64, i32::MAX as i64);
const PERCENT: Form = Form::Integer(1, 99);
const PORT: Form = Form::Integer(0, 65535);
const BYTES: Form = Form::Memory(0, i64::MAX as u64);
const BYTES_FROM_1: Form = Form::Memory(1, i64::MAX as u64);
const BYTES_FROM_1_MIB: Form = Form::Memory(1 << 20, i64::MAX as u64);
const ANY_BYTES: Form = Form::Memory(0, u64::MAX);
const STOPPING: Form = Form::Choice(&["default", "save", "nosave", "now", "force"]);

const AT_START: &str = "it is chosen at start; restart the node with --listen";
const DURABILITY: &str = "durability is chosen at start with --durability";
const NO_CLUSTER_MODE: &str = "there is no cluster mode: any node takes any request";
const TLS_AT_START: &str =
    "flags at start say it: --tls-listen, --tls-cert, --tls-key, --tls-client-ca, --tls-client-auth";
const NO_COUNTERPART: &str = "nothing corresponds to it here; leave it at the value that CONFIG GET shows";
const ONE_LOG: &str = "followers copy the leader's log, and no parameter changes how; see docs/operations.md";
const STOP: &str = "SIGTERM hands leadership over, answers what is in flight and syncs; stop a node with it";
/// Of the limits of clients that are no subscribers.
pub(super) const OUTPUT: &str = "but for the class pubsub it is chosen at start with --output-buffer-limit";

/// All of them, in alphabetical order.
pub(super) const ROWS: &[Row] = &[
    given(
        "acl-pubsub-default",
        Form::Choice(&["allchannels", "resetchannels"]),
        "resetchannels",
        NO_COUNTERPART,
    ),
    immutable("aclfile", ""),
    live("acllog-max-len", NATURAL, "128"),
    kept("active-defrag-cycle-max", PERCENT, "25"),
    kept("active-defrag-cycle-min", PERCENT, "1"),
    kept("active-defrag-ignore-bytes", BYTES_FROM_1, "104857600"),
    kept(
        "active-defrag-max-scan-fields",
        Form::Integer(1, i64::MAX),
        "1000",
    ),
    kept("active-defrag-threshold-lower", Form::Integer(0, 1000), "10"),
    kept("active-defrag-threshold-upper", Form::Integer(0, 1000), "100"),
    kept("active-expire-effort", Form::Integer(1, 10), "1"),
    given(
        "activedefrag",
        Form::Flag,
        "no",
        "pages are compacted without being asked",
    ),
    kept("activerehashing", Form::Flag, "yes"),
    immutable("always-show-logo", "no"),
    kept("aof-disable-auto-gc", Form::Flag, "no"),
    kept("aof-load-truncated", Form::Flag, "yes"),
    kept("aof-rewrite-incremental-fsync", Form::Flag, "yes"),
    kept("aof-timestamp-enabled", Form::Flag, "no"),
    kept("aof-use-rdb-preamble", Form::Flag, "yes"),
    immutable("aof_rewrite_cpulist", ""),
    immutable("appenddirname", ""),
    immutable("appendfilename", ""),
    given(
        "appendfsync",
        Form::Choice(&["everysec", "always", "no"]),
        "",
        DURABILITY,
    ),
    given("appendonly", Form::Flag, "", DURABILITY),
    kept("auto-aof-rewrite-min-size", BYTES, "67108864"),
    kept("auto-aof-rewrite-percentage", NATURAL_32, "100"),
    immutable("bgsave_cpulist", ""),
    given("bind", Form::Text, "", AT_START),
    given("bind-source-addr", Form::Text, "", NO_COUNTERPART),
    immutable("bio_cpulist", ""),
    kept("busy-reply-threshold", NATURAL, "5000").or("lua-time-limit"),
    live("client-output-buffer-limit", Form::OutputLimits, ""),
    given(
        "client-query-buffer-limit",
        BYTES_FROM_1_MIB,
        "1073741824",
        "requests are bounded by proto-max-bulk-len",
    ),
    given(
        "cluster-allow-pubsubshard-when-down",
        Form::Flag,
        "yes",
        NO_CLUSTER_MODE,
    ),
    given("cluster-allow-reads-when-down", Form::Flag, "no", NO_CLUSTER_MODE),
    given(
        "cluster-allow-replica-migration",
        Form::Flag,
        "yes",
        NO_CLUSTER_MODE,
    ),
    given("cluster-announce-bus-port", PORT, "0", NO_CLUSTER_MODE),
    given("cluster-announce-hostname", Form::HostName, "", NO_CLUSTER_MODE),
    given("cluster-announce-ip", Form::Text, "", NO_CLUSTER_MODE),
    given("cluster-announce-port", PORT, "0", NO_CLUSTER_MODE),
    given("cluster-announce-tls-port", PORT, "0", NO_CLUSTER_MODE),
    immutable("cluster-config-file", ""),
    immutable("cluster-enabled", "no"),
    given("cluster-link-sendbuf-limit", ANY_BYTES, "0", NO_CLUSTER_MODE),
    given("cluster-migration-barrier", NATURAL_32, "1", NO_CLUSTER_MODE),
    given("cluster-node-timeout", NATURAL, "15000", NO_CLUSTER_MODE),
    immutable("cluster-port", "0"),
    given(
        "cluster-preferred-endpoint-type",
        Form::Choice(&["ip", "hostname", "unknown-endpoint"]),
        "ip",
        NO_CLUSTER_MODE,
    ),
    given("cluster-replica-no-failover", Form::Flag, "no", NO_CLUSTER_MODE).named_before(),
    given(
        "cluster-replica-validity-factor",
        NATURAL_32,
        "10",
        NO_CLUSTER_MODE,
    )
    .named_before(),
    given(
        "cluster-require-full-coverage",
        Form::Flag,
        "yes",
        NO_CLUSTER_MODE,
    ),
    kept("crash-log-enabled", Form::Flag, "yes"),
    kept("crash-memcheck-enabled", Form::Flag, "yes"),
    immutable("daemonize", "no"),
    immutable("databases", ""),
    row("dbfilename", Form::Text, "", Effect::Protected),
    row("dir", Form::Text, "", Effect::Protected),
    immutable("disable-thp", "no"),
    kept("dynamic-hz", Form::Flag, "yes"),
    immutable("enable-debug-command", "no"),
    immutable("enable-module-command", "no"),
    immutable("enable-protected-configs", "no"),
    kept("hash-max-listpack-entries", NATURAL, "512").or("hash-max-ziplist-entries"),
    kept("hash-max-listpack-value", BYTES, "64").or("hash-max-ziplist-value"),
    kept("hll-sparse-max-bytes", BYTES, "3000"),
    kept("hz", NATURAL_32, "40"),
    given("ignore-warnings", Form::Text, "", NO_COUNTERPART),
    immutable("io-threads", "1"),
    immutable("io-threads-do-reads", "no"),
    kept("jemalloc-bg-thread", Form::Flag, "no"),
    kept("key-load-delay", ANY_32, "0").hidden(),
    given(
        "latency-monitor-threshold",
        NATURAL,
        "0",
        "use LATENCY HISTOGRAM or the metrics of admin HTTP",
    ),
    kept("latency-tracking", Form::Flag, "yes"),
    kept(
        "latency-tracking-info-percentiles",
        Form::Percentiles,
        "50 99 99.9",
    ),
    kept("lazyfree-lazy-eviction", Form::Flag, "no"),
    kept("lazyfree-lazy-expire", Form::Flag, "no"),
    kept("lazyfree-lazy-server-del", Form::Flag, "no"),
    kept("lazyfree-lazy-user-del", Form::Flag, "no"),
    kept("lazyfree-lazy-user-flush", Form::Flag, "no"),
    kept("lfu-decay-time", NATURAL_32, "1"),
    kept("lfu-log-factor", NATURAL_32, "10"),
    kept("list-compress-depth", NATURAL_32, "0"),
    kept("list-max-listpack-size", ANY_32, "-2").or("list-max-ziplist-size"),
    immutable("logfile", ""),
    given(
        "loglevel",
        Form::Choice(&["debug", "verbose", "notice", "warning"]),
        "notice",
        "it is chosen at start with --log-level",
    ),
    given(words::LEADER_PASSWORD_PARAMETER, Form::Text, "", ONE_LOG),
    given(words::LEADER_USER_PARAMETER, Form::Text, "", ONE_LOG),
    live("maxclients", Form::Integer(1, u32::MAX as i64), ""),
    live("maxmemory", ANY_BYTES, ""),
    live("maxmemory-clients", Form::MemoryOrPercent, "0"),
    kept("maxmemory-eviction-tenacity", Form::Integer(0, 100), "10"),
    live("maxmemory-policy", Form::Policy, ""),
    kept("maxmemory-samples", POSITIVE_32, "5"),
    kept("min-replicas-max-lag", NATURAL_32, "10").named_before(),
    given(
        "min-replicas-to-write",
        NATURAL_32,
        "0",
        "every write waits for a majority",
    )
    .named_before(),
    kept("no-appendfsync-on-rewrite", Form::Flag, "no"),
    live("notify-keyspace-events", Form::Events, ""),
    given(
        "oom-score-adj",
        Form::Choice(&["no", "yes", "relative", "absolute"]),
        "no",
        "set it where the node is started, for example OOMScoreAdjust= of systemd",
    ),
    kept("oom-score-adj-values", Form::OomScores, "0 200 800"),
    immutable("pidfile", ""),
    given("port", PORT, "", AT_START),
    given("proc-title-template", Form::Text, "", NO_COUNTERPART),
    kept(
        "propagation-error-behavior",
        Form::Choice(&["ignore", "panic", "panic-on-replicas"]),
        "ignore",
    ),
    given(
        "protected-mode",
        Form::Flag,
        "yes",
        "a node that listens beyond loopback needs --requirepass, or --insecure at start",
    ),
    live("proto-max-bulk-len", BYTES_FROM_1_MIB, ""),
    kept("rdb-del-sync-files", Form::Flag, "no"),
    kept("rdb-key-save-delay", ANY_32, "0").hidden(),
    kept("rdb-save-incremental-fsync", Form::Flag, "yes"),
    immutable("rdbchecksum", "yes"),
    kept("rdbcompression", Form::Flag, "yes"),
    kept("repl-backlog-size", BYTES_FROM_1, "1048576"),
    kept("repl-backlog-ttl", NATURAL, "3600"),
    kept("repl-disable-tcp-nodelay", Form::Flag, "no"),
    kept(
        "repl-diskless-load",
        Form::Choice(&["disabled", "on-empty-db", "swapdb"]),
        "disabled",
    ),
    kept("repl-diskless-sync", Form::Flag, "yes"),
    kept("repl-diskless-sync-delay", NATURAL_32, "5"),
    kept("repl-diskless-sync-max-replicas", NATURAL_32, "0"),
    kept("repl-ping-replica-period", POSITIVE_32, "10").named_before(),
    kept("repl-timeout", POSITIVE_32, "60"),
    given(
        "replica-announce-ip",
        Form::Text,
        "",
        "it is chosen at start with --advertise",
    )
    .named_before(),
    given("replica-announce-port", PORT, "0", ONE_LOG).named_before(),
    given("replica-announced", Form::Flag, "yes", ONE_LOG),
    given("replica-ignore-disk-write-errors", Form::Flag, "no", ONE_LOG),
    given("replica-ignore-maxmemory", Form::Flag, "yes", ONE_LOG).named_before(),
    kept("replica-lazy-flush", Form::Flag, "no").named_before(),
    given("replica-priority", NATURAL_32, "100", ONE_LOG).named_before(),
    given(
        "replica-read-only",
        Form::Flag,
        "no",
        "a follower passes writes to the leader; say READONLY where it is to answer reads by itself",
    )
    .named_before(),
    given(
        "replica-serve-stale-data",
        Form::Flag,
        "no",
        "say READONLY on a connection that may read old data",
    )
    .named_before(),
    immutable("replicaof", "").named_before(),
    live("requirepass", Form::Text, ""),
    kept(
        "sanitize-dump-payload",
        Form::Choice(&["no", "yes", "clients"]),
        "no",
    ),
    given("save", Form::Save, "", DURABILITY),
    immutable("server_cpulist", ""),
    kept("set-max-intset-entries", NATURAL, "512"),
    immutable("set-proc-title", "no"),
    given("shutdown-on-sigint", STOPPING, "default", STOP),
    given("shutdown-on-sigterm", STOPPING, "default", STOP),
    given("shutdown-timeout", NATURAL_32, "10", STOP),
    live("slowlog-log-slower-than", Form::Integer(-1, i64::MAX), ""),
    live("slowlog-max-len", NATURAL, ""),
    immutable("socket-mark-id", "0"),
    kept("stop-writes-on-bgsave-error", Form::Flag, "yes"),
    kept("stream-node-max-bytes", BYTES, "4096"),
    kept("stream-node-max-entries", NATURAL, "100"),
    immutable("supervised", "no"),
    immutable("syslog-enabled", "no"),
    immutable("syslog-facility", "local0"),
    immutable("syslog-ident", "redis"),
    immutable("tcp-backlog", "1024"),
    given("tcp-keepalive", NATURAL_32, "300", NO_COUNTERPART),
    live("timeout", NATURAL_32, "0"),
    given(
        "tls-auth-clients",
        Form::Choice(&["no", "yes", "optional"]),
        "yes",
        TLS_AT_START,
    ),
    given("tls-ca-cert-dir", Form::Text, "", TLS_AT_START),
    given("tls-ca-cert-file", Form::Text, "", TLS_AT_START),
    given("tls-cert-file", Form::Text, "", TLS_AT_START),
    given("tls-ciphers", Form::Text, "", TLS_AT_START),
    given("tls-ciphersuites", Form::Text, "", TLS_AT_START),
    given("tls-client-cert-file", Form::Text, "", TLS_AT_START),
    given("tls-client-key-file", Form::Text, "", TLS_AT_START),
    given("tls-client-key-file-pass", Form::Text, "", TLS_AT_START),
    given("tls-cluster", Form::Flag, "no", TLS_AT_START),
    given("tls-dh-params-file", Form::Text, "", TLS_AT_START),
    given("tls-key-file", Form::Text, "", TLS_AT_START),
    given("tls-key-file-pass", Form::Text, "", TLS_AT_START),
    given("tls-port", PORT, "0", TLS_AT_START),
    given("tls-prefer-server-ciphers", Form::Flag, "no", TLS_AT_START),
    given("tls-protocols", Form::Text, "", TLS_AT_START),
    given("tls-replication", Form::Flag, "no", TLS_AT_START),
    given("tls-session-cache-size", NATURAL_32, "20480", TLS_AT_START),
    given("tls-session-cache-timeout", NATURAL_32, "300", TLS_AT_START),
    given("tls-session-caching", Form::Flag, "yes", TLS_AT_START),
    live("tracking-table-max-keys", NATURAL, "1000000"),
    immutable("unixsocket", ""),
    immutable("unixsocketperm", "0"),
    kept("use-exit-on-panic", Form::Flag, "no").hidden(),
    kept("zset-max-listpack-entries", NATURAL, "128").or("zset-max-ziplist-entries"),
    kept("zset-max-listpack-value", BYTES, "64").or("zset-max-ziplist-value"),
];
