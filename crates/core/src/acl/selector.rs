//! One set of rights: commands, keys and channels that go together.

use repligo_proto::command::{CommandId, Spec, category, is_known_elsewhere, lookup, with_subcommands};
use repligo_proto::glob::Glob;
use repligo_proto::resp::ArgSlice;

use super::RuleError;

/// Words of 64 commands each.
const COMMAND_WORDS: usize = CommandId::COUNT.div_ceil(64);

/// Why a request is refused, and the position of the argument that decided. A later refusal says more: of several
/// selectors, the one that came furthest is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denied {
    /// The command, or this subcommand of it.
    Command,
    /// The key in this argument.
    Key(usize),
    /// The channel in this argument.
    Channel(usize),
}

/// What may be done with keys that fit.
#[derive(Clone, Debug)]
pub(super) struct KeyPattern {
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) text: Box<[u8]>,
    glob: Glob,
}

/// A channel, or all that a pattern fits.
#[derive(Clone, Debug)]
pub(super) struct ChannelPattern {
    pub(super) text: Box<[u8]>,
    glob: Glob,
}

/// A rule on commands: `+name`, `-name`, `+@category`, `-@category`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommandRule {
    pub(super) allow: bool,
    /// Lower case; with its `@` if it is a category, with its `|` if it is a subcommand or a first argument.
    pub(super) name: Box<[u8]>,
}

/// Commands, keys and channels that go together. A request is allowed if one selector of its user allows all of it.
#[derive(Clone, Debug)]
pub struct Selector {
    pub(super) all_keys: bool,
    pub(super) keys: Vec<KeyPattern>,
    pub(super) all_channels: bool,
    pub(super) channels: Vec<ChannelPattern>,
    /// `+@all` is what the rules begin with, else `-@all`.
    pub(super) starts_with_all: bool,
    pub(super) rules: Vec<CommandRule>,
    /// The rules as bits, by the number of the command.
    allowed: [u64; COMMAND_WORDS],
    /// First arguments with which a command is allowed that is not allowed as such.
    first_arguments: Vec<(CommandId, Box<[u8]>)>,
}

impl Default for Selector {
    fn default() -> Self {
        Self {
            all_keys: false,
            keys: Vec::new(),
            all_channels: false,
            channels: Vec::new(),
            starts_with_all: false,
            rules: Vec::new(),
            allowed: [0; COMMAND_WORDS],
            first_arguments: Vec::new(),
        }
    }
}

impl Selector {
    /// Everything is allowed.
    pub(super) fn of_everything() -> Self {
        let mut selector = Self {
            all_keys: true,
            all_channels: true,
            ..Self::default()
        };
        selector.allow_all(true);
        selector
    }

    /// True if it refuses no command, no key and no channel.
    pub(super) fn is_unrestricted(&self) -> bool {
        self.all_keys && self.all_channels && self.starts_with_all && self.rules.iter().all(|rule| rule.allow)
    }

    /// Applies one rule; whether it may take something away.
    pub(super) fn apply(&mut self, rule: &[u8]) -> Result<bool, RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        let mut narrows = false;
        if is("allkeys") || rule == b"~*" {
            self.all_keys = true;
            self.keys.clear();
        } else if is("resetkeys") {
            (self.all_keys, narrows) = (false, true);
            self.keys.clear();
        } else if is("allchannels") || rule == b"&*" {
            self.all_channels = true;
            self.channels.clear();
        } else if is("resetchannels") {
            (self.all_channels, narrows) = (false, true);
            self.channels.clear();
        } else if is("allcommands") || is("+@all") {
            self.allow_all(true);
        } else if is("nocommands") || is("-@all") {
            self.allow_all(false);
            narrows = true;
        } else {
            match rule {
                [b'~' | b'%', ..] => self.add_key_pattern(rule)?,
                [b'&', pattern @ ..] => self.add_channel(pattern)?,
                [b'+', name @ ..] => self.add_command_rule(true, name)?,
                [b'-', name @ ..] => {
                    self.add_command_rule(false, name)?;
                    narrows = true;
                }
                _ => return Err(RuleError::Syntax),
            }
        }
        Ok(narrows)
    }

    fn add_key_pattern(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::AfterAllKeys);
        }
        let Some(tilde) = rule.iter().position(|&byte| byte == b'~') else {
            // As Redis has it, permissions without a pattern add nothing that fits a key.
            return Err(RuleError::Syntax);
        };
        let (mut read, mut write) = (rule[0] == b'~', rule[0] == b'~');
        for byte in rule[..tilde].iter().skip(1) {
            let seen = match byte.to_ascii_uppercase() {
                b'R' => &mut read,
                b'W' => &mut write,
                _ => return Err(RuleError::Syntax),
            };
            if std::mem::replace(seen, true) {
                return Err(RuleError::Syntax);
            }
        }
        let text = &rule[tilde + 1..];
        if !(read || write) || !is_plain(text) {
            return Err(RuleError::Syntax);
        }
        self.put_key_pattern(read, write, text);
        Ok(())
    }

    pub(super) fn put_key_pattern(&mut self, read: bool, write: bool, text: &[u8]) {
        let same = self.keys.iter_mut().find(|pattern| *pattern.text == *text);
        if let Some(pattern) = same {
            pattern.read |= read;
            pattern.write |= write;
            return;
        }
        self.keys.push(KeyPattern {
            read,
            write,
            text: text.into(),
            glob: Glob::new(text),
        });
    }

    fn add_channel(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::AfterAllChannels);
        }
        if !is_plain(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| *known.text == *pattern) {
            self.put_channel(pattern);
        }
        Ok(())
    }

    pub(super) fn put_channel(&mut self, text: &[u8]) {
        self.channels.push(ChannelPattern {
            text: text.into(),
            glob: Glob::new(text),
        });
    }

    pub(super) fn allow_all(&mut self, allow: bool) {
        self.starts_with_all = allow;
        self.rules.clear();
        self.allowed = [if allow { u64::MAX } else { 0 }; COMMAND_WORDS];
        self.first_arguments.clear();
    }

    fn add_command_rule(&mut self, allow: bool, name: &[u8]) -> Result<(), RuleError> {
        check_name(allow, name)?;
        let name = name.to_ascii_lowercase();
        // What was said of it, or of its subcommands, is overtaken.
        let is_overtaken = |known: &[u8]| {
            known
                .strip_prefix(name.as_slice())
                .is_some_and(|rest| matches!(rest, [] | [b'|', ..]))
        };
        self.rules.retain(|rule| !is_overtaken(&rule.name));
        self.put_command_rule(allow, &name);
        Ok(())
    }

    /// Adds a rule as it is, and compiles it as far as this release knows what it names.
    pub(super) fn put_command_rule(&mut self, allow: bool, name: &[u8]) {
        self.rules.push(CommandRule {
            allow,
            name: name.into(),
        });
        if let Some(named) = name.strip_prefix(b"@") {
            let bits = category::named(named).unwrap_or(0);
            let fitting = with_subcommands().filter(|spec| spec.categories() & bits != 0);
            return fitting.for_each(|spec| self.set(spec, allow));
        }
        let (first, second) = split(name);
        let Some(spec) = lookup(first) else { return };
        match second {
            None => {
                self.set(spec, allow);
                spec.subcommands.iter().for_each(|word| self.set(word, allow));
            }
            Some(word) if spec.subcommands.is_empty() => self.first_arguments.push((spec.id, word.into())),
            Some(word) => {
                if let Some(spec) = spec.subcommand(word) {
                    self.set(spec, allow);
                }
            }
        }
    }

    fn set(&mut self, spec: &Spec, allow: bool) {
        let (word, bit) = (spec.id.index() / 64, 1u64 << (spec.id.index() % 64));
        if allow {
            self.allowed[word] |= bit;
        } else {
            self.allowed[word] &= !bit;
        }
        // As in Redis: first arguments that were allowed before are forgotten with what is said of the whole.
        self.first_arguments.retain(|(id, _)| *id != spec.id);
    }

    /// Whether the command may be run, whatever its keys.
    pub(super) fn allows_command(&self, spec: &Spec, request: ArgSlice<'_>) -> bool {
        let id = spec.id;
        if self.allowed[id.index() / 64] & 1 << (id.index() % 64) != 0 {
            return true;
        }
        let Some(first) = request.try_get(1) else {
            return false;
        };
        let fits = |(known, word): &(CommandId, Box<[u8]>)| *known == id && first.eq_ignore_ascii_case(word);
        self.first_arguments.iter().any(fits)
    }

    /// Whether a key may be used so.
    pub(super) fn allows_key(&self, key: &[u8], (reads, writes): (bool, bool)) -> bool {
        let fits = |pattern: &KeyPattern| {
            (pattern.read || !reads) && (pattern.write || !writes) && pattern.glob.matches(key)
        };
        self.all_keys || self.keys.iter().any(fits)
    }

    /// Whether every key there is may be read.
    pub(super) fn reads_every_key(&self) -> bool {
        self.all_keys
            || self
                .keys
                .iter()
                .any(|pattern| pattern.read && *pattern.text == *b"*")
    }

    /// Whether a channel may be used. A pattern of channels must be allowed as it is written.
    pub(super) fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        let fits = |known: &ChannelPattern| match is_pattern {
            true => *known.text == *channel,
            false => known.glob.matches(channel),
        };
        self.all_channels || self.channels.iter().any(fits)
    }
}

/// No space and no zero byte: what a line of ACL LIST can show.
fn is_plain(pattern: &[u8]) -> bool {
    !pattern
        .iter()
        .any(|byte| byte.is_ascii_whitespace() || *byte == 0 || *byte == 0x0b)
}

/// The name of a command, and what stands behind its bar.
fn split(name: &[u8]) -> (&[u8], Option<&[u8]>) {
    match name.iter().position(|&byte| byte == b'|') {
        None => (name, None),
        Some(bar) => (&name[..bar], Some(&name[bar + 1..])),
    }
}

/// Whether a rule can name this. A command that only Redis has can be named: its rule waits for the release that
/// has the command, too.
fn check_name(allow: bool, name: &[u8]) -> Result<(), RuleError> {
    if let Some(named) = name.strip_prefix(b"@") {
        return match category::named(named) {
            Some(_) => Ok(()),
            None => Err(RuleError::Unknown),
        };
    }
    let (first, second) = split(name);
    let spec = lookup(first);
    if spec.is_none() && !is_known_elsewhere(None, first) {
        return Err(RuleError::Unknown);
    }
    let Some(word) = second else { return Ok(()) };
    let Ok(container) = std::str::from_utf8(first) else {
        return Err(RuleError::Unknown);
    };
    let has_words = spec.is_some_and(|spec| !spec.subcommands.is_empty());
    let (subcommand, further) = split(word);
    let is_subcommand = spec.is_some_and(|spec| spec.subcommand(subcommand).is_some())
        || is_known_elsewhere(Some(container), subcommand);
    if allow && word.is_empty() {
        return Err(RuleError::Syntax);
    }
    match (is_subcommand, further) {
        (true, None) => Ok(()),
        (true, Some(_)) if allow => Err(RuleError::ArgumentOfSubcommand),
        // A word that is no subcommand is a first argument, which can be allowed and not refused.
        (false, None) if allow && !has_words && is_plain(word) => Ok(()),
        _ => Err(RuleError::Unknown),
    }
}
