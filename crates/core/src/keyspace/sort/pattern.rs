//! Patterns of BY and GET: a key, or a field of the hash at a key, with a place for an element.

use crate::collection::Hash;
use crate::keyspace::contexts::ReadContext;
use crate::keyspace::typed::Typed;

/// A pattern, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern<'a> {
    /// The element itself.
    Element,
    /// There is no place for an element, so there is nothing to be found.
    Nothing,
    /// The key around the element, and a field of its hash.
    Key {
        before: &'a [u8],
        behind: &'a [u8],
        field: Option<&'a [u8]>,
    },
}

impl<'a> Pattern<'a> {
    pub fn parse(text: &'a [u8]) -> Self {
        if text == b"#" {
            return Self::Element;
        }
        let Some(star) = text.iter().position(|byte| *byte == b'*') else {
            return Self::Nothing;
        };
        let (before, behind) = (&text[..star], &text[star + 1..]);
        let arrow = behind.windows(2).position(|pair| pair == b"->");
        // An arrow at the end leads to no field and belongs to the key.
        match arrow.filter(|arrow| arrow + 2 < behind.len()) {
            Some(arrow) => Self::Key {
                before,
                behind: &behind[..arrow],
                field: Some(&behind[arrow + 2..]),
            },
            None => Self::Key {
                before,
                behind,
                field: None,
            },
        }
    }

    /// Shows what it leads to from an element, or nothing where there is none, it is of another type, or it is a copy
    /// of a row of an origin, which may differ from what is there.
    pub fn with<R>(
        self,
        context: &ReadContext<'_>,
        element: &[u8],
        show: impl FnOnce(Option<&[u8]>) -> R,
    ) -> R {
        let (before, behind, field) = match self {
            Self::Element => return show(Some(element)),
            Self::Nothing => return show(None),
            Self::Key {
                before,
                behind,
                field,
            } => (before, behind, field),
        };
        let key = [before, element, behind].concat();
        match field {
            _ if context.is_row(&key) => show(None),
            None => show(context.find_string(&key).ok().flatten()),
            Some(field) => {
                let hash = context.find::<<Hash as Typed>::Ref<'_>>(&key).ok().flatten();
                show(hash.and_then(|hash| hash.get(field)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn an_arrow_leads_to_a_field_if_one_follows() {
        let parsed = |text: &str| format!("{:?}", Pattern::parse(text.as_bytes()).parts());
        for (text, expect) in [
            ("w_*", r#"("w_", "", None)"#),
            ("*->f", r#"("", "", Some("f"))"#),
            ("a*b->c->d", r#"("a", "b", Some("c->d"))"#),
            ("a*->", r#"("a", "->", None)"#),
            ("a->b*c*", r#"("a->b", "c*", None)"#),
        ] {
            assert_eq!(parsed(text), expect, "{text}");
        }
        assert_eq!(Pattern::parse(b"#"), Pattern::Element);
        assert_eq!(Pattern::parse(b"##"), Pattern::Nothing);
    }

    impl<'a> Pattern<'a> {
        fn parts(self) -> (&'a str, &'a str, Option<&'a str>) {
            let text = |bytes| std::str::from_utf8(bytes).expect("a text");
            match self {
                Self::Key {
                    before,
                    behind,
                    field,
                } => (text(before), text(behind), field.map(text)),
                _ => panic!("no key"),
            }
        }
    }
}
