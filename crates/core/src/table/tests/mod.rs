//! Tests of the table as a whole, from outside but for [`Table::check`].

mod eviction;
mod model;
mod scale;

use super::*;

impl Table {
    /// Checks every invariant that the parts of the table keep with each other.
    fn check(&self) {
        let Store { hasher, index, arena } = &self.store;
        index.check(|handle| hasher.hash(arena.key(handle)));
        self.deadlines.check(arena);
        let volatile = self.iter().filter(|entry| entry.deadline_ms.is_some()).count();
        assert_eq!(self.volatile_len(), volatile);
        assert_eq!(
            self.next_deadline(),
            self.iter().filter_map(|entry| entry.deadline_ms).min()
        );
        arena.check();
        for now_ms in self
            .iter()
            .filter_map(|entry| entry.deadline_ms)
            .step_by(16)
            .chain([0, u64::MAX])
        {
            let deadlines = || self.iter().filter_map(|entry| entry.deadline_ms);
            let due = deadlines().filter(|&deadline_ms| deadline_ms <= now_ms).count();
            assert_eq!((self.due_len(now_ms), self.due(now_ms).count()), (due, due));
            let later = deadlines().filter(|&deadline_ms| deadline_ms > now_ms).min();
            assert_eq!(self.next_deadline_after(now_ms), later);
        }
    }
}

#[test]
fn the_hash_never_changes() {
    // Cursors travel between replicas of different versions: do not update these numbers.
    let hashes = |seed: u64| {
        let table = Table::new(seed);
        [
            &b""[..],
            b"a",
            b"abc",
            b"user",
            b"user:12",
            b"0123456789abcdef",
            b"0123456789abcdefg",
            &[0; 33],
            &[7; 100],
        ]
        .map(|key| table.hash(key))
    };
    assert_eq!(
        hashes(0),
        [
            0x88f9_6c48_def0_afcb,
            0x64de_8aa1_a207_d7c9,
            0xa054_1912_797f_587e,
            0xbe73_41e8_4b70_be38,
            0xb71c_4be5_0c8d_0ca3,
            0xbafa_063f_56b9_833a,
            0x1fb8_7461_3772_c643,
            0x161c_d87d_1ecc_faf8,
            0xfc56_54d2_50d7_3bf0,
        ]
    );
    assert_eq!(
        hashes(u64::MAX),
        [
            0xd08e_eb98_7114_ebee,
            0xc152_80c7_dc50_542f,
            0x788e_d092_77b9_ce86,
            0xd888_778e_9d52_e59c,
            0x9997_d94d_8400_d9e4,
            0xf2c8_d5b7_b987_4c2c,
            0x1221_071b_59a1_4fb1,
            0x25f4_6ad0_d6d0_2229,
            0x8dde_620e_7f54_8daf,
        ]
    );
}

#[test]
fn hashes_of_similar_keys_spread_evenly() {
    // Chi-square over 4096 ranges, each of the upper and of the next bits; 99.9 % lie below 4380.
    let table = Table::new(0x5eed);
    let keys = |format: fn(u32) -> String| (0..40_960).map(format).collect::<Vec<_>>();
    for keys in [
        keys(|i| i.to_string()),
        keys(|i| format!("key:{i:012}")),
        keys(|i| format!("{i:x}/profile/of/user/{i}")),
    ] {
        for shift in [52, 40, 0] {
            let mut counts = [0u32; 4096];
            for key in &keys {
                counts[(table.hash(key.as_bytes()) >> shift) as usize & 4095] += 1;
            }
            let chi_square: f64 = counts
                .iter()
                .map(|&count| (f64::from(count) - 10.0).powi(2) / 10.0)
                .sum();
            assert!(chi_square < 4400.0, "{chi_square} for {} at {shift}", keys[0]);
        }
    }
}
