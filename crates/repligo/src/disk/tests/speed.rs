//! How fast the log takes batches of 256 operations of 100 bytes; printed, never asserted.
//!
//! `cargo test --release -p repligo disk::tests::speed -- --ignored --nocapture`

use std::time::{Duration, Instant};

use bytes::Bytes;
use repligo_core::contract::{Durability, Persist, SnapshotIo};
use repligo_core::membership::Membership;

use super::directory::Temporary;
use super::{CLUSTER, append, entry};
use crate::disk::{Disk, DiskDone, Forming, OpenOptions};

const BATCH_BYTES: usize = 256 * 100;
const RUN: Duration = Duration::from_secs(3);

/// Keeps `depth` persists in flight; returns batches per second and a line about the rest.
fn measure(durability: Durability, depth: u64, recycled: bool) {
    let directory = Temporary::new(&format!("speed-{durability:?}-{depth}-{recycled}"));
    let options = OpenOptions::new(&directory.0, durability, "n1", Membership::of_count(1));
    let (mut disk, _) = Disk::open(options).unwrap();
    disk.set_forming(Forming::Formed { cluster_id: CLUSTER }).unwrap();
    let (sender, done) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let handle = disk
        .start(move |done| drop(sender.lock().unwrap().send(done)))
        .unwrap();
    let data = Bytes::from(vec![42; BATCH_BYTES]);
    let (mut submitted, mut persisted, mut slowest) = (0, 0, Duration::ZERO);
    let mut run = |until: &dyn Fn(u64) -> bool| {
        while !until(persisted) {
            while submitted < persisted + depth {
                submitted += 1;
                let persist = append(vec![entry(submitted, 1, data.clone())]);
                handle.submit(Persist {
                    number: submitted,
                    ..persist
                });
            }
            let begun = Instant::now();
            match done.recv().unwrap() {
                DiskDone::Persisted { number, .. } => persisted = number,
                DiskDone::SnapshotSaved { .. } => {}
                DiskDone::Fatal(error) => panic!("{error}"),
                full => panic!("{full:?}"),
            }
            slowest = slowest.max(begun.elapsed());
        }
        (persisted, std::mem::take(&mut slowest))
    };
    let mut first = 0;
    if recycled {
        // Six segments' worth, then given back but for the last.
        let count = 6 * (64 << 20) / BATCH_BYTES as u64;
        first = run(&|persisted| persisted >= count).0;
        handle.snapshot(SnapshotIo::Begin {
            index: first,
            term: 1,
        });
        handle.snapshot(SnapshotIo::End {
            index: first,
            drop_log_to: first,
        });
        first = run(&|persisted| persisted > first + depth).0;
        std::thread::sleep(Duration::from_secs(1));
    }
    let (begun, before) = (Instant::now(), handle.metrics());
    let (last, slowest) = run(&|_| begun.elapsed() > RUN);
    let seconds = begun.elapsed().as_secs_f64();
    let after = handle.metrics();
    let syncs = after.syncs - before.syncs;
    println!(
        "{durability:?}, {depth} in flight, {} segments: {:.0} batches/s, {:.0} MB/s, slowest {slowest:?}, {} writes, {syncs} syncs of {} us",
        if recycled { "recycled" } else { "new" },
        (last - first) as f64 / seconds,
        (after.log_bytes - before.log_bytes) as f64 / seconds / 1e6,
        after.batches - before.batches,
        (after.sync_us - before.sync_us).checked_div(syncs).unwrap_or(0),
    );
    handle.close().unwrap();
}

#[test]
#[ignore = "a measurement: takes half a minute and asserts nothing"]
fn batches_per_second() {
    for recycled in [false, true] {
        for durability in [Durability::Os, Durability::Fsync] {
            for depth in [1, 8] {
                measure(durability, depth, recycled);
            }
        }
    }
}
