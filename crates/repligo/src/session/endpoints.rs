//! Where a client is and where it connected to, as CLIENT LIST, SLOWLOG and log lines say it.

use std::net::SocketAddr;
use std::rc::Rc;

/// Both ends of a client's connection.
#[derive(Clone, Debug, Default)]
pub enum Endpoints {
    /// There is no socket behind the session.
    #[default]
    None,
    /// Over TCP.
    Internet {
        /// The client's address.
        peer: SocketAddr,
        /// The address that it connected to.
        local: SocketAddr,
    },
    /// Through the socket file at this path.
    Unix(Rc<str>),
}

impl Endpoints {
    /// The client's address; as in Redis, a client of a socket file has the file's path with port 0.
    pub fn peer(&self) -> String {
        match self {
            Self::None => "?:0".to_owned(),
            Self::Internet { peer, .. } => peer.to_string(),
            Self::Unix(path) => format!("{path}:0"),
        }
    }

    /// The address that the client connected to.
    pub fn local(&self) -> String {
        match self {
            Self::Internet { local, .. } => local.to_string(),
            Self::None | Self::Unix(_) => self.peer(),
        }
    }

    /// True for a client of a socket file.
    pub fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}
