//! The byte stream of one client: TCP, TLS over TCP, or a Unix domain socket.
//!
//! One enum and not a trait object: the hot path reads and writes through it, and a branch costs less than
//! an indirect call.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::tls::stream::TlsStream;

/// The socket of one client.
#[derive(Debug)]
pub enum ClientStream {
    /// Over the network or loopback.
    Tcp(TcpStream),
    /// Through a socket file of this machine.
    Unix(UnixStream),
    /// Over the network, encrypted.
    Tls(Box<TlsStream>),
}

impl ClientStream {
    /// Reads once into `buffer`.
    #[inline]
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => stream.poll_read(cx, buffer),
        }
    }

    /// Writes what fits without waiting.
    #[inline]
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
            Self::Tls(stream) => stream.try_write(bytes),
        }
    }

    /// Whether bytes that were taken have not left yet: encrypted ones may wait for the socket.
    #[inline]
    pub fn has_unsent(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => false,
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
        }
    }

    /// Asks to be woken when there is room to write.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
            Self::Tls(stream) => stream.poll_write_ready(cx),
        }
    }
}

impl AsRawFd for ClientStream {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
            Self::Tls(stream) => stream.as_raw_fd(),
        }
    }
}
