//! The bytes of a HyperLogLog, as Redis has them: 16 bytes in front, then 16384 registers, dense or sparse.
//!
//! Dense are 6 bits for each register, the lowest ones first. Sparse are runs: `00xxxxxx` for up to 64 registers that
//! are zero, `01xxxxxx xxxxxxxx` for up to 16384 of them, `1vvvvvxx` for up to 4 with one value of up to 32. Which bytes
//! a change leaves is part of the format: the same elements in the same order make the same bytes as in Redis.

use std::ops::Range;

/// Registers of a sketch.
pub(super) const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of a hash that say which register an element counts in.
pub(super) const INDEX_BITS: u32 = 14;
const REGISTER_BITS: usize = 6;
const HEAD_BYTES: usize = 16;
const MAGIC: &[u8; 4] = b"HYLL";
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const DENSE_BYTES: usize = HEAD_BYTES + REGISTERS * REGISTER_BITS / 8;
/// A sparse sketch that would become longer becomes a dense one.
const SPARSE_BYTES_MAX: usize = 3000;
/// Runs cover one register at least, in two bytes at most.
const RUNS_BYTES_MAX: usize = 2 * REGISTERS;
/// Where the cached count is, its lowest byte first; the highest bit says that it is none.
const CACHE: Range<usize> = 8..HEAD_BYTES;
const NO_CACHE: u8 = 1 << 7;

/// Greatest value, and longest run of it, in a sparse sketch.
const VALUE_MAX: u8 = 32;
const VALUE_RUN_MAX: usize = 4;
/// Longest run of zeros in one byte.
const ZEROS_MAX: usize = 64;

/// Why bytes are no sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSketch {
    /// They do not begin as one does.
    Other,
    /// They begin as one does, and their registers are none.
    Corrupt,
}

/// A run of equal registers in a sparse sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    value: u8,
    registers: usize,
    /// Of its encoding.
    bytes: usize,
}

impl Run {
    /// The run that begins there.
    fn at(bytes: &[u8], at: usize) -> Result<Self, NoSketch> {
        let first = *bytes.get(at).ok_or(NoSketch::Corrupt)?;
        Ok(match first >> 6 {
            0 => Self {
                value: 0,
                registers: usize::from(first) + 1,
                bytes: 1,
            },
            1 => Self {
                value: 0,
                registers: (usize::from(first & 0x3f) << 8
                    | usize::from(*bytes.get(at + 1).ok_or(NoSketch::Corrupt)?))
                    + 1,
                bytes: 2,
            },
            _ => Self {
                value: (first >> 2 & 0x1f) + 1,
                registers: usize::from(first & 3) + 1,
                bytes: 1,
            },
        })
    }

    /// Appends a run of zeros.
    fn put_zeros(out: &mut Vec<u8>, registers: usize) {
        match registers {
            0 => {}
            1..=ZEROS_MAX => out.push(registers as u8 - 1),
            _ => out.extend_from_slice(&[0x40 | ((registers - 1) >> 8) as u8, (registers - 1) as u8]),
        }
    }

    /// Appends a run of up to [`VALUE_RUN_MAX`] registers with one value.
    fn put_value(out: &mut Vec<u8>, value: u8, registers: usize) {
        if registers > 0 {
            out.push(0x80 | (value - 1) << 2 | (registers - 1) as u8);
        }
    }
}

/// A sketch to be changed.
#[derive(Clone, Debug)]
pub(super) struct Sketch(Vec<u8>);

impl Sketch {
    /// Of no elements.
    pub fn new() -> Self {
        let mut bytes = vec![0; HEAD_BYTES];
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[MAGIC.len()] = SPARSE;
        Run::put_zeros(&mut bytes, REGISTERS);
        Self(bytes)
    }

    /// What a string holds.
    ///
    /// # Errors
    /// If it is no sketch by its first bytes and its length.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoSketch> {
        if bytes.len() < HEAD_BYTES || !bytes.starts_with(MAGIC) {
            return Err(NoSketch::Other);
        }
        match bytes[MAGIC.len()] {
            DENSE if bytes.len() == DENSE_BYTES => Ok(Self(bytes.to_vec())),
            SPARSE if bytes.len() > HEAD_BYTES + RUNS_BYTES_MAX => Err(NoSketch::Corrupt),
            SPARSE => Ok(Self(bytes.to_vec())),
            _ => Err(NoSketch::Other),
        }
    }

    /// The bytes of the string.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn is_dense(&self) -> bool {
        self.0[MAGIC.len()] == DENSE
    }

    /// The count that was computed before, unless the sketch was changed since.
    pub fn cached(&self) -> Option<u64> {
        let bytes = self.0[CACHE].try_into().expect("it is eight bytes long");
        let count = u64::from_le_bytes(bytes);
        (count >> 56 & u64::from(NO_CACHE) == 0).then_some(count)
    }

    pub fn cache(&mut self, count: u64) {
        self.0[CACHE].copy_from_slice(&count.to_le_bytes());
    }

    /// The cached count is no longer right.
    pub fn forget_cached(&mut self) {
        self.0[CACHE.end - 1] |= NO_CACHE;
    }

    /// Shows the value of each run of registers, and how many they are.
    ///
    /// # Errors
    /// If there are more or fewer than [`REGISTERS`].
    pub fn for_each_run(&self, mut show: impl FnMut(u8, usize)) -> Result<(), NoSketch> {
        if self.is_dense() {
            (0..REGISTERS).for_each(|index| show(self.dense(index), 1));
            return Ok(());
        }
        let (mut at, mut registers) = (HEAD_BYTES, 0);
        while at < self.0.len() {
            let run = Run::at(&self.0, at)?;
            registers += run.registers;
            if registers > REGISTERS {
                return Err(NoSketch::Corrupt);
            }
            show(run.value, run.registers);
            at += run.bytes;
        }
        match registers {
            REGISTERS => Ok(()),
            _ => Err(NoSketch::Corrupt),
        }
    }

    /// Raises a register to a value; true if it was lower.
    ///
    /// # Errors
    /// If a sparse sketch has no such register.
    pub fn raise(&mut self, index: usize, value: u8) -> Result<bool, NoSketch> {
        if self.is_dense() {
            let is_lower = self.dense(index) < value;
            if is_lower {
                self.set_dense(index, value);
            }
            return Ok(is_lower);
        }
        self.raise_sparse(index, value)
    }

    /// Makes a sparse sketch dense.
    ///
    /// # Errors
    /// If its registers are none.
    pub fn make_dense(&mut self) -> Result<(), NoSketch> {
        if self.is_dense() {
            return Ok(());
        }
        let mut dense = Self(vec![0; DENSE_BYTES]);
        dense.0[..HEAD_BYTES].copy_from_slice(&self.0[..HEAD_BYTES]);
        dense.0[MAGIC.len()] = DENSE;
        let mut index = 0;
        self.for_each_run(|value, registers| {
            if value > 0 {
                (index..index + registers).for_each(|index| dense.set_dense(index, value));
            }
            index += registers;
        })?;
        *self = dense;
        Ok(())
    }

    fn dense(&self, index: usize) -> u8 {
        let (at, shift) = (HEAD_BYTES + index * REGISTER_BITS / 8, index * REGISTER_BITS % 8);
        let above = self.0.get(at + 1).copied().unwrap_or(0);
        (u16::from_le_bytes([self.0[at], above]) >> shift) as u8 & 0x3f
    }

    fn set_dense(&mut self, index: usize, value: u8) {
        let (at, shift) = (HEAD_BYTES + index * REGISTER_BITS / 8, index * REGISTER_BITS % 8);
        let above = self.0.get(at + 1).copied().unwrap_or(0);
        let both = u16::from_le_bytes([self.0[at], above]) & !(0x3f << shift) | u16::from(value) << shift;
        let [low, high] = both.to_le_bytes();
        self.0[at] = low;
        if let Some(above) = self.0.get_mut(at + 1) {
            *above = high;
        }
    }

    fn raise_sparse(&mut self, index: usize, value: u8) -> Result<bool, NoSketch> {
        if value > VALUE_MAX {
            return self.raise_promoted(index, value);
        }
        let (mut at, mut first, mut before) = (HEAD_BYTES, 0, None);
        let run = loop {
            let run = Run::at(&self.0, at)?;
            if index < first + run.registers {
                break run;
            }
            before = Some(at);
            at += run.bytes;
            first += run.registers;
        };
        if run.value >= value {
            return Ok(false);
        }
        let (in_front, behind) = (index - first, first + run.registers - 1 - index);
        let mut runs = Vec::with_capacity(5);
        if run.value == 0 {
            Run::put_zeros(&mut runs, in_front);
            Run::put_value(&mut runs, value, 1);
            Run::put_zeros(&mut runs, behind);
        } else {
            Run::put_value(&mut runs, run.value, in_front);
            Run::put_value(&mut runs, value, 1);
            Run::put_value(&mut runs, run.value, behind);
        }
        let grown = self.0.len() + runs.len() - run.bytes;
        if runs.len() > run.bytes && grown > SPARSE_BYTES_MAX {
            return self.raise_promoted(index, value);
        }
        self.0.splice(at..at + run.bytes, runs);
        self.merge_runs(before.unwrap_or(HEAD_BYTES));
        self.forget_cached();
        Ok(true)
    }

    fn raise_promoted(&mut self, index: usize, value: u8) -> Result<bool, NoSketch> {
        self.make_dense()?;
        self.raise(index, value)
    }

    /// Joins runs of one value from the one that begins there on; Redis looks at five.
    fn merge_runs(&mut self, mut at: usize) {
        const LOOKS: usize = 5;
        for _ in 0..LOOKS {
            let (Ok(run), next) = (Run::at(&self.0, at), at + 1) else {
                return;
            };
            let next = Run::at(&self.0, next).ok().filter(|_| run.value > 0);
            let joined = next
                .filter(|next| next.value == run.value && next.registers + run.registers <= VALUE_RUN_MAX);
            match joined {
                Some(next) => {
                    let mut both = Vec::with_capacity(1);
                    Run::put_value(&mut both, run.value, run.registers + next.registers);
                    self.0.splice(at..at + 2, both);
                }
                None => at += run.bytes,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(sketch: &Sketch) -> Vec<(u8, usize)> {
        let mut runs = Vec::new();
        let judged = sketch.for_each_run(|value, registers| runs.push((value, registers)));
        judged.expect("it is a sketch");
        runs
    }

    #[test]
    fn runs_are_split_and_joined() {
        let mut sketch = Sketch::new();
        assert_eq!(runs(&sketch), [(0, REGISTERS)]);
        assert_eq!(sketch.raise(100, 3), Ok(true));
        assert_eq!(runs(&sketch), [(0, 100), (3, 1), (0, REGISTERS - 101)]);
        assert_eq!(sketch.raise(101, 3), Ok(true));
        assert_eq!(sketch.raise(102, 3), Ok(true));
        assert_eq!(runs(&sketch), [(0, 100), (3, 3), (0, REGISTERS - 103)]);
        assert_eq!(sketch.raise(101, 2), Ok(false));
        assert_eq!(sketch.raise(101, 9), Ok(true));
        assert_eq!(
            runs(&sketch),
            [(0, 100), (3, 1), (9, 1), (3, 1), (0, REGISTERS - 103)]
        );
        assert_eq!(sketch.raise(0, 1), Ok(true));
        assert_eq!(sketch.raise(REGISTERS - 1, 32), Ok(true));
        assert_eq!(runs(&sketch).first(), Some(&(1, 1)));
        assert_eq!(runs(&sketch).last(), Some(&(32, 1)));
    }

    #[test]
    fn a_dense_sketch_has_the_registers_of_the_sparse_one() {
        let mut sketch = Sketch::new();
        let mut expect = vec![0_u8; REGISTERS];
        for number in 0..2000_usize {
            let (index, value) = (number * 7919 % REGISTERS, (number % 32 + 1) as u8);
            expect[index] = expect[index].max(value);
            sketch.raise(index, value).expect("it is a sketch");
            assert!(sketch.is_dense() || sketch.0.len() <= SPARSE_BYTES_MAX);
        }
        assert!(sketch.is_dense());
        sketch.raise(REGISTERS - 1, 51).expect("it is a sketch");
        expect[REGISTERS - 1] = 51;
        assert!((0..REGISTERS).all(|index| sketch.dense(index) == expect[index]));
        assert_eq!(sketch.cached(), None);
        sketch.cache(7);
        assert_eq!(sketch.cached(), Some(7));
    }

    #[test]
    fn registers_that_are_none_are_noticed() {
        let sketch = |runs: &[u8]| {
            let head = [&b"HYLL\x01\0\0\0"[..], &[0; 8], runs].concat();
            Sketch::parse(&head).expect("it begins as a sketch does")
        };
        for runs in [
            &b""[..],
            b"\x7f",
            b"\x7f\xfe",
            b"\x7f\xff\x00",
            b"\x7f\xff\x7f\xff",
            b"\x00\x7f\xff",
        ] {
            let corrupt = Err(NoSketch::Corrupt);
            assert_eq!(sketch(runs).for_each_run(|_, _| ()), corrupt, "{runs:?}");
            assert_eq!(sketch(runs).make_dense(), corrupt);
        }
        assert_eq!(sketch(b"").raise(0, 1), Err(NoSketch::Corrupt));
        assert_eq!(
            sketch(b"\x7f\xfe").raise(REGISTERS - 1, 1),
            Err(NoSketch::Corrupt)
        );
        assert_eq!(sketch(b"\x7f\xff").for_each_run(|_, _| ()), Ok(()));
        for other in [
            &b"HYLL"[..],
            b"HYLK\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff",
            &[b'x'; 20],
        ] {
            assert_eq!(Sketch::parse(other).err(), Some(NoSketch::Other));
        }
    }
}
