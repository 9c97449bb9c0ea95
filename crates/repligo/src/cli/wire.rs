//! A small blocking RESP2 client for the tools: one connection, requests out, replies in.
//!
//! Not the published client: it has no pool, no retries and no routing. After any error the connection is
//! of no use, because replies could be matched to the wrong requests; drop it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use repligo_proto::resp::{ReplyDecoder, Value, encode_request};

use super::tls::{ClientSide, Stream};

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The address cannot be looked up or nobody listens there.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// As given.
        address: String,
        /// From the system.
        source: std::io::Error,
    },
    /// The connection broke or timed out; what was sent may or may not have been executed.
    #[error("the connection broke: {0}")]
    Broken(#[from] std::io::Error),
    /// The other side does not speak RESP.
    #[error("the answer is not RESP: {0}")]
    Protocol(String),
    /// The node answered with an error where the tool needs a result.
    #[error("the node answered: {0}")]
    Refused(String),
}

/// Said of an answer in HTTP.
pub const HTTP: &str = "it is HTTP";
/// Said of an answer in TLS.
pub const TLS: &str = "it is TLS";

/// Which other protocol an answer is in, where its first bytes say so.
fn foreign(answer: &[u8]) -> Option<&'static str> {
    match answer {
        [b'H', b'T', b'T', b'P', b'/', ..] => Some(HTTP),
        // An alert or a handshake, of a version from 3.0 on.
        [0x15 | 0x16, 3, ..] => Some(TLS),
        _ => None,
    }
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    decoder: ReplyDecoder,
    out: Vec<u8>,
    buffer: Vec<u8>,
    consumed: usize,
    timeout: Duration,
}

impl Connection {
    /// Connects; `timeout` holds for connecting and for each reply.
    ///
    /// # Errors
    /// The address cannot be looked up or nobody listens there.
    pub fn open(address: &str, timeout: Duration) -> Result<Connection, WireError> {
        Self::open_with(address, timeout, None)
    }

    /// As [`Connection::open`], over TLS if it is said how.
    ///
    /// # Errors
    /// As [`Connection::open`], or the handshake failed.
    pub fn open_with(
        address: &str,
        timeout: Duration,
        tls: Option<&ClientSide>,
    ) -> Result<Connection, WireError> {
        let failed = |source| WireError::Connect {
            address: address.to_string(),
            source,
        };
        let mut last = std::io::Error::new(ErrorKind::NotFound, "the name has no address");
        for candidate in address.to_socket_addrs().map_err(failed)? {
            match TcpStream::connect_timeout(&candidate, timeout) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_write_timeout(Some(timeout))?;
                    stream.set_read_timeout(Some(timeout))?;
                    let stream = match tls {
                        None => Stream::Plain(stream),
                        Some(tls) => tls.connect(stream, address).map_err(failed)?,
                    };
                    return Ok(Connection {
                        stream,
                        decoder: ReplyDecoder::new(),
                        out: Vec::new(),
                        buffer: Vec::new(),
                        consumed: 0,
                        timeout,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }

    /// Adds a request to those that leave with the next [`Connection::flush`].
    pub fn push<A: AsRef<[u8]>>(&mut self, arguments: &[A]) {
        encode_request(&mut self.out, arguments);
    }

    /// Sends what was pushed.
    ///
    /// # Errors
    /// The connection broke.
    pub fn flush(&mut self) -> Result<(), WireError> {
        let sent = self
            .stream
            .write_all(&self.out)
            .and_then(|()| self.stream.flush());
        self.out.clear();
        Ok(sent?)
    }

    /// The next reply, errors included; pushes of RESP3 are skipped.
    ///
    /// # Errors
    /// The connection broke, timed out, or does not speak RESP.
    pub fn receive(&mut self) -> Result<Value, WireError> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let rest = &self.buffer[self.consumed..];
            let decoded = self.decoder.decode(rest);
            match decoded
                .map_err(|error| WireError::Protocol(foreign(rest).map_or(error.to_string(), Into::into)))?
            {
                Some((Value::Push(_), length)) => self.consumed += length,
                Some((value, length)) => {
                    self.consumed += length;
                    return Ok(value);
                }
                None => self.fill(deadline)?,
            }
        }
    }

    /// One request, one reply.
    ///
    /// # Errors
    /// As [`Connection::flush`] and [`Connection::receive`]; an error reply is a value.
    pub fn call<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Result<Value, WireError> {
        self.push(arguments);
        self.flush()?;
        self.receive()
    }

    /// One request whose reply must not be an error.
    ///
    /// # Errors
    /// As [`Connection::call`], and [`WireError::Refused`].
    pub fn expect<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Result<Value, WireError> {
        match self.call(arguments)? {
            Value::Error(text) => Err(WireError::Refused(text)),
            value => Ok(value),
        }
    }

    /// Whether both ends are on this machine: the system then takes the same address for both.
    pub fn is_local(&self) -> bool {
        let socket = self.stream.socket();
        match (socket.local_addr(), socket.peer_addr()) {
            (Ok(own), Ok(peer)) => own.ip() == peer.ip(),
            _ => false,
        }
    }

    /// The other end: of several addresses of a name, the one that answered.
    ///
    /// # Errors
    /// The connection has broken.
    pub fn peer_addr(&self) -> std::io::Result<SocketAddr> {
        self.stream.socket().peer_addr()
    }

    /// The bare connection, for a caller that has received all replies and goes on by itself.
    ///
    /// # Errors
    /// The system refuses to take the timeouts away.
    pub fn into_stream(self) -> std::io::Result<Stream> {
        let socket = self.stream.socket();
        socket.set_read_timeout(None)?;
        socket.set_write_timeout(None)?;
        Ok(self.stream)
    }

    fn fill(&mut self, deadline: Instant) -> Result<(), WireError> {
        if self.consumed > 0 {
            self.buffer.drain(..self.consumed);
            self.consumed = 0;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::Error::new(ErrorKind::TimedOut, "no reply in time").into());
        }
        self.stream.socket().set_read_timeout(Some(left))?;
        let mut chunk = [0; 16 << 10];
        match self.stream.read(&mut chunk) {
            Ok(0) => {
                Err(std::io::Error::new(ErrorKind::UnexpectedEof, "the node closed the connection").into())
            }
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                Err(std::io::Error::new(ErrorKind::TimedOut, "no reply in time").into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that answers every read with the next of the given pieces.
    fn server(pieces: Vec<&'static [u8]>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port");
        let address = listener.local_addr().expect("address").to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("client");
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            for piece in pieces {
                stream.write_all(piece).expect("write");
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        address
    }

    #[test]
    fn replies_arrive_in_order_and_in_pieces() {
        let address = server(vec![b"+O", b"K\r\n$3\r\nab", b"c\r\n-ERR no\r\n:5\r\n"]);
        let mut connection = Connection::open(&address, Duration::from_secs(5)).expect("server");
        assert_eq!(
            connection.call(&["PING"]).expect("reply"),
            Value::Simple("OK".into())
        );
        assert_eq!(connection.receive().expect("reply"), Value::Bulk(b"abc".to_vec()));
        assert_eq!(
            connection.receive().expect("reply"),
            Value::Error("ERR no".into())
        );
        assert_eq!(connection.receive().expect("reply"), Value::Integer(5));
        assert!(
            matches!(connection.receive(), Err(WireError::Broken(_))),
            "the server has gone"
        );
    }

    #[test]
    fn silence_ends_in_a_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port");
        let address = listener.local_addr().expect("address").to_string();
        let mut connection = Connection::open(&address, Duration::from_millis(50)).expect("listening");
        let error = connection.call(&["PING"]).expect_err("nobody answers");
        assert!(error.to_string().contains("no reply in time"), "{error}");
    }

    #[test]
    fn a_refused_connection_names_the_address() {
        let free = super::super::ports::free(1).expect("port")[0];
        let error = Connection::open(&format!("127.0.0.1:{free}"), Duration::from_secs(1))
            .expect_err("nobody listens");
        assert!(error.to_string().contains(&free.to_string()), "{error}");
    }
}
