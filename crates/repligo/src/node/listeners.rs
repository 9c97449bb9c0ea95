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
    /// Clients over TCP in plain text; `None` where TLS takes its place.
    pub client: Option<Bound>,
    /// Clients over TLS.
    pub tls: Option<Bound>,
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
        let tls = config.tls_listen.as_ref().map(|(address, _)| address);
        let plain = (tls != Some(&config.listen)).then(|| options::listen("RESP", &config.listen));
        let tls = tls.map(|address| options::listen("TLS", address));
        let admin = config
            .admin_listen
            .as_ref()
            .map(|address| options::listen("admin", address));
        Ok(Self {
            client: plain.transpose()?,
            tls: tls.transpose()?,
            unix: config.unix_socket.as_ref().map(SocketFile::bind).transpose()?,
            peer: peer.transpose()?,
            admin: admin.transpose()?,
        })
    }

    /// The addresses that were really bound.
    ///
    /// # Panics
    /// If there is no listener for clients.
    pub fn ready(&self, name: &str) -> Ready {
        let resp = self.client.as_ref().or(self.tls.as_ref());
        Ready {
            name: name.to_owned(),
            resp: resp.expect("one of the two is always there").1,
            tls: self.tls.as_ref().map(|bound| bound.1),
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
        for (listener, _) in self.client.iter().chain(&self.tls) {
            // SAFETY: the descriptor is open; shutting a listening socket down refuses its connections, also
            // through the copy that the accepting task is about to drop.
            unsafe { libc::shutdown(listener.as_raw_fd(), libc::SHUT_RDWR) };
        }
    }
}
