//! Gives the keys of a target the deadlines that were put off while requests were applied (`deadlines.rs`).
//!
//! A key whose deadline has passed by now goes. All of it may be done again: a deadline that is true already stays.

use repligo_proto::resp::Value;

use super::Outcome;
use super::deadlines::settled;
use super::facts::{databases, deadlines};
use super::server::{Requests, Server};
use crate::cli::failure::Failure;

/// COUNT of SCAN.
const SCAN_COUNT: &str = "1000";

/// Walks over all keys of the databases, or of this one, that hold keys with deadlines.
///
/// # Errors
/// As [`Server::ask`], and where the target refuses a deadline.
pub fn settle(server: &mut Server, only: Option<u32>) -> Outcome<()> {
    for (db, counted) in databases(server)? {
        if counted.volatile > 0 && only.is_none_or(|only| only == db) {
            walk(server, db)?;
        }
    }
    Ok(())
}

fn walk(server: &mut Server, db: u32) -> Outcome<()> {
    let mut cursor = "0".to_string();
    let mut incarnation = server.incarnation;
    loop {
        let reply = server.ask_one(db, &["SCAN", &cursor, "COUNT", SCAN_COUNT])?;
        if server.incarnation != incarnation {
            // The cursor was another process's: from the start.
            incarnation = server.incarnation;
            cursor = "0".into();
            continue;
        }
        let Some((next, keys)) = page(&reply) else {
            let what = format!("{}: SCAN gave no page", server.name());
            return Err(Failure::new(what, "check the address").into());
        };
        settle_keys(server, db, &keys)?;
        if next == "0" {
            return Ok(());
        }
        cursor = next;
    }
}

/// The next cursor, and the keys.
fn page(reply: &Value) -> Option<(String, Vec<Vec<u8>>)> {
    let [next, names] = reply.as_array()? else {
        return None;
    };
    let names = names.as_array()?.iter();
    let keys: Option<Vec<_>> = names.map(|name| Some(name.as_bytes()?.to_vec())).collect();
    Some((next.as_str()?.to_string(), keys?))
}

fn settle_keys(server: &mut Server, db: u32, keys: &[Vec<u8>]) -> Outcome<()> {
    let found = deadlines(server, db, keys)?;
    let told = keys.iter().zip(found);
    let due: Vec<(&[u8], String)> = told
        .filter_map(|(key, deadline)| Some((&key[..], settled(deadline?.ms()?)?.to_string())))
        .collect();
    let replies = server.ask(Requests {
        db,
        count: due.len(),
        width: 1,
        push: &|at, connection| {
            let (key, at_ms) = &due[at];
            connection.push(&[b"PEXPIREAT".as_slice(), key, at_ms.as_bytes()]);
        },
    })?;
    match replies.iter().find_map(|reply| reply.value().as_error()) {
        None => Ok(()),
        Some(text) => Err(server.refused("PEXPIREAT", text).into()),
    }
}
