//! What a process does to the world, and what the world asks of it beside its clients.

use repligo_core::contract::Input;
use repligo_core::replica::MemberRequest;
use repligo_core::time::Now;

use super::super::Context;
use super::super::disk::Disk;
use super::super::network::Frame;
use super::{Core, Effect, Process};

impl Process {
    /// Somebody asks for a change of the members; true if it was taken.
    pub fn change_members(&mut self, now: Now, request: &MemberRequest, context: &mut Context) -> bool {
        self.now = now;
        let Core::Running(replica) = &mut self.core else {
            return false;
        };
        let taken = replica.change_members(now, request).is_ok();
        self.step(Input::Tick, context);
        taken
    }

    pub(super) fn perform(&mut self, effect: Effect, disk: &mut Disk, context: &mut Context) {
        match effect {
            Effect::Send(send) => context.send(self.me, send.to, Frame::Core(send.message)),
            Effect::Forming(to, bytes) => context.send(self.me, to, Frame::Forming(bytes)),
            Effect::Told(to, frame) => context.send(self.me, to, frame),
            Effect::Write(job) => {
                disk.ask(job);
                context.start_disk(self.me, self.life, disk);
            }
            Effect::Reply {
                connection: id,
                bytes,
            } => {
                let slot = self.slots.get(&id).copied();
                if let Some(connection) = slot.and_then(|slot| self.connections.get_mut(slot)) {
                    connection.last_reply_at = context.reply(id, connection.last_reply_at, bytes);
                }
            }
            Effect::Close { connection: id } => {
                let slot = self.slots.get(&id).copied();
                let left = self.left(id).map_or(0, |(at, _)| at);
                if let Some(connection) = slot.and_then(|slot| self.connections.get_mut(slot)) {
                    let at = connection.last_reply_at.max(left).max(context.queue.now()) + 1;
                    let event = super::super::Event::Disconnected { connection: id };
                    context.queue.at(at, event);
                    self.close(id, context);
                }
            }
            Effect::Origin(request) => {
                let (node, life) = (self.me, self.life);
                let asked = super::super::Event::OriginAsked { node, life, request };
                context.queue.after(0, asked);
            }
        }
    }
}
