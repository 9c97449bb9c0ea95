//! Sockets: listeners, client connections, peer links.
