//! Keys and values of a run, as bytes of requests, and the judgement of a value that came back.
//!
//! A value is a function of seed, key and a stamp (writer and version) that stands at its front, so every
//! value can be judged alone, whoever wrote it and when: a foreign value, a torn one and one of another
//! length are all found. It cannot tell a stale value from a fresh one; `repligo demo` and the simulator
//! judge that. Seed and value length are part of the key's prefix, so runs that differ in them do not
//! meet each other's values.
//!
//! Invariant: all bytes of keys and values are printable ASCII, and all keys of a run have one length.

use super::options::Settings;

/// Bytes of the stamp at the front of each value.
const STAMP_BYTES: usize = 8;
/// Stamp and one word of pattern: fewer bytes could not tell keys apart.
pub const VALUE_BYTES_MIN: i64 = 16;
/// As `proto-max-bulk-len` has it by default.
pub const VALUE_BYTES_MAX: i64 = 512 << 20;
/// `bench:` and two characters for seed and length.
const PREFIX_BYTES: usize = 8;
/// Versions of one writer before its stamps repeat.
const VERSION_BITS: u32 = 34;

const LOW_SIX: u64 = 0x3f3f_3f3f_3f3f_3f3f;
const ASCII_ZERO: u64 = 0x3030_3030_3030_3030;
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Which write made a value: writer 0 is the loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(u64);

impl Stamp {
    /// `writer` below 2^14; versions wrap at 2^34.
    pub fn new(writer: u32, version: u64) -> Stamp {
        debug_assert!(writer < 1 << 14);
        Stamp(u64::from(writer) << VERSION_BITS | version & ((1 << VERSION_BITS) - 1))
    }

    fn encode(self) -> [u8; STAMP_BYTES] {
        std::array::from_fn(|position| b'0' + ((self.0 >> (6 * position)) & 0x3f) as u8)
    }

    fn decode(bytes: [u8; STAMP_BYTES]) -> Option<Stamp> {
        let mut stamp = 0;
        for (position, byte) in bytes.iter().enumerate() {
            let bits = byte.wrapping_sub(b'0');
            if bits >= 64 {
                return None;
            }
            stamp |= u64::from(bits) << (6 * position);
        }
        Some(Stamp(stamp))
    }
}

/// All keys and values of a run.
#[derive(Clone, Debug)]
pub struct Dataset {
    seed: u64,
    value_bytes: usize,
    /// A GET, with zeroes for the digits of the key.
    get: Vec<u8>,
    /// A SET up to its value, with zeroes for the digits of the key.
    set: Vec<u8>,
    /// Where the last digit of the key stands in either.
    key_end: usize,
    key_bytes: usize,
    /// `$32\r\n`, as every value begins on the wire.
    reply_head: Vec<u8>,
}

impl Dataset {
    /// # Errors
    /// The key is too short for the number of keys.
    pub fn new(settings: &Settings) -> Result<Dataset, String> {
        let digits = (settings.keys - 1).max(1).ilog10() as usize + 1;
        let key_bytes = settings.key_bytes as usize;
        if key_bytes < PREFIX_BYTES + digits {
            return Err(format!(
                "--key-bytes {key_bytes}: too short for {} keys\n  do: give at least {}, or fewer --keys",
                settings.keys,
                PREFIX_BYTES + digits
            ));
        }
        let value_bytes = settings.value_bytes as usize;
        let tag = mix(settings.seed ^ mix(value_bytes as u64)) & LOW_SIX;
        let mut key = b"bench:".to_vec();
        key.extend([(tag as u8) + b'0', (tag >> 8) as u8 + b'0']);
        key.resize(key_bytes, b'0');
        let command = |count: usize, name: &str| {
            let mut bytes = format!("*{count}\r\n$3\r\n{name}\r\n${key_bytes}\r\n").into_bytes();
            bytes.extend_from_slice(&key);
            bytes
        };
        let mut get = command(2, "GET");
        let key_end = get.len();
        get.extend_from_slice(b"\r\n");
        let mut set = command(3, "SET");
        set.extend_from_slice(format!("\r\n${value_bytes}\r\n").as_bytes());
        Ok(Dataset {
            seed: mix(settings.seed),
            value_bytes,
            get,
            set,
            key_end,
            key_bytes,
            reply_head: format!("${value_bytes}\r\n").into_bytes(),
        })
    }

    /// Appends a GET.
    pub fn push_get(&self, out: &mut Vec<u8>, key: u64) {
        let start = out.len();
        out.extend_from_slice(&self.get);
        write_digits(&mut out[start..start + self.key_end], key);
    }

    /// Appends a SET with the value of this stamp.
    pub fn push_set(&self, out: &mut Vec<u8>, key: u64, stamp: Stamp) {
        let start = out.len();
        out.extend_from_slice(&self.set);
        write_digits(&mut out[start..start + self.key_end], key);
        self.push_value(out, key, stamp);
        out.extend_from_slice(b"\r\n");
    }

    fn push_value(&self, out: &mut Vec<u8>, key: u64, stamp: Stamp) {
        out.extend_from_slice(&stamp.encode());
        let mut pattern = Pattern::new(self.seed, key, stamp);
        let mut left = self.value_bytes - STAMP_BYTES;
        while left >= 8 {
            out.extend_from_slice(&pattern.word());
            left -= 8;
        }
        out.extend_from_slice(&pattern.word()[..left]);
    }

    /// How a value of this run begins on the wire.
    pub fn reply_head(&self) -> &[u8] {
        &self.reply_head
    }

    /// Bytes of every value.
    pub fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// Bytes of a SET on the wire, the longest request.
    pub fn request_bytes(&self) -> usize {
        self.set.len() + self.value_bytes + 2
    }

    /// Whether these bytes are a value that somebody wrote to this key.
    pub fn is_value_of(&self, key: u64, value: &[u8]) -> bool {
        if value.len() != self.value_bytes {
            return false;
        }
        let Some(stamp) = value.first_chunk().and_then(|bytes| Stamp::decode(*bytes)) else {
            return false;
        };
        let mut pattern = Pattern::new(self.seed, key, stamp);
        let mut words = value[STAMP_BYTES..].chunks_exact(8);
        let whole = words.by_ref().all(|word| word == pattern.word());
        let rest = words.remainder();
        whole && rest == &pattern.word()[..rest.len()]
    }

    /// The key as text.
    pub fn key_text(&self, key: u64) -> String {
        let mut request = Vec::new();
        self.push_get(&mut request, key);
        String::from_utf8_lossy(&request[self.key_end - self.key_bytes..self.key_end]).into_owned()
    }

    /// What is wrong with a value that [`Dataset::is_value_of`] has rejected.
    pub fn explain(&self, key: u64, value: &[u8]) -> String {
        let shown = String::from_utf8_lossy(&value[..value.len().min(40)]).into_owned();
        let why = if value.len() != self.value_bytes {
            format!("{} bytes instead of {}", value.len(), self.value_bytes)
        } else if let Some(stamp) = value.first_chunk().and_then(|bytes| Stamp::decode(*bytes)) {
            let mut expected = Vec::new();
            self.push_value(&mut expected, key, stamp);
            let at = expected
                .iter()
                .zip(value)
                .take_while(|(left, right)| left == right)
                .count();
            let (writer, version) = (stamp.0 >> VERSION_BITS, stamp.0 & ((1 << VERSION_BITS) - 1));
            format!("from byte {at} on it is not what writer {writer} wrote to this key as version {version}")
        } else {
            "its stamp is not one of ours".to_string()
        };
        format!("GET {} gave {shown:?}: {why}", self.key_text(key))
    }
}

/// Decimal digits into the end of `place`, which is filled with zeroes.
fn write_digits(place: &mut [u8], mut number: u64) {
    for byte in place.iter_mut().rev() {
        *byte = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
}

/// The words behind the stamp; all of them depend on seed, key and stamp.
struct Pattern(u64);

impl Pattern {
    fn new(seed: u64, key: u64, stamp: Stamp) -> Pattern {
        Pattern(mix(seed ^ key.wrapping_mul(GOLDEN) ^ mix(stamp.0)))
    }

    fn word(&mut self) -> [u8; 8] {
        self.0 = self.0.wrapping_add(GOLDEN);
        // One multiplication and a fold: this runs for every eight bytes of every reply.
        let word = self.0 ^ self.0 >> 32;
        let word = word.wrapping_mul(0xd6e8_feb8_6659_fd93);
        (((word ^ word >> 32) & LOW_SIX) + ASCII_ZERO).to_le_bytes()
    }
}

/// The finalizer of splitmix64.
pub fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(GOLDEN);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::tests::settings;
    use repligo_proto::resp::{Args, Limits, RequestDecoder};

    fn dataset(words: &str) -> Dataset {
        Dataset::new(&settings(words)).expect("valid")
    }

    fn arguments(request: &[u8]) -> Vec<Vec<u8>> {
        let mut args = Args::new();
        let decoded = RequestDecoder::new(Limits::default()).decode(request, &mut args);
        assert_eq!(decoded.expect("valid"), Some(request.len()));
        args.view(request).iter().map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn requests_are_what_they_say() {
        for value_bytes in ["16", "17", "31", "32", "100", "70001"] {
            let data = dataset(&format!("--key-bytes 19 --value-bytes {value_bytes}"));
            let (mut get, mut set) = (Vec::new(), Vec::new());
            data.push_get(&mut get, 60_417);
            data.push_set(&mut set, 60_417, Stamp::new(50, 9));
            let (get, set) = (arguments(&get), arguments(&set));
            assert_eq!(get[0], b"GET");
            assert_eq!(set[0], b"SET");
            assert_eq!(get[1], set[1]);
            assert_eq!(get[1].len(), 19);
            assert!(get[1].ends_with(b"00000060417"), "{}", data.key_text(60_417));
            assert_eq!(set[2].len(), value_bytes.parse::<usize>().expect("number"));
            assert!(set[2].iter().all(u8::is_ascii_graphic));
            assert!(data.is_value_of(60_417, &set[2]));
        }
    }

    #[test]
    fn foreign_torn_and_cut_values_are_found() {
        let data = dataset("--value-bytes 100");
        let value = |key, stamp| {
            let mut bytes = Vec::new();
            data.push_value(&mut bytes, key, stamp);
            bytes
        };
        let (old, new) = (value(7, Stamp::new(1, 1)), value(7, Stamp::new(2, 1)));
        assert!(data.is_value_of(7, &old) && data.is_value_of(7, &new));
        assert!(!data.is_value_of(8, &old), "another key's value");
        assert!(!data.is_value_of(7, &old[..99]) && !data.is_value_of(7, b""));
        for cut in [8, 40, 96] {
            let torn = [&new[..cut], &old[cut..]].concat();
            assert!(!data.is_value_of(7, &torn), "torn at {cut}");
            assert!(
                data.explain(7, &torn).contains("version 1"),
                "{}",
                data.explain(7, &torn)
            );
        }
        let mut flipped = old.clone();
        flipped[99] ^= 1;
        assert!(!data.is_value_of(7, &flipped));
        let other = dataset("--value-bytes 100 --seed 2");
        assert!(!other.is_value_of(7, &old));
        assert_ne!(other.key_text(7), data.key_text(7), "seeds do not share keys");
    }
}
