//! Glob patterns as KEYS, SCAN, CONFIG GET and COMMAND LIST of Redis match them.
//!
//! `?` is any byte, `*` any run of bytes, `[abc]`, `[^a]` and `[a-z]` classes, and a backslash makes the
//! next byte literal, inside classes too. Oddities of Redis that hold here as well: a class that is not
//! closed ends with the pattern; the bounds of a range may be in either order and compare as signed
//! bytes; a lone backslash at the end is literal.
//!
//! A pattern is compiled once per command, so that a class costs the same however long its text is. It
//! falls apart at its stars into segments of elements that each take exactly one byte: the first and the last
//! segment have their place in the text, the others are searched one behind the other, the leftmost place
//! being as good as any. A segment without `?` and classes is searched in linear time (Knuth, Morris and
//! Pratt 1977); one with them may take its length times that of the text. Compiling and matching count
//! what they do and stop when it is as much as the caller allows, to go on later.
//!
//! What is compiled is up to [`COMPILED_PER_BYTE_MAX`] times as long as the pattern. So callers refuse patterns of
//! more than [`PATTERN_BYTES_MAX`], and count [`Glob::memory_bytes`] where they count what a request holds.

/// A class or a literal byte is more than a byte, so elements are numbers: 0 to 255 are that byte.
type Element = u32;
const ANY: Element = 256;
/// The class `[]`: no byte.
const NEVER: Element = 257;
const FIRST_CLASS: Element = 258;

/// What classes hold, a bit per byte.
type Bitmap = [u64; 4];

/// Bytes of a pattern of a client, at most.
pub const PATTERN_BYTES_MAX: usize = 64 << 10;
/// Bytes of memory that one byte of a pattern comes to, at most: every other one can begin a segment, a place in two
/// lists belongs to each element, and a list that grows has up to twice the room that it needs.
pub const COMPILED_PER_BYTE_MAX: usize = 32;

#[derive(Clone, Copy, Debug)]
struct Segment {
    start: usize,
    end: usize,
    /// No element but bytes.
    is_literal: bool,
}

/// A class that is being read.
#[derive(Clone, Copy, Debug)]
struct OpenClass {
    negated: bool,
    bitmap: Bitmap,
}

/// A compiled pattern, or as much of it as has been compiled; see the module.
#[derive(Clone, Debug, Default)]
pub struct Glob {
    elements: Vec<Element>,
    classes: Vec<Bitmap>,
    /// The first and the last one may be empty; there is a star between any two.
    segments: Vec<Segment>,
    /// Per element of a literal segment: how many elements before it are also the segment's first ones.
    borders: Vec<u32>,
    /// Bytes of the pattern that are compiled.
    at: usize,
    open: Option<OpenClass>,
    is_compiled: bool,
    /// Where the search for borders is: segment and element.
    border_at: (usize, usize),
}

/// How far the comparison with one text has come. A new one begins at its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    segment: usize,
    /// Where in the text the present segment begins, or, if it is a literal one, the next byte.
    at: usize,
    /// Elements of the present segment that fit.
    fitting: usize,
}

impl Glob {
    /// The whole pattern at once.
    pub fn new(pattern: &[u8]) -> Self {
        let mut glob = Self::default();
        let mut unbounded = usize::MAX;
        let is_done = glob.compile(pattern, &mut unbounded);
        assert!(is_done, "the work is not bounded here");
        glob
    }

    /// Bytes of memory of what is compiled so far.
    pub fn memory_bytes(&self) -> usize {
        self.elements.capacity() * size_of::<Element>()
            + self.classes.capacity() * size_of::<Bitmap>()
            + self.segments.capacity() * size_of::<Segment>()
            + self.borders.capacity() * size_of::<u32>()
    }

    /// Compiles on, always with the same pattern; every byte and element takes one off `work`, which
    /// ends this at 0. True when all is compiled.
    pub fn compile(&mut self, pattern: &[u8], work: &mut usize) -> bool {
        if self.is_compiled {
            return true;
        }
        if self.segments.is_empty() {
            self.begin_segment();
        }
        while self.at < pattern.len() {
            if *work == 0 {
                return false;
            }
            *work -= 1;
            self.at += match self.open {
                Some(_) => self.read_class(&pattern[self.at..]),
                None => self.read_element(&pattern[self.at..]),
            };
        }
        self.close_class();
        self.is_compiled = self.find_borders(work);
        self.is_compiled
    }

    /// Compares on with a text, always the same one; every comparison takes one off `work`, which ends
    /// this at 0. Whether the pattern matches all of the text, once that is known.
    ///
    /// # Panics
    /// If the pattern is not compiled.
    pub fn advance(&self, text: &[u8], progress: &mut Progress, work: &mut usize) -> Option<bool> {
        assert!(self.is_compiled, "a pattern is compiled before it is compared");
        let last = self.segments.len() - 1;
        let fits = if last == 0 {
            text.len() == self.elements.len()
        } else {
            text.len() >= self.elements.len()
        };
        if !fits {
            return Some(false);
        }
        let tail = self.segments[last].end - self.segments[last].start;
        // What the first and the last segment leave for the others.
        let middle_end = if last == 0 { text.len() } else { text.len() - tail };
        while progress.segment <= last {
            let number = progress.segment;
            let segment = self.segments[number];
            let found = if number == 0 {
                self.compare_at(segment, (text, 0), progress, work)
            } else if number == last {
                self.compare_at(segment, (text, middle_end), progress, work)
            } else if segment.is_literal {
                self.search_literal(segment, &text[..middle_end], progress, work)
            } else {
                self.search(segment, &text[..middle_end], progress, work)
            };
            if !found? {
                return Some(false);
            }
            if number == 0 {
                progress.at = segment.end - segment.start;
            }
            progress.segment += 1;
            progress.fitting = 0;
        }
        Some(true)
    }

    /// True if the pattern matches all of `text`, however long that takes.
    pub fn matches(&self, text: &[u8]) -> bool {
        let (mut progress, mut unbounded) = (Progress::default(), usize::MAX);
        self.advance(text, &mut progress, &mut unbounded) == Some(true)
    }

    fn begin_segment(&mut self) {
        let start = self.elements.len();
        self.segments.push(Segment {
            start,
            end: start,
            is_literal: true,
        });
    }

    fn push(&mut self, element: Element) {
        self.elements.push(element);
        let end = self.elements.len();
        if let Some(segment) = self.segments.last_mut() {
            segment.end = end;
            segment.is_literal &= element < ANY;
        }
    }

    /// Reads what is not inside a class; how many bytes that took.
    fn read_element(&mut self, pattern: &[u8]) -> usize {
        let (element, taken) = match pattern {
            [b'*', ..] => {
                // A star behind a star adds nothing.
                let is_first = self.segments.len() == 1;
                if is_first || self.segments.last().is_some_and(|last| last.start < last.end) {
                    self.begin_segment();
                }
                return 1;
            }
            [b'[', rest @ ..] => {
                let negated = rest.first() == Some(&b'^');
                self.open = Some(OpenClass {
                    negated,
                    bitmap: [0; 4],
                });
                return 1 + usize::from(negated);
            }
            [b'?', ..] => (ANY, 1),
            [b'\\', literal, ..] => (Element::from(*literal), 2),
            [literal, ..] => (Element::from(*literal), 1),
            [] => return 0,
        };
        self.push(element);
        taken
    }

    /// Reads one member of the open class, or its end; how many bytes that took.
    fn read_class(&mut self, pattern: &[u8]) -> usize {
        let Some(OpenClass { bitmap, .. }) = &mut self.open else {
            return 0;
        };
        match *pattern {
            [b'\\', literal, ..] => {
                add(bitmap, literal, literal);
                2
            }
            [b']', ..] => {
                self.close_class();
                1
            }
            [from, b'-', to, ..] => {
                let (from, to) = ((from as i8).min(to as i8), (from as i8).max(to as i8));
                if from < 0 && to >= 0 {
                    add(bitmap, from as u8, u8::MAX);
                    add(bitmap, 0, to as u8);
                } else {
                    add(bitmap, from as u8, to as u8);
                }
                3
            }
            [literal, ..] => {
                add(bitmap, literal, literal);
                1
            }
            [] => 0,
        }
    }

    fn close_class(&mut self) {
        let Some(OpenClass { negated, bitmap }) = self.open.take() else {
            return;
        };
        let bitmap = if negated { bitmap.map(|word| !word) } else { bitmap };
        let element = match bitmap.iter().map(|word| word.count_ones()).sum() {
            0 => NEVER,
            1 => only(&bitmap),
            256 => ANY,
            _ => {
                self.classes.push(bitmap);
                FIRST_CLASS + self.classes.len() as Element - 1
            }
        };
        self.push(element);
    }

    /// Where a search in a literal segment goes on when it fails; false if `work` ends before.
    fn find_borders(&mut self, work: &mut usize) -> bool {
        let (number, at) = &mut self.border_at;
        while let Some(segment) = self.segments.get(*number) {
            let elements = &self.elements[segment.start..segment.end];
            let first = segment.start;
            while *at < elements.len() {
                if *work == 0 {
                    return false;
                }
                *work -= 1;
                let mut border = 0;
                if *at > 0 && segment.is_literal {
                    border = self.borders[first + *at - 1] as usize;
                    while border > 0 && elements[border] != elements[*at] {
                        *work = work.saturating_sub(1);
                        border = self.borders[first + border - 1] as usize;
                    }
                    border += usize::from(elements[border] == elements[*at]);
                }
                self.borders.push(border as u32);
                *at += 1;
            }
            *number += 1;
            *at = 0;
        }
        true
    }

    #[inline]
    fn accepts(&self, element: Element, byte: u8) -> bool {
        match element {
            ..ANY => element == Element::from(byte),
            ANY => true,
            NEVER => false,
            class => has(&self.classes[(class - FIRST_CLASS) as usize], byte),
        }
    }

    /// Compares a segment that has its place in the text, where it fits in.
    fn compare_at(
        &self,
        segment: Segment,
        (text, start): (&[u8], usize),
        progress: &mut Progress,
        work: &mut usize,
    ) -> Option<bool> {
        let elements = &self.elements[segment.start..segment.end];
        while let Some(&element) = elements.get(progress.fitting) {
            if *work == 0 {
                return None;
            }
            *work -= 1;
            if !self.accepts(element, text[start + progress.fitting]) {
                return Some(false);
            }
            progress.fitting += 1;
        }
        Some(true)
    }

    /// Searches the leftmost place of a segment; `at` then stands behind it.
    fn search(
        &self,
        segment: Segment,
        text: &[u8],
        progress: &mut Progress,
        work: &mut usize,
    ) -> Option<bool> {
        let elements = &self.elements[segment.start..segment.end];
        while progress.at + elements.len() <= text.len() {
            if *work == 0 {
                return None;
            }
            *work -= 1;
            if self.accepts(elements[progress.fitting], text[progress.at + progress.fitting]) {
                progress.fitting += 1;
                if progress.fitting == elements.len() {
                    progress.at += elements.len();
                    return Some(true);
                }
            } else {
                progress.at += 1;
                progress.fitting = 0;
            }
        }
        Some(false)
    }

    /// As [`Glob::search`], without looking at a byte of the text twice.
    fn search_literal(
        &self,
        segment: Segment,
        text: &[u8],
        progress: &mut Progress,
        work: &mut usize,
    ) -> Option<bool> {
        let elements = &self.elements[segment.start..segment.end];
        let borders = &self.borders[segment.start..segment.end];
        while progress.at + elements.len() <= text.len() + progress.fitting {
            if *work == 0 {
                return None;
            }
            *work -= 1;
            if elements[progress.fitting] == Element::from(text[progress.at]) {
                progress.at += 1;
                progress.fitting += 1;
                if progress.fitting == elements.len() {
                    return Some(true);
                }
            } else if progress.fitting == 0 {
                progress.at += 1;
            } else {
                progress.fitting = borders[progress.fitting - 1] as usize;
            }
        }
        Some(false)
    }
}

/// Adds all bytes from `first` to `last`, as unsigned numbers; takes the same few operations however many these are.
fn add(bitmap: &mut Bitmap, first: u8, last: u8) {
    for (number, word) in (0u32..).zip(bitmap) {
        let (start, end) = (64 * number, 64 * number + 63);
        let (first, last) = (u32::from(first).max(start), u32::from(last).min(end));
        if first <= last {
            *word |= (u64::MAX << (first - start)) & (u64::MAX >> (end - last));
        }
    }
}

/// The byte of a class of one.
fn only(bitmap: &Bitmap) -> Element {
    let mut words = (0u32..).zip(bitmap);
    let found = words.find(|(_, word)| **word != 0);
    found.map_or(NEVER, |(number, word)| 64 * number + word.trailing_zeros())
}

fn has(bitmap: &Bitmap, byte: u8) -> bool {
    bitmap[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
}

/// True if `pattern` matches nothing but itself, so that a lookup can replace a scan.
pub fn is_literal(pattern: &[u8]) -> bool {
    memchr::memchr3(b'*', b'?', b'[', pattern).is_none() && memchr::memchr(b'\\', pattern).is_none()
}

#[cfg(test)]
#[path = "glob_tests.rs"]
mod tests;
