//! The generator against servers that stall, lie, break and refuse.

use std::time::Duration;

use super::fake::{Act, Fake, Habits};
use super::options::{self, Settings};
use super::progress::Progress;
use super::report::Report;
use super::run::Bench;
use crate::cli::signals::StopFlag;

/// Settings as the command line would give them.
pub fn settings(words: &str) -> Settings {
    let words = std::iter::once("bench").chain(words.split_whitespace());
    let matches = options::command()
        .try_get_matches_from(words)
        .expect("valid flags");
    Settings::from_matches(&matches).expect("valid settings")
}

/// One run against these addresses, without warm-up if none is asked for.
fn measure(addresses: &str, words: &str) -> Report {
    let mut settings = settings(&format!("--addr {addresses} {words}"));
    settings.warmup_seconds *= f64::from(words.contains("--warmup"));
    let stop = StopFlag::default();
    let bench = Bench::new(&settings, &settings.target, &stop).expect("the server can be used");
    let measured = bench.measure(&mut Progress::new()).expect("a run");
    Report::new(&settings, measured)
}

fn load_error(address: &str) -> String {
    let settings = settings(&format!("--addr {address} --load --keys 500"));
    let stop = StopFlag::default();
    let bench = Bench::new(&settings, &settings.target, &stop).expect("the server can be used");
    bench.load(&mut Progress::new()).expect_err("refused").to_string()
}

/// Every request that was due has ended in exactly one way.
fn ended(report: &Report) -> u64 {
    report.ops + report.errors + report.unanswered + report.wrong_replies
}

fn honest() -> Fake {
    Fake::new(|_, _| Act::Answer)
}

fn stalling() -> Fake {
    let stall = Some((Duration::from_millis(400), Duration::from_millis(600)));
    Fake::with(
        Habits {
            stall,
            password: None,
        },
        |_, _| Act::Answer,
    )
}

#[test]
fn a_stall_is_in_the_percentiles_of_the_open_loop() {
    let fake = stalling();
    let report = measure(&fake.address, "--clients 10 --rate 1000 --seconds 1");
    assert_eq!(ended(&report), 1000, "{report:?}");
    assert_eq!(report.ops, 1000, "{report:?}");
    // Requests were due during a fifth of the time, evenly, so a tenth waited for half of the stall or more.
    let latency = &report.latency_us;
    assert!(latency.p90.expect("some") > 60_000.0, "{report:?}");
    assert!(latency.p99.expect("some") > 150_000.0, "{report:?}");
    assert_eq!(report.kind_of_loop, "open");
}

#[test]
fn a_stall_hides_in_the_closed_loop_and_the_report_says_which_it_is() {
    let fake = stalling();
    let report = measure(&fake.address, "--clients 10 --seconds 1");
    let latency = &report.latency_us;
    assert!(latency.max.expect("some") > 150_000.0, "{report:?}");
    assert!(latency.p99.expect("some") < 100_000.0, "{report:?}");
    assert_eq!(report.kind_of_loop, "closed");
}

#[test]
fn intervals_show_when_a_stall_was() {
    let fake = stalling();
    let report = measure(
        &fake.address,
        "--clients 10 --rate 1000 --seconds 1 --timeline-ms 100 --json",
    );
    let timeline = report.timeline.expect("asked for");
    assert_eq!(timeline.iter().map(|point| point.ops).sum::<u64>(), report.ops);
    let worst = timeline
        .iter()
        .max_by(|left, right| left.max.unwrap_or(0.0).total_cmp(&right.max.unwrap_or(0.0)))
        .expect("some");
    // The server began a little before the run.
    assert!((300..=600).contains(&worst.t_ms), "{timeline:?}");
    assert!(worst.max.expect("some") > 150_000.0, "{timeline:?}");
}

#[test]
fn every_request_of_a_number_is_sent_once() {
    for words in [
        "997",
        "997 --rate 5000",
        "997 --pipeline 7 --threads 3",
        "3",
        "997 --workload set --value-bytes 100000 --keys 50",
        "997 --wait 1 --pipeline 5 --reads 50",
        "997 --wait 1 --rate 9000",
        "997 --rate 7001 --warmup 0.1",
    ] {
        let fake = honest();
        let report = measure(&fake.address, &format!("--clients 9 --requests {words}"));
        let expected = words
            .split(' ')
            .next()
            .and_then(|word| word.parse().ok())
            .expect("number");
        assert_eq!(report.ops, expected, "{words:?}: {report:?}");
        assert_eq!((report.gets + report.sets, ended(&report)), (expected, expected));
        assert!(report.is_good(), "{words:?}: {report:?}");
        let more = words.contains("--w");
        // INFO, and where asked for WAIT and warm-up.
        assert!(
            more || fake.requests() == expected + 1,
            "{words:?}: {}",
            fake.requests()
        );
    }
}

#[test]
fn lies_are_found() {
    let check = |command: &'static str, reply: &'static str, part: &str| {
        let fake = Fake::new(move |number, words| {
            let lies = words[0] == command.as_bytes() && number % 50 == 49;
            if lies { Act::Say(reply.into()) } else { Act::Answer }
        });
        let report = measure(&fake.address, "--keys 10 --clients 3 --requests 600 --reads 50");
        assert!(report.wrong_replies > 0, "{part}: {report:?}");
        assert!(!report.is_good());
        let shown = report.wrong_examples.join("\n");
        assert!(shown.contains(part), "no `{part}` in\n{shown}");
        assert!(report.wrong_examples.len() <= 5);
    };
    check("GET", "$-1\r\n", "gave nil, but a write of it was acknowledged");
    check("GET", "_\r\n", "gave nil");
    check("GET", "+OK\r\n", "gave Simple");
    check("GET", "$3\r\nabc\r\n", "3 bytes instead of 32");
    check("GET", "$0\r\n\r\n", "0 bytes instead of 32");
    check(
        "GET",
        "$32\r\n0123456789abcdef0123456789abcdef\r\n",
        "it is not what writer",
    );
    check(
        "GET",
        "$32\r\n~~~~~~~~89abcdef0123456789abcdef\r\n",
        "its stamp is not one of ours",
    );
    check("GET", "$32\r\n0123456789abcdef0123456789abcdefXY", "not RESP");
    check("SET", ":1\r\n", "gave Integer(1)");
    check("SET", "$-1\r\n", "gave Null");
    check("SET", "+OKAY\r\n", "OKAY");
    check("SET", "+OK\r\n+OK\r\n", "answers no request");
    check("SET", "hello\r\n", "not RESP");
}

#[test]
fn writes_that_are_only_pretended_are_found() {
    let fake = Fake::new(|_, words| {
        if words[0] == b"SET" {
            Act::Pretend
        } else {
            Act::Answer
        }
    });
    let report = measure(&fake.address, "--keys 10 --requests 600 --reads 50");
    assert!(report.wrong_replies > 100, "{report:?}");
    assert!(report.wrong_examples[0].contains("gave nil, but a write of it was acknowledged"));
}

#[test]
fn a_value_of_another_key_is_found() {
    // The server mixes keys up: every GET of an odd request is answered with the smallest key's value.
    let fake = Fake::new(|number, words| {
        let is_read = words[0] == b"GET" && number % 2 == 1;
        if is_read {
            Act::Say(foreign_value())
        } else {
            Act::Answer
        }
    });
    let report = measure(&fake.address, "--keys 10 --requests 200 --clients 2");
    assert!(report.wrong_replies > 10, "{report:?}");
    assert!(report.wrong_examples[0].contains("from byte 8 on"), "{report:?}");
}

/// A value that the loader would write to key 3, as a reply, from a run with more keys (so never asked for).
fn foreign_value() -> Vec<u8> {
    let data = super::dataset::Dataset::new(&settings("")).expect("valid");
    let mut request = Vec::new();
    data.push_set(&mut request, 77_777, super::dataset::Stamp::new(0, 0));
    let value_at = request.len() - "$32\r\n".len() - 32 - 2;
    request[value_at..].to_vec()
}

#[test]
fn missing_keys_are_no_lie_where_that_is_allowed() {
    let fake = Fake::new(|_, words| {
        if words[0] == b"GET" {
            Act::Say(b"$-1\r\n".to_vec())
        } else {
            Act::Answer
        }
    });
    let report = measure(
        &fake.address,
        "--keys 10 --requests 500 --reads 50 --allow-missing",
    );
    assert!(report.is_good(), "{report:?}");
    assert_eq!((report.hits, report.misses), (0, report.gets));
}

#[test]
fn errors_are_counted_by_code_word_and_kept_out_of_the_latencies() {
    let fake = Fake::new(|number, _| match number % 10 {
        3 => Act::Say(b"-LOADING the data set\r\n".to_vec()),
        4 | 5 => Act::Say(b"-OOM command not allowed\r\n".to_vec()),
        _ => Act::Answer,
    });
    let report = measure(&fake.address, "--requests 1000 --clients 4");
    assert_eq!(report.errors_by_code.get("LOADING"), Some(&100), "{report:?}");
    assert_eq!(report.errors_by_code.get("OOM"), Some(&200), "{report:?}");
    assert_eq!((report.ops, report.errors, report.wrong_replies), (700, 300, 0));
    assert_eq!(report.error_examples.len(), 2);
    assert!(report.is_good(), "errors are for the reader to judge");
}

#[test]
fn a_server_that_answers_errors_only_is_no_success() {
    let fake = Fake::new(|number, _| match number {
        0 => Act::Answer,
        _ => Act::Say(b"-ERR no\r\n".to_vec()),
    });
    let report = measure(&fake.address, "--requests 100");
    assert_eq!((report.ops, report.errors), (0, 100), "{report:?}");
    assert!(!report.is_good());
}

#[test]
fn broken_connections_are_made_again_and_nothing_is_lost_from_the_schedule() {
    let fake = Fake::with(
        Habits {
            stall: None,
            password: Some("secret"),
        },
        |number, _| {
            if number % 100 == 99 {
                Act::Close
            } else {
                Act::Answer
            }
        },
    );
    for words in [
        "--rate 2000",
        "--rate 2000 --pipeline 4 --readonly",
        "--pipeline 3",
    ] {
        let more = "--requests 1000 --clients 5 --password secret";
        let report = measure(&fake.address, &format!("{words} {more}"));
        assert_eq!(ended(&report), 1000, "{words:?}: {report:?}");
        // Where the others have sent the rest meanwhile, a client need not come back.
        assert!(
            report.errors >= 8 && report.reconnects >= 1,
            "{words:?}: {report:?}"
        );
        assert_eq!(
            report.errors_by_code.get("BROKEN"),
            Some(&report.errors),
            "{words:?}"
        );
        assert!(report.ops >= 900 && report.is_good(), "{words:?}: {report:?}");
    }
}

#[test]
fn clients_go_on_with_the_next_node() {
    let (dead, alive) = (
        Fake::new(|number, _| if number > 200 { Act::Close } else { Act::Answer }),
        honest(),
    );
    let addresses = format!("{},{}", dead.address, alive.address);
    let words = "--rate 2000 --seconds 1 --clients 10 --workload get";
    let report = measure(&addresses, words);
    assert_eq!(ended(&report), 2000, "{report:?}");
    // Each client of the dead node breaks once, and once more if chance brings it back; nobody stays there.
    assert!(report.ops > 1900 && report.is_good(), "{report:?}");
    assert!(alive.requests() > 1500, "{}", alive.requests());
}

#[test]
fn a_node_that_refuses_writes_is_left() {
    let follower = Fake::new(|_, words| {
        if words[0] == b"SET" {
            Act::Say(b"-READONLY You can't write\r\n".to_vec())
        } else {
            Act::Answer
        }
    });
    let leader = honest();
    let addresses = format!("{},{}", follower.address, leader.address);
    let words = "--workload set --requests 1000 --rate 2000 --clients 10 --first";
    let report = measure(&addresses, words);
    assert_eq!(report.errors_by_code.get("READONLY"), Some(&10), "{report:?}");
    assert_eq!(report.ops, 990, "{report:?}");
}

#[test]
fn silence_ends_in_a_timeout_and_a_new_connection() {
    let fake = Fake::new(|number, _| if number == 50 { Act::Hush } else { Act::Answer });
    let words = "--rate 500 --seconds 1 --clients 5 --timeout-ms 200";
    let report = measure(&fake.address, words);
    assert_eq!(report.errors_by_code.get("TIMEOUT"), Some(&1), "{report:?}");
    assert_eq!(ended(&report), 500, "{report:?}");
    // What that client could not send meanwhile was sent later, with its full waiting time.
    assert!(report.latency_us.max.expect("some") > 80_000.0, "{report:?}");
}

#[test]
fn wait_that_reaches_too_few_replicas_is_an_error() {
    let fake = honest();
    let words = "--workload set --requests 100 --wait 2 --pipeline 10";
    let report = measure(&fake.address, words);
    assert_eq!(report.errors_by_code.get("WAIT"), Some(&100), "{report:?}");
    assert!(
        report.error_examples[0].contains("1 replicas, not 2"),
        "{report:?}"
    );
}

#[test]
fn a_stop_ends_the_run_and_keeps_what_was_measured() {
    let fake = honest();
    let settings = settings(&format!("--addr {} --warmup 0 --seconds 600", fake.address));
    let stop = StopFlag::default();
    let bench = Bench::new(&settings, &settings.target, &stop).expect("a server");
    let setter = stop.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        setter.set();
    });
    let measured = bench.measure(&mut Progress::new()).expect("a run");
    let report = Report::new(&settings, measured);
    assert!(report.interrupted && report.ops > 0, "{report:?}");
    assert!(report.seconds > 0.2 && report.seconds < 60.0, "{report:?}");
}

#[test]
fn loading_is_checked() {
    let all = honest();
    let settings = settings(&format!(
        "--addr {} --keys 500 --wait 1 --value-bytes 20000",
        all.address
    ));
    let stop = StopFlag::default();
    let bench = Bench::new(&settings, &settings.target, &stop).expect("a server");
    let loaded = bench
        .load(&mut Progress::new())
        .expect("a load")
        .expect("not stopped");
    assert_eq!((loaded.keys, loaded.sampled), (500, 500));
    assert_eq!((loaded.dbsize_before, loaded.dbsize_after), (Some(0), Some(500)));

    let forgetful = Fake::new(|number, _| if number == 100 { Act::Pretend } else { Act::Answer });
    let text = load_error(&forgetful.address);
    assert!(
        text.contains("500 keys were acknowledged, but DBSIZE says 499"),
        "{text}"
    );

    let boasting = Fake::new(|number, words| match words[0].as_slice() {
        b"DBSIZE" => Act::Say(b":500\r\n".to_vec()),
        _ if number == 100 => Act::Pretend,
        _ => Act::Answer,
    });
    let text = load_error(&boasting.address);
    assert!(
        text.contains("is not there") && text.contains("gave nil"),
        "{text}"
    );

    let full = Fake::new(|number, words| match words[0].as_slice() {
        b"SET" if number > 300 => Act::Say(b"-OOM command not allowed\r\n".to_vec()),
        _ => Act::Answer,
    });
    let text = load_error(&full.address);
    assert!(
        text.contains("of 500 keys were written") && text.contains("OOM"),
        "{text}"
    );
}

#[test]
fn a_server_that_cannot_be_used_is_named_with_a_remedy() {
    let check = |address: &str, words: &str, parts: &[&str]| {
        let settings = settings(&format!("--addr {address} {words}"));
        let stop = StopFlag::default();
        let error = Bench::new(&settings, &settings.target, &stop)
            .err()
            .expect("refused")
            .to_string();
        for part in parts {
            assert!(error.contains(part), "no `{part}` in\n{error}");
        }
    };
    let free = crate::cli::ports::free(1).expect("port")[0];
    check(
        &format!("127.0.0.1:{free}"),
        "",
        &["Connection refused", "start the server", "--addr"],
    );
    check(
        "no-such-host.invalid:1",
        "",
        &["no-such-host.invalid:1", "--addr"],
    );
    let locked = Fake::with(
        Habits {
            stall: None,
            password: Some("secret"),
        },
        |_, _| Act::Answer,
    );
    check(&locked.address, "", &["NOAUTH", "--password"]);
    check(&locked.address, "--password wrong", &["WRONGPASS", "--password"]);
    let foreign = Fake::new(|_, _| Act::Say(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()));
    check(&foreign.address, "", &["not RESP", "RESP port"]);
    let open = honest();
    check(&open.address, "--cpu-pid 4194305", &["4194305", "--cpu-pid"]);
}
