//! The hash of keys: fixed for ever, even, and even for keys that were chosen against it.

use super::*;
use crate::table::hash::split_mix;

#[test]
fn the_hash_never_changes() {
    // Cursors travel between replicas of different versions: do not update these numbers.
    let hashes = |seed: u64| {
        let table = Table::new(HashSeed::from_number(seed));
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
            0x54d4_9062_9826_3639,
            0x2a20_ccec_29b7_02a4,
            0xa633_7f0c_9a15_64f6,
            0xf273_6878_72a3_3057,
            0xed5b_1d14_8b15_fac4,
            0x8659_ea68_0be5_6659,
            0xf338_b1f4_f8a2_ff9f,
            0xf530_205b_ae85_eea3,
            0xaa9f_2dac_e9ba_b6db,
        ]
    );
    assert_eq!(
        hashes(u64::MAX),
        [
            0x523d_0210_7da0_f497,
            0xbb48_c914_7b5d_a494,
            0xfcf0_847d_bf3d_708d,
            0xf0cd_fc5d_bf89_f5a7,
            0xec9b_6bec_9bd3_ad19,
            0x9438_3462_9db7_3306,
            0xdb4d_87ed_573a_a6d2,
            0x2d86_885c_4b52_cda9,
            0x6de0_ce3a_a63e_40c1,
        ]
    );
}

#[test]
fn hashes_of_similar_keys_spread_evenly() {
    // Chi-square over 4096 ranges, each of the upper and of the next bits; 99.9 % lie below 4380.
    let table = Table::new(HashSeed::from_number(0x5eed));
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

/// Seeds that keys of one family are hashed with.
const SEEDS: u64 = 12;
/// Keys of one family.
const FAMILY: u64 = 40_960;
/// Chi-square over 4096 ranges: the mean is 4095, one in some millions lies above this.
const CHI_SQUARE_MAX: f64 = 4_560.0;

/// All keys have different hashes, which fill the upper 4096 ranges evenly.
fn check_spread(seed: u64, keys: &[Vec<u8>], family: &str) {
    let table = Table::new(HashSeed::from_number(seed));
    let mut hashes: Vec<u64> = keys.iter().map(|key| table.hash(key)).collect();
    let mut counts = [0u32; 4096];
    hashes.iter().for_each(|hash| counts[(hash >> 52) as usize] += 1);
    let expected = keys.len() as f64 / 4096.0;
    let squares = counts.iter().map(|&count| (f64::from(count) - expected).powi(2));
    let chi_square = squares.sum::<f64>() / expected;
    assert!(chi_square < CHI_SQUARE_MAX, "{family}, seed {seed}: {chi_square}");
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(
        hashes.len(),
        keys.len(),
        "{family}, seed {seed}: keys share a hash"
    );
}

fn key_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn keys_that_share_one_hash_where_the_seed_is_public_spread_evenly() {
    // What the function and its seed once were: a number that every node told, and a first factor that the
    // key alone decided then. A key whose first half is that secret made the product zero.
    for public in 0..SEEDS {
        let secrets = {
            let mut state = public;
            [(); 4].map(|()| split_mix(&mut state) | 1)
        };
        let once = |key: &[u8]| {
            let half = |at: usize| u64::from_le_bytes(key[at..at + 8].try_into().expect("eight bytes"));
            let fold = |left: u64, right: u64| {
                let product = u128::from(left) * u128::from(right);
                product as u64 ^ (product >> 64) as u64
            };
            let mixed = fold(half(0) ^ secrets[1], half(8) ^ secrets[0]);
            fold(mixed ^ secrets[2], 16 ^ secrets[3])
        };
        let keys: Vec<Vec<u8>> = (0..FAMILY).map(|number| key_of(&[secrets[1], number])).collect();
        assert!(
            keys.iter().all(|key| once(key) == once(&keys[0])),
            "the attack is the right one"
        );
        check_spread(!public, &keys, "one half is the secret of a public seed");
        // The same against the present function, for a client that has guessed another seed.
        let guessed = HashSeed::from_number(public).to_bytes();
        let second = u64::from_le_bytes(guessed[8..16].try_into().expect("eight bytes"));
        let keys: Vec<Vec<u8>> = (0..FAMILY)
            .map(|number| key_of(&[second.wrapping_neg(), number]))
            .collect();
        check_spread(!public, &keys, "one factor is zero under another seed");
    }
}

/// How the other half of a key follows from its number, and what that is called.
type Other = (&'static str, fn(u64) -> u64);

#[test]
fn no_half_of_a_key_makes_the_other_half_irrelevant() {
    // What makes a factor of a multiplication zero, one or all ones when nothing or something public is
    // mixed in: plain values, and the constants of published functions of this family.
    let halves = [
        0,
        1,
        u64::MAX,
        1 << 63,
        1 << 32,
        0x9e37_79b9_7f4a_7c15,
        0xa076_1d64_78bd_642f,
        0xe703_7ed1_a0b4_28db,
        0x8ebc_6af0_9c88_c6e3,
        0x2d35_8dcc_aa6c_78a5,
        0x243f_6a88_85a3_08d3,
        0x1319_8a2e_0370_7344,
    ];
    let others: [Other; 4] = [
        ("counted", |number| number),
        ("counted in the upper bits", |number| number.rotate_right(16)),
        ("complements", |number| {
            if number & 1 == 0 { number } else { !(number - 1) }
        }),
        ("multiples", |number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
    ];
    for half in halves {
        for (name, other) in others {
            let family = |build: &dyn Fn(u64) -> Vec<u8>| (0..FAMILY).map(build).collect::<Vec<_>>();
            let families = [
                family(&|number| key_of(&[half, other(number)])),
                family(&|number| key_of(&[other(number), half])),
                family(&|number| key_of(&[half, other(number), half, half])),
                family(&|number| key_of(&[other(number), half, half, half])),
                family(&|number| key_of(&[half, half, half, other(number)])),
            ];
            for (place, keys) in families.iter().enumerate() {
                for seed in [half ^ 1, 77] {
                    check_spread(
                        seed,
                        keys,
                        &format!("half {half:x}, others {name}, place {place}"),
                    );
                }
            }
        }
    }
}

#[test]
fn keys_of_the_same_parts_in_another_order_spread_evenly() {
    // Products commute, and blocks are alike: neither may show.
    let mut keys = Vec::new();
    for number in 0..FAMILY / 4 {
        let (one, other) = (split_mix(&mut { number }), split_mix(&mut { !number }));
        keys.push(key_of(&[one, other]));
        keys.push(key_of(&[other, one]));
        keys.push(key_of(&[one, other, other, one]));
        keys.push(key_of(&[other, one, one, other]));
    }
    for seed in 0..SEEDS {
        check_spread(seed, &keys, "parts exchanged");
    }
}

#[test]
fn nothing_shows_a_seed() {
    let seed = HashSeed::from_bytes(&[0xd7; HashSeed::BYTES]);
    let mut table = Table::new(seed);
    let hash = table.hash(b"key");
    table.insert(hash, b"key", b"value", Meta::default());
    let shown = format!("{table:?} {seed:?} {seed:#?}");
    let word = 0xd7d7_d7d7_d7d7_d7d7_u64;
    assert!(
        !shown.contains(&word.to_string()) && !shown.contains("d7d7"),
        "{shown}"
    );
    assert!(!shown.contains("215, 215"), "{shown}");
}
