//! The end of a payload: the version of its format and a checksum over all before.

/// CRC-64 of A. Jones, lowest bit first.
const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;
/// The format of Redis 7.0, which is what is written.
pub const VERSION: u16 = 10;
/// The format of Redis 7.4 and 8.0: the first one with deadlines of hash fields, and the last one that is read.
pub const VERSION_OF_FIELD_DEADLINES: u16 = 12;
/// Bytes of the version and the checksum.
pub const END_BYTES: usize = 10;

static TABLE: [u64; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// Goes on with the checksum of what was before, 0 at the begin.
pub fn checksum(before: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(before, |crc, byte| {
        TABLE[usize::from(crc as u8 ^ byte)] ^ crc >> 8
    })
}

/// What is in front of the end, and the checksum that the end says; `None` if it is of a later version or too short.
pub fn split(payload: &[u8]) -> Option<(&[u8], u64)> {
    let (value, end) = payload.split_at_checked(payload.len().checked_sub(END_BYTES)?)?;
    let (version, crc) = end.split_at(2);
    let version = u16::from_le_bytes(version.try_into().ok()?);
    let crc = u64::from_le_bytes(crc.try_into().ok()?);
    (version <= VERSION_OF_FIELD_DEADLINES).then_some((value, crc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_its_definition() {
        assert_eq!(checksum(0, b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(
            checksum(checksum(0, b"1234"), b"56789"),
            checksum(0, b"123456789")
        );
    }
}
