//! Key patterns such as `user:{id:int}`: literal text and typed placeholders that become key columns.
//!
//! Invariant: two different keys that both fit a pattern never give the same column values, so no two
//! keys share a row. That is why every placeholder accepts one spelling of a value only.

/// Type of a placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// A signed 64-bit integer without plus sign, leading zeros or `-0`.
    Integer,
    /// One or more characters of UTF-8 without NUL.
    Text,
    /// A lower-case UUID of the form `8-4-4-4-12`.
    Uuid,
}

impl KeyKind {
    fn rule(self) -> &'static str {
        match self {
            Self::Integer => "a whole number of 64 bits without plus sign or leading zeros",
            Self::Text => "at least one character of UTF-8 without NUL",
            Self::Uuid => "a lower-case UUID such as 0e37df36-f698-11e6-8dd4-cb9ced3df976",
        }
    }
}

/// One value of a key, as it goes into a key column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPart<'a> {
    /// For [`KeyKind::Integer`].
    Integer(i64),
    /// For [`KeyKind::Text`] and [`KeyKind::Uuid`].
    Text(&'a str),
}

/// One placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placeholder {
    /// Its name in the pattern.
    pub name: String,
    /// Its type.
    pub kind: KeyKind,
    /// Literal text after it, up to the next placeholder or the end.
    literal_after: Vec<u8>,
}

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    source: String,
    prefix: Vec<u8>,
    placeholders: Vec<Placeholder>,
}

impl Pattern {
    /// Parses a pattern; the error says what to change.
    pub fn parse(source: &str) -> Result<Self, String> {
        let mut literal = Vec::new();
        let mut prefix = None;
        let mut placeholders: Vec<Placeholder> = Vec::new();
        let mut rest = source;
        while let Some(first) = rest.chars().next() {
            if rest.starts_with("{{") || rest.starts_with("}}") {
                literal.push(first as u8);
                rest = &rest[2..];
            } else if first == '}' {
                return Err(format!(
                    "pattern '{source}' has a single '}}'; write '}}}}' for a literal brace"
                ));
            } else if first == '{' {
                let (name, kind, after) = parse_placeholder(source, rest)?;
                if placeholders.iter().any(|p| p.name == name) {
                    return Err(format!("pattern '{source}' uses the placeholder '{name}' twice"));
                }
                let text = std::mem::take(&mut literal);
                match placeholders.last_mut() {
                    None => prefix = Some(text),
                    Some(_) if text.is_empty() => {
                        return Err(format!(
                            "pattern '{source}' has two placeholders side by side; put a separator between them"
                        ));
                    }
                    Some(previous) => previous.literal_after = text,
                }
                placeholders.push(Placeholder {
                    name: name.to_owned(),
                    kind,
                    literal_after: Vec::new(),
                });
                rest = after;
            } else {
                let length = first.len_utf8();
                literal.extend_from_slice(&rest.as_bytes()[..length]);
                rest = &rest[length..];
            }
        }
        let prefix = prefix.ok_or_else(|| {
            format!("pattern '{source}' has no placeholder; add one such as {{id:int}} for the primary key")
        })?;
        if prefix.is_empty() {
            return Err(format!(
                "pattern '{source}' must start with literal text, such as 'user:', so that its keys can be told apart"
            ));
        }
        if let Some(last) = placeholders.last_mut() {
            last.literal_after = literal;
        }
        Ok(Self {
            source: source.to_owned(),
            prefix,
            placeholders,
        })
    }

    /// The pattern as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Literal bytes before the first placeholder; never empty.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// The placeholders in order; at least one.
    pub fn placeholders(&self) -> &[Placeholder] {
        &self.placeholders
    }

    /// Whether a key can carry a hash tag of its client's choice: in a text, or where the pattern itself
    /// has braces around something.
    pub fn takes_hash_tag(&self) -> bool {
        let texts = self.placeholders.iter().any(|p| p.kind == KeyKind::Text);
        let literals =
            std::iter::once(&self.prefix).chain(self.placeholders.iter().map(|p| &p.literal_after));
        let mut open = false;
        let braces = literals.into_iter().any(|literal| {
            let closes = open && literal.contains(&b'}');
            open |= literal.contains(&b'{');
            closes
        });
        texts || braces
    }

    /// Hands the values of `key` to `take`, in order of the placeholders. The error says which rule the
    /// key breaks; some values may have been handed out before.
    pub fn split<'a>(&self, key: &'a [u8], mut take: impl FnMut(KeyPart<'a>)) -> Result<(), String> {
        let mut rest = key
            .strip_prefix(&self.prefix[..])
            .ok_or_else(|| "the key does not start with the literal text of the pattern".to_owned())?;
        let last = self.placeholders.len() - 1;
        for (index, placeholder) in self.placeholders.iter().enumerate() {
            let literal = &placeholder.literal_after[..];
            // The last literal is anchored at the end, the others at their first occurrence: both give
            // the only possible reading of the key, hence different keys give different values.
            let end = if index == last {
                rest.ends_with(literal).then(|| rest.len() - literal.len())
            } else {
                memchr::memmem::find(rest, literal)
            };
            let end = end.ok_or_else(|| {
                format!(
                    "'{}' is missing after {}",
                    literal.escape_ascii(),
                    placeholder.name
                )
            })?;
            let part = canonical(placeholder.kind, &rest[..end])
                .ok_or_else(|| format!("{} must be {}", placeholder.name, placeholder.kind.rule()))?;
            take(part);
            rest = &rest[end + literal.len()..];
        }
        debug_assert!(rest.is_empty());
        Ok(())
    }
}

fn parse_placeholder<'a>(source: &str, rest: &'a str) -> Result<(&'a str, KeyKind, &'a str), String> {
    let wrong = |what: &str| {
        format!("pattern '{source}' {what}; a placeholder is {{name:type}} with type int, text or uuid")
    };
    let (inside, after) = rest[1..]
        .split_once('}')
        .ok_or_else(|| wrong("has an unclosed '{'"))?;
    let (name, kind) = inside
        .split_once(':')
        .ok_or_else(|| wrong("has a placeholder without a type"))?;
    let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !named {
        return Err(wrong(
            "has a placeholder whose name is not letters, digits and '_'",
        ));
    }
    let kind = match kind {
        "int" => KeyKind::Integer,
        "text" => KeyKind::Text,
        "uuid" => KeyKind::Uuid,
        other => return Err(wrong(&format!("has the unknown type '{other}'"))),
    };
    Ok((name, kind, after))
}

fn canonical(kind: KeyKind, bytes: &[u8]) -> Option<KeyPart<'_>> {
    let text = std::str::from_utf8(bytes).ok()?;
    match kind {
        KeyKind::Integer => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let plain = digits.bytes().all(|b| b.is_ascii_digit())
                && !digits.is_empty()
                && (!digits.starts_with('0') || text == "0");
            if !plain {
                return None;
            }
            text.parse().ok().map(KeyPart::Integer)
        }
        KeyKind::Text => (!text.is_empty() && !text.contains('\0')).then_some(KeyPart::Text(text)),
        KeyKind::Uuid => {
            let shape = bytes.len() == 36
                && bytes.iter().enumerate().all(|(index, byte)| match index {
                    8 | 13 | 18 | 23 => *byte == b'-',
                    _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
                });
            shape.then_some(KeyPart::Text(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, key: &[u8], expect: Result<&[KeyPart<'_>], &str>) {
        let pattern = Pattern::parse(pattern).expect("valid pattern");
        let mut parts = Vec::new();
        match (pattern.split(key, |part| parts.push(part)), expect) {
            (Ok(()), Ok(expect)) => assert_eq!(parts, expect, "{key:?}"),
            (Err(error), Err(expect)) => assert!(error.contains(expect), "{key:?}: {error}"),
            (got, expect) => panic!("{key:?}: got {got:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn keys_are_split_into_typed_values() {
        check("user:{id:int}", b"user:7", Ok(&[KeyPart::Integer(7)]));
        check("user:{id:int}", b"user:0", Ok(&[KeyPart::Integer(0)]));
        check(
            "user:{id:int}",
            b"user:-9223372036854775808",
            Ok(&[KeyPart::Integer(i64::MIN)]),
        );
        check(
            "pkg:{name:text}",
            "pkg:größe:x".as_bytes(),
            Ok(&[KeyPart::Text("größe:x")]),
        );
        check(
            "o:{shop:text}/{id:int}.x",
            b"o:a.b/12.x",
            Ok(&[KeyPart::Text("a.b"), KeyPart::Integer(12)]),
        );
        check("a{{b}}:{t:text}", b"a{b}:{c}", Ok(&[KeyPart::Text("{c}")]));
        check(
            "s:{u:uuid}",
            b"s:0e37df36-f698-11e6-8dd4-cb9ced3df976",
            Ok(&[KeyPart::Text("0e37df36-f698-11e6-8dd4-cb9ced3df976")]),
        );
    }

    #[test]
    fn some_patterns_take_a_hash_tag() {
        for (pattern, expect) in [
            ("user:{id:int}", false),
            ("s:{u:uuid}", false),
            ("p:{name:text}", true),
            ("o:{{{user:int}}}:{n:int}", true),
            ("o:{{x:{n:int}", false),
            ("o:}}{n:int}:{{", false),
        ] {
            let parsed = Pattern::parse(pattern).expect("valid pattern");
            assert_eq!(parsed.takes_hash_tag(), expect, "{pattern}");
        }
    }

    #[test]
    fn a_value_has_one_spelling_only() {
        for key in [
            "007",
            "+7",
            "-0",
            "",
            "7 ",
            "9223372036854775808",
            "x",
            "--1",
            "-",
        ] {
            check(
                "user:{id:int}",
                format!("user:{key}").as_bytes(),
                Err("id must be a whole number"),
            );
        }
        check("t:{t:text}", b"t:", Err("at least one character"));
        check("t:{t:text}", b"t:\xff", Err("at least one character"));
        check("t:{t:text}", b"t:a\0", Err("at least one character"));
        check(
            "s:{u:uuid}",
            b"s:0E37DF36-f698-11e6-8dd4-cb9ced3df976",
            Err("lower-case UUID"),
        );
        check("o:{a:text}/{b:int}", b"o:x", Err("'/' is missing after a"));
        check("o:{a:int}/end", b"o:1", Err("'/end' is missing after a"));
    }

    #[test]
    fn unusable_patterns_are_refused_with_a_remedy() {
        for (pattern, expect) in [
            ("user:", "no placeholder"),
            ("{id:int}", "must start with literal text"),
            ("a:{x:int}{y:int}", "side by side"),
            ("a:{x:int}:{x:int}", "twice"),
            ("a:{x}", "without a type"),
            ("a:{x:float}", "unknown type 'float'"),
            ("a:{x:int", "unclosed"),
            ("a:}{x:int}", "single '}'"),
            ("a:{:int}", "name is not"),
        ] {
            let error = Pattern::parse(pattern).expect_err(pattern);
            assert!(error.contains(expect), "{pattern}: {error}");
        }
    }
}
