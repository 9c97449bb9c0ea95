//! The driver's threads: answers come, a lock stalls writes only, and dropping ends everything.

use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use repligo_core::origin::{Load, OriginEvent, OriginRequest};

use super::super::{DriverIdentity, Drivers, OriginConfig, Places};
use super::*;

fn start(database: &Database, timeout: Duration) -> (Drivers, Receiver<OriginEvent>) {
    let config = OriginConfig {
        name: "main".to_owned(),
        url: format!("sqlite:{}", database.path().display()),
        statement_timeout: timeout,
        places: Places::default(),
    };
    let identity = DriverIdentity {
        cluster: 1,
        node: "n1".to_owned(),
    };
    let (sender, events) = channel();
    let on_event = Arc::new(move |event| drop(sender.send(event)));
    let drivers = Drivers::start(raw("t:{id:int}", "t"), &[config], &identity, on_event).unwrap();
    (drivers, events)
}

fn next(events: &Receiver<OriginEvent>) -> OriginEvent {
    events.recv_timeout(Duration::from_secs(10)).unwrap()
}

fn takeover() -> OriginRequest {
    OriginRequest::Takeover(Takeover {
        lane: LANE,
        fence: fence(1),
        resolved: 0,
        claim: true,
    })
}

fn load_request(id: u64, key: &str) -> OriginRequest {
    OriginRequest::Load(Load {
        id,
        keyspace: 0,
        key: Bytes::copy_from_slice(key.as_bytes()),
    })
}

#[test]
fn requests_are_answered() {
    let database = Database::new("CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
    let (drivers, events) = start(&database, Duration::from_secs(1));
    drivers.submit(takeover());
    assert!(matches!(
        next(&events),
        OriginEvent::TakenOver { result: Ok(_), .. }
    ));
    drivers.submit(OriginRequest::Flush(request(1, 0, &[&[("t:1", Some(b"a"))]])));
    assert!(matches!(
        next(&events),
        OriginEvent::Flushed { result: Ok(_), .. }
    ));
    drivers.submit(load_request(5, "t:1"));
    assert_eq!(
        next(&events),
        OriginEvent::Loaded {
            id: 5,
            result: Ok(Some(Bytes::from_static(b"a")))
        }
    );
}

#[test]
fn a_lock_stalls_writes_and_not_loads_and_dropping_does_not_wait_for_it() {
    let database = Database::new("CREATE TABLE t(id INTEGER PRIMARY KEY, body); PRAGMA journal_mode=WAL");
    let (drivers, events) = start(&database, Duration::from_secs(60));
    drivers.submit(takeover());
    next(&events);
    let lock = database.connection();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    drivers.submit(takeover());
    drivers.submit(load_request(1, "t:1"));
    assert_eq!(
        next(&events),
        OriginEvent::Loaded {
            id: 1,
            result: Ok(None)
        }
    );
    let started = Instant::now();
    drop(drivers);
    // Long before the lock would have been waited for.
    assert!(started.elapsed() < Duration::from_secs(30));
    let OriginEvent::TakenOver {
        result: Err(OriginError::Down(_)),
        ..
    } = next(&events)
    else {
        panic!("the takeover was given up");
    };
}

#[test]
fn one_unreadable_row_does_not_fail_the_loads_beside_it() {
    let database = Database::new(
        "CREATE TABLE u(id INTEGER PRIMARY KEY, name); INSERT INTO u VALUES(1, x'ff'), (2, 'ok')",
    );
    let config = OriginConfig {
        name: "main".to_owned(),
        url: format!("sqlite:{}", database.path().display()),
        statement_timeout: Duration::from_secs(1),
        places: Places::default(),
    };
    let identity = DriverIdentity {
        cluster: 1,
        node: "n1".to_owned(),
    };
    let (sender, events) = channel();
    let on_event = Arc::new(move |event| drop(sender.send(event)));
    let drivers = Drivers::start(json("u:{id:int}", "u", &["name"]), &[config], &identity, on_event).unwrap();
    drivers.submit(takeover());
    next(&events);
    drivers.submit(load_request(1, "u:1"));
    drivers.submit(load_request(2, "u:2"));
    let mut answers = [next(&events), next(&events)];
    answers.sort_by_key(|event| match event {
        OriginEvent::Loaded { id, .. } => *id,
        _ => 0,
    });
    assert!(matches!(
        &answers[0],
        OriginEvent::Loaded {
            result: Err(OriginError::Configuration(_)),
            ..
        }
    ));
    assert_eq!(
        answers[1],
        OriginEvent::Loaded {
            id: 2,
            result: Ok(Some(Bytes::from_static(b"{\"name\":\"ok\"}")))
        }
    );
}
