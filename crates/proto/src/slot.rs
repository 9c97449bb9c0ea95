//! Hash slots of keys: CRC16 over the key or its hash tag, modulo 16384, as Redis Cluster has it.
//!
//! The slot of a key never depends on the topology, so it may be stored.

/// Slots of the key space.
pub const SLOT_COUNT: u16 = 16_384;

/// CRC16 XMODEM: polynomial 0x1021, initial value 0, no reflection.
static TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut remainder = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            remainder = if remainder & 0x8000 != 0 {
                remainder << 1 ^ 0x1021
            } else {
                remainder << 1
            };
            bit += 1;
        }
        table[byte] = remainder;
        byte += 1;
    }
    table
};

/// The slot of a key, below [`SLOT_COUNT`].
pub fn slot(key: &[u8]) -> u16 {
    crc16(hash_tag(key)) % SLOT_COUNT
}

/// The part of a key that is hashed: between the first `{` and the next `}` behind it, if there is
/// anything between them, else the whole key.
pub fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'{', key) else {
        return key;
    };
    let inside = &key[open + 1..];
    match memchr::memchr(b'}', inside) {
        None | Some(0) => key,
        Some(close) => &inside[..close],
    }
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        crc << 8 ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn slots_are_those_of_redis_cluster() {
        assert_eq!(slot(b""), 0);
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot(b"bar"), 5_061);
        assert_eq!(slot(b"somekey"), 11_058);
    }

    #[test]
    fn only_the_first_tag_counts_and_an_empty_one_is_none() {
        let check = |key: &str, tag: &str| {
            assert_eq!(hash_tag(key.as_bytes()), tag.as_bytes());
            assert_eq!(slot(key.as_bytes()), crc16(tag.as_bytes()) % SLOT_COUNT);
        };
        check("{user1000}.following", "user1000");
        check("foo{}{bar}", "foo{}{bar}");
        check("foo{{bar}}zap", "{bar");
        check("foo{bar}{zap}", "bar");
        check("foo{bar", "foo{bar");
        check("foo}bar{", "foo}bar{");
    }
}
