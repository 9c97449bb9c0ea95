//! CLIENT TRACKING: what clients hear, and behind which replies.

use super::Bench;

/// Lines by client, each with what that client is sent behind it, and what the others are.
fn check(resp3: &[bool], script: &[(usize, &str, &[&str])]) {
    let mut bench = Bench::new();
    let clients: Vec<usize> = resp3.iter().map(|_| bench.connect()).collect();
    for (client, is_resp3) in clients.iter().zip(resp3) {
        if *is_resp3 {
            bench.call(*client, "HELLO 3");
        }
    }
    for (speaker, line, expect) in script {
        let line = line.replace("{0}", &bench.number(0).to_string());
        let mut heard = vec![String::new(); clients.len()];
        heard[*speaker] = bench.call(*speaker, &line);
        for other in clients.iter().filter(|other| *other != speaker) {
            heard[*other] = bench.output(*other);
        }
        let expect: Vec<String> = expect
            .iter()
            .map(|text| text.replace("{0}", &bench.number(0).to_string()))
            .collect();
        assert_eq!(heard, expect, "{line}");
    }
}

const K: &str = ">2|$10|invalidate|*1|$1|k|";
const NULL: &str = ">2|$10|invalidate|_|";

fn behind(reply: &str, push: &str) -> String {
    [reply, push].concat()
}

#[test]
fn who_has_read_a_key_is_told_once_that_it_has_changed() {
    let own = behind("+OK|", K);
    check(
        &[true, true],
        &[
            (0, "CLIENT TRACKING ON", &["+OK|", ""]),
            (0, "GET k", &["_|", ""]),
            (1, "SET k 1", &[K, "+OK|"]),
            (1, "SET k 2", &["", "+OK|"]),
            (0, "MGET j k", &["*2|_|$1|2|", ""]),
            (0, "SET k 3", &[&own, ""]),
            (0, "EXISTS k", &[":1|", ""]),
            (1, "EXPIRE k 100", &[K, ":1|"]),
            (0, "TYPE k", &["+string|", ""]),
            (1, "PERSIST k", &[K, ":1|"]),
            (0, "TTL k", &[":-1|", ""]),
            (1, "RENAME k l", &[K, "+OK|"]),
            (0, "EVAL return{redis.call('get',KEYS[1])} 1 k", &["*1|_|", ""]),
            (1, "COPY l k", &[K, ":1|"]),
            (0, "GET k", &["$1|3|", ""]),
            (1, "SELECT 5", &["", "+OK|"]),
            // Names are told without their databases, as in Redis.
            (1, "SET k 1", &[K, "+OK|"]),
            (0, "GET k", &["$1|3|", ""]),
            (0, "CLIENT TRACKING OFF", &["+OK|", ""]),
            (1, "DEL k", &["", ":1|"]),
        ],
    );
}

#[test]
fn a_cleared_database_is_told_to_everybody_who_tracks() {
    let own = behind("+OK|", NULL);
    check(
        &[true, true],
        &[
            (0, "CLIENT TRACKING ON BCAST PREFIX x", &["+OK|", ""]),
            (1, "CLIENT TRACKING ON", &["", "+OK|"]),
            (1, "GET k", &["", "_|"]),
            (0, "FLUSHDB", &[&own, NULL]),
            (0, "SET k 1", &["+OK|", ""]),
            // What the prefix takes is still counted, and is taken off at the end.
            (1, "MULTI", &["", "+OK|"]),
            (1, "FLUSHALL", &["", "+QUEUED|"]),
            (1, "EXEC", &[NULL, &behind("*1|+OK|", NULL)]),
            (0, "CLIENT TRACKING OFF", &["+OK|", ""]),
            (1, "FLUSHALL", &["", &behind("+OK|", NULL)]),
        ],
    );
}

#[test]
fn what_a_block_has_read_is_told_behind_its_replies() {
    let replies = "*3|$1|1|+OK|$1|2|";
    check(
        &[true, true],
        &[
            (0, "SET k 1", &["+OK|", ""]),
            (0, "CLIENT TRACKING ON", &["+OK|", ""]),
            (0, "MULTI", &["+OK|", ""]),
            (0, "GET k", &["+QUEUED|", ""]),
            (0, "SET k 2", &["+QUEUED|", ""]),
            (0, "GET k", &["+QUEUED|", ""]),
            (0, "EXEC", &[&behind(replies, K), ""]),
            (0, "MULTI", &["+OK|", ""]),
            (0, "GET k", &["+QUEUED|", ""]),
            (0, "DISCARD", &["+OK|", ""]),
            (1, "SET k 3", &["", "+OK|"]),
            (0, "MULTI", &["+OK|", ""]),
            (0, "GET k", &["+QUEUED|", ""]),
            (1, "SET k 4", &["", "+OK|"]),
            (0, "PING", &["+QUEUED|", ""]),
            (0, "EXEC", &["*2|$1|4|+PONG|", ""]),
            (1, "SET k 5", &[K, "+OK|"]),
        ],
    );
}

#[test]
fn prefixes_are_told_of_in_one_message_and_not_to_the_writer_that_wants_no_loop() {
    let all = ">2|$10|invalidate|*2|$2|a1|$2|a2|>2|$10|invalidate|*1|$2|b1|";
    check(
        &[true, true],
        &[
            (
                0,
                "CLIENT TRACKING ON BCAST PREFIX a PREFIX b NOLOOP",
                &["+OK|", ""],
            ),
            (0, "MSET a1 1 b1 1 c1 1", &["+OK|", ""]),
            (1, "MSET b1 1 a2 1 a1 1 c1 1", &[all, "+OK|"]),
            (
                0,
                "CLIENT TRACKING ON BCAST PREFIX a",
                &[
                    "-ERR Prefix 'a' overlaps with an existing prefix 'a'. Prefixes for a single client must not overlap.|",
                    "",
                ],
            ),
            (
                0,
                "CLIENT TRACKINGINFO",
                &[
                    "%3|$5|flags|~3|$2|on|$5|bcast|$6|noloop|$8|redirect|:0|$8|prefixes|*2|$1|a|$1|b|",
                    "",
                ],
            ),
        ],
    );
}

#[test]
fn who_wants_no_loop_is_told_when_others_write_behind_it() {
    check(
        &[true, true],
        &[
            (0, "CLIENT TRACKING ON NOLOOP", &["+OK|", ""]),
            (0, "GET k", &["_|", ""]),
            (0, "SET k 1", &["+OK|", ""]),
            // It may have cached what it has written.
            (1, "SET k 2", &[K, "+OK|"]),
            (1, "SET k 3", &["", "+OK|"]),
        ],
    );
}

#[test]
fn what_is_announced_is_the_next_request_or_block() {
    check(
        &[true, true],
        &[
            (0, "CLIENT TRACKING ON OPTIN", &["+OK|", ""]),
            (0, "GET k", &["_|", ""]),
            (1, "SET k 1", &["", "+OK|"]),
            (0, "CLIENT CACHING YES", &["+OK|", ""]),
            (0, "CLIENT ID", &[":1|", ""]),
            (0, "GET k", &["$1|1|", ""]),
            (0, "GET j", &["_|", ""]),
            (1, "MSET k 2 j 2", &[K, "+OK|"]),
            (0, "CLIENT CACHING YES", &["+OK|", ""]),
            (0, "MULTI", &["+OK|", ""]),
            (0, "GET i", &["+QUEUED|", ""]),
            (0, "GET k", &["+QUEUED|", ""]),
            (0, "EXEC", &["*2|_|$1|2|", ""]),
            (0, "GET j", &["$1|2|", ""]),
            (1, "MSET k 3 j 3", &[K, "+OK|"]),
            (0, "CLIENT TRACKING OFF", &["+OK|", ""]),
            (0, "CLIENT TRACKING ON OPTOUT", &["+OK|", ""]),
            (0, "CLIENT CACHING NO", &["+OK|", ""]),
            (0, "GET j", &["$1|3|", ""]),
            (0, "GET k", &["$1|3|", ""]),
            (1, "MSET k 4 j 4", &[K, "+OK|"]),
        ],
    );
}

#[test]
fn another_client_is_told_in_its_own_protocol_until_it_is_gone() {
    let message = "*3|$7|message|$20|__redis__:invalidate|*1|$1|k|";
    check(
        &[false, false],
        &[
            (
                0,
                "SUBSCRIBE __redis__:invalidate",
                &["*3|$9|subscribe|$20|__redis__:invalidate|:1|", ""],
            ),
            (1, "CLIENT TRACKING ON REDIRECT {0}", &["", "+OK|"]),
            (1, "CLIENT GETREDIR", &["", ":{0}|"]),
            (1, "GET k", &["", "$-1|"]),
            (1, "SET k 1", &[message, "+OK|"]),
            (
                1,
                "FLUSHALL",
                &["*3|$7|message|$20|__redis__:invalidate|$-1|", "+OK|"],
            ),
            (
                0,
                "UNSUBSCRIBE",
                &["*3|$11|unsubscribe|$20|__redis__:invalidate|:0|", ""],
            ),
            (1, "GET k", &["", "$-1|"]),
            (1, "SET k 1", &["", "+OK|"]),
        ],
    );
    let mut bench = Bench::new();
    let (named, naming) = (bench.connect(), bench.connect());
    bench.call(naming, "HELLO 3");
    let number = bench.number(named);
    assert_eq!(
        bench.call(naming, &format!("CLIENT TRACKING ON REDIRECT {number}")),
        "+OK|"
    );
    bench.call(naming, "GET k");
    bench.close(named);
    // Whoever comes in its place is not the one that was named.
    let other = bench.connect();
    bench.call(other, "HELLO 3");
    let broken = format!("+OK|>2|$21|tracking-redir-broken|:{number}|");
    assert_eq!(bench.call(naming, "SET k 1"), broken);
    assert_eq!(bench.output(other), "");
    assert!(bench.call(naming, "CLIENT INFO").contains(" flags=tR "));
}

#[test]
fn keys_without_room_are_told_as_changed() {
    let mut bench = Bench::new();
    let (client, other) = (bench.connect(), bench.connect());
    bench.call(client, "HELLO 3");
    bench.call(client, "CLIENT TRACKING ON");
    bench.call(other, "CONFIG SET tracking-table-max-keys 2");
    assert_eq!(bench.call(client, "MGET a b"), "*2|_|_|");
    assert_eq!(bench.call(client, "GET c"), "_|>2|$10|invalidate|*1|$1|a|");
    assert_eq!(bench.call(client, "GET b"), "_|");
    bench.call(other, "CONFIG SET tracking-table-max-keys 1");
    assert_eq!(bench.output(client), ">2|$10|invalidate|*1|$1|b|");
    let info = bench.call(other, "INFO");
    for line in [
        "tracking_clients:1|",
        "tracking_total_keys:1|",
        "tracking_total_items:1|",
    ] {
        assert!(info.contains(line), "{line}");
    }
    bench.close(client);
    let info = bench.call(other, "INFO");
    assert!(info.contains("tracking_clients:0|"), "{info}");
    assert!(info.contains("tracking_total_keys:0|"), "{info}");
}

#[test]
fn a_read_that_is_answered_behind_a_change_leaves_nothing_old_behind() {
    let mut bench = Bench::new();
    let (client, other) = (bench.connect(), bench.connect());
    bench.call(client, "HELLO 3");
    bench.call(client, "CLIENT TRACKING ON");
    for round in 0..20 {
        // Both leave with one turn: the read is executed behind its own write, and behind or before the other one.
        let own = format!("SET own {round}\r\nGET k\r\n");
        let foreign = format!("SET k {round}\r\n");
        let order = [(client, &own), (other, &foreign)];
        for (who, bytes) in if round % 2 == 0 {
            order
        } else {
            [order[1], order[0]]
        } {
            bench.feed(who, bytes.as_bytes());
        }
        bench.worker.turn.request();
        bench.turn();
        let heard = bench.output(client);
        let is_current = heard.contains(&format!("${}|{round}|", round.to_string().len()));
        assert!(
            heard.ends_with(K) || is_current && !heard.contains("invalidate"),
            "{round}: {heard}"
        );
        bench.output(other);
        // Read alone, it is told of the next change in any case.
        bench.call(client, "GET k");
        assert_eq!(bench.call(other, "SET k x"), "+OK|");
        assert_eq!(bench.output(client), K);
    }
}

#[test]
fn what_expires_is_told_where_it_was_read() {
    let mut bench = Bench::new();
    let (client, other) = (bench.connect(), bench.connect());
    bench.call(client, "HELLO 3");
    bench.call(client, "CLIENT TRACKING ON");
    bench.call(other, "SET k 1 PX 200");
    bench.call(client, "GET k");
    let mut heard = String::new();
    for _ in 0..10_000 {
        std::thread::sleep(std::time::Duration::from_millis(1));
        bench.worker.tick();
        bench.worker.turn.request();
        bench.turn();
        heard += &bench.output(client);
        if !heard.is_empty() {
            break;
        }
    }
    assert_eq!(heard, K);
    assert_eq!(bench.call(client, "GET k"), "_|");
}

#[test]
fn a_read_of_very_many_keys_is_told_as_changed_as_a_whole() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.call(client, "HELLO 3");
    bench.call(client, "CLIENT TRACKING ON");
    let keys: Vec<String> = (0..5000).map(|number| format!("key:{number}")).collect();
    let mut heard = bench.call(client, &format!("EXISTS {}", keys.join(" ")));
    for _ in 0..100 {
        heard += &bench.call(client, "CLIENT GETREDIR");
    }
    assert_eq!(heard.matches(NULL).count(), 1, "{heard}");
    assert!(bench.call(client, "INFO").contains("tracking_total_keys:0|"));
}

#[test]
fn tracking_that_begins_in_a_block_tells_that_all_may_have_changed() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.call(client, "HELLO 3");
    for (lines, reply) in [
        (&["CLIENT TRACKING ON", "GET k"][..], "*2|+OK|_|"),
        (
            &["GET k", "CLIENT TRACKING OFF", "CLIENT TRACKING ON"],
            "*3|_|+OK|+OK|",
        ),
    ] {
        bench.call(client, "MULTI");
        for line in lines {
            assert_eq!(bench.call(client, line), "+QUEUED|");
        }
        let mut heard = bench.call(client, "EXEC");
        for _ in 0..10 {
            bench.worker.turn.request();
            bench.turn();
            heard += &bench.output(client);
        }
        assert_eq!(heard, behind(reply, NULL));
    }
}

#[test]
fn what_is_cleared_several_times_in_a_turn_is_told_once() {
    let mut bench = Bench::new();
    let (client, other) = (bench.connect(), bench.connect());
    bench.call(client, "HELLO 3");
    bench.call(client, "CLIENT TRACKING ON");
    bench.call(client, "GET k");
    bench.feed(other, b"SET k 1\r\nFLUSHALL\r\nFLUSHALL\r\nSET k 2\r\n");
    bench.worker.turn.request();
    bench.turn();
    assert_eq!(bench.output(other), "+OK|+OK|+OK|+OK|");
    assert_eq!(bench.output(client), NULL);
}

#[test]
fn nobody_is_told_of_keys_that_it_may_not_read() {
    let mut bench = Bench::new();
    let (client, other) = (bench.connect(), bench.connect());
    let made = bench.call(other, "ACL SETUSER u on nopass ~mine +@all");
    assert_eq!(made, "+OK|");
    assert!(bench.call(client, "HELLO 3 AUTH u x").starts_with('%'));
    assert_eq!(bench.call(client, "CLIENT TRACKING ON OPTIN"), "+OK|");
    assert_eq!(bench.call(client, "CLIENT CACHING YES"), "+OK|");
    assert!(bench.call(client, "GET k").starts_with("-NOPERM"));
    // What was announced was that one.
    assert_eq!(bench.call(client, "GET mine"), "_|");
    assert!(bench.call(other, "INFO").contains("tracking_total_keys:0|"));
    assert_eq!(bench.call(other, "MSET k 1 mine 1"), "+OK|");
    assert_eq!(bench.output(client), "");
}

#[test]
fn a_very_long_name_drops_no_other_key() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.call(client, "HELLO 3");
    bench.call(client, "CLIENT TRACKING ON");
    bench.call(client, "GET k");
    let long = "x".repeat((64 << 10) + 1);
    assert_eq!(bench.call(client, &format!("GET {long}")), behind("_|", NULL));
    assert!(bench.call(client, "INFO").contains("tracking_total_keys:1|"));
}
