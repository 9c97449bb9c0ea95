//! Calls of the origin on their way: executed at once, or when the script says so.

use repligo_core::contract::{Input, PeerId};
use repligo_core::origin::{OriginEvent, OriginRequest};

use super::node::Missed;
use super::world::World;
use super::{describe, origin};

impl World {
    /// A leader calls.
    pub(super) fn on_origin_asked(&mut self, peer: PeerId, request: OriginRequest) {
        let what = describe::origin_request(&request);
        if self.origin.held {
            let caller = (peer, self.nodes[&peer].incarnation);
            let call = self.origin.keep(caller, request);
            return self.say(format_args!("n{peer} asks the origin, call {call}: {what}"));
        }
        let event = self.origin.execute(&request);
        self.say(format_args!(
            "origin: {what} of n{peer}: {}",
            describe::origin_event(&event)
        ));
        self.step(peer, Input::Origin(event));
    }

    /// Executes a call that was held; whoever can hear it hears it.
    pub fn do_call(&mut self, number: u64) -> Result<(), String> {
        let call = self.origin.calls.remove(&number).ok_or("no such call waits")?;
        let event = self.origin.execute(&call.request);
        let (peer, life) = call.caller;
        let hears =
            !call.broken && self.nodes[&peer].incarnation == life && self.nodes[&peer].replica.is_some();
        let heard = if hears { "" } else { ", nobody hears it" };
        self.say(format_args!(
            "origin: call {number}: {}{heard}",
            describe::origin_event(&event)
        ));
        if hears {
            self.answer_call(peer, event);
        }
        Ok(())
    }

    /// The connection of a call breaks; the origin may still execute it later.
    pub fn break_call(&mut self, number: u64) -> Result<(), String> {
        let call = self.origin.calls.get_mut(&number).ok_or("no such call waits")?;
        call.broken = true;
        let (peer, event) = (call.caller.0, origin::broken(&call.request));
        self.answer_call(peer, event);
        Ok(())
    }

    fn answer_call(&mut self, peer: PeerId, event: OriginEvent) {
        if self.nodes[&peer].frozen {
            self.node(peer).missed.push(Missed::Origin(event));
        } else {
            self.step(peer, Input::Origin(event));
        }
        self.settle();
    }
}
