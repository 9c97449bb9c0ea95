//! Images of a machine right after it has compiled a text, so that the next run of that text need not compile it.
//!
//! An image is what compiling leaves, byte for byte: whether a text is compiled or its image is restored makes no
//! difference to the script, to what it pays for, or to the bound on its memory. So replicas need not agree on
//! which texts they keep.

use std::fmt;

use crate::arena::Image;

/// What all images of a machine may take together: those of some 40 ordinary scripts.
const KEPT_BYTES_MAX: usize = 2 << 20;

/// A text, and the machine that has compiled it.
struct Compiled {
    is_library: bool,
    text: Box<[u8]>,
    image: Image,
}

impl Compiled {
    fn held_bytes(&self) -> usize {
        self.text.len() + self.image.held_bytes()
    }
}

/// See the module. The one that was used last is at the end.
#[derive(Default)]
pub(super) struct CompiledTexts {
    kept: Vec<Compiled>,
    held_bytes: usize,
}

impl fmt::Debug for CompiledTexts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} compiled texts", self.kept.len())
    }
}

impl CompiledTexts {
    /// The machine in which this text was compiled. A library and a script of the same text are different ones.
    pub(super) fn find(&mut self, is_library: bool, text: &[u8]) -> Option<&Image> {
        let is_it = |known: &Compiled| known.is_library == is_library && *known.text == *text;
        let at = self.kept.iter().rposition(is_it)?;
        self.kept[at..].rotate_left(1);
        self.kept.last().map(|known| &known.image)
    }

    /// Keeps the machine that has just compiled this text, in place of those that were not used for longest.
    pub(super) fn keep(&mut self, is_library: bool, text: &[u8], image: Image) {
        let text = text.into();
        let compiled = Compiled {
            is_library,
            text,
            image,
        };
        let bytes = compiled.held_bytes();
        if bytes > KEPT_BYTES_MAX {
            return;
        }
        self.held_bytes += bytes;
        let mut count = 0;
        while self.held_bytes > KEPT_BYTES_MAX {
            self.held_bytes -= self.kept[count].held_bytes();
            count += 1;
        }
        self.kept.drain(..count);
        self.kept.push(compiled);
    }
}
