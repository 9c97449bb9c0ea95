//! Tests of how a flush becomes transactions.

use std::collections::VecDeque;

use super::super::request::Effect;
use super::*;

/// A store that writes down what it is asked, refuses values that start with `bad`, and fails on demand.
#[derive(Default)]
struct Scripted {
    said: Vec<String>,
    hints: bool,
    /// Outcomes that come before anything else.
    failures: VecDeque<Option<OriginError>>,
}

impl LaneStore for Scripted {
    fn transaction(&mut self, transaction: &LaneTransaction<'_>) -> TransactionOutcome {
        assert!(transaction.compare_and_set);
        let rows: Vec<String> = transaction
            .rows
            .iter()
            .map(|row| {
                let value = row.value.map_or("-".into(), String::from_utf8_lossy);
                format!("{}={value}", String::from_utf8_lossy(row.key))
            })
            .collect();
        let rejects: Vec<String> = transaction
            .rejects
            .iter()
            .map(|(s, _)| format!(" !{s}"))
            .collect();
        self.said.push(format!(
            "{}..{} {}{}",
            transaction.from,
            transaction.upto,
            rows.join(","),
            rejects.concat()
        ));
        if let Some(Some(error)) = self.failures.pop_front() {
            return TransactionOutcome::Failed(error);
        }
        let bad = transaction
            .rows
            .iter()
            .position(|row| row.value.is_some_and(|value| value.starts_with(b"bad")));
        match bad {
            Some(at) => TransactionOutcome::DataError {
                detail: "no".to_owned(),
                row: self.hints.then_some(at),
            },
            None => TransactionOutcome::Committed(
                transaction
                    .rows
                    .iter()
                    .filter(|row| row.value == Some(b"007"))
                    .map(|row| (Bytes::copy_from_slice(row.key), Some(Bytes::from_static(b"7"))))
                    .collect(),
            ),
        }
    }

    fn takeover(&mut self, _takeover: &Takeover) -> Result<TakenOver, OriginError> {
        Err(OriginError::Down(String::new()))
    }

    fn load(&mut self, _keyspace: u16, _keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, OriginError> {
        Err(OriginError::Down(String::new()))
    }
}

/// Intents from 11 on; `a=1 b=2` is one intent, `-` deletes, a leading `!` skips.
fn run(store: &mut Scripted, intents: &[&str]) -> Result<Flushed, OriginError> {
    run_final(store, intents, u64::MAX)
}

/// The same where a data error is final up to an intent only.
fn run_final(store: &mut Scripted, intents: &[&str], final_upto: u64) -> Result<Flushed, OriginError> {
    let intents = intents.iter().zip(11..).map(|(text, sequence)| FlushIntent {
        sequence,
        skip: text.starts_with('!').then(|| Bytes::from_static(b"ERR late")),
        effects: text
            .trim_start_matches('!')
            .split(' ')
            .map(|effect| {
                let (key, value) = effect.split_once('=').expect("key=value");
                Effect {
                    key: Bytes::from(key.to_owned()),
                    value: (value != "-").then(|| Bytes::from(value.to_owned())),
                }
            })
            .collect(),
    });
    let flush_request = Flush {
        lane: LaneId { keyspace: 0, lane: 0 },
        keyspace_name: "users".to_owned(),
        fence: Fence {
            generation: 1,
            term: 1,
        },
        from: 10,
        intents: intents.collect(),
        final_upto,
    };
    flush(store, &flush_request)
}

fn rejected(flushed: &Flushed) -> Vec<u64> {
    flushed.rejects.iter().map(|(sequence, _)| *sequence).collect()
}

#[test]
fn a_run_is_one_transaction_with_the_last_effect_per_key_in_the_order_of_the_log() {
    let mut store = Scripted::default();
    let flushed = run(&mut store, &["b=1", "a=1 c=1", "b=-", "a=2"]).expect("committed");
    assert_eq!(store.said, ["10..14 c=1,b=-,a=2"]);
    assert_eq!((flushed.upto, flushed.rejects.len()), (14, 0));
}

#[test]
fn a_single_intent_is_written_in_the_order_of_its_arguments() {
    let mut store = Scripted::default();
    run(&mut store, &["b=1 a=1 b=2"]).expect("committed");
    assert_eq!(store.said, ["10..11 b=1,a=1,b=2"]);
}

#[test]
fn a_data_error_that_an_earlier_write_of_another_lane_may_end_is_held() {
    for hints in [false, true] {
        let mut store = Scripted {
            hints,
            ..Scripted::default()
        };
        let flushed = run_final(&mut store, &["a=1", "b=bad", "c=bad", "d=1"], 12).expect("half of it");
        assert_eq!((flushed.upto, flushed.held), (12, true));
        assert_eq!(rejected(&flushed), [12], "what is final is decided");
        assert!(
            store.said.iter().all(|said| !said.contains("!13")),
            "{:?}",
            store.said
        );
        let flushed = run_final(&mut store, &["a=bad"], 10).expect("an answer");
        assert_eq!((flushed.upto, flushed.held), (10, true));
    }
}

#[test]
fn refused_intents_are_found_by_halving() {
    let mut store = Scripted::default();
    let flushed = run(&mut store, &["a=1", "b=1", "c=bad d=1", "e=1"]).expect("decided");
    assert_eq!(rejected(&flushed), [13]);
    assert_eq!(flushed.rejects[0].1, "ERR origin rejected the write: no");
    assert_eq!(
        store.said,
        [
            "10..14 a=1,b=1,c=bad,d=1,e=1",
            "10..12 a=1,b=1",
            "12..14 c=bad,d=1,e=1",
            "12..13 c=bad,d=1",
            "12..13  !13",
            "13..14 e=1",
        ]
    );
}

#[test]
fn a_hint_leads_to_the_refused_intent_at_once() {
    let mut store = Scripted {
        hints: true,
        ..Scripted::default()
    };
    let flushed = run(&mut store, &["a=1", "b=1", "c=bad", "d=1", "e=1"]).expect("decided");
    assert_eq!(rejected(&flushed), [13]);
    assert_eq!(
        store.said,
        [
            "10..15 a=1,b=1,c=bad,d=1,e=1",
            "10..12 a=1,b=1",
            "12..13 c=bad",
            "12..13  !13",
            "13..15 d=1,e=1",
        ]
    );
}

#[test]
fn a_row_that_is_overwritten_in_the_same_run_is_judged_by_its_last_value() {
    let mut store = Scripted {
        hints: true,
        ..Scripted::default()
    };
    assert_eq!(
        rejected(&run(&mut store, &["a=bad", "a=1"]).expect("decided")),
        []
    );
    assert_eq!(
        rejected(&run(&mut store, &["a=1", "a=bad"]).expect("decided")),
        [12]
    );
}

#[test]
fn overdue_intents_are_recorded_and_not_written() {
    let mut store = Scripted::default();
    let flushed = run(&mut store, &["!a=1", "a=2", "!b=bad"]).expect("committed");
    assert_eq!(store.said, ["10..13 a=2 !11 !13"]);
    assert_eq!(rejected(&flushed), [11, 13]);
}

#[test]
fn the_stored_form_of_a_row_is_that_of_its_last_transaction() {
    let mut store = Scripted::default();
    let flushed = run(&mut store, &["a=007", "b=bad", "a=8", "c=007"]).expect("decided");
    let keys: Vec<&Bytes> = flushed.canonical.iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["c"]);
}

#[test]
fn what_was_decided_before_the_origin_went_down_is_reported() {
    let down = Some(OriginError::Down("x".to_owned()));
    let mut store = Scripted {
        failures: VecDeque::from([None, None, down.clone()]),
        ..Scripted::default()
    };
    let flushed = run(&mut store, &["a=1", "b=bad"]).expect("half of it");
    assert_eq!((flushed.upto, rejected(&flushed)), (11, vec![]));
    let mut store = Scripted {
        failures: VecDeque::from([down]),
        ..Scripted::default()
    };
    assert_eq!(run(&mut store, &["a=1"]), Err(OriginError::Down("x".to_owned())));
    for error in [OriginError::Unknown("x".to_owned()), OriginError::Fenced] {
        let mut store = Scripted {
            failures: VecDeque::from([None, None, Some(error.clone())]),
            ..Scripted::default()
        };
        assert_eq!(
            run(&mut store, &["a=1", "b=bad"]),
            Err(error),
            "the lane row has to be asked"
        );
    }
}

#[test]
fn writes_that_no_mapping_fits_are_rejected_in_the_database_and_it_is_told_why() {
    let misfit = || Some(OriginError::Configuration("no column".to_owned()));
    let mut store = Scripted {
        failures: VecDeque::from([misfit()]),
        ..Scripted::default()
    };
    let flushed = run(&mut store, &["a=1", "!b=2", "c=3"]).expect("decided");
    assert_eq!(store.said, ["10..13 a=1,c=3 !12", "10..13  !11 !12 !13"]);
    assert_eq!((flushed.upto, flushed.misfit.as_deref()), (13, Some("no column")));
    let texts: Vec<String> = flushed
        .rejects
        .iter()
        .map(|(_, text)| String::from_utf8_lossy(text).into_owned())
        .collect();
    assert!(
        texts[0].starts_with("ORIGINDOWN the mapping of keyspace users") && texts[0].contains("no column")
    );
    assert_eq!(texts[1], "ERR late");
    // Where that cannot be recorded either, nobody may be told.
    for (error, expect) in [
        (misfit(), misfit()),
        (Some(OriginError::Down("x".to_owned())), misfit()),
        (
            Some(OriginError::Unknown("x".to_owned())),
            Some(OriginError::Unknown("x".to_owned())),
        ),
    ] {
        let mut store = Scripted {
            failures: VecDeque::from([misfit(), error]),
            ..Scripted::default()
        };
        assert_eq!(run(&mut store, &["a=1"]).err(), expect);
    }
}
