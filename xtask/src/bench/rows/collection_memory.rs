//! Memory per element of collections: what the process grows by when an empty server is given one collection
//! of many elements, or many collections of few.

use super::Extent;
use super::memory::usage;
use crate::bench::load::codec::Kind;
use crate::bench::load::collections::{FEW, Request, Size, Type, collection};
use crate::bench::load::fill::fill;
use crate::bench::progress::note;
use crate::bench::resp::Client;
use crate::bench::results::{Bound, Goal, Row, Table};
use crate::bench::servers::{redis, repligo};
use crate::run::{Failure, Outcome};

const VALUE_BYTES: usize = 32;

/// Type, division, and what may be needed of what Redis needs.
const CASES: [(Type, Size, f64); 8] = [
    (Type::Hash, Size::Many, 0.6),
    (Type::Set, Size::Many, 0.6),
    (Type::SortedSet, Size::Many, 0.6),
    (Type::List, Size::Many, 1.05),
    (Type::Hash, Size::Few, 0.9),
    (Type::Set, Size::Few, 0.9),
    (Type::SortedSet, Size::Few, 0.9),
    (Type::List, Size::Few, 0.9),
];

/// What one loaded server shows, in bytes per element.
struct PerElement {
    resident: f64,
    reported: f64,
}

/// All types, large and small.
///
/// # Errors
/// A server failed, or holds another number of elements than were written.
pub fn run(extent: Extent, row: &mut Row) -> Outcome {
    let elements = extent.pick(1_000_000, 200_000);
    row.method.push(format!(
        "{elements} elements, all in one collection or {FEW} in each, written ten per request into a fresh server over one \
         connection: fields and members of 16 bytes, values of hashes and lists of {VALUE_BYTES} bytes. Keys of 16 bytes are \
         counted with the elements. Resident: growth of VmRSS, which is judged; reported: growth of `used_memory` in INFO. \
         Loaded once per cell: it hardly varies. An index that doubles makes the cost depend on the count."
    ));
    let mut table = Table {
        title: "Bytes per element, resident (reported)".to_owned(),
        header: ["type", "collections", "Repligo", "Redis", "ratio"]
            .map(str::to_owned)
            .to_vec(),
        rows: Vec::new(),
    };
    for (kind, size, bound) in CASES {
        let collections = match size {
            Size::Many => format!("1 of {elements}"),
            Size::Few => format!("{} of {FEW}", elements / FEW),
        };
        let mut found = Vec::new();
        for name in ["Repligo", "Redis"] {
            note(&format!("loading {name}: {}, {collections}", kind.name()));
            let loaded = load(name, (kind, size), elements);
            found.push(loaded.map_err(|failure| Failure::new(format!("{name}: {}", failure.message)))?);
        }
        let ratio = found[0].resident / found[1].resident;
        let cell = |found: &PerElement| format!("{:.1} ({:.1})", found.resident, found.reported);
        note(&format!("{}, {collections}: {ratio:.2}", kind.name()));
        table.rows.push(vec![
            kind.name().to_owned(),
            collections.clone(),
            cell(&found[0]),
            cell(&found[1]),
            format!("{ratio:.2}"),
        ]);
        row.goals.push(Goal::judge(
            format!(
                "memory per element of a {}, {collections}, against Redis",
                kind.name()
            ),
            Bound::AtMost(bound),
            "×",
            &[ratio],
        ));
    }
    row.tables.push(table);
    row.verified
        .push("after each load the server counted as many keys and elements as were written".to_owned());
    Ok(())
}

fn load(name: &str, (kind, size): (Type, Size), elements: u64) -> Outcome<PerElement> {
    let mut group = match name {
        "Repligo" => repligo::single("none")?,
        _ => redis::single()?,
    };
    let (resident, reported, _) = usage(name, &group)?;
    let request = Kind::Collection(Request::Fill(kind, size));
    fill(group.port(), request, elements / FEW, VALUE_BYTES)?;
    let (resident_after, reported_after, keys) = usage(name, &group)?;
    check(group.port(), (kind, size), elements, keys)?;
    group.stop();
    let per_element = |before: u64, after: u64| after.saturating_sub(before) as f64 / elements as f64;
    Ok(PerElement {
        resident: per_element(resident, resident_after),
        reported: per_element(reported.unwrap_or_default(), reported_after.unwrap_or_default()),
    })
}

/// The server counts the keys, and the elements of the collection with the last of them.
fn check(port: u16, (kind, size): (Type, Size), elements: u64, keys: u64) -> Outcome {
    let (command, letter) = match kind {
        Type::Hash => ("HLEN", 'h'),
        Type::Set => ("SCARD", 's'),
        Type::SortedSet => ("ZCARD", 'z'),
        Type::List => ("LLEN", 'l'),
    };
    let key = collection(letter, size, elements - 1);
    let counted = Client::connect(port)?.ask(&[command, &key])?;
    let (wanted_keys, wanted) = match size {
        Size::Many => (1, elements),
        Size::Few => (elements / FEW, FEW),
    };
    if keys == wanted_keys && counted.text() == wanted.to_string() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{keys} keys instead of {wanted_keys}, and {command} {key} is {} instead of {wanted}",
        counted.text()
    )))
}
