//! The consistency profile of a user: at which level its connections read unless they say otherwise, and which level
//! they cannot go below.
//!
//! The rules are ours: `read=LEVEL`, `read-floor=LEVEL` and `write=LEVEL`. None of Redis' rules begins so. A profile as
//! every user starts with it is not shown and takes no bytes, so that such a user looks as it does in Redis.
//!
//! Invariant: the level that connections start with is never weaker than the floor.

use super::RuleError;
use crate::level::{Bound, NoLevel, ReadLevel, judge_write_level};
use crate::packed::{Corrupt, corrupt, put_varint, take_u8, take_varint};

/// The consistency profile of a user; see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What its connections start with.
    read: ReadLevel,
    /// What they never go below.
    floor: ReadLevel,
}

impl Default for Profile {
    /// As every user starts: linearizable unless the connection says otherwise, and it may.
    fn default() -> Self {
        Self {
            read: ReadLevel::Linearizable,
            floor: ReadLevel::Eventual,
        }
    }
}

impl Profile {
    /// True while no rule has made anything else of it.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What its connections never go below.
    pub fn floor(&self) -> ReadLevel {
        self.floor
    }

    /// The level of reads of a connection that has asked for this level, or for none.
    pub fn read_level(&self, asked: Option<ReadLevel>) -> ReadLevel {
        asked.map_or(self.read, |asked| asked.and(self.floor))
    }

    /// Applies a rule; false if the rule is none of a profile.
    ///
    /// # Errors
    /// Why it is refused; nothing has changed then.
    pub(super) fn apply(&mut self, rule: &[u8]) -> Result<bool, RuleError> {
        let of = |name: &str| {
            let (head, level) = rule.split_at_checked(name.len())?;
            head.eq_ignore_ascii_case(name.as_bytes()).then_some(level)
        };
        let changed = if let Some(word) = of("read=") {
            let read = read_level(word)?;
            Self { read, ..*self }
        } else if let Some(word) = of("read-floor=") {
            let floor = read_level(word)?;
            Self { floor, ..*self }
        } else if let Some(word) = of("write=") {
            // There is one, so there is nothing to keep.
            judge_write_level(word).map_err(|error| match error {
                NoLevel::Unknown | NoLevel::NoBound => RuleError::UnknownWriteLevel,
                NoLevel::NotBuilt => RuleError::WriteLevelNotBuilt,
            })?;
            *self
        } else {
            return Ok(false);
        };
        match changed.is_sound() {
            true => *self = changed,
            false => return Err(RuleError::BelowFloor),
        }
        Ok(true)
    }

    fn is_sound(&self) -> bool {
        self.read.and(self.floor) == self.read
    }

    /// The rules that make it of the one that every user starts with; empty if it is that one.
    pub fn describe(&self) -> String {
        let default = Self::default();
        let rule = |name: &str, level: ReadLevel| format!("{name}={level}");
        let read = (self.read != default.read).then(|| rule("read", self.read));
        let floor = (self.floor != default.floor).then(|| rule("read-floor", self.floor));
        let rules: Vec<String> = read.into_iter().chain(floor).collect();
        rules.join(" ")
    }

    /// Appends both levels: a number each, and a bound behind that of bounded reads.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_level(out, self.read);
        put_level(out, self.floor);
    }

    /// Takes a profile off the front of `input` that is not the one that users start with.
    pub(super) fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        let profile = Self {
            read: take_level(input)?,
            floor: take_level(input)?,
        };
        match profile.is_sound() && !profile.is_default() {
            true => Ok(profile),
            false => corrupt("a profile that rules can make"),
        }
    }
}

fn read_level(word: &[u8]) -> Result<ReadLevel, RuleError> {
    ReadLevel::named(word).map_err(|error| match error {
        NoLevel::Unknown => RuleError::UnknownReadLevel,
        NoLevel::NotBuilt => RuleError::ReadLevelNotBuilt,
        NoLevel::NoBound => RuleError::NoBound,
    })
}

fn put_level(out: &mut Vec<u8>, level: ReadLevel) {
    match level {
        ReadLevel::Linearizable => out.push(0),
        ReadLevel::Eventual => out.push(1),
        ReadLevel::Bounded(bound) => {
            out.push(2);
            put_varint(out, bound.ms());
        }
        ReadLevel::Session(None) => out.push(3),
        ReadLevel::Session(Some(bound)) => {
            out.push(4);
            put_varint(out, bound.ms());
        }
    }
}

fn take_level(input: &mut &[u8]) -> Result<ReadLevel, Corrupt> {
    match take_u8(input)? {
        0 => Ok(ReadLevel::Linearizable),
        1 => Ok(ReadLevel::Eventual),
        2 => take_bound(input).map(ReadLevel::Bounded),
        3 => Ok(ReadLevel::Session(None)),
        4 => take_bound(input).map(|bound| ReadLevel::Session(Some(bound))),
        _ => corrupt("a level of reads"),
    }
}

fn take_bound(input: &mut &[u8]) -> Result<Bound, Corrupt> {
    match Bound::of_ms(take_varint(input)?) {
        Some(bound) => Ok(bound),
        None => corrupt("a bound of reads"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ReadLevel::{Eventual, Linearizable};

    fn of(rules: &str) -> Profile {
        let mut profile = Profile::default();
        for rule in rules.split_whitespace() {
            assert_eq!(profile.apply(rule.as_bytes()), Ok(true), "{rule}");
        }
        profile
    }

    #[test]
    fn a_connection_reads_as_it_says_and_else_as_its_user_does_but_never_below_the_floor() {
        let check = |rules: &str, silent, readonly, readwrite| {
            let profile = of(rules);
            assert_eq!(profile.read_level(None), silent, "{rules}");
            assert_eq!(profile.read_level(Some(Eventual)), readonly, "{rules}");
            assert_eq!(profile.read_level(Some(Linearizable)), readwrite, "{rules}");
        };
        check("", Linearizable, Eventual, Linearizable);
        check("read=eventual", Eventual, Eventual, Linearizable);
        check(
            "read-floor=linearizable",
            Linearizable,
            Linearizable,
            Linearizable,
        );
        check(
            "read=eventual write=quorum READ=Linearizable",
            Linearizable,
            Eventual,
            Linearizable,
        );
        let bounded = |ms| ReadLevel::Bounded(Bound::of_ms(ms).expect("a bound"));
        check("read=bounded", bounded(1_000), Eventual, Linearizable);
        // READONLY asks for less than the floor, and gets the floor.
        let rules = "read=bounded:200ms read-floor=bounded:1s";
        check(rules, bounded(200), bounded(1_000), Linearizable);
        assert_eq!(of(rules).read_level(Some(bounded(5_000))), bounded(1_000));
        assert_eq!(of(rules).read_level(Some(bounded(5))), bounded(5));
        // Neither is weaker than the other: what is asked for and the floor are both in force.
        let both = ReadLevel::Session(Bound::of_ms(1_000));
        assert_eq!(of(rules).read_level(Some(ReadLevel::Session(None))), both);
        let floor = of("read-floor=session");
        assert_eq!(floor.read_level(Some(bounded(1_000))), both);
        assert_eq!(floor.read_level(Some(Eventual)), ReadLevel::Session(None));
    }

    #[test]
    fn what_is_no_rule_of_a_profile_is_left_to_others_and_what_is_wrong_changes_nothing() {
        let mut profile = of("read=eventual");
        for rule in [
            "read",
            "reads=eventual",
            "+get",
            "",
            "write-floor=quorum",
            "re\u{e9}d=",
        ] {
            assert_eq!(profile.apply(rule.as_bytes()), Ok(false), "{rule}");
        }
        for (rule, why) in [
            ("read=", RuleError::UnknownReadLevel),
            ("read=quorum", RuleError::UnknownReadLevel),
            ("read=bounded:0ms", RuleError::NoBound),
            ("read-floor=bounded:1", RuleError::NoBound),
            ("read-floor=bounded:1s", RuleError::BelowFloor),
            ("read-floor=origin", RuleError::ReadLevelNotBuilt),
            ("read-floor=session", RuleError::BelowFloor),
            ("read=session:1s", RuleError::UnknownReadLevel),
            ("write=async", RuleError::WriteLevelNotBuilt),
            ("write=eventual", RuleError::UnknownWriteLevel),
            ("read-floor=linearizable", RuleError::BelowFloor),
        ] {
            assert_eq!(profile.apply(rule.as_bytes()), Err(why), "{rule}");
            assert_eq!(profile, of("read=eventual"), "{rule}");
        }
        assert_eq!(
            of("read-floor=linearizable").apply(b"read=eventual"),
            Err(RuleError::BelowFloor)
        );
    }

    #[test]
    fn a_profile_is_shown_by_the_rules_that_make_it_and_comes_back_from_its_bytes() {
        for rules in [
            "read=eventual",
            "read-floor=linearizable",
            "read=bounded:200ms",
            "read=bounded:1ms read-floor=bounded:10s",
            "read=session",
            "read=session read-floor=session",
            "read=session+bounded:1s read-floor=bounded:10s",
            "read-floor=session+bounded:200ms",
        ] {
            assert_eq!(of(rules).describe(), rules);
            let mut bytes = Vec::new();
            of(rules).encode(&mut bytes);
            assert_eq!(Profile::decode(&mut &bytes[..]), Ok(of(rules)));
        }
        assert_eq!(
            of("read=linearizable read-floor=eventual write=quorum").describe(),
            ""
        );
        // The one that users start with, those below their floors, no level, no bounds, and those too short.
        let wrong = [
            &[0, 1][..],
            &[1, 0],
            &[2, 7, 2, 6],
            &[3, 2, 7],
            &[1, 3],
            &[5, 1],
            &[4, 0, 1],
            &[2, 0, 1],
            &[2, 0x91, 0x4e, 1],
            &[0],
            &[2],
            &[2, 7],
        ];
        for bytes in wrong {
            assert!(Profile::decode(&mut &bytes[..]).is_err(), "{bytes:?}");
        }
    }
}
