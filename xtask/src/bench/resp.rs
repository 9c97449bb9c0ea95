//! A blocking client of the Redis protocol for set-up and checks: the second client that looks whether
//! what was measured really happened. Not for load.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::run::{Failure, Outcome};

/// A reply, as far as checks need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Status, number or value as text.
    Text(String),
    /// No value.
    Nil,
    /// An error with its code word.
    Error(String),
    /// Several.
    Many(Vec<Reply>),
}

impl Reply {
    /// The text of a status, number or value; empty otherwise.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }

    /// The elements of an array; empty otherwise.
    pub fn items(&self) -> &[Reply] {
        match self {
            Self::Many(items) => items,
            _ => &[],
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects to a port of loopback. Every wait ends after 20 s.
    ///
    /// # Errors
    /// Nothing listens there.
    pub fn connect(port: u16) -> Outcome<Self> {
        let failed = |error: std::io::Error| Failure::new(format!("port {port}: {error}"));
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(failed)?;
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// One command and its reply, which may be an error reply.
    ///
    /// # Errors
    /// The connection broke.
    pub fn call(&mut self, words: &[&str]) -> Outcome<Reply> {
        self.send(words)?;
        self.receive()
    }

    /// As `call`, but an error reply is a failure.
    ///
    /// # Errors
    /// The connection broke, or the server refused.
    pub fn ask(&mut self, words: &[&str]) -> Outcome<Reply> {
        match self.call(words)? {
            Reply::Error(text) => Err(Failure::new(format!("{}: {text}", words.join(" ")))),
            reply => Ok(reply),
        }
    }

    /// Sends a command without waiting.
    ///
    /// # Errors
    /// The connection broke.
    pub fn send(&mut self, words: &[&str]) -> Outcome {
        let mut out = format!("*{}\r\n", words.len());
        for word in words {
            out.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        let written = self.stream.get_mut().write_all(out.as_bytes());
        written.map_err(|error| Failure::new(format!("connection: {error}")))
    }

    /// Waits for one reply.
    ///
    /// # Errors
    /// The connection broke.
    pub fn receive(&mut self) -> Outcome<Reply> {
        self.read_reply()
            .map_err(|error| Failure::new(format!("connection: {error}")))
    }

    fn read_reply(&mut self) -> std::io::Result<Reply> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let rest = line.get(1..).unwrap_or_default().trim_end();
        let length = rest.parse::<i64>().unwrap_or(-1);
        match line.as_bytes()[0] {
            b'+' | b':' => Ok(Reply::Text(rest.to_owned())),
            b'-' => Ok(Reply::Error(rest.to_owned())),
            b'$' => match usize::try_from(length) {
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.stream.read_exact(&mut bytes)?;
                    bytes.truncate(length);
                    Ok(Reply::Text(String::from_utf8_lossy(&bytes).into_owned()))
                }
                Err(_) => Ok(Reply::Nil),
            },
            b'*' => (0..length)
                .map(|_| self.read_reply())
                .collect::<Result<_, _>>()
                .map(Reply::Many),
            _ => Err(std::io::Error::other(format!("unexpected reply {line:?}"))),
        }
    }

    /// A field of INFO; `None` if it is not there.
    ///
    /// # Errors
    /// The connection broke.
    pub fn info(&mut self, field: &str) -> Outcome<Option<String>> {
        let reply = self.ask(&["INFO"])?;
        let found = reply
            .text()
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(found.map(|value| value.trim().to_owned()))
    }

    /// A numeric field of INFO.
    ///
    /// # Errors
    /// The connection broke, or there is no such number.
    pub fn info_number(&mut self, field: &str) -> Outcome<u64> {
        let value = self.info(field)?;
        let number = value.and_then(|value| value.parse().ok());
        number.ok_or_else(|| Failure::new(format!("INFO has no number {field}")))
    }

    /// DBSIZE.
    ///
    /// # Errors
    /// The connection broke.
    pub fn key_count(&mut self) -> Outcome<u64> {
        let reply = self.ask(&["DBSIZE"])?;
        reply
            .text()
            .parse()
            .map_err(|_| Failure::new("DBSIZE is no number"))
    }
}

/// True if the server at the port answers PING with PONG.
pub fn answers(port: u16) -> bool {
    let reply = Client::connect(port).and_then(|mut client| client.call(&["PING"]));
    reply.is_ok_and(|reply| reply.text() == "PONG")
}
