//! What clients saw: the one history format that all checkers read.
//!
//! One [`Operation`] per request of a client on one key. Times are positions on the checker's one clock
//! (virtual microseconds in the simulator, a monotonic clock in tests of real processes): an operation
//! precedes another if it returned strictly before the other was invoked.
//!
//! A history is also a text file, one operation per line, so that tests of real processes can write
//! it in any language:
//! `<client> <key> <invoked> <returned or -> <action> [<token>…] <outcome> [<value>…]`, with
//! actions `read`, `write T`, `volatile T`, `delete`, `increment`, `append T`, `raise T`, `cas T|nil T` and outcomes
//! `ok`, `value T|nil`, `count N`, `list T,T,…`, `refused`, `unknown`.

use std::fmt;

/// A value that is written at most once in a history.
pub type Token = u64;

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// GET of a register, or of an append log.
    Read,
    /// SET of a unique value.
    Write(Token),
    /// SET of a unique value that expires: the key may become absent later by itself, once.
    WriteVolatile(Token),
    /// DEL.
    Delete,
    /// INCR.
    Increment,
    /// APPEND of a unique token of fixed width.
    Append(Token),
    /// ZADD GT of a unique score: the greatest one stays.
    Raise(Token),
    /// SET inside MULTI behind a WATCH, after a read that returned `expected`.
    CompareAndSet {
        /// What the watched read returned.
        expected: Option<Token>,
        /// What EXEC then writes.
        new: Token,
    },
}

/// What the client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Applied; the reply says nothing more.
    Ok,
    /// A read's value.
    Value(Option<Token>),
    /// DEL: keys removed. INCR: the new number. APPEND: tokens in the log after it.
    Count(u64),
    /// A read of an append log.
    List(Vec<Token>),
    /// Definitely not applied: must never be seen.
    Refused,
    /// May have been applied, or may still be.
    Unknown,
}

/// One request and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who asked.
    pub client: u32,
    /// The key, by number.
    pub key: u32,
    /// When it was asked.
    pub invoked: u64,
    /// When the answer came; `None` if none came. An `Unknown` outcome counts as none whatever is here.
    pub returned: Option<u64>,
    /// What was asked.
    pub action: Action,
    /// What came of it.
    pub outcome: Outcome,
}

impl Operation {
    /// End of the interval in which the operation took effect, if it did.
    pub fn end(&self) -> u64 {
        match self.outcome {
            Outcome::Unknown => u64::MAX,
            _ => self.returned.unwrap_or(u64::MAX),
        }
    }

    /// True if the client knows that it was applied.
    pub fn is_acknowledged(&self) -> bool {
        !matches!(self.outcome, Outcome::Refused | Outcome::Unknown)
    }

    /// True for actions that change the key.
    pub fn is_write(&self) -> bool {
        self.action != Action::Read
    }
}

fn optional(token: Option<Token>) -> String {
    token.map_or_else(|| "nil".to_owned(), |token| token.to_string())
}

impl fmt::Display for Operation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} {} ", self.client, self.key, self.invoked)?;
        match self.returned {
            Some(returned) => write!(out, "{returned} ")?,
            None => write!(out, "- ")?,
        }
        match self.action {
            Action::Read => write!(out, "read")?,
            Action::Write(token) => write!(out, "write {token}")?,
            Action::WriteVolatile(token) => write!(out, "volatile {token}")?,
            Action::Delete => write!(out, "delete")?,
            Action::Increment => write!(out, "increment")?,
            Action::Append(token) => write!(out, "append {token}")?,
            Action::Raise(token) => write!(out, "raise {token}")?,
            Action::CompareAndSet { expected, new } => {
                write!(out, "cas {} {new}", optional(expected))?;
            }
        }
        match &self.outcome {
            Outcome::Ok => write!(out, " ok"),
            Outcome::Value(value) => write!(out, " value {}", optional(*value)),
            Outcome::Count(count) => write!(out, " count {count}"),
            Outcome::List(tokens) => {
                let tokens: Vec<String> = tokens.iter().map(Token::to_string).collect();
                write!(out, " list {}", tokens.join(","))
            }
            Outcome::Refused => write!(out, " refused"),
            Outcome::Unknown => write!(out, " unknown"),
        }
    }
}

/// Why a history line could not be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

struct Words<'a> {
    line: &'a str,
    words: std::str::Split<'a, char>,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Result<&'a str, Malformed> {
        self.words
            .next()
            .ok_or_else(|| Malformed(format!("too short: {}", self.line)))
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, Malformed> {
        let word = self.next()?;
        word.parse()
            .map_err(|_| Malformed(format!("not a number: {word:?} in {}", self.line)))
    }

    fn optional(&mut self) -> Result<Option<Token>, Malformed> {
        let word = self.next()?;
        if word == "nil" {
            return Ok(None);
        }
        word.parse()
            .map(Some)
            .map_err(|_| Malformed(format!("neither nil nor a number: {word:?} in {}", self.line)))
    }
}

impl std::str::FromStr for Operation {
    type Err = Malformed;

    fn from_str(line: &str) -> Result<Self, Malformed> {
        let mut words = Words {
            line,
            words: line.split(' '),
        };
        let (client, key, invoked) = (words.number()?, words.number()?, words.number()?);
        let returned = match words.next()? {
            "-" => None,
            word => Some(word.parse().map_err(|_| Malformed(line.to_owned()))?),
        };
        let action = match words.next()? {
            "read" => Action::Read,
            "write" => Action::Write(words.number()?),
            "volatile" => Action::WriteVolatile(words.number()?),
            "delete" => Action::Delete,
            "increment" => Action::Increment,
            "append" => Action::Append(words.number()?),
            "raise" => Action::Raise(words.number()?),
            "cas" => Action::CompareAndSet {
                expected: words.optional()?,
                new: words.number()?,
            },
            other => return Err(Malformed(format!("unknown action {other:?} in {line}"))),
        };
        let outcome = match words.next()? {
            "ok" => Outcome::Ok,
            "value" => Outcome::Value(words.optional()?),
            "count" => Outcome::Count(words.number()?),
            "list" => {
                let tokens = words.next()?;
                let tokens = tokens.split(',').filter(|word| !word.is_empty());
                let tokens: Result<Vec<Token>, _> = tokens.map(str::parse).collect();
                Outcome::List(tokens.map_err(|_| Malformed(line.to_owned()))?)
            }
            "refused" => Outcome::Refused,
            "unknown" => Outcome::Unknown,
            other => return Err(Malformed(format!("unknown outcome {other:?} in {line}"))),
        };
        Ok(Self {
            client,
            key,
            invoked,
            returned,
            action,
            outcome,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Operation, Outcome};

    #[test]
    fn every_action_and_outcome_survives_the_text_form() {
        let actions = [
            Action::Read,
            Action::Write(1),
            Action::WriteVolatile(2),
            Action::Delete,
            Action::Increment,
            Action::Append(3),
            Action::Raise(6),
            Action::CompareAndSet {
                expected: None,
                new: 4,
            },
            Action::CompareAndSet {
                expected: Some(4),
                new: 5,
            },
        ];
        let outcomes = [
            Outcome::Ok,
            Outcome::Value(None),
            Outcome::Value(Some(9)),
            Outcome::Count(7),
            Outcome::List(vec![]),
            Outcome::List(vec![1, 2]),
            Outcome::Refused,
            Outcome::Unknown,
        ];
        for action in actions {
            for outcome in &outcomes {
                for returned in [None, Some(20)] {
                    let operation = Operation {
                        client: 1,
                        key: 2,
                        invoked: 10,
                        returned,
                        action,
                        outcome: outcome.clone(),
                    };
                    assert_eq!(operation.to_string().parse(), Ok(operation));
                }
            }
        }
        assert!("1 2 3".parse::<Operation>().is_err());
        assert!("1 2 3 4 frob ok".parse::<Operation>().is_err());
    }
}
