//! What clients may take together: memory, and the time until they have logged in.

use super::layers::Layered;
use super::refusals::{number, text};
use super::units;
use super::value::BadValue;

/// A part of the memory never comes to less, bytes: two of the largest requests that a cluster replicates.
const SHARE_BYTES_MIN: u64 = 64 << 20;
/// Bytes that are given never come to less, as in Redis: nobody could go on.
const BYTES_MIN: u64 = 128 << 10;

/// Memory of all clients together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientMemory {
    /// Bytes; 0: no limit.
    Bytes(u64),
    /// Hundredths of `maxmemory`, or of the machine's memory where that has no limit; 0: no limit.
    Percent(u64),
}

impl ClientMemory {
    /// From a number of bytes, or a percentage such as `25%`.
    pub fn read(text: &str) -> Option<Self> {
        match text.strip_suffix('%') {
            Some(percent) => {
                let percent = percent.parse().ok().filter(|percent| *percent <= 100);
                percent.map(Self::Percent)
            }
            None => text.parse().ok().map(Self::Bytes),
        }
    }

    /// As [`ClientMemory::read`] takes it.
    pub fn shown(self) -> String {
        match self {
            Self::Bytes(bytes) => bytes.to_string(),
            Self::Percent(percent) => format!("{percent}%"),
        }
    }

    /// Bytes that clients may take; `None` for no limit. `data_bytes_max` is `maxmemory`, 0 for none.
    pub fn bytes_max(self, data_bytes_max: u64, machine_bytes: u64) -> Option<u64> {
        let whole = if data_bytes_max > 0 {
            data_bytes_max
        } else {
            machine_bytes
        };
        match self {
            Self::Bytes(0) | Self::Percent(0) => None,
            Self::Bytes(bytes) => Some(bytes.max(BYTES_MIN)),
            Self::Percent(percent) => {
                let bytes = u128::from(whole) * u128::from(percent) / 100;
                Some(u64::try_from(bytes).unwrap_or(u64::MAX).max(SHARE_BYTES_MIN))
            }
        }
    }
}

/// What clients may take; see the module.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// Memory of all of them.
    pub memory: ClientMemory,
    /// Seconds in which a connection must have logged in where that is needed; 0: any time.
    pub login_seconds: u64,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            memory: ClientMemory::Percent(25),
            login_seconds: 30,
        }
    }
}

/// As the layers say.
pub(super) fn settle(layered: &Layered) -> ClientLimits {
    let memory = text(layered, "maxmemory-clients");
    ClientLimits {
        memory: memory
            .and_then(|text| ClientMemory::read(&text))
            .expect("it has a default, and other words are refused"),
        login_seconds: number(layered, "login-seconds"),
    }
}

/// Checks a size with a unit, or a percentage; in the form of [`ClientMemory::read`].
pub(super) fn parse(text: &str) -> Result<String, BadValue> {
    let memory = match text.ends_with('%') {
        true => ClientMemory::read(text),
        false => units::parse_size(text).ok().map(ClientMemory::Bytes),
    };
    memory.map(ClientMemory::shown).ok_or_else(|| {
        BadValue::new(
            format!("`{text}` is neither a size nor a percentage"),
            "write a size with a unit, such as 256MiB, a percentage up to 100%, or 0 for no limit",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_or_a_percentage_is_a_budget() {
        let check = |text: &str, data: u64, bytes: Option<u64>| {
            let given = parse(text).expect("valid");
            let memory = ClientMemory::read(&given).expect("what was checked is read");
            assert_eq!(memory.bytes_max(data, 8 << 30), bytes, "{text} of {data}");
        };
        check("0", 1 << 30, None);
        check("0%", 1 << 30, None);
        check("1", 1 << 30, Some(128 << 10));
        check("16MiB", 1 << 30, Some(16 << 20));
        check("25%", 1 << 30, Some(256 << 20));
        check("25%", 0, Some(2 << 30));
        check("5%", 100 << 20, Some(64 << 20));
        check("100%", u64::MAX, Some(u64::MAX));
        for wrong in ["101%", "%", "-1%", "x", "", "5 %", "1.5%"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
