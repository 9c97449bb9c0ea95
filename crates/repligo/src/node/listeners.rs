//! The sockets on which a node listens: bound before the directory is touched, so that a port in use is told
//! while nothing has changed.

use std::net::{SocketAddr, TcpListener};

use super::{NodeConfig, NodeError, Ready};
use crate::net::options;
use crate::net::unix::SocketFile;

/// A listener and the address that it has.
pub type Bound = (TcpListener, SocketAddr);

/// The sockets of a node.
pub struct Listeners {
    /// Clients over TCP.
    pub client: Bound,
    /// Clients of this machine.
    pub unix: Option<SocketFile>,
    /// Other nodes; `None` on a single node.
    pub peer: Option<Bound>,
    /// Admin HTTP; `None` when it is off.
    pub admin: Option<Bound>,
}

impl Listeners {
    /// Binds all of them.
    ///
    /// # Errors
    /// [`NodeError::Listen`] of the first that cannot be bound, with what to do.
    pub fn bind(config: &NodeConfig, is_cluster: bool) -> Result<Self, NodeError> {
        let peer = is_cluster.then(|| options::listen("peer", &config.peer_listen));
        let admin = config
            .admin_listen
            .as_ref()
            .map(|address| options::listen("admin", address));
        Ok(Self {
            client: options::listen("RESP", &config.listen)?,
            unix: config.unix_socket.as_ref().map(SocketFile::bind).transpose()?,
            peer: peer.transpose()?,
            admin: admin.transpose()?,
        })
    }

    /// The addresses that were really bound.
    pub fn ready(&self, name: &str) -> Ready {
        Ready {
            name: name.to_owned(),
            resp: self.client.1,
            peer: self.peer.as_ref().map(|bound| bound.1),
            admin: self.admin.as_ref().map(|bound| bound.1),
            pid: std::process::id(),
        }
    }

    /// New clients are refused by the kernel from now on.
    pub fn close_clients(&mut self) {
        use std::os::fd::AsRawFd;
        if let Some(file) = &self.unix {
            file.close();
        }
        // SAFETY: the descriptor is open; shutting a listening socket down refuses its connections, also
        // through the copy that the accepting task is about to drop.
        unsafe { libc::shutdown(self.client.0.as_raw_fd(), libc::SHUT_RDWR) };
    }
}
