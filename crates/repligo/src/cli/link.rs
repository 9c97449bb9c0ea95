//! A connection to one of several nodes that is made again, at the next node, after it was lost.

use std::time::Duration;

use super::login::Login;
use super::wire::{Connection, WireError};

/// The connection, if there is one now, and where the next one goes.
#[derive(Debug)]
pub struct Link {
    addresses: Vec<String>,
    at: usize,
    login: Login,
    timeout: Duration,
    connection: Option<Connection>,
}

impl Link {
    /// Nothing is connected yet; `first` is the place of the address to begin with.
    pub fn new(addresses: Vec<String>, first: usize, login: Login, timeout: Duration) -> Link {
        Link {
            addresses,
            at: first,
            login,
            timeout,
            connection: None,
        }
    }

    /// Where it is connected, or tries next.
    pub fn address(&self) -> &str {
        &self.addresses[self.at % self.addresses.len()]
    }

    /// All addresses, for messages.
    pub fn addresses(&self) -> String {
        self.addresses.join(",")
    }

    /// The connection, made where there is none.
    ///
    /// # Errors
    /// This node cannot be reached; the next call tries the next one.
    pub fn get(&mut self) -> Result<&mut Connection, WireError> {
        if self.connection.is_none() {
            match self.login.open(self.address(), self.timeout) {
                Ok(connection) => self.connection = Some(connection),
                Err(error) => {
                    self.at += 1;
                    return Err(error);
                }
            }
        }
        Ok(self.connection.as_mut().expect("it was made above"))
    }

    /// Whether there is a connection.
    pub fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Gives the connection up: after an error it is of no use.
    pub fn lost(&mut self) {
        self.connection = None;
        self.at += 1;
    }
}
