//! Judges jobs that are pushed into lists and taken by clients that wait for them: none is lost, none is delivered
//! twice, each list keeps its order, and nobody is told that there is nothing while there is something.
//!
//! A job that nobody has and that is in no list any more was taken for a client that was not told: that is an error
//! unless that client is one whose outcome is unknown. Each such client explains one lost job.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::history::Token;

/// Microseconds of virtual time.
type Micros = u64;

/// For so long after a client has gone a job may still be taken for it: until its node, or the leader, has noticed.
const LINGERS_US: Micros = 15_000_000;

/// What is left of each list in the end, the next job last, and of what was moved from it.
pub type Left = BTreeMap<(u32, bool), Vec<Token>>;

/// What a client did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Pushed jobs into lists, in this order.
    Push(Vec<(u32, Token)>),
    /// Waited for a job of the first list that has one.
    Pop {
        /// The lists.
        lists: Vec<u32>,
    },
    /// Waited for a job to be moved to a list from which nobody takes it.
    Move {
        /// From here.
        list: u32,
    },
}

/// What it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing, or that it is not known.
    Unknown,
    /// It had no effect.
    Refused,
    /// Pushed.
    Done,
    /// A job from this list.
    Got(u32, Token),
    /// There was nothing.
    Nothing,
}

/// One request about jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Who.
    pub client: u32,
    /// What.
    pub action: Action,
    /// When it was asked.
    pub invoked: Micros,
    /// When it was answered.
    pub returned: Option<Micros>,
    /// What it was told.
    pub outcome: Outcome,
}

/// A job's way in.
#[derive(Clone, Copy, Debug)]
struct Pushed {
    list: u32,
    /// Place within its request.
    position: usize,
    push: usize,
}

struct Judge<'a> {
    jobs: &'a [Job],
    left: &'a Left,
    pushed: BTreeMap<Token, Pushed>,
    taken: BTreeMap<Token, usize>,
}

/// Judges all of it; `well_from` is when all had long been well.
///
/// # Errors
/// The first broken promise.
pub fn check(jobs: &[Job], left: &Left, well_from: Micros) -> Result<(), Violation> {
    let mut judge = Judge {
        jobs,
        left,
        pushed: BTreeMap::new(),
        taken: BTreeMap::new(),
    };
    judge.note_pushes();
    judge.note_deliveries()?;
    judge.check_order()?;
    judge.check_loss()?;
    judge.check_nothing(well_from)
}

fn violation(check: &'static str, token: Token, explanation: String) -> Violation {
    Violation {
        check,
        subject: format!("job {token}"),
        explanation,
    }
}

impl Judge<'_> {
    fn note_pushes(&mut self) {
        for (push, job) in self.jobs.iter().enumerate() {
            let Action::Push(jobs) = &job.action else { continue };
            for (position, (list, token)) in jobs.iter().enumerate() {
                let pushed = Pushed {
                    list: *list,
                    position,
                    push,
                };
                self.pushed.insert(*token, pushed);
            }
        }
    }

    fn note_deliveries(&mut self) -> Result<(), Violation> {
        for (index, job) in self.jobs.iter().enumerate() {
            let Outcome::Got(list, token) = job.outcome else {
                continue;
            };
            let is_pushed = self.pushed.get(&token).is_some_and(|pushed| pushed.list == list);
            if !is_pushed {
                return Err(violation(
                    "jobs are real",
                    token,
                    format!("nobody pushed it: {job:?}"),
                ));
            }
            if let Some(before) = self.taken.insert(token, index) {
                let explanation = format!("{:?} and {job:?}", self.jobs[before]);
                return Err(violation("a job is delivered once", token, explanation));
            }
        }
        let mut seen = BTreeSet::new();
        for ((list, moved), tokens) in self.left {
            for token in tokens {
                let taker = self.taken.get(token).map(|index| &self.jobs[*index]);
                let is_moved = |job: &&Job| matches!(job.action, Action::Move { .. }) && *moved;
                if !seen.insert(*token) || taker.is_some_and(|job| !is_moved(&job)) {
                    let explanation =
                        format!("it is in list {list} (moved: {moved}) and was given to {taker:?}");
                    return Err(violation("a job is delivered once", *token, explanation));
                }
                let push = self.pushed.get(token).map(|pushed| &self.jobs[pushed.push]);
                if push.is_none_or(|push| push.outcome == Outcome::Refused) {
                    return Err(violation(
                        "jobs are real",
                        *token,
                        format!("it was refused: {push:?}"),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Of two jobs of a list, the one that was pushed first is not taken after the other one was told.
    fn check_order(&self) -> Result<(), Violation> {
        for (later, later_taken) in &self.taken {
            for (earlier, earlier_taken) in &self.taken {
                let (first, second) = (self.pushed[earlier], self.pushed[later]);
                let in_one = first.push == second.push && first.position < second.position;
                let (push, next) = (&self.jobs[first.push], &self.jobs[second.push]);
                let is_before = in_one || push.returned.is_some_and(|returned| returned < next.invoked);
                let done = push.outcome == Outcome::Done;
                let (taker, other) = (&self.jobs[*earlier_taken], &self.jobs[*later_taken]);
                let is_overtaken = other.returned.is_some_and(|returned| returned < taker.invoked);
                if first.list == second.list && is_before && (done || in_one) && is_overtaken {
                    let explanation = format!("it came after job {earlier}: {other:?}, then {taker:?}");
                    return Err(violation("jobs keep their order", *later, explanation));
                }
            }
        }
        Ok(())
    }

    /// Jobs that are nowhere, each with the list that it was pushed into and when.
    fn lost(&self) -> Vec<(Micros, Token, u32)> {
        let there: BTreeSet<Token> = self.left.values().flatten().copied().collect();
        let is_lost = |(token, pushed): &(&Token, &Pushed)| {
            let is_known = self.jobs[pushed.push].outcome == Outcome::Done;
            is_known && !there.contains(token) && !self.taken.contains_key(token)
        };
        let lost = self.pushed.iter().filter(is_lost);
        let mut lost: Vec<_> = lost
            .map(|(token, pushed)| (self.jobs[pushed.push].invoked, *token, pushed.list))
            .collect();
        lost.sort_unstable();
        lost
    }

    /// Each lost job needs a client of its own that was not told what became of its waiting.
    fn check_loss(&self) -> Result<(), Violation> {
        let mut untold: Vec<(Micros, &Job)> = Vec::new();
        for (index, job) in self.jobs.iter().enumerate() {
            if !matches!(job.action, Action::Pop { .. }) || job.outcome != Outcome::Unknown {
                continue;
            }
            let behind = self.jobs[index + 1..]
                .iter()
                .find(|next| next.client == job.client);
            let gone = job.returned.or(behind.map(|next| next.invoked));
            untold.push((gone.map_or(Micros::MAX, |gone| gone + LINGERS_US), job));
        }
        let lost = self.lost();
        let explains = |job: usize, (until, client): &(Micros, &Job)| {
            let (pushed, _, list) = &lost[job];
            pushed <= until && matches!(&client.action, Action::Pop { lists } if lists.contains(list))
        };
        let choices: Vec<Vec<usize>> = (0..lost.len())
            .map(|job| {
                (0..untold.len())
                    .filter(|client| explains(job, &untold[*client]))
                    .collect()
            })
            .collect();
        let mut explained = vec![None; untold.len()];
        for (job, (pushed, token, list)) in lost.iter().enumerate() {
            if !assign(job, &choices, (&mut explained, &mut vec![false; untold.len()])) {
                let explanation = format!("pushed into list {list} at {pushed}, and nobody has it");
                return Err(violation("no job is lost", *token, explanation));
            }
        }
        Ok(())
    }

    /// Whoever was told that there is nothing must not have had a job before it all the time.
    fn check_nothing(&self, well_from: Micros) -> Result<(), Violation> {
        let left: BTreeSet<Token> = self
            .left
            .iter()
            .filter(|((_, moved), _)| !moved)
            .flat_map(|(_, tokens)| tokens)
            .copied()
            .collect();
        for job in self.jobs.iter().filter(|job| job.outcome == Outcome::Nothing) {
            let lists = match &job.action {
                Action::Pop { lists } => lists.clone(),
                Action::Move { list } => vec![*list],
                Action::Push(_) => continue,
            };
            let Some(returned) = job.returned.filter(|_| job.invoked > well_from) else {
                continue;
            };
            for (token, pushed) in self
                .pushed
                .iter()
                .filter(|(_, pushed)| lists.contains(&pushed.list))
            {
                let push = &self.jobs[pushed.push];
                let was_there =
                    push.outcome == Outcome::Done && push.returned.is_some_and(|at| at < job.invoked);
                let taker = self.taken.get(token).map(|index| &self.jobs[*index]);
                let stays = left.contains(token) || taker.is_some_and(|taker| taker.invoked > returned);
                if was_there && stays {
                    let explanation = format!("{job:?} was told that there is nothing; taken by {taker:?}");
                    return Err(violation("nobody waits for what is there", *token, explanation));
                }
            }
        }
        Ok(())
    }
}

/// Finds a client for a lost job, if need be by giving others another one (augmenting paths, as in Kuhn's algorithm).
fn assign(
    job: usize,
    choices: &[Vec<usize>],
    (explained, seen): (&mut [Option<usize>], &mut [bool]),
) -> bool {
    for &client in &choices[job] {
        if std::mem::replace(&mut seen[client], true) {
            continue;
        }
        let is_free = match explained[client] {
            None => true,
            Some(other) => assign(other, choices, (explained, seen)),
        };
        if is_free {
            explained[client] = Some(job);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(client: u32, action: Action, (invoked, returned): (Micros, Micros), outcome: Outcome) -> Job {
        Job {
            client,
            action,
            invoked,
            returned: (returned > 0).then_some(returned),
            outcome,
        }
    }

    fn push(jobs: &[(u32, Token)], times: (Micros, Micros)) -> Job {
        job(1, Action::Push(jobs.to_vec()), times, Outcome::Done)
    }

    fn pop(client: u32, times: (Micros, Micros), outcome: Outcome) -> Job {
        job(client, Action::Pop { lists: vec![0] }, times, outcome)
    }

    fn verdict(jobs: &[Job], left: &[Token]) -> Option<&'static str> {
        let left = Left::from([((0, false), left.to_vec())]);
        check(jobs, &left, 0).err().map(|violation| violation.check)
    }

    #[test]
    fn a_sound_history_passes() {
        let jobs = [
            push(&[(0, 1), (0, 2), (0, 3)], (10, 20)),
            pop(2, (5, 30), Outcome::Got(0, 1)),
            pop(3, (6, 0), Outcome::Unknown),
            pop(4, (40, 50), Outcome::Got(0, 3)),
            pop(4, (60, 70), Outcome::Nothing),
        ];
        assert_eq!(
            verdict(&jobs, &[]),
            None,
            "the second one was taken for who was not told"
        );
    }

    #[test]
    fn each_promise_is_judged() {
        let pushes = push(&[(0, 1), (0, 2)], (10, 20));
        let got = |client, times, token| pop(client, times, Outcome::Got(0, token));
        let twice = [pushes.clone(), got(2, (30, 40), 1), got(3, (30, 40), 1)];
        assert_eq!(verdict(&twice, &[2]), Some("a job is delivered once"));
        let still_there = [pushes.clone(), got(2, (30, 40), 1)];
        assert_eq!(verdict(&still_there, &[2, 1]), Some("a job is delivered once"));
        let unreal = [pushes.clone(), got(2, (30, 40), 9)];
        assert_eq!(verdict(&unreal, &[1, 2]), Some("jobs are real"));
        let turned = [pushes.clone(), got(2, (30, 40), 2), got(2, (50, 60), 1)];
        assert_eq!(verdict(&turned, &[]), Some("jobs keep their order"));
        let told_nothing = [
            pushes.clone(),
            got(2, (30, 40), 1),
            pop(3, (5, 15), Outcome::Nothing),
        ];
        assert_eq!(verdict(&told_nothing, &[]), Some("no job is lost"));
        let there = [pushes.clone(), pop(3, (30, 40), Outcome::Nothing)];
        assert_eq!(verdict(&there, &[2, 1]), Some("nobody waits for what is there"));
        let long_gone = [
            pop(3, (1, 2), Outcome::Unknown),
            push(&[(0, 1)], (LINGERS_US + 10, LINGERS_US + 20)),
        ];
        assert_eq!(verdict(&long_gone, &[]), Some("no job is lost"));
    }
}
