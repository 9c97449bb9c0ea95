//! Sizes and durations with units, as people write them in files and flags.
//!
//! Sizes know binary (`KiB`, `MiB`, …) and decimal (`kB`, `MB`, …) units. Redis' lower case `kb` and `mb`
//! mean 1024s there, and configurations are carried over from Redis, so they do here too; the exact
//! decimal spellings are `kB`, `MB`, `GB`, `TB`.

use std::time::Duration;

const SIZE_UNITS: &[(&str, u64)] = &[
    ("", 1),
    ("B", 1),
    ("b", 1),
    ("k", 1000),
    ("K", 1000),
    ("kB", 1000),
    ("m", 1_000_000),
    ("M", 1_000_000),
    ("MB", 1_000_000),
    ("g", 1_000_000_000),
    ("G", 1_000_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("kb", 1 << 10),
    ("KiB", 1 << 10),
    ("mb", 1 << 20),
    ("MiB", 1 << 20),
    ("gb", 1 << 30),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

const DURATION_UNITS: &[(&str, u64)] = &[
    ("us", 1),
    ("ms", 1000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// Parses bytes: `2GiB`, `512mb`, `100`, `1.5GiB`.
///
/// # Errors
/// One sentence that names what is accepted.
pub fn parse_size(text: &str) -> Result<u64, String> {
    scaled(text, SIZE_UNITS).ok_or_else(|| {
        format!("`{text}` is not a size; write a number with KiB, MiB, GiB or TiB, such as 2GiB")
    })
}

/// Parses a duration: `5s`, `250ms`, `1h`, `1.5s`. A bare number is refused, because its unit would be a guess.
///
/// # Errors
/// One sentence that names what is accepted.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    scaled(text, DURATION_UNITS)
        .map(Duration::from_micros)
        .ok_or_else(|| {
            format!("`{text}` is not a duration; write a number with us, ms, s, m, h or d, such as 5s")
        })
}

/// Shows bytes with the largest binary unit that keeps the number whole.
pub fn show_size(bytes: u64) -> String {
    for (unit, factor) in [
        ("TiB", 1u64 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    bytes.to_string()
}

/// `None` for anything but digits, at most one decimal point, and a known unit; also on overflow.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim_start());
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || (number.contains('.') && fraction.is_empty()) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let scaled_whole = whole.checked_mul(factor)?;
    if fraction.is_empty() {
        return Some(scaled_whole);
    }
    // Nine digits keep the product inside u128 and are finer than any unit we have.
    let digits = &fraction[..fraction.len().min(9)];
    let part = digits.parse::<u128>().ok()? * u128::from(factor) / 10u128.pow(digits.len() as u32);
    scaled_whole.checked_add(u64::try_from(part).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check = |text: &str, expect: Option<u64>| assert_eq!(parse_size(text).ok(), expect, "{text}");
        check("0", Some(0));
        check("100", Some(100));
        check("2GiB", Some(2 << 30));
        check("2 GiB", Some(2 << 30));
        check("512mb", Some(512 << 20));
        check("1.5MiB", Some(3 << 19));
        check("64MB", Some(64_000_000));
        check("1k", Some(1000));
        check("", None);
        check("GiB", None);
        check("-1", None);
        check("1.GiB", None);
        check("1.2.3GiB", None);
        check("5 parsecs", None);
        check("99999999999TiB", None);
        check("18446744073709551616", None);
    }

    #[test]
    fn durations() {
        let check = |text: &str, expect_ms: Option<u64>| {
            assert_eq!(
                parse_duration(text).ok(),
                expect_ms.map(Duration::from_millis),
                "{text}"
            );
        };
        check("5s", Some(5000));
        check("250ms", Some(250));
        check("1.5s", Some(1500));
        check("2m", Some(120_000));
        check("1h", Some(3_600_000));
        check("1d", Some(86_400_000));
        check("5", None);
        check("5 fortnights", None);
        check("", None);
    }

    #[test]
    fn shown_sizes_parse_back() {
        for bytes in [0, 1, 1023, 1024, 1536, 1 << 20, 2 << 30, 3 << 40, u64::MAX] {
            assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }
    }
}
