//! The runner of the golden scripts: text, commands, a cluster under full control, and its trace.
//!
//! A script is replayed into a new text: lines of the author are kept, lines of the trace (they begin
//! with two blanks) are replaced by what happened. So comparing and updating are the same operation.

mod calls;
mod commands;
mod describe;
mod disk;
mod lifecycle;
mod network;
mod node;
mod origin;
mod world;

use self::world::World;

/// What is not in a script.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// A planted bug, to see whether a script notices it.
    #[cfg(feature = "bugs")]
    pub planted: Option<repligo_core::bugs::Bug>,
    /// Bugs in what is sent to the origin.
    #[cfg(feature = "bugs")]
    pub of_origin: repligo_core::origin::plan::Bugs,
}

/// What a line of a command begins with.
const COMMAND: &str = "> ";
/// What a line of the trace begins with.
const TRACE: &str = "  ";

/// The sentence that a script shows.
pub fn theorem(script: &str) -> &str {
    script.lines().next().unwrap_or_default()
}

/// The script with the trace that its commands give now.
///
/// # Errors
/// The line and what is wrong with it, if the script itself is.
pub fn replay(script: &str, settings: Settings) -> Result<String, String> {
    let mut world = World::new(settings);
    let mut replayed = String::new();
    for (number, line) in script.lines().enumerate() {
        if line.starts_with(TRACE) {
            continue;
        }
        replayed += line;
        replayed.push('\n');
        let Some(command) = line.strip_prefix(COMMAND) else {
            continue;
        };
        commands::execute(&mut world, command)
            .map_err(|wrong| format!("line {}: {command}: {wrong}", number + 1))?;
        for traced in world.take_trace() {
            replayed += &format!("{TRACE}{traced}\n");
        }
    }
    Ok(replayed)
}

/// Both texts line by line, with what they share around the differences.
pub fn difference(expected: &str, got: &str) -> String {
    const AROUND: usize = 2;
    let (left, right): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), got.lines().collect());
    let lines = align(&left, &right);
    let mut shown = String::new();
    let mut skipping = false;
    for (at, (mark, line)) in lines.iter().enumerate() {
        let near = &lines[at.saturating_sub(AROUND)..(at + AROUND + 1).min(lines.len())];
        if near.iter().all(|(mark, _)| *mark == ' ') {
            skipping = true;
            continue;
        }
        if std::mem::take(&mut skipping) {
            shown += "    ...\n";
        }
        shown += &format!("  {mark} {line}\n");
    }
    shown
}

/// A longest common subsequence, as lines marked `-`, `+` or blank.
fn align<'a>(left: &[&'a str], right: &[&'a str]) -> Vec<(char, &'a str)> {
    let mut common = vec![vec![0u32; right.len() + 1]; left.len() + 1];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            common[i][j] = if left[i] == right[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < left.len() || j < right.len() {
        if i < left.len() && j < right.len() && left[i] == right[j] {
            lines.push((' ', left[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == right.len() || (i < left.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(('-', left[i]));
            i += 1;
        } else {
            lines.push(('+', right[j]));
            j += 1;
        }
    }
    lines
}

#[test]
fn a_difference_shows_what_changed_and_a_little_around_it() {
    let (expected, got) = ("a\nb\nc\nd\ne\nf\n", "a\nb\nc\nd\nx\nf\n");
    assert_eq!(
        difference(expected, got),
        "    ...\n    c\n    d\n  - e\n  + x\n    f\n"
    );
    assert_eq!(difference(expected, expected), "");
}
