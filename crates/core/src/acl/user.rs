//! A user: how it logs in, and what it may do.

use repligo_proto::command::{Spec, flag, pattern_of_keys};
use repligo_proto::resp::ArgSlice;

use super::rules::{digits_of, hash_of};
use super::{DEFAULT_USER, Denied, PasswordHash, Profile, RuleError, Selector};

/// A user; see [`super`].
#[derive(Clone, Debug)]
pub struct User {
    /// Never given to another user, so that a deleted one does not come to life in what it left behind.
    pub(super) id: u32,
    /// The change that last took something away from it; 0 if none has.
    pub(super) narrowed_at: u32,
    pub(super) name: Box<[u8]>,
    pub(super) enabled: bool,
    pub(super) no_password: bool,
    /// The log has said what its passwords are. Until then those of the default user are the node's own.
    pub(super) is_told: bool,
    pub(super) passwords: Vec<PasswordHash>,
    /// The first one has the rules that stand outside of parentheses.
    pub(super) selectors: Vec<Selector>,
    pub(super) profile: Profile,
}

impl User {
    /// The default user as every cluster begins with it: everything is allowed, without a password.
    pub(super) fn default_at_start() -> Self {
        Self {
            id: 0,
            narrowed_at: 0,
            name: DEFAULT_USER.into(),
            enabled: true,
            no_password: true,
            is_told: false,
            passwords: Vec::new(),
            selectors: vec![Selector::of_everything()],
            profile: Profile::default(),
        }
    }

    /// A new user, who may do nothing.
    pub(super) fn new(id: u32, name: &[u8]) -> Self {
        Self {
            id,
            narrowed_at: 0,
            name: name.into(),
            enabled: false,
            no_password: false,
            is_told: true,
            passwords: Vec::new(),
            selectors: vec![Selector::default()],
            profile: Profile::default(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// True if it is the same user as then, and not another one of the same name.
    pub fn is_same(&self, earlier: &Self) -> bool {
        self.id == earlier.id
    }

    /// False if nobody can log in as this user; who did before stays.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// True if it needs no password, as far as the log says.
    pub fn needs_no_password(&self) -> bool {
        self.no_password
    }

    /// True if the log has said what its passwords are.
    pub fn is_told(&self) -> bool {
        self.is_told
    }

    /// At which level its connections read.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// True if it may run every command on every key and channel.
    pub fn is_unrestricted(&self) -> bool {
        self.selectors[0].is_unrestricted()
    }

    /// True if this is one of its passwords. Takes as long for every password.
    pub fn has_password(&self, hash: &PasswordHash) -> bool {
        let differs = |one: &PasswordHash| one.iter().zip(hash).fold(0, |all, (a, b)| all | (a ^ b));
        let equal = self.passwords.iter().map(|one| u8::from(differs(one) == 0));
        equal.fold(0, |found, one| found | one) != 0
    }

    /// Applies one rule; whether it may take something away from who is logged in.
    ///
    /// # Errors
    /// Why it is refused; nothing has changed then.
    pub fn apply(&mut self, rule: &[u8]) -> Result<bool, RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        let mut narrows = false;
        if rule.is_empty() || is("sanitize-payload") {
            // Nothing, as in Redis; and no payload is ever taken without being judged.
        } else if is("on") || is("off") {
            self.enabled = is("on");
        } else if is("nopass") || is("resetpass") {
            self.no_password = is("nopass");
            self.passwords.clear();
            self.is_told = true;
        } else if is("reset") {
            *self = Self {
                narrowed_at: self.narrowed_at,
                ..Self::new(self.id, &self.name)
            };
            narrows = true;
        } else if is("clearselectors") {
            self.selectors.truncate(1);
            narrows = true;
        } else if !self.profile.apply(rule)? {
            match rule {
                [b'#', digits @ ..] => self.add_password(hash_of(digits)?),
                [b'!', digits @ ..] => self.remove_password(&hash_of(digits)?)?,
                [b'(', .., b')'] => self.add_selector(&rule[1..rule.len() - 1])?,
                _ => narrows = self.selectors[0].apply(rule)?,
            }
        }
        Ok(narrows)
    }

    fn add_password(&mut self, hash: PasswordHash) {
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
        self.no_password = false;
        self.is_told = true;
    }

    fn remove_password(&mut self, hash: &PasswordHash) -> Result<(), RuleError> {
        let known = self.passwords.iter().position(|one| one == hash);
        self.passwords.remove(known.ok_or(RuleError::NoSuchPassword)?);
        self.is_told = true;
        Ok(())
    }

    fn add_selector(&mut self, rules: &[u8]) -> Result<(), RuleError> {
        let mut selector = Selector::default();
        for rule in rules.split(|byte| *byte == b' ').filter(|rule| !rule.is_empty()) {
            selector.apply(rule)?;
        }
        self.selectors.push(selector);
        Ok(())
    }

    /// Whether it may run this command with these words, which the row fits.
    ///
    /// # Errors
    /// What it may not.
    pub fn judge(&self, spec: &Spec, request: ArgSlice<'_>) -> Result<(), Denied> {
        let mut furthest = Denied::Command;
        for selector in &self.selectors {
            match judge_by(selector, spec, request) {
                Ok(()) => return Ok(()),
                Err(denied) => furthest = furthest.max(denied),
            }
        }
        Err(furthest)
    }

    /// Whether it may use this channel, or this pattern of channels.
    pub fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        let allows = |selector: &Selector| selector.allows_channel(channel, is_pattern);
        self.selectors.iter().any(allows)
    }

    /// As a line of ACL LIST, without the word `user` and the name, with these hashes and without a password if the
    /// node says so instead of the log.
    pub fn describe(&self, own: Option<&PasswordHash>) -> Vec<u8> {
        let mut out = if self.enabled {
            b"on".to_vec()
        } else {
            b"off".to_vec()
        };
        if self.no_password && own.is_none() {
            out.extend_from_slice(b" nopass");
        }
        for hash in own.into_iter().chain(&self.passwords) {
            out.extend_from_slice(b" #");
            out.extend_from_slice(digits_of(hash).as_bytes());
        }
        if !self.profile.is_default() {
            out.push(b' ');
            out.extend_from_slice(self.profile.describe().as_bytes());
        }
        for (number, selector) in self.selectors.iter().enumerate() {
            out.extend_from_slice(if number == 0 { b" " } else { b" (" });
            let shown = selector.describe();
            out.extend_from_slice(&shown);
            out.extend_from_slice(if number == 0 { b"" } else { b")" });
        }
        out
    }

    /// Its password hashes as digits.
    pub fn password_digits(&self) -> impl ExactSizeIterator<Item = String> {
        self.passwords.iter().map(digits_of)
    }

    /// What it may do: the rules outside of parentheses first.
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }
}

fn judge_by(selector: &Selector, spec: &Spec, request: ArgSlice<'_>) -> Result<(), Denied> {
    // What a connection needs to log in is everybody's.
    if !spec.has(flag::NO_AUTH) && !selector.allows_command(spec, request) {
        return Err(Denied::Command);
    }
    if !selector.all_keys {
        judge_keys(selector, spec, request)?;
    }
    if selector.all_channels {
        return Ok(());
    }
    for position in spec.channels.positions.positions(request.len()) {
        if !selector.allows_channel(request.get(position), spec.channels.are_patterns) {
            return Err(Denied::Channel(position));
        }
    }
    Ok(())
}

fn judge_keys(selector: &Selector, spec: &Spec, request: ArgSlice<'_>) -> Result<(), Denied> {
    for key_use in spec.key_uses.iter().filter(|key_use| key_use.is_key()) {
        let access = key_use.access_of(spec, request);
        for position in key_use.positions(request.len(), |index| request.try_get(index)) {
            if !selector.allows_key(request.get(position), access) {
                return Err(Denied::Key(position));
            }
        }
    }
    // Who may not read every key may not let the value of one say which others are read.
    match pattern_of_keys(spec, request).filter(|_| !selector.reads_every_key()) {
        Some(position) => Err(Denied::Key(position)),
        None => Ok(()),
    }
}

impl Selector {
    /// As in a line of ACL LIST, without parentheses.
    pub(super) fn describe(&self) -> Vec<u8> {
        let mut out = self.described_keys();
        if !out.is_empty() {
            out.push(b' ');
        }
        if self.all_channels {
            out.extend_from_slice(b"&* ");
        } else {
            out.extend_from_slice(b"resetchannels ");
            for channel in &self.channels {
                out.push(b'&');
                out.extend_from_slice(&channel.text);
                out.push(b' ');
            }
        }
        out.extend_from_slice(&self.described_commands());
        out
    }

    /// Its rules on keys.
    pub fn described_keys(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let mut out = Vec::new();
        for pattern in &self.keys {
            if !out.is_empty() {
                out.push(b' ');
            }
            out.extend_from_slice(match (pattern.read, pattern.write) {
                (true, false) => b"%R~",
                (false, true) => b"%W~",
                _ => b"~",
            });
            out.extend_from_slice(&pattern.text);
        }
        out
    }

    /// Its rules on channels.
    pub fn described_channels(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        let shown: Vec<_> = self
            .channels
            .iter()
            .map(|channel| [b"&", &*channel.text].concat())
            .collect();
        shown.join(&b' ')
    }

    /// Its rules on commands.
    pub fn described_commands(&self) -> Vec<u8> {
        let mut out = if self.starts_with_all {
            b"+@all".to_vec()
        } else {
            b"-@all".to_vec()
        };
        for rule in &self.rules {
            out.extend_from_slice(if rule.allow { b" +" } else { b" -" });
            out.extend_from_slice(&rule.name);
        }
        out
    }
}
