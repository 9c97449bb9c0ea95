//! How the value of a parameter is written, and Redis' words for one that is not.

use repligo_core::command::parse_i64;
use repligo_core::eviction::EvictionPolicy;
use repligo_core::keyspace::EventClasses;
use repligo_proto::words;

/// What may be written for a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `yes` or `no`.
    Flag,
    /// An integer between two, both included.
    Integer(i64, i64),
    /// Bytes with an optional unit, between two, both included.
    Memory(u64, u64),
    /// As `Memory`, or a part of `maxmemory` such as `5%`.
    MemoryOrPercent,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// The name of an eviction policy.
    Policy,
    /// Seconds and changes in turn.
    Save,
    /// A class of clients and three limits, in turn.
    OutputLimits,
    /// Letters for classes of events.
    Events,
    /// Numbers from 0 to 100.
    Percentiles,
    /// Three integers from -2000 to 2000.
    OomScores,
    /// A host's name.
    HostName,
    /// Anything.
    Text,
}

/// Words of the classes of events.
const EVENT_LETTERS: &str = "Ag$lshzxeKEtmdn";

impl Form {
    /// The value as CONFIG GET would show it, or Redis' words for what is wrong with it.
    pub(super) fn check(self, text: &str) -> Result<String, String> {
        match self {
            Self::Flag => match text.to_ascii_lowercase() {
                flag if flag == "yes" || flag == "no" => Ok(flag),
                _ => Err("argument must be 'yes' or 'no'".to_owned()),
            },
            Self::Integer(least, most) => match parse_i64(text.as_bytes()) {
                None => Err("argument couldn't be parsed into an integer".to_owned()),
                Some(number) if (least..=most).contains(&number) => Ok(number.to_string()),
                Some(_) => Err(out_of_range(least, most)),
            },
            Self::Memory(least, most) => match parse_memory(text) {
                None => Err("argument must be a memory value".to_owned()),
                Some(bytes) if (least..=most).contains(&bytes) => Ok(bytes.to_string()),
                Some(_) => Err(out_of_range(least, most)),
            },
            Self::MemoryOrPercent => check_percent(text),
            Self::Choice(names) => check_choice(text, names.iter().copied()),
            Self::Policy => check_choice(text, EvictionPolicy::ALL.map(|(name, _)| name).into_iter()),
            Self::Save => check_save(text),
            Self::OutputLimits => check_output_limits(text),
            Self::Events => check_events(text),
            Self::Percentiles => check_percentiles(text),
            Self::OomScores => check_oom_scores(text),
            Self::HostName => check_host_name(text),
            Self::Text => Ok(text.to_owned()),
        }
    }
}

fn out_of_range(least: impl std::fmt::Display, most: impl std::fmt::Display) -> String {
    format!("argument must be between {least} and {most} inclusive")
}

fn check_choice(text: &str, names: impl Iterator<Item = &'static str> + Clone) -> Result<String, String> {
    match names.clone().find(|name| name.eq_ignore_ascii_case(text)) {
        Some(name) => Ok(name.to_owned()),
        None => {
            let names = names.collect::<Vec<_>>().join(", ");
            Err(format!("argument(s) must be one of the following: {names}"))
        }
    }
}

/// Bytes with an optional unit, as Redis writes them: `1k` is 1000, `1kb` is 1024, nothing is 0.
pub(super) fn parse_memory(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    // What is too large for 64 bits is the largest number, as `strtoull` has it.
    let number = match number {
        "" => 0,
        number => number.parse::<u64>().unwrap_or(u64::MAX),
    };
    Some(number.saturating_mul(factor))
}

fn check_percent(text: &str) -> Result<String, String> {
    let Some(percent) = text.strip_suffix('%') else {
        let bytes = parse_memory(text).ok_or("argument must be a memory or percent value")?;
        return Ok(bytes.to_string());
    };
    match parse_i64(percent.as_bytes()) {
        Some(percent) if percent > 100 => Err("percentage argument must be less or equal to 100".to_owned()),
        Some(percent) if percent >= 0 => Ok(format!("{percent}%")),
        _ => Err("argument must be a memory or percent value".to_owned()),
    }
}

fn check_save(text: &str) -> Result<String, String> {
    let numbers: Option<Vec<i64>> = text.split(' ').map(|word| word.parse().ok()).collect();
    let points = numbers.filter(|numbers| numbers.len().is_multiple_of(2));
    let valid = points.is_some_and(|points| points.chunks(2).all(|pair| pair[0] >= 1 && pair[1] >= 0));
    if text.is_empty() || valid {
        Ok(text.to_owned())
    } else {
        Err("Invalid save parameters".to_owned())
    }
}

fn check_output_limits(text: &str) -> Result<String, String> {
    let words: Vec<&str> = text.split(' ').collect();
    if !words.len().is_multiple_of(4) {
        return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
    }
    let mut limits = Vec::new();
    for limit in words.chunks(4) {
        let known = ["normal", words::FOLLOWER_ROLE, "replica", "pubsub"];
        if !known.iter().any(|known| known.eq_ignore_ascii_case(limit[0])) {
            return Err("Invalid client class specified in buffer limit configuration.".to_owned());
        }
        let (hard, soft) = (parse_memory(limit[1]), parse_memory(limit[2]));
        let seconds = limit[3].parse::<u32>().ok();
        let (Some(hard), Some(soft), Some(seconds)) = (hard, soft, seconds) else {
            return Err(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.".to_owned(),
            );
        };
        let class = limit[0]
            .to_ascii_lowercase()
            .replace("replica", words::FOLLOWER_ROLE);
        limits.push(format!("{class} {hard} {soft} {seconds}"));
    }
    Ok(limits.join(" "))
}

fn check_events(text: &str) -> Result<String, String> {
    match EventClasses::parse(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err(format!("Invalid event class character. Use '{EVENT_LETTERS}'.")),
    }
}

fn check_percentiles(text: &str) -> Result<String, String> {
    const NAME: &str = "latency-tracking-info-percentiles";
    let mut shown = Vec::new();
    for word in text.split(' ').filter(|_| !text.is_empty()) {
        let number = word.parse::<f64>();
        let number = number.map_err(|_| format!("Invalid {NAME} parameters"))?;
        if !(0.0..=100.0).contains(&number) {
            return Err(format!("{NAME} parameters should sit between [0.0,100.0]"));
        }
        shown.push(number.to_string());
    }
    Ok(shown.join(" "))
}

fn check_oom_scores(text: &str) -> Result<String, String> {
    let words: Vec<&str> = text.split(' ').collect();
    if words.len() != 3 {
        return Err("wrong number of arguments".to_owned());
    }
    let is_score = |word: &&str| {
        word.parse::<i32>()
            .is_ok_and(|score| (-2000..=2000).contains(&score))
    };
    if words.iter().all(is_score) {
        Ok(text.to_owned())
    } else {
        Err("Invalid oom-score-adj-values, elements must be between -2000 and 2000.".to_owned())
    }
}

fn check_host_name(text: &str) -> Result<String, String> {
    if text.len() >= 256 {
        return Err("Hostnames must be less than 256 characters".to_owned());
    }
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if text.bytes().all(is_valid) {
        Ok(text.to_owned())
    } else {
        Err("Hostnames may only contain alphanumeric characters, hyphens or dots".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_written_as_in_redis() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("", Some(0)),
            ("100", Some(100)),
            ("1k", Some(1000)),
            ("1KB", Some(1024)),
            ("2gb", Some(2 << 30)),
            ("99999999999999999999", Some(u64::MAX)),
            ("x", None),
            ("-1", None),
            ("1 ", None),
            ("1tb", None),
        ] {
            assert_eq!(parse_memory(text), bytes, "{text}");
        }
    }
}
