//! Elements that come and go: sets and lists to which unique elements are added and from which they are popped.
//!
//! Each element is added by one request and never again, so no search is needed. It is at most in one place: popped
//! once, or there at the end. An element of an acknowledged request that is nowhere was taken by a pop of unknown outcome,
//! so there are no more of these than such pops could take. Where elements come in at one end and leave at the other
//! alone, of two that came one after the other the first one leaves first.

use std::collections::BTreeMap;

use super::Violation;
use crate::history::{Outcome, Token};

const CHECK: &str = "elements";

/// One request and what came of it. Times as in [`crate::history::Operation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When it was asked.
    pub invoked: u64,
    /// When the answer came.
    pub returned: Option<u64>,
    /// Elements that it adds; none if it pops.
    pub adds: Vec<Token>,
    /// How many it pops at most.
    pub pops_max: usize,
    /// Elements that it was told of as popped come as a list.
    pub outcome: Outcome,
}

impl Step {
    /// End of the interval in which it took effect, if it did.
    fn end(&self) -> u64 {
        match self.outcome {
            Outcome::Unknown => u64::MAX,
            _ => self.returned.unwrap_or(u64::MAX),
        }
    }
}

/// Judges one group of keys between which elements move: all steps, what was there at the end, by key, and whether
/// it is a queue.
///
/// # Errors
/// The first broken rule.
pub fn check(name: &str, steps: &[Step], left: &[Vec<Token>], is_queue: bool) -> Result<(), Violation> {
    let fail = |explanation: String| {
        Err(Violation {
            check: CHECK,
            subject: name.to_owned(),
            explanation,
        })
    };
    let mut added: BTreeMap<Token, &Step> = BTreeMap::new();
    for step in steps {
        added.extend(step.adds.iter().map(|token| (*token, step)));
    }
    let mut gone: BTreeMap<Token, Option<&Step>> = BTreeMap::new();
    let popped = steps.iter().filter_map(|step| match &step.outcome {
        Outcome::List(tokens) => Some((Some(step), tokens)),
        _ => None,
    });
    for (pop, tokens) in popped.chain(left.iter().map(|tokens| (None, tokens))) {
        for token in tokens {
            let Some(add) = added.get(token) else {
                return fail(format!("nobody added {token}"));
            };
            if add.outcome == Outcome::Refused {
                return fail(format!("{token} was refused and is there: {add:?}"));
            }
            if pop.is_some_and(|pop| pop.end() < add.invoked) {
                return fail(format!(
                    "{token} was popped before it was added: {pop:?}, {add:?}"
                ));
            }
            if let Some(before) = gone.insert(*token, pop) {
                return fail(format!("{token} is twice: {before:?} and {pop:?}"));
            }
        }
    }
    let is_unknown = |step: &&Step| step.outcome == Outcome::Unknown;
    let takes: usize = steps.iter().filter(is_unknown).map(|step| step.pops_max).sum();
    let is_lost = |(token, add): &(&Token, &&Step)| add.outcome == Outcome::Ok && !gone.contains_key(token);
    let lost: Vec<Token> = added.iter().filter(is_lost).map(|(token, _)| *token).collect();
    if lost.len() > takes {
        return fail(format!(
            "lost: {lost:?}, and pops of unknown outcome took at most {takes}"
        ));
    }
    match is_queue {
        true => check_order(name, &added, &gone, left),
        false => Ok(()),
    }
}

fn check_order(
    name: &str,
    added: &BTreeMap<Token, &Step>,
    gone: &BTreeMap<Token, Option<&Step>>,
    left: &[Vec<Token>],
) -> Result<(), Violation> {
    let fail = |first: Token, second: Token| {
        Err(Violation {
            check: CHECK,
            subject: name.to_owned(),
            explanation: format!(
                "{first} came before {second}, yet leaves after it: {:?}, {:?}, {:?}; left: {left:?}",
                added[&first], added[&second], gone[&second]
            ),
        })
    };
    // Elements of one request come in their order, too.
    let before = |one: Token, other: Token| {
        let (first, second) = (added[&one], added[&other]);
        first.end() < second.invoked || (std::ptr::eq(first, second) && one < other)
    };
    for tokens in left {
        for (index, later) in tokens.iter().enumerate() {
            if let Some(earlier) = tokens[..index].iter().find(|earlier| before(*later, **earlier)) {
                return fail(*later, *earlier);
            }
        }
    }
    let popped: Vec<(Token, &Step)> = gone
        .iter()
        .filter_map(|(token, pop)| Some((*token, (*pop)?)))
        .collect();
    for (one, pop) in &popped {
        // Who is still there came later than who is gone, or at the same time.
        if let Some(kept) = left.iter().flatten().find(|kept| before(**kept, *one)) {
            return fail(*kept, *one);
        }
        let overtaken = popped
            .iter()
            .find(|(other, later)| pop.end() < later.invoked && before(*other, *one));
        if let Some((other, _)) = overtaken {
            return fail(*other, *one);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Step, check};
    use crate::history::{Outcome, Token};

    fn add(invoked: u64, adds: &[Token], outcome: Outcome) -> Step {
        Step {
            invoked,
            returned: Some(invoked + 1),
            adds: adds.to_vec(),
            pops_max: 0,
            outcome,
        }
    }

    fn pop(invoked: u64, pops_max: usize, outcome: Outcome) -> Step {
        Step {
            pops_max,
            ..add(invoked, &[], outcome)
        }
    }

    #[test]
    fn elements_are_in_one_place_and_not_lost() {
        let accepts = |steps: &[Step], left: &[Token]| check("k", steps, &[left.to_vec()], false).is_ok();
        let added = add(1, &[1, 2], Outcome::Ok);
        let popped = |tokens: &[Token]| pop(5, 2, Outcome::List(tokens.to_vec()));
        assert!(accepts(std::slice::from_ref(&added), &[2, 1]));
        assert!(accepts(&[added.clone(), popped(&[2])], &[1]));
        assert!(!accepts(&[added.clone(), popped(&[2])], &[1, 2]));
        assert!(!accepts(&[added.clone(), popped(&[2]), popped(&[2])], &[1]));
        assert!(!accepts(&[added.clone(), popped(&[2])], &[]));
        assert!(accepts(&[added.clone(), pop(5, 1, Outcome::Unknown)], &[1]));
        assert!(!accepts(&[added.clone(), pop(5, 1, Outcome::Unknown)], &[]));
        assert!(!accepts(std::slice::from_ref(&added), &[1, 2, 3]));
        assert!(!accepts(&[add(1, &[1], Outcome::Refused)], &[1]));
        assert!(accepts(&[add(1, &[1], Outcome::Unknown)], &[1]));
        assert!(!accepts(&[add(8, &[1], Outcome::Ok), popped(&[1])], &[]));
    }

    #[test]
    fn a_queue_keeps_its_order() {
        let steps = |pops: [Token; 2]| {
            [
                add(1, &[1], Outcome::Ok),
                add(3, &[2, 3], Outcome::Ok),
                pop(5, 1, Outcome::List(vec![pops[0]])),
                pop(7, 1, Outcome::List(vec![pops[1]])),
            ]
        };
        let accepts = |pops, left: &[Token]| check("k", &steps(pops), &[left.to_vec()], true).is_ok();
        assert!(accepts([1, 2], &[3]));
        assert!(!accepts([2, 1], &[3]));
        assert!(!accepts([1, 3], &[2]));
        let two = [add(1, &[1], Outcome::Ok), add(3, &[2], Outcome::Ok)];
        assert!(check("k", &two, &[vec![1, 2]], true).is_ok());
        assert!(check("k", &two, &[vec![2, 1]], true).is_err());
    }
}
