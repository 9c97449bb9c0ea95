//! One node in this process, over TCP: what a client sees.

mod support;

use std::io::{Read, Write};
use std::time::Duration;

use repligo_proto::resp::request;
use support::{Server, show};

#[test]
fn a_single_node_serves_writes_reads_and_transactions() {
    let server = Server::start(|_| ());
    let mut client = server.client();
    for (line, expect) in [
        ("PING", "PONG"),
        ("SET a 1", "OK"),
        ("GET a", "1"),
        ("INCR a", ":2"),
        ("GET nothing", "nil"),
        ("MSET b 2 c 3", "OK"),
        ("MGET a b c d", "[2 2 3 nil]"),
        ("WATCH a", "OK"),
        ("MULTI", "OK"),
        ("INCR a", "QUEUED"),
        ("PING", "QUEUED"),
        ("SELECT 1", "QUEUED"),
        ("SET z 9", "QUEUED"),
        ("EXEC", "[:3 PONG OK OK]"),
        ("GET z", "9"),
        ("SELECT 0", "OK"),
        ("GET z", "nil"),
        ("SET s x", "OK"),
        ("INCR s", "-ERR value is not an integer or out of range"),
        (
            "FOO a b",
            "-ERR unknown command 'FOO', with args beginning with: 'a' 'b' ",
        ),
        ("CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP."),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        ("DBSIZE", ":4"),
        ("FLUSHALL", "OK"),
        ("DBSIZE", ":0"),
    ] {
        assert_eq!(client.call(line), expect, "{line}");
    }
    server.stop().expect("a clean stop");
}

#[test]
fn a_watched_key_that_changes_aborts_the_block() {
    let server = Server::start(|_| ());
    let (mut one, mut two) = (server.client(), server.client());
    assert_eq!(one.call("WATCH k"), "OK");
    assert_eq!(one.call("MULTI"), "OK");
    assert_eq!(one.call("SET k mine"), "QUEUED");
    assert_eq!(one.call("SELECT 3"), "QUEUED");
    assert_eq!(two.call("SET k theirs"), "OK");
    assert_eq!(one.call("EXEC"), "nil");
    // The SELECT of an aborted block has not happened.
    assert_eq!(one.call("GET k"), "theirs");
    assert_eq!(one.call("MULTI"), "OK");
    assert_eq!(one.call("NONSENSE").split(' ').next(), Some("-ERR"));
    assert_eq!(
        one.call("EXEC"),
        "-EXECABORT Transaction discarded because of previous errors."
    );
    assert_eq!(one.call("EXEC"), "-ERR EXEC without MULTI");
}

#[test]
fn a_pipeline_of_mixed_commands_is_answered_in_order() {
    let server = Server::start(|_| ());
    let mut client = server.client();
    let mut bytes = Vec::new();
    for number in 0..2000 {
        let number = number.to_string();
        bytes.extend(request(&["SET", "k", &number]));
        bytes.extend(request(&["GET", "k"]));
        bytes.extend(request(&["ECHO", &number]));
        bytes.extend(request(&["INCR", "counter"]));
    }
    let mut stream = client.stream.try_clone().expect("a second handle");
    let writer = std::thread::spawn(move || stream.write_all(&bytes));
    for number in 0..2000 {
        let number = number.to_string();
        assert_eq!(show(&client.receive()), "OK");
        assert_eq!(show(&client.receive()), number);
        assert_eq!(show(&client.receive()), number);
        assert_eq!(
            show(&client.receive()),
            format!(":{}", number.parse::<u32>().expect("a number") + 1)
        );
    }
    writer.join().expect("no panic").expect("sent");
}

#[test]
fn a_large_value_travels_both_ways_whatever_the_pieces() {
    let server = Server::start(|_| ());
    let mut client = server.client();
    let value = "x".repeat(20 << 20);
    client.send(&["SET", "big", &value]);
    assert_eq!(show(&client.receive()), "OK");
    client.send(&["GET", "big"]);
    assert_eq!(show(&client.receive()), value);
    // Byte by byte.
    for byte in request(&["GET", "absent"]) {
        client.stream.write_all(&[byte]).expect("sent");
    }
    assert_eq!(show(&client.receive()), "nil");
}

#[test]
fn a_client_that_does_not_read_holds_back_only_itself() {
    let server = Server::start(|_| ());
    let mut lazy = server.client();
    lazy.send(&["SET", "big", &"y".repeat(1 << 20)]);
    assert_eq!(show(&lazy.receive()), "OK");
    for _ in 0..200 {
        lazy.send(&["GET", "big"]);
    }
    let mut other = server.client();
    for _ in 0..100 {
        assert_eq!(other.call("PING"), "PONG");
    }
    let memory = other.call("CLIENT LIST");
    assert!(
        memory.lines().all(|line| !line.contains("omem=9999999")),
        "{memory}"
    );
    for _ in 0..200 {
        assert_eq!(show(&lazy.receive()).len(), 1 << 20);
    }
}

#[test]
fn passwords_guard_everything_but_the_handshake() {
    let server = Server::start(|config| config.requirepass = Some("secret".to_owned()));
    let mut client = server.client();
    assert_eq!(client.call("GET a"), "-NOAUTH Authentication required.");
    assert!(client.call("HELLO 3").starts_with("-NOAUTH HELLO must be called"));
    assert!(client.call("AUTH wrong").starts_with("-WRONGPASS"));
    assert_eq!(client.call("AUTH secret"), "OK");
    assert_eq!(client.call("GET a"), "nil");
    let mut other = server.client();
    assert!(
        other
            .call("HELLO 3 AUTH default secret SETNAME x")
            .contains("redis")
    );
    assert_eq!(other.call("CLIENT GETNAME"), "x");
    assert_eq!(other.call("RESET"), "RESET");
    assert_eq!(other.call("PING"), "-NOAUTH Authentication required.");
}

#[test]
fn protocol_errors_are_answered_and_end_the_connection() {
    let server = Server::start(|_| ());
    let mut client = server.client();
    client.stream.write_all(b"PING\r\n*1\r\n+x\r\n").expect("sent");
    assert_eq!(show(&client.receive()), "PONG");
    assert_eq!(
        show(&client.receive()),
        "-ERR Protocol error: expected '$', got '+'"
    );
    assert_eq!(client.stream.read(&mut [0; 8]).expect("the end"), 0);
}

#[test]
fn too_many_clients_are_told_so() {
    let server = Server::start(|config| config.maxclients = 2);
    let (mut one, mut two) = (server.client(), server.client());
    assert_eq!(one.call("PING"), "PONG");
    assert_eq!(two.call("PING"), "PONG");
    assert_eq!(
        show(&server.client().receive()),
        "-ERR max number of clients reached"
    );
}

#[test]
fn replies_can_be_switched_off() {
    let server = Server::start(|_| ());
    let mut client = server.client();
    client.send(&["CLIENT", "REPLY", "SKIP"]);
    client.send(&["SET", "a", "1"]);
    assert_eq!(client.call("GET a"), "1");
    client.send(&["CLIENT", "REPLY", "OFF"]);
    client.send(&["SET", "a", "2"]);
    client.send(&["PING"]);
    client.send(&["GET", "a"]);
    assert_eq!(client.call("CLIENT REPLY ON"), "OK");
    assert_eq!(client.call("GET a"), "2");
}

#[test]
fn a_killed_client_is_disconnected() {
    let server = Server::start(|_| ());
    let (mut one, mut two) = (server.client(), server.client());
    let id = two.call("CLIENT ID");
    let kill = format!("CLIENT KILL ID {}", &id[1..]);
    assert_eq!(one.call(&kill), ":1");
    assert_eq!(two.stream.read(&mut [0; 8]).expect("the end"), 0);
    assert_eq!(one.call(&kill), ":0");
}

#[test]
fn introspection_has_the_fields_that_tools_read() {
    let server = Server::start(|_| ());
    let mut client = server.client();
    client.call("SET a 1 EX 100");
    client.call("GET a");
    let info = client.call("INFO everything");
    for field in [
        "redis_version:7.4.2",
        "role:",
        "connected_clients:1",
        "used_memory:",
        "keyspace_hits:1",
        "db0:keys=1,expires=1",
        "cmdstat_get:calls=1",
        "loading:0",
        "cluster_enabled:0",
        "maxclients:10000",
        "tcp_port:",
        "total_commands_processed:",
    ] {
        // Counters of the keyspace are copied at each tick.
        std::thread::sleep(Duration::from_millis(if info.contains(field) { 0 } else { 60 }));
        let info = client.call("INFO everything");
        assert!(info.contains(field), "{field} in {info}");
    }
    assert_eq!(client.call("CONFIG GET save"), "[save ]");
    assert_eq!(client.call("CONFIG SET slowlog-log-slower-than 0"), "OK");
    client.call("GET a");
    assert_ne!(client.call("SLOWLOG LEN"), ":0");
    assert!(client.call("ROLE").starts_with('['));
    let status = client.call("REPLIGO.STATUS");
    assert!(
        status.contains("\"cluster_id\"") && status.contains("\"leader\""),
        "{status}"
    );
    assert!(client.call("LATENCY HISTOGRAM get").contains("histogram_usec"));
    assert_eq!(client.call("COMMAND COUNT").chars().next(), Some(':'));
}
