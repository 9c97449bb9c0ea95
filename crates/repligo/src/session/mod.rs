//! Commands that a node answers of itself: the handshake, CLIENT, CONFIG, INFO, SLOWLOG and other introspection.
//!
//! What a session does with data commands, and in which order, is `crates/session`. What is here sees its own
//! session, and the node through a [`NodeView`]: it knows no socket, no replica and no worker.

mod acl;
mod acl_log;
mod backup;
mod client;
mod endpoints;
mod errors;
mod guard;
mod handshake;
mod info;
mod logins;
mod members;
mod monitor;
mod parameters;
mod server;
mod slowlog;
mod view;

use repligo_core::time::Now;
use repligo_proto::command::{CommandId, Spec};
use repligo_proto::reply::ReplyWriter;
use repligo_proto::resp::ArgSlice;
use repligo_session::{Call, Flow, Session};

pub use acl::{is_open, own_password, password_hash};
pub use backup::{BackupAnswer, BackupRequest};
pub use endpoints::Endpoints;
pub use errors::ErrorStats;
pub use guard::{Denial, Guard, audit_users, note_denial};
pub use monitor::monitored_line;
pub use parameters::{Limits, OutputLimit, Parameters};
pub use slowlog::{Slow, Slowlog, kept_arguments};
pub use view::{Client, MemoryUse, NodeView, Socket};

/// A command that is answered here.
pub struct Local<'a> {
    session: &'a mut Session,
    socket: Socket<'a>,
    node: &'a mut dyn NodeView,
    spec: &'static Spec,
}

impl<'a> Local<'a> {
    /// Answers a command of this session, whose socket is so; appends the reply.
    pub fn answer(
        (session, socket): (&'a mut Session, Socket<'a>),
        node: &'a mut dyn NodeView,
        call: Call<'_>,
        out: &mut Vec<u8>,
    ) -> Flow {
        let mut local = Local {
            session,
            socket,
            node,
            spec: call.spec,
        };
        local.dispatch(call.request, out)
    }

    fn dispatch(&mut self, request: ArgSlice<'_>, out: &mut Vec<u8>) -> Flow {
        use CommandId as Id;
        match self.spec.id {
            Id::Hello => return handshake::hello(self, request, out),
            Id::Auth => return handshake::auth(self, request, out),
            Id::Reset => handshake::reset(self, out),
            Id::ClientList | Id::ClientInfo | Id::ClientId | Id::ClientGetName | Id::ClientSetName => {
                client::describe(self, request, out)
            }
            Id::ClientSetInfo | Id::ClientNoEvict | Id::ClientNoTouch => client::change(self, request, out),
            Id::ClientPause => monitor::pause(self, request, out),
            Id::ClientUnpause => monitor::unpause(self, out),
            Id::Monitor => monitor::monitor(self, out),
            Id::ClientUnblock => client::unblock(self, request, out),
            Id::ClientKill => return client::kill(self, request, out),
            Id::ConfigGet => parameters::get(self, request, out),
            Id::ConfigSet => parameters::set(self, request, out),
            Id::Info => info::info(self, request, out),
            Id::RepligoBackup => return backup::dispatch(self, request, out),
            id if acl::answers(id) => acl::dispatch(self, request, out),
            _ => server::dispatch(self, request, out),
        }
        Flow::Done
    }

    fn now(&self) -> Now {
        self.node.now()
    }

    fn own(&self) -> Client<'_> {
        Client {
            session: self.session,
            socket: self.socket,
        }
    }

    fn reply<'b>(&self, out: &'b mut Vec<u8>) -> ReplyWriter<'b> {
        self.session.reply(out)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
