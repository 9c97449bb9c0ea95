//! How often everything was copied to no end.
//!
//! A source that breaks the connection while its snapshot is written, and remembers too little to go on, does the same
//! to the next copy.

use crate::cli::failure::Failure;

/// Full copies behind each other to no end, after which there is no other one.
const IN_VAIN_MAX: u32 = 3;

/// See the module.
#[derive(Debug, Default)]
pub struct Copies {
    /// Behind which nobody has caught up with what came.
    in_vain: u32,
}

impl Copies {
    /// Everything was copied.
    pub fn copied(&mut self) {
        self.in_vain += 1;
    }

    /// All that has come is applied, and the connection holds.
    pub fn caught_up(&mut self) {
        self.in_vain = 0;
    }

    /// The connection broke. Whether another copy may help.
    ///
    /// # Errors
    /// It would not.
    pub fn broken(&self, source: &str, why: &str) -> Result<(), Failure> {
        if self.in_vain < IN_VAIN_MAX {
            return Ok(());
        }
        Err(Failure::new(
            format!(
                "{source}: {why}; everything was copied {} times, and each time it broke before what came meanwhile \
                 was applied",
                self.in_vain
            ),
            "let the source hold more for the tool: CONFIG SET client-output-buffer-limit \"replica 0 0 0\", and a larger \
             repl-backlog-size",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_to_no_end_are_bounded_and_others_are_not() {
        let mut copies = Copies::default();
        for _ in 0..2 * IN_VAIN_MAX {
            copies.copied();
            copies
                .broken("s", "it broke")
                .expect("the copy before was of use");
            copies.caught_up();
        }
        for _ in 1..IN_VAIN_MAX {
            copies.copied();
            copies.broken("s", "it broke").expect("too few to judge");
        }
        copies.copied();
        let failure = copies
            .broken("s", "it broke")
            .expect_err("as often as is allowed");
        assert!(
            failure.remedy.contains("client-output-buffer-limit"),
            "{}",
            failure.remedy
        );
    }
}
