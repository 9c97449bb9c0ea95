//! In front of functions of Lua's libraries that take long for one instruction: what they will cost is paid before.
//!
//! A pattern is matched here once, counting, before Lua's own code matches it again; short ones on short texts are
//! let through. So what scripts get is Lua's own answer, and no pattern runs for longer than a budget.

use std::ffi::c_int;

use crate::ffi::{self, State};
use crate::lua::{Kind, Lua};
use crate::number::truncated;
use crate::trampoline::{Fail, run};

/// Longest pattern: every item of one is a call of C.
const PATTERN_BYTES_MAX: usize = 8192;
/// Comparisons that one call may make in one go: some tens of milliseconds.
const STEPS_MAX: u64 = 20_000_000;
/// Comparisons that are let through unseen.
const STEPS_FREE: f64 = 100_000.0;
/// Comparisons between two looks at the budget.
const STEPS_AT_ONCE: u64 = 4096;
/// Elements that are sorted by Lua's own code; with more a function of Lua compares, between whose instructions a
/// script can stand still.
const SORTED_AT_ONCE: usize = 4096;
/// Where the registry has that function.
pub const COMPARE: c_int = 4;
/// Captures of a pattern.
const CAPTURES_MAX: usize = 32;

/// What is guarded, by library and name.
pub const GUARDED: [(&str, &str, ffi::Function); 9] = [
    ("string", "find", find),
    ("string", "match", first),
    ("string", "gmatch", all),
    ("string", "gfind", all),
    ("string", "gsub", all),
    ("string", "rep", repeat),
    ("table", "insert", insert),
    ("table", "remove", remove),
    ("table", "sort", sort),
];

/// The same of the globals.
pub const GUARDED_GLOBALS: [(&str, ffi::Function); 2] = [("unpack", unpack), ("collectgarbage", collect)];

/// Checks, and calls what stands behind in the very same call, so that errors name it as ever.
///
/// # Safety
/// Lua calls this, as a closure over that function.
unsafe fn guard(state: *mut State, check: fn(&Lua) -> Result<c_int, Fail>) -> c_int {
    // SAFETY: Lua calls this; nothing here has a destructor when an error is raised.
    unsafe {
        let lua = Lua::new(state);
        if run(&lua, check).is_none() {
            return ffi::lua_error(state);
        }
        match ffi::lua_tocfunction(state, ffi::GLOBALS - 1) {
            Some(original) => original(state),
            None => 0,
        }
    }
}

macro_rules! guards {
    ($($name:ident => $check:expr;)*) => {
        $(unsafe extern "C-unwind" fn $name(state: *mut State) -> c_int {
            // SAFETY: only Lua calls it, as a closure over what it guards.
            unsafe { guard(state, $check) }
        })*
    };
}

guards! {
    find => check_find;
    first => |lua| check_pattern(lua, true);
    all => |lua| check_pattern(lua, false);
    insert => check_insert;
    remove => check_remove;
    sort => check_sort;
    repeat => check_repeat;
    unpack => check_unpack;
    collect => check_collect;
}

/// Nothing, however often, is nothing: Lua's own code would count to that.
fn check_repeat(lua: &Lua) -> Result<c_int, Fail> {
    if lua.is(1, Kind::String) && lua.length(1) == 0 && lua.number(2).is_some() {
        lua.set_top(1);
        lua.push_number(0.0);
    }
    Ok(0)
}

/// Lua's own check of the count overflows, and an optimizer may leave it out.
fn check_unpack(lua: &Lua) -> Result<c_int, Fail> {
    const RESULTS_MAX: f64 = 7_990.0;
    if !lua.is(1, Kind::Table) {
        return Ok(0);
    }
    let first = lua.number(2).unwrap_or(1.0);
    let last = lua.number(3).unwrap_or(lua.length(1) as f64);
    let fits = |place: f64| (-2_147_483_648.0..2_147_483_648.0).contains(&place);
    if !fits(first) || !fits(last) || last - first >= RESULTS_MAX {
        return Err(Fail::Text("too many results to unpack".to_owned()));
    }
    Ok(0)
}

/// The collector goes through all that is in use.
fn check_collect(lua: &Lua) -> Result<c_int, Fail> {
    lua.host().spend(lua.host().arena.used() >> 4);
    Ok(0)
}

fn check_insert(lua: &Lua) -> Result<c_int, Fail> {
    match lua.top() {
        3 => pay_for_move(lua, lua.number(2)),
        _ => Ok(0),
    }
}

fn check_remove(lua: &Lua) -> Result<c_int, Fail> {
    match lua.top() {
        2 => pay_for_move(lua, lua.number(2)),
        _ => Ok(0),
    }
}

/// All elements behind a place are moved.
fn pay_for_move(lua: &Lua, place: Option<f64>) -> Result<c_int, Fail> {
    if lua.is(1, Kind::Table) {
        let behind = lua.length(1) as f64 - place.unwrap_or(0.0);
        lua.host().spend(behind.clamp(0.0, 1e9) as u64);
    }
    Ok(0)
}

fn check_sort(lua: &Lua) -> Result<c_int, Fail> {
    let is_plain = lua.is(1, Kind::Table) && matches!(lua.kind(2), Kind::Absent | Kind::Nil);
    if is_plain && lua.length(1) > SORTED_AT_ONCE {
        lua.set_top(1);
        lua.get_at(ffi::REGISTRY, COMPARE);
    }
    Ok(0)
}

/// Where a search begins, as `init` says.
fn begin_of(lua: &Lua, text: &[u8]) -> usize {
    let init = lua.number(3).map_or(1, truncated);
    let length = text.len() as i64;
    let begin = if init < 0 {
        init.saturating_add(length)
    } else {
        init - 1
    };
    begin.clamp(0, length) as usize
}

fn has_specials(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| b"^$*+?.([%-".contains(byte))
}

fn check_find(lua: &Lua) -> Result<c_int, Fail> {
    let (Some(text), Some(pattern)) = (lua.bytes(1), lua.bytes(2)) else {
        return Ok(0);
    };
    if lua.boolean(4) || !has_specials(pattern) {
        // A text is looked for by its first byte, and compared wherever that is.
        let compared = text.len() as u64 * pattern.len().max(1) as u64;
        lua.host().spend(compared / 64);
        return Ok(0);
    }
    check_pattern(lua, true)
}

fn check_pattern(lua: &Lua, is_first_only: bool) -> Result<c_int, Fail> {
    let (Some(text), Some(pattern)) = (lua.bytes(1), lua.bytes(2)) else {
        return Ok(0);
    };
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(Fail::Text("pattern too complex".to_owned()));
    }
    let repeats = pattern.iter().filter(|byte| b"*+-?".contains(byte)).count() + 1;
    let is_special = pattern
        .windows(2)
        .any(|pair| pair[0] == b'%' && matches!(pair[1], b'b' | b'1'..=b'9'));
    let bound = (text.len() as f64 + 2.0).powi(repeats.min(40) as i32 + 1);
    if bound <= STEPS_FREE && !is_special {
        return Ok(0);
    }
    let begin = if is_first_only { begin_of(lua, text) } else { 0 };
    let is_anchored = pattern.first() == Some(&b'^');
    let mut matcher = Matcher {
        lua,
        text,
        pattern,
        captures: [(0, None); CAPTURES_MAX],
        level: 0,
        steps: 0,
    };
    let mut at = begin;
    while at <= text.len() {
        matcher.level = 0;
        let end = match matcher.matches(at, usize::from(is_anchored)) {
            Ok(end) => end,
            // Lua's own code says what is wrong with it.
            Err(Stop::Malformed) => return Ok(0),
            Err(Stop::TooLong) => return Err(Fail::Text("pattern too complex".to_owned())),
        };
        if is_anchored || (is_first_only && end.is_some()) {
            break;
        }
        at = end.filter(|&end| end > at).unwrap_or(at + 1);
    }
    lua.host().spend(matcher.steps % STEPS_AT_ONCE / 4);
    Ok(0)
}

/// Why matching ends without an answer.
enum Stop {
    Malformed,
    TooLong,
}

/// Matches as Lua does, and counts.
struct Matcher<'a> {
    lua: &'a Lua,
    text: &'a [u8],
    pattern: &'a [u8],
    /// Begin, and length once it is closed.
    captures: [(usize, Option<usize>); CAPTURES_MAX],
    level: usize,
    steps: u64,
}

impl Matcher<'_> {
    fn step(&mut self) -> Result<(), Stop> {
        self.steps += 1;
        if self.steps.is_multiple_of(STEPS_AT_ONCE) {
            self.lua.host().spend(STEPS_AT_ONCE / 4);
        }
        match self.steps > STEPS_MAX {
            true => Err(Stop::TooLong),
            false => Ok(()),
        }
    }

    /// Where the item that begins at `item` ends, its repetition not included.
    fn item_end(&self, item: usize) -> Result<usize, Stop> {
        let byte = |at: usize| self.pattern.get(at).copied();
        match byte(item) {
            Some(b'%') if byte(item + 1).is_some() => Ok(item + 2),
            Some(b'%') | None => Err(Stop::Malformed),
            Some(b'[') => {
                let mut at = item + 1;
                at += usize::from(byte(at) == Some(b'^'));
                // The first one is of the set, even if it would close it.
                loop {
                    match byte(at) {
                        None => return Err(Stop::Malformed),
                        Some(b'%') => at += 2,
                        Some(_) => at += 1,
                    }
                    if byte(at) == Some(b']') {
                        return Ok(at + 1);
                    }
                }
            }
            Some(_) => Ok(item + 1),
        }
    }

    fn is_one(&mut self, at: usize, item: usize, end: usize) -> Result<bool, Stop> {
        self.step()?;
        let Some(&byte) = self.text.get(at) else {
            return Ok(false);
        };
        Ok(match self.pattern[item] {
            b'.' => true,
            b'%' => is_of_class(byte, self.pattern[item + 1]),
            b'[' => is_of_set(byte, &self.pattern[item + 1..end - 1]),
            other => other == byte,
        })
    }

    /// Where a match of the pattern from `item` on ends that begins at `at`.
    fn matches(&mut self, mut at: usize, mut item: usize) -> Result<Option<usize>, Stop> {
        loop {
            let Some(&first) = self.pattern.get(item) else {
                return Ok(Some(at));
            };
            let next = self.pattern.get(item + 1).copied();
            match first {
                b'(' => return self.open(at, item),
                b')' => return self.close(at, item),
                b'$' if next.is_none() => return Ok((at == self.text.len()).then_some(at)),
                b'%' if next == Some(b'b') => match self.balanced(at, item)? {
                    Some(end) => (at, item) = (end, item + 4),
                    None => return Ok(None),
                },
                b'%' if next == Some(b'f') => {
                    let set = item + 2;
                    if self.pattern.get(set) != Some(&b'[') {
                        return Err(Stop::Malformed);
                    }
                    let end = self.item_end(set)?;
                    self.step()?;
                    let within = &self.pattern[set + 1..end - 1];
                    let before = at
                        .checked_sub(1)
                        .and_then(|at| self.text.get(at))
                        .copied()
                        .unwrap_or(0);
                    let here = self.text.get(at).copied().unwrap_or(0);
                    if is_of_set(before, within) || !is_of_set(here, within) {
                        return Ok(None);
                    }
                    item = end;
                }
                b'%' if next.is_some_and(|byte| byte.is_ascii_digit()) => {
                    match self.same_again(at, next.unwrap_or_default())? {
                        Some(end) => (at, item) = (end, item + 2),
                        None => return Ok(None),
                    }
                }
                _ => {
                    let end = self.item_end(item)?;
                    match self.pattern.get(end) {
                        Some(b'?') => {
                            if self.is_one(at, item, end)?
                                && let Some(found) = self.matches(at + 1, end + 1)?
                            {
                                return Ok(Some(found));
                            }
                            item = end + 1;
                        }
                        Some(b'*') => return self.greedy(at, (item, end), 0),
                        Some(b'+') => return self.greedy(at, (item, end), 1),
                        Some(b'-') => return self.lazy(at, (item, end)),
                        _ if self.is_one(at, item, end)? => (at, item) = (at + 1, end),
                        _ => return Ok(None),
                    }
                }
            }
        }
    }

    fn greedy(
        &mut self,
        at: usize,
        (item, end): (usize, usize),
        least: usize,
    ) -> Result<Option<usize>, Stop> {
        let mut count = 0;
        while self.is_one(at + count, item, end)? {
            count += 1;
        }
        for count in (least..=count).rev() {
            if let Some(found) = self.matches(at + count, end + 1)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn lazy(&mut self, mut at: usize, (item, end): (usize, usize)) -> Result<Option<usize>, Stop> {
        loop {
            if let Some(found) = self.matches(at, end + 1)? {
                return Ok(Some(found));
            }
            if !self.is_one(at, item, end)? {
                return Ok(None);
            }
            at += 1;
        }
    }

    fn open(&mut self, at: usize, item: usize) -> Result<Option<usize>, Stop> {
        if self.level >= CAPTURES_MAX {
            return Err(Stop::Malformed);
        }
        let is_place = self.pattern.get(item + 1) == Some(&b')');
        self.captures[self.level] = (at, is_place.then_some(0));
        self.level += 1;
        let found = self.matches(at, item + if is_place { 2 } else { 1 })?;
        if found.is_none() {
            self.level -= 1;
        }
        Ok(found)
    }

    fn close(&mut self, at: usize, item: usize) -> Result<Option<usize>, Stop> {
        let open = (0..self.level)
            .rev()
            .find(|&level| self.captures[level].1.is_none());
        let level = open.ok_or(Stop::Malformed)?;
        self.captures[level].1 = Some(at - self.captures[level].0);
        let found = self.matches(at, item + 1)?;
        if found.is_none() {
            self.captures[level].1 = None;
        }
        Ok(found)
    }

    fn balanced(&mut self, at: usize, item: usize) -> Result<Option<usize>, Stop> {
        let (Some(&open), Some(&close)) = (self.pattern.get(item + 2), self.pattern.get(item + 3)) else {
            return Err(Stop::Malformed);
        };
        if self.text.get(at) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1;
        for index in at + 1..self.text.len() {
            self.step()?;
            let byte = self.text[index];
            if byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(index + 1));
                }
            } else if byte == open {
                depth += 1;
            }
        }
        Ok(None)
    }

    fn same_again(&mut self, at: usize, digit: u8) -> Result<Option<usize>, Stop> {
        let index = usize::from(digit).wrapping_sub(usize::from(b'1'));
        let capture = self.captures[..self.level].get(index);
        let Some(&(begin, Some(length))) = capture else {
            return Err(Stop::Malformed);
        };
        self.steps += length as u64 / 16;
        self.step()?;
        let is_same = self.text.get(at..at + length) == Some(&self.text[begin..begin + length]);
        Ok(is_same.then_some(at + length))
    }
}

fn is_of_class(byte: u8, class: u8) -> bool {
    let is = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace() || byte == 0x0b,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    is != class.is_ascii_uppercase()
}

/// Whether a byte is of a set, which is given without its brackets.
fn is_of_set(byte: u8, set: &[u8]) -> bool {
    let (is_negated, set) = match set.split_first() {
        Some((b'^', rest)) => (true, rest),
        _ => (false, set),
    };
    let mut at = 0;
    let mut is_in = false;
    while at < set.len() {
        if set[at] == b'%' && at + 1 < set.len() {
            is_in |= is_of_class(byte, set[at + 1]);
            at += 2;
        } else if at + 2 < set.len() && set[at + 1] == b'-' {
            is_in |= (set[at]..=set[at + 2]).contains(&byte);
            at += 3;
        } else {
            is_in |= set[at] == byte;
            at += 1;
        }
    }
    is_in != is_negated
}
