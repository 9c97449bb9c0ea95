//! A MULTI … EXEC block in slices: its commands one after the other, each as a task of its own where it may be long.

use bytes::Bytes;
use repligo_proto::reply::ReplyWriter;

use super::{Task, steps_of};
use crate::contract::Failure;
use crate::keyspace::{Keyspace, ScriptRights};
use crate::op::Item;

/// A MULTI … EXEC block.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) source: Bytes,
    pub(super) items: Bytes,
    pub(super) at: usize,
    pub(super) index: usize,
    pub(super) count: usize,
    pub(super) begun: bool,
    pub(super) current: Option<Task>,
    pub(super) failures: Vec<Failure>,
    /// By what its scripts are judged.
    pub(super) rights: Option<Box<ScriptRights>>,
}

impl Keyspace {
    pub(super) fn advance_block(
        &mut self,
        block: &mut Block,
        steps: &mut usize,
        reply: &mut ReplyWriter<'_>,
        locals: &mut dyn FnMut(usize, &mut ReplyWriter<'_>),
    ) -> bool {
        if !std::mem::replace(&mut block.begun, true) {
            reply.array(block.count);
        }
        loop {
            if let Some(task) = &mut block.current {
                if !self.advance(task, steps, reply, locals) {
                    return false;
                }
                block.current = None;
            }
            if block.index == block.count {
                return true;
            }
            if *steps == 0 {
                return false;
            }
            let source = block.items.clone();
            let mut rest = &source[block.at..];
            let item = Item::take(&mut rest).expect("checked when the block was decoded");
            let bytes = source.len() - block.at - rest.len();
            block.at += bytes;
            let index = block.index;
            block.index += 1;
            *steps = steps.saturating_sub(steps_of(bytes));
            match item {
                Item::Local => locals(index, reply),
                Item::Command(command) if self.may_be_long(&command) => {
                    self.name_inner(&command);
                    let is_skipped = reply.is_discard() && !command.is_write();
                    block.current = (!is_skipped).then(|| {
                        let mut task = Self::begin(&command, &block.source);
                        if let Some(rights) = &block.rights {
                            task.set_rights(rights);
                        }
                        task
                    });
                }
                Item::Command(command) => {
                    self.name_inner(&command);
                    let before = reply.position();
                    self.apply(&command, reply);
                    let written = reply.written_since(before);
                    if written.first() == Some(&b'-') {
                        block.failures.push((index as u32, written.into()));
                    }
                    *steps = steps.saturating_sub(command.further_keys() + self.take_work_steps());
                }
            }
        }
    }
}
