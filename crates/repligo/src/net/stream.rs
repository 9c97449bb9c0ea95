//! The byte stream of one client: TCP, TLS over TCP, a Unix domain socket, or one of these on an I/O thread.
//!
//! One enum and not a trait object: the hot path reads and writes through it, and a branch costs less than
//! an indirect call.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use repligo_session::exchange::Socket;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::io::remote::RemoteStream;
use crate::tls::stream::{TlsStream, UnboundTls};

/// The socket of one client.
#[derive(Debug)]
pub enum ClientStream {
    /// Over the network or loopback.
    Tcp(TcpStream),
    /// Through a socket file of this machine.
    Unix(UnixStream),
    /// Over the network, encrypted.
    Tls(Box<TlsStream>),
    /// The socket is on an I/O thread.
    Remote(Box<RemoteStream>),
}

/// The socket of a client on its way from one thread to another, without a runtime.
#[derive(Debug)]
pub enum Unbound {
    /// See [`ClientStream::Tcp`].
    Tcp(std::net::TcpStream),
    /// See [`ClientStream::Unix`].
    Unix(std::os::unix::net::UnixStream),
    /// See [`ClientStream::Tls`].
    Tls(Box<UnboundTls>),
}

impl Unbound {
    /// The stream on this thread. Must be called inside a runtime.
    ///
    /// # Errors
    /// The system does not let the socket be waited for.
    pub fn bind(self) -> io::Result<ClientStream> {
        Ok(match self {
            Self::Tcp(stream) => ClientStream::Tcp(TcpStream::from_std(stream)?),
            Self::Unix(stream) => ClientStream::Unix(UnixStream::from_std(stream)?),
            Self::Tls(stream) => ClientStream::Tls(Box::new(stream.bind()?)),
        })
    }
}

impl ClientStream {
    /// The user that the client's certificate names.
    pub fn certified_user(&self) -> Option<&[u8]> {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Remote(_) => None,
            Self::Tls(stream) => stream.user(),
        }
    }

    /// Reads once into `buffer`.
    #[inline]
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => stream.poll_read(cx, buffer),
            Self::Remote(stream) => stream.poll_read(buffer),
        }
    }

    /// Writes what fits without waiting.
    #[inline]
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
            Self::Tls(stream) => stream.try_write(bytes),
            Self::Remote(stream) => stream.try_write(bytes),
        }
    }

    /// Whether bytes that were taken have not left yet: encrypted ones may wait for the socket.
    #[inline]
    pub fn has_unsent(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Remote(_) => false,
            Self::Tls(stream) => stream.has_unsent(),
        }
    }

    /// Sends bytes that were taken before; true when all have left.
    #[cold]
    pub fn send_unsent(&mut self) -> io::Result<bool> {
        match self.try_write(&[]) {
            Ok(_) => Ok(!self.has_unsent()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Asks to be woken when there is something to read.
    #[inline]
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
            Self::Tls(stream) => stream.poll_read_ready(cx),
            Self::Remote(stream) => stream.poll_read_ready(),
        }
    }

    /// Asks to be woken when there is room to write.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
            Self::Tls(stream) => stream.poll_write_ready(cx),
            Self::Remote(stream) => stream.poll_write_ready(),
        }
    }

    /// Takes the socket out of this thread's runtime.
    ///
    /// # Errors
    /// The system refuses; the socket is closed then. Nor can one be taken that is on an I/O thread.
    pub fn unbind(self) -> io::Result<Unbound> {
        Ok(match self {
            Self::Tcp(stream) => Unbound::Tcp(stream.into_std()?),
            Self::Unix(stream) => Unbound::Unix(stream.into_std()?),
            Self::Tls(stream) => Unbound::Tls(Box::new(stream.unbind()?)),
            Self::Remote(_) => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    /// What this thread knows of the socket if it is on an I/O thread.
    pub fn remote(&self) -> Option<&RemoteStream> {
        match self {
            Self::Remote(stream) => Some(stream),
            _ => None,
        }
    }

    /// As [`Self::remote`].
    pub fn remote_mut(&mut self) -> Option<&mut RemoteStream> {
        match self {
            Self::Remote(stream) => Some(stream),
            _ => None,
        }
    }

    /// Whether it is encrypted.
    pub fn is_tls(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => false,
            Self::Tls(_) => true,
            Self::Remote(stream) => stream.is_tls(),
        }
    }
}

impl Socket for ClientStream {
    type Unbound = Unbound;

    fn bind(socket: Unbound) -> io::Result<Self> {
        socket.bind()
    }

    fn unbind(self) -> io::Result<Unbound> {
        ClientStream::unbind(self)
    }

    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let result = ClientStream::poll_read(self, cx, &mut buffer);
        result.map_ok(|()| buffer.filled().len())
    }

    #[inline]
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ClientStream::poll_read_ready(self, cx)
    }

    #[inline]
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        ClientStream::try_write(self, bytes)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ClientStream::poll_write_ready(self, cx)
    }

    #[inline]
    fn has_unsent(&self) -> bool {
        ClientStream::has_unsent(self)
    }

    fn send_unsent(&mut self) -> io::Result<bool> {
        ClientStream::send_unsent(self)
    }
}

impl AsRawFd for ClientStream {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
            Self::Tls(stream) => stream.as_raw_fd(),
            Self::Remote(stream) => stream.as_raw_fd(),
        }
    }
}
