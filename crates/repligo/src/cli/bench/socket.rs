//! The socket of a client of the generator: plain or encrypted, and never waited for.
//!
//! Invariant: as with a plain socket, a read that gives less than it was asked for has emptied the socket.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;
use rustls::ClientConnection;

use crate::cli::tls::{ClientSide, Stream};

/// A socket; see the module.
pub enum Socket {
    /// Bytes as they are.
    Plain(TcpStream),
    /// TLS.
    Tls(Box<Encrypted>),
}

/// A socket and the session over it, whose handshake may be under way.
pub struct Encrypted {
    tcp: TcpStream,
    session: ClientConnection,
}

impl Socket {
    /// A connection that was made and greeted elsewhere.
    ///
    /// # Errors
    /// The system refuses it.
    pub fn of(stream: Stream) -> io::Result<Self> {
        match stream {
            Stream::Plain(tcp) => {
                tcp.set_nonblocking(true)?;
                Ok(Self::Plain(TcpStream::from_std(tcp)))
            }
            Stream::Tls(stream) => {
                let (session, tcp) = (stream.conn, stream.sock);
                tcp.set_nonblocking(true)?;
                let tcp = TcpStream::from_std(tcp);
                Ok(Self::Tls(Box::new(Encrypted { tcp, session })))
            }
        }
    }

    /// A connection that is being made; with TLS if it is said how, to the server of this address.
    ///
    /// # Errors
    /// The address names no host.
    pub fn made(tcp: TcpStream, tls: Option<(&ClientSide, &str)>) -> io::Result<Self> {
        match tls {
            None => Ok(Self::Plain(tcp)),
            Some((side, address)) => {
                let session = side.begin(address)?;
                Ok(Self::Tls(Box::new(Encrypted { tcp, session })))
            }
        }
    }

    /// The socket as the system knows it.
    pub fn tcp(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(stream) => &mut stream.tcp,
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    /// Sends what waits inside, as far as the socket takes it.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.send(),
        }
    }
}

impl Encrypted {
    /// Sends what is encrypted, as far as the socket takes it.
    fn send(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.tcp) {
                Ok(_) => {}
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            // The session takes little at a time, and nothing while what it took waits.
            taken += self.session.writer().write(&bytes[taken..])?;
            self.send()?;
            if taken == bytes.len() || self.session.wants_write() || self.session.is_handshaking() {
                break;
            }
        }
        match taken {
            0 if !bytes.is_empty() => Err(ErrorKind::WouldBlock.into()),
            _ => Ok(taken),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.session.reader().read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => {
                    filled += count;
                    continue;
                }
                Err(error) if is_later(&error) => {}
                Err(_) if filled > 0 => break,
                Err(error) => return Err(error),
            }
            match self.session.read_tls(&mut self.tcp) {
                Ok(_) => {
                    self.session.process_new_packets().map_err(io::Error::other)?;
                    // An answer of the handshake.
                    self.send()?;
                }
                Err(error) if is_later(&error) && filled == 0 => return Err(error),
                Err(error) if is_later(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
