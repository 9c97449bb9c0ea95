//! One TLS connection over TCP, without a task of its own: it moves when it is polled.
//!
//! What the socket has is read in large pieces and decrypted at once, so that a full socket costs one call
//! of the system and not one per record.
//!
//! Invariant: plain text is taken only while nothing encrypted waits to be sent, so at most one piece waits.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::Connection;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that one read asks the socket for.
const READ_BYTES: usize = 64 << 10;
/// Bytes that one record holds at most.
const RECORD_BYTES: usize = 16 << 10;
/// How long, and for how many bytes, a refused connection is heard so that it hears why.
const LINGER: Duration = Duration::from_millis(300);
const LINGER_BYTES_MAX: usize = 64 << 10;

thread_local! {
    /// What a read brings, until it is decrypted: one for all connections of the thread.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// A connection; see the module.
pub struct TlsStream {
    tcp: TcpStream,
    session: Connection,
    /// Encrypted bytes for which the last reader had no room.
    unread: Vec<u8>,
    /// The last reader's room was filled: there may be more, decrypted already.
    is_full: bool,
    /// The other side has closed the connection.
    is_over: bool,
    /// The user that the certificate of the other side names.
    user: Option<Box<[u8]>>,
}

/// A connection on its way from one thread to another; see [`TlsStream::unbind`].
pub struct UnboundTls {
    tcp: std::net::TcpStream,
    session: Connection,
    unread: Vec<u8>,
    is_full: bool,
    is_over: bool,
}

impl std::fmt::Debug for UnboundTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnboundTls")
            .field("tcp", &self.tcp)
            .finish_non_exhaustive()
    }
}

impl UnboundTls {
    /// The connection on this thread, with all that it had read and not given out. Must be called inside a runtime.
    ///
    /// # Errors
    /// The system does not let the socket be waited for.
    pub fn bind(self) -> io::Result<TlsStream> {
        Ok(TlsStream {
            tcp: TcpStream::from_std(self.tcp)?,
            session: self.session,
            unread: self.unread,
            is_full: self.is_full,
            is_over: self.is_over,
            // Its session has begun, as that user if there was one.
            user: None,
        })
    }
}

impl std::fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsStream")
            .field("tcp", &self.tcp)
            .finish_non_exhaustive()
    }
}

impl AsRawFd for TlsStream {
    fn as_raw_fd(&self) -> RawFd {
        self.tcp.as_raw_fd()
    }
}

impl TlsStream {
    /// Performs the handshake. It has no deadline of its own.
    ///
    /// # Errors
    /// The connection broke, or either side refused the other: see [`super::reason`].
    pub async fn open(tcp: TcpStream, session: Connection) -> io::Result<Self> {
        let mut stream = Self {
            tcp,
            session,
            unread: Vec::new(),
            is_full: false,
            is_over: false,
            user: None,
        };
        match std::future::poll_fn(|cx| stream.poll_handshake(cx)).await {
            Ok(()) => Ok(stream),
            Err(error) => {
                stream.linger().await;
                Err(error)
            }
        }
    }

    /// Ends the connection so that what was sent last arrives: closing a socket with unread bytes in it would
    /// take it back.
    async fn linger(&mut self) {
        let drain = async {
            let _ = self.tcp.shutdown().await;
            let mut drained = 0;
            let mut buffer = [0; 1024];
            while drained < LINGER_BYTES_MAX {
                match self.tcp.read(&mut buffer).await {
                    Ok(count) if count > 0 => drained += count,
                    _ => return,
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, drain).await;
    }

    /// The user that the certificate of the other side names, if one was set.
    pub fn user(&self) -> Option<&[u8]> {
        self.user.as_deref()
    }

    /// Sets the user that the certificate of the other side names.
    pub fn set_user(&mut self, user: Option<Vec<u8>>) {
        self.user = user.map(Vec::into_boxed_slice);
    }

    /// What rustls knows of the connection.
    pub fn session(&self) -> &Connection {
        &self.session
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.send()?;
            if self.session.wants_write() {
                ready!(self.tcp.poll_write_ready(cx))?;
                continue;
            }
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.tcp.poll_read_ready(cx))?;
            let result = SCRATCH.with_borrow_mut(|scratch| match self.tcp.try_read(scratch) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.shake(&scratch[..count]),
                Err(error) if is_transient(&error) => Ok(()),
                Err(error) => Err(error),
            });
            if let Err(error) = result {
                // The other side is told what is wrong, if the socket takes it.
                let _ = self.send();
                return Poll::Ready(Err(error));
            }
        }
    }

    /// Takes in what belongs to the handshake, and keeps what follows it.
    fn shake(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() && self.session.is_handshaking() {
            self.session.read_tls(&mut bytes)?;
            self.process()?;
        }
        self.unread.extend_from_slice(bytes);
        Ok(())
    }

    fn process(&mut self) -> io::Result<()> {
        let processed = self.session.process_new_packets();
        processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(())
    }

    /// Decrypts as much as `buffer` has room for.
    fn decrypt(&mut self, bytes: &mut &[u8], buffer: &mut ReadBuf<'_>) -> io::Result<()> {
        loop {
            while buffer.remaining() > 0 {
                // As much as a record holds: to clear all of a long buffer for each of them would take quadratic time.
                let room = buffer.initialize_unfilled_to(buffer.remaining().min(RECORD_BYTES));
                match self.session.reader().read(room) {
                    Ok(0) => {
                        self.is_over = true;
                        return Ok(());
                    }
                    Ok(count) => buffer.advance(count),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            self.is_full = buffer.remaining() == 0;
            if bytes.is_empty() || self.is_full {
                return Ok(());
            }
            self.session.read_tls(bytes)?;
            self.process()?;
        }
    }

    /// Reads once into `buffer`; nothing read means that the other side has closed.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let unread = std::mem::take(&mut self.unread);
        let mut rest = &unread[..];
        self.decrypt(&mut rest, buffer)?;
        self.unread = rest.to_vec();
        loop {
            if buffer.filled().len() > before || self.is_over {
                return Poll::Ready(Ok(()));
            }
            let result = SCRATCH.with_borrow_mut(|scratch| {
                // Asked in this way the socket is known to be empty after a short read, and is not asked again.
                let mut encrypted = ReadBuf::new(scratch);
                ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut encrypted))?;
                let mut rest = encrypted.filled();
                self.is_over |= rest.is_empty();
                let result = self.decrypt(&mut rest, buffer);
                self.unread.extend_from_slice(rest);
                Poll::Ready(result)
            });
            let result = ready!(result);
            // Answers of the protocol itself: alerts, new keys.
            let sent = self.send();
            result.and(sent)?;
        }
    }

    /// Encrypts and sends what fits without waiting; see [`Self::has_unsent`] for what was taken and did not
    /// leave. Nothing to send sends only that.
    ///
    /// # Errors
    /// `WouldBlock` when nothing was taken because earlier bytes still wait; else the connection is broken.
    pub fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send()?;
        if self.session.wants_write() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.session.writer().write_vectored(slices)?;
        self.send()?;
        Ok(count)
    }

    /// As [`Self::try_write_vectored`].
    ///
    /// # Errors
    /// The same.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write_vectored(&[IoSlice::new(bytes)])
    }

    /// Takes the socket out of this thread's runtime; the state of the encryption goes with it.
    ///
    /// # Errors
    /// The system refuses; the connection is closed then.
    pub fn unbind(self) -> io::Result<UnboundTls> {
        Ok(UnboundTls {
            tcp: self.tcp.into_std()?,
            session: self.session,
            unread: self.unread,
            is_full: self.is_full,
            is_over: self.is_over,
        })
    }

    /// Whether encrypted bytes wait for the socket.
    pub fn has_unsent(&self) -> bool {
        self.session.wants_write()
    }

    /// Asks to be woken when there is room to write.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp.poll_write_ready(cx)
    }

    /// Asks to be woken when the socket has something to read.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_full || !self.unread.is_empty() || self.is_over {
            return Poll::Ready(Ok(()));
        }
        self.tcp.poll_read_ready(cx)
    }

    /// Sends what is encrypted, as far as the socket takes it.
    fn send(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Unbuffered(&self.tcp)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// The socket as rustls writes to it.
struct Unbuffered<'a>(&'a TcpStream);

impl io::Write for Unbuffered<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            // Nearly always: to send one piece is the cheaper call of the system.
            [one] => self.0.try_write(one),
            _ => self.0.try_write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().poll_read(cx, buffer)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        loop {
            match stream.try_write_vectored(&[IoSlice::new(bytes)]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(stream.tcp.poll_write_ready(cx))?;
                }
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        loop {
            stream.send()?;
            if !stream.has_unsent() {
                return Poll::Ready(Ok(()));
            }
            ready!(stream.tcp.poll_write_ready(cx))?;
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.send_close_notify();
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}
