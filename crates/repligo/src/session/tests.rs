//! Sessions without sockets: bytes go into a connection, a turn runs when one is due, bytes come out.

use std::sync::Arc;

use repligo_core::contract::{Boot, Durability, HashSeed, Identity, Settings};
use repligo_core::origin::OriginMap;
use repligo_core::replica::Replica;
use repligo_proto::command::flag;
use repligo_proto::resp::request;

use crate::net::hello::{FEATURE_LEVEL, Hello};
use crate::net::links::Links;
use crate::node::NodeConfig;
use crate::node::parameters::parameters;
use crate::session::Endpoints;
use crate::telemetry::{Facts, Shared, for_all_commands};
use crate::worker::Worker;
use crate::worker::gather::Gathering;

#[path = "tests_tracking.rs"]
mod tracking;

/// A worker with a single replica that serves, and no runtime around it.
struct Bench {
    worker: Worker,
    gathering: Gathering,
    clients: Vec<u32>,
}

const IDENTITY: Identity = Identity {
    cluster_id: 7,
    generation: 1,
    peer: 1,
    incarnation: 1,
};

impl Bench {
    fn new() -> Self {
        let mut bench = Self::forming(NodeConfig::default());
        let settings = Settings {
            identity: IDENTITY,
            membership: repligo_core::membership::Membership::of_count(1),
            durability: Durability::None,
            seed: 1,
            hash_seed: HashSeed::from_number(2),
            origin: Arc::new(OriginMap::default()),
            log_bytes_max: 1 << 20,
        };
        let replica = Replica::new(settings, Boot::default(), bench.worker.clock.now());
        bench.worker.start_replica(IDENTITY, replica);
        for _ in 0..200 {
            std::thread::sleep(std::time::Duration::from_millis(1));
            bench.worker.tick();
            bench.worker.run_turn(crate::telemetry::clock::boottime_ns());
            if bench.worker.status(bench.worker.clock.now()).serving {
                return bench;
            }
        }
        panic!("a single node serves at once");
    }

    fn forming(config: NodeConfig) -> Self {
        let facts = Facts {
            name: "n1".to_owned(),
            run_id: "0".repeat(40),
            client_port: 6379,
            client_address: "127.0.0.1:6379".to_owned(),
            tls_address: String::new(),
            listeners: Vec::new(),
            config_file: String::new(),
            started_wall_ms: 0,
            started_us: 0,
            origin: Arc::new(OriginMap::default()),
        };
        let hello = Hello {
            feature_level: FEATURE_LEVEL,
            name: "n1".to_owned(),
            client_address: String::new(),
            voters: vec!["n1".to_owned()],
            origin_fingerprint: 0,
            forming: repligo_core::forming::FormingState::Empty,
        };
        let links = Links::new(hello, IDENTITY, String::new(), std::iter::empty());
        let shared = Arc::new(Shared::new(for_all_commands()));
        let worker = Worker::new(facts, parameters(&config, 6379), shared, links);
        Self {
            worker,
            gathering: Gathering::default(),
            clients: Vec::new(),
        }
    }

    fn connect(&mut self) -> usize {
        self.clients
            .push(self.worker.open_connection(None, Endpoints::None));
        self.clients.len() - 1
    }

    /// The number of its client.
    fn number(&self, client: usize) -> u64 {
        let connection = self.worker.connections.get(self.clients[client]);
        connection.expect("it is open").session.id
    }

    fn close(&mut self, client: usize) {
        let connection = self.worker.connections.take(self.clients[client]);
        self.worker.close_connection(connection.expect("it is open"));
    }

    /// Gives bytes in as one read, without a turn.
    fn feed(&mut self, client: usize, bytes: &[u8]) -> usize {
        let mut connection = self
            .worker
            .connections
            .take(self.clients[client])
            .expect("it is open");
        let consumed = self
            .gathering
            .execute_alone(&mut connection, bytes, &mut self.worker);
        self.worker.connections.put_back(connection);
        consumed
    }

    fn turn(&mut self) {
        if self.worker.turn.is_due() {
            self.worker.run_turn(crate::telemetry::clock::boottime_ns());
            self.worker.renew_allowance();
        }
        for slot in self.clients.clone() {
            let Some(mut connection) = self.worker.connections.take(slot) else {
                continue;
            };
            if connection.session.is_block_ready() {
                connection.run_block(&mut self.worker);
            }
            self.worker.connections.put_back(connection);
        }
    }

    fn output(&mut self, client: usize) -> String {
        let connection = self
            .worker
            .connections
            .get_mut(self.clients[client])
            .expect("it is open");
        let bytes = connection.session.replies.sendable().to_vec();
        let mut pool = std::mem::take(&mut self.worker.pool);
        let connection = self
            .worker
            .connections
            .get_mut(self.clients[client])
            .expect("it is open");
        connection.session.replies.consume(bytes.len(), &mut pool);
        self.worker.pool = pool;
        String::from_utf8_lossy(&bytes).replace("\r\n", "|")
    }

    /// One line of words, a turn, and what came out.
    fn call(&mut self, client: usize, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let bytes = request(&words);
        assert_eq!(self.feed(client, &bytes), bytes.len(), "{line}");
        // As reading from a socket does.
        self.worker.turn.request();
        self.turn();
        self.output(client)
    }
}

fn check(script: &[(&str, &str)]) {
    let mut bench = Bench::new();
    let client = bench.connect();
    for (line, expect) in script {
        assert_eq!(bench.call(client, line), *expect, "{line}");
    }
}

#[test]
fn the_handshake_speaks_both_protocols() {
    check(&[
        ("PING", "+PONG|"),
        ("PING x", "$1|x|"),
        ("PING a b", "-ERR wrong number of arguments for 'ping' command|"),
        ("GET nothing", "$-1|"),
        ("HELLO 4", "-NOPROTO unsupported protocol version|"),
        (
            "HELLO x",
            "-ERR Protocol version is not an integer or out of range|",
        ),
        ("HELLO 3 FOO", "-ERR Syntax error in HELLO option 'FOO'|"),
        ("SELECT 16", "-ERR DB index is out of range|"),
        ("SELECT x", "-ERR value is not an integer or out of range|"),
        ("SELECT 15", "+OK|"),
        (
            "AUTH x",
            "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?|",
        ),
        ("AUTH default x", "+OK|"),
        (
            "AUTH other x",
            "-WRONGPASS invalid username-password pair or user is disabled.|",
        ),
        ("CLIENT SETNAME me", "+OK|"),
        ("CLIENT GETNAME", "$2|me|"),
        ("RESET", "+RESET|"),
        ("CLIENT GETNAME", "$-1|"),
        ("READONLY", "+OK|"),
        ("READWRITE", "+OK|"),
    ]);
    let mut bench = Bench::new();
    let client = bench.connect();
    let hello = bench.call(client, "HELLO 3 SETNAME me");
    assert!(
        hello.starts_with("%8|$6|server|$5|redis|$7|version|$5|7.4.2|"),
        "{hello}"
    );
    assert_eq!(bench.call(client, "GET nothing"), "_|");
    assert_eq!(bench.call(client, "CLIENT GETNAME"), "$2|me|");
}

#[test]
fn requests_of_one_read_are_answered_together_and_in_order() {
    let mut bench = Bench::new();
    let client = bench.connect();
    let script = [
        "SET a 1", "GET a", "PING", "INCR a", "GET a", "ECHO x", "MGET a b",
    ];
    let mut bytes = Vec::new();
    for line in script {
        bytes.extend(request(&line.split(' ').collect::<Vec<_>>()));
    }
    assert_eq!(bench.feed(client, &bytes), bytes.len());
    assert_eq!(bench.output(client), "", "nothing overtakes the write before it");
    bench.turn();
    assert_eq!(bench.output(client), "+OK|$1|1|+PONG|:2|$1|2|$1|x|*2|$1|2|$-1|");
}

#[test]
fn a_read_behind_a_write_of_an_earlier_turn_waits() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.feed(client, &request(&["SET", "a", "1"]));
    // As if the turn had begun and its commit were still under way.
    bench.worker.turn.begin(0);
    let read = request(&["GET", "a"]);
    assert_eq!(bench.feed(client, &read), 0, "it is given in again later");
    bench.worker.turn.request();
    bench.turn();
    assert_eq!(bench.output(client), "+OK|");
    assert_eq!(bench.call(client, "GET a"), "$1|1|");
}

#[test]
fn transactions_hold_local_commands_at_their_place() {
    check(&[
        ("EXEC", "-ERR EXEC without MULTI|"),
        ("DISCARD", "-ERR DISCARD without MULTI|"),
        ("MULTI", "+OK|"),
        ("MULTI", "-ERR MULTI calls can not be nested|"),
        ("WATCH a", "-ERR WATCH inside MULTI is not allowed|"),
        ("PING", "+QUEUED|"),
        ("SET a 1", "+QUEUED|"),
        ("SELECT 3", "+QUEUED|"),
        ("SET a 3", "+QUEUED|"),
        ("SET a 3 FOO", "+QUEUED|"),
        ("INCR a", "+QUEUED|"),
        ("EXEC", "*6|+PONG|+OK|+OK|+OK|-ERR syntax error|:4|"),
        ("GET a", "$1|4|"),
        ("SELECT 0", "+OK|"),
        ("GET a", "$1|1|"),
        ("MULTI", "+OK|"),
        ("EXEC", "*0|"),
        ("MULTI", "+OK|"),
        ("PING", "+QUEUED|"),
        ("EXEC", "*1|+PONG|"),
        ("MULTI", "+OK|"),
        (
            "NOSUCH",
            "-ERR unknown command 'NOSUCH', with args beginning with: |",
        ),
        ("SET a 9", "+QUEUED|"),
        (
            "EXEC",
            "-EXECABORT Transaction discarded because of previous errors.|",
        ),
        ("GET a", "$1|1|"),
        ("MULTI", "+OK|"),
        ("SET a 9", "+QUEUED|"),
        ("DISCARD", "+OK|"),
        ("GET a", "$1|1|"),
    ]);
}

#[test]
fn a_block_is_void_when_a_watched_key_was_written() {
    let mut bench = Bench::new();
    let (one, two) = (bench.connect(), bench.connect());
    for (change, expect) in [
        ("SET k 1", "*-1|"),
        ("GET k", "*1|+OK|"),
        ("DEL k", "*-1|"),
        ("DEL k", "*1|+OK|"),
    ] {
        assert_eq!(bench.call(one, "WATCH k"), "+OK|");
        bench.call(two, change);
        assert_eq!(bench.call(one, "MULTI"), "+OK|");
        assert_eq!(bench.call(one, "SET k mine"), "+QUEUED|");
        assert_eq!(bench.call(one, "EXEC"), expect, "{change}");
        if expect == "*1|+OK|" {
            bench.call(two, if change == "GET k" { "SET k 1" } else { "DEL k" });
        }
    }
    assert_eq!(bench.call(one, "WATCH k"), "+OK|");
    bench.call(two, "SET k 2");
    assert_eq!(bench.call(one, "UNWATCH"), "+OK|");
    assert_eq!(bench.call(one, "MULTI"), "+OK|");
    assert_eq!(bench.call(one, "GET k"), "+QUEUED|");
    assert_eq!(bench.call(one, "EXEC"), "*1|$1|2|");
}

#[test]
fn without_a_replica_data_is_refused_and_the_session_works() {
    let mut bench = Bench::forming(NodeConfig::default());
    let client = bench.connect();
    bench
        .worker
        .set_refusal("LOADING the cluster is forming, waiting for n2; retry".to_owned());
    for (line, expect) in [
        ("PING", "+PONG|"),
        ("GET a", "-LOADING the cluster is forming, waiting for n2; retry|"),
        (
            "SET a 1",
            "-LOADING the cluster is forming, waiting for n2; retry|",
        ),
        (
            "WATCH a",
            "-LOADING the cluster is forming, waiting for n2; retry|",
        ),
        ("MULTI", "+OK|"),
        ("SET a 1", "+QUEUED|"),
        ("EXEC", "-LOADING the cluster is forming, waiting for n2; retry|"),
        ("GET", "-ERR wrong number of arguments for 'get' command|"),
    ] {
        assert_eq!(bench.call(client, line), expect, "{line}");
    }
    assert!(bench.call(client, "INFO persistence").contains("loading:1"));
}

#[test]
fn silenced_replies_do_not_disturb_the_order() {
    let mut bench = Bench::new();
    let client = bench.connect();
    for (line, expect) in [
        ("CLIENT REPLY SKIP", ""),
        ("SET a 1", ""),
        ("GET a", "$1|1|"),
        ("CLIENT REPLY OFF", ""),
        ("PING", ""),
        ("GET a", ""),
        ("INCR a", ""),
        ("FOO", ""),
        ("CLIENT REPLY ON", "+OK|"),
        ("GET a", "$1|2|"),
    ] {
        assert_eq!(bench.call(client, line), expect, "{line}");
    }
}

#[test]
fn parameters_are_set_all_or_none() {
    check(&[
        ("CONFIG GET SAVE", "*2|$4|SAVE|$0||"),
        ("CONFIG GET maxc* maxclients", "*2|$10|maxclients|$5|10000|"),
        (
            "CONFIG SET maxclients",
            "-ERR wrong number of arguments for 'config|set' command|",
        ),
        ("CONFIG SET maxclients 5 timeout", "-ERR syntax error|"),
        (
            "CONFIG SET maxclients 5 nosuch 1",
            "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'|",
        ),
        (
            "CONFIG SET maxclients 5 timeout x",
            "-ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be parsed into an integer|",
        ),
        (
            "CONFIG SET daemonize yes",
            "-ERR CONFIG SET failed (possibly related to argument 'daemonize') - can't set immutable config|",
        ),
        ("CONFIG SET port 6379 list-compress-depth 1", "+OK|"),
        ("CONFIG GET list-com*", "*2|$19|list-compress-depth|$1|1|"),
        (
            "CONFIG SET maxclients 5 port 1",
            "-ERR CONFIG SET failed (possibly related to argument 'port') - it is chosen at start; restart the node with --listen|",
        ),
        (
            "CONFIG SET proto-max-bulk-len 2",
            "-ERR CONFIG SET failed (possibly related to argument 'proto-max-bulk-len') - argument must be between 1048576 and 9223372036854775807 inclusive|",
        ),
        ("CONFIG SET maxmemory 18446744073709551615", "+OK|"),
        ("SET a 1", "+OK|"),
        (
            "CONFIG GET maxmemory",
            "*2|$9|maxmemory|$20|18446744073709551615|",
        ),
        ("CONFIG GET replicaof", "*2|$9|replicaof|$0||"),
        ("CONFIG GET maxclients", "*2|$10|maxclients|$5|10000|"),
        ("CONFIG SET maxclients 5 timeout 7", "+OK|"),
        ("CONFIG GET timeout", "*2|$7|timeout|$1|7|"),
    ]);
}

#[test]
fn statistics_count_what_was_executed() {
    let mut bench = Bench::new();
    let client = bench.connect();
    for line in [
        "SET a 1", "GET a", "GET a", "GET", "INCR x y", "LPUSH", "SET a x", "INCR a",
    ] {
        bench.call(client, line);
    }
    let text = bench.call(client, "INFO commandstats errorstats");
    for part in [
        "cmdstat_get:calls=2",
        "cmdstat_set:calls=2",
        "cmdstat_incr:calls=1",
        "failed_calls=1",
        "errorstat_ERR:count=4",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(bench.call(client, "CONFIG RESETSTAT"), "+OK|");
    assert!(!bench.call(client, "INFO commandstats").contains("cmdstat_set"));
}

#[test]
fn every_row_of_the_command_table_has_an_executor() {
    for spec in repligo_proto::command::with_subcommands().filter(|spec| spec.subcommands.is_empty()) {
        let mut bench = Bench::new();
        let client = bench.connect();
        let mut words: Vec<&str> = spec.name.split('|').collect();
        let least = spec.arity.unsigned_abs() as usize;
        words.resize(least.max(words.len()), "1");
        let reply = bench.call(client, &words.join(" "));
        assert!(!reply.contains("has no executor"), "{}", spec.name);
        assert!(
            !reply.is_empty() || spec.name == "client|reply" || spec.has(flag::BLOCKING),
            "{} is not answered",
            spec.name
        );
    }
}

/// Calls, failed calls and rejected calls of a command.
fn counts(bench: &Bench, name: &[u8]) -> (u64, u64, u64) {
    let spec = repligo_proto::command::lookup(name).expect("a row");
    let counted = &bench.worker.shared.metrics.commands[spec.id.index()];
    (counted.calls.get(), counted.failed.get(), counted.rejected.get())
}

#[test]
fn a_pipeline_of_long_local_commands_takes_several_turns_and_others_come_in_between() {
    let mut bench = Bench::new();
    let (hog, other) = (bench.connect(), bench.connect());
    let pipeline = request(&["INFO", "everything"]).repeat(10_000);
    let (mut at, mut turns) = (0, 0);
    while at < pipeline.len() {
        at += bench.feed(hog, &pipeline[at..]);
        turns += 1;
        bench.turn();
        bench.output(hog);
        let ping = request(&["PING"]);
        assert_eq!(bench.feed(other, &ping), ping.len());
        assert_eq!(bench.output(other), "+PONG|");
    }
    assert!(turns > 50, "{turns} turns");
    assert_eq!(counts(&bench, b"info").0, 10_000);
}

#[test]
fn the_local_items_of_a_block_take_several_turns_and_its_replies_stay_whole() {
    let mut bench = Bench::new();
    for first in ["PING", "SET a 1"] {
        let (client, other) = (bench.connect(), bench.connect());
        assert_eq!(bench.call(client, "MULTI"), "+OK|");
        assert_eq!(bench.call(client, first), "+QUEUED|");
        for _ in 0..5_000 {
            let line = request(&["COMMAND", "DOCS", "get"]);
            assert_eq!(bench.feed(client, &line), line.len());
        }
        bench.output(client);
        let rest = [request(&["EXEC"]), request(&["ECHO", "behind"])].concat();
        let (mut at, mut turns, mut output) = (0, 0, String::new());
        while at < rest.len() || !output.ends_with("behind|") {
            at += bench.feed(client, &rest[at..]);
            bench.turn();
            output += &bench.output(client);
            turns += 1;
            assert!(turns < 100_000 && bench.call(other, "PING") == "+PONG|");
        }
        assert!(turns > 2, "{turns} turns");
        assert!(output.starts_with("*5001|"), "{}", &output[..20]);
        assert_eq!(output.matches("$3|get|").count(), 5_000);
    }
}

#[test]
fn commands_of_a_block_are_counted_with_those_that_fail() {
    let mut bench = Bench::new();
    let client = bench.connect();
    let script = [
        ("MULTI", "+OK|"),
        ("SET word x", "+QUEUED|"),
        ("INCR word", "+QUEUED|"),
        ("PING", "+QUEUED|"),
        ("GET word", "+QUEUED|"),
        ("EXPIRE word x", "+QUEUED|"),
    ];
    for (line, expect) in script {
        assert_eq!(bench.call(client, line), expect, "{line}");
    }
    let reply = bench.call(client, "EXEC");
    assert!(reply.starts_with("*5|+OK|-ERR value is not"), "{reply}");
    for (name, expect) in [
        ("set", (1, 0, 0)),
        ("incr", (1, 1, 0)),
        ("ping", (1, 0, 0)),
        ("get", (1, 0, 0)),
        ("expire", (1, 1, 0)),
        ("exec", (1, 0, 0)),
    ] {
        assert_eq!(counts(&bench, name.as_bytes()), expect, "{name}");
    }
    let errors: u64 = bench.worker.errors.iter().map(|(_, count)| count).sum();
    assert_eq!(errors, 2);
}

#[test]
fn a_wrong_number_of_arguments_is_a_rejected_call() {
    let mut bench = Bench::new();
    let client = bench.connect();
    for line in ["GET", "GET a b", "SET a"] {
        assert!(
            bench.call(client, line).starts_with("-ERR wrong number"),
            "{line}"
        );
    }
    assert_eq!(counts(&bench, b"get"), (0, 0, 2));
    assert_eq!(counts(&bench, b"set"), (0, 0, 1));
}

#[test]
fn one_local_command_works_on_a_bounded_number_of_arguments() {
    let mut bench = Bench::new();
    let client = bench.connect();
    let line = format!("CONFIG GET{}", " *".repeat(1_100));
    assert!(
        bench
            .call(client, &line)
            .starts_with("-ERR too many arguments for 'config|get'")
    );
    let keys = format!("WATCH{}", " key".repeat(1_100));
    assert_eq!(bench.call(client, &keys), "+OK|");
}

#[test]
fn names_are_short_and_a_stranger_gets_none() {
    let mut bench = Bench::new();
    let client = bench.connect();
    let long = "x".repeat(1024);
    let refusal = "-ERR Client names must be shorter than 1024 bytes.|";
    assert_eq!(bench.call(client, &format!("CLIENT SETNAME {long}")), refusal);
    assert_eq!(bench.call(client, &format!("HELLO 2 SETNAME {long}")), refusal);
    let text = bench.call(client, &format!("CLIENT SETINFO LIB-NAME {long}"));
    assert_eq!(text, "-ERR lib-name is too long.|");
    assert_eq!(
        bench.call(client, &format!("CLIENT SETNAME {}", &long[1..])),
        "+OK|"
    );
    let slot = bench.clients[client];
    let connection = bench.worker.connections.get_mut(slot).expect("open");
    assert!(connection.memory_bytes() > size_of::<crate::worker::connection::Connection>() + 1000);

    bench.call(client, "CONFIG SET requirepass secret");
    let stranger = bench.connect();
    assert!(
        bench
            .call(stranger, "HELLO 2 SETNAME mine")
            .starts_with("-NOAUTH")
    );
    assert_eq!(bench.call(stranger, "AUTH secret"), "+OK|");
    assert_eq!(bench.call(stranger, "CLIENT GETNAME"), "$-1|");
    assert_eq!(
        bench.call(client, "PING"),
        "+PONG|",
        "as in Redis an open connection stays"
    );
}

#[test]
fn the_buffer_of_a_long_reply_is_let_go() {
    let mut bench = Bench::new();
    let client = bench.connect();
    let long = "x".repeat(8 << 20);
    assert!(bench.call(client, &format!("ECHO {long}")).len() > long.len());
    assert_eq!(bench.worker.pool.rendering_bytes(), 0);
    bench.call(client, "ECHO short");
    assert!(bench.worker.pool.rendering_bytes() > 0);
}

#[test]
fn who_connects_while_everything_is_paused_can_log_in_and_end_it() {
    let mut bench = Bench::new();
    let (asker, operator) = (bench.connect(), bench.connect());
    bench.call(operator, "CONFIG SET requirepass secret");
    assert_eq!(bench.call(operator, "CLIENT PAUSE 1000000 ALL"), "+OK|");
    assert_eq!(bench.feed(asker, &request(&["GET", "k"])), 0, "it is held back");
    let late = bench.connect();
    assert_eq!(bench.call(late, "AUTH secret"), "+OK|");
    assert!(bench.call(late, "HELLO 3 SETNAME late").starts_with('%'));
    assert_eq!(bench.feed(late, &request(&["PING"])), 0, "it is held back");
    assert_eq!(bench.call(operator, "CLIENT UNPAUSE"), "+OK|");
    assert_eq!(bench.call(asker, "GET k"), "$-1|");
    assert_eq!(bench.call(late, "PING"), "+PONG|");
}

#[test]
fn a_password_that_is_added_to_that_of_the_node_takes_it_not_away() {
    let told = |rules: &str| {
        let mut bench = Bench::new();
        let client = bench.connect();
        bench.call(client, "CONFIG SET requirepass own");
        let answer = bench.call(client, &format!("ACL SETUSER default {rules}"));
        let stranger = bench.connect();
        let works = |bench: &mut Bench, password: &str| {
            bench.call(stranger, &format!("AUTH default {password}")) == "+OK|"
        };
        let found = [works(&mut bench, "own"), works(&mut bench, "new")];
        (answer, found)
    };
    let ok = || "+OK|".to_owned();
    assert_eq!(told(">new"), (ok(), [true, true]));
    assert_eq!(
        told(&format!("on #{}", digits_of_password("new"))),
        (ok(), [true, true])
    );
    assert_eq!(
        told(">new <own"),
        (ok(), [false, true]),
        "as one rotates, in one step"
    );
    for words in [
        "resetpass >new",
        "reset on >new ~* +@all",
        "NOPASS >new",
        "on resetpass >new",
    ] {
        assert_eq!(told(words), (ok(), [false, true]), "{words}");
    }
    // What says nothing of passwords leaves them to the node.
    assert_eq!(told("+get"), (ok(), [true, false]));

    let mut bench = Bench::new();
    let client = bench.connect();
    bench.call(client, "CONFIG SET requirepass own");
    assert_eq!(bench.call(client, "ACL SETUSER default >new"), ok());
    assert_eq!(
        bench.call(client, "ACL SETUSER default <own"),
        ok(),
        "in two steps"
    );
    assert_eq!(bench.call(client, "AUTH new"), ok());
    assert!(bench.call(client, "AUTH own").starts_with("-WRONGPASS"));
    assert_eq!(bench.call(client, "ACL SETUSER default >third"), ok());
    assert!(
        bench.call(client, "AUTH own").starts_with("-WRONGPASS"),
        "once the log has passwords it alone counts"
    );
    assert_eq!(bench.call(client, "ACL SETUSER app on >p +@all"), ok());
    assert!(
        bench.call(client, "AUTH app own").starts_with("-WRONGPASS"),
        "it is of one user"
    );
}

fn digits_of_password(password: &str) -> String {
    repligo_core::acl::digits_of(&super::password_hash(password.as_bytes()))
}
