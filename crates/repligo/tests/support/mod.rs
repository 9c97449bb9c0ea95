//! A node in this process and a client of it, for the integration tests.

#![allow(dead_code, reason = "each test program uses its part of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use repligo::node::{NodeConfig, NodeError, Ready, run};
use repligo_core::contract::Durability;
use repligo_proto::resp::{Value, decode_reply, request};

/// A running node; stopped when dropped.
pub struct Server {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), NodeError>>>,
}

/// A node that was started and has not said that it is ready.
pub struct Pending {
    stop: Arc<AtomicBool>,
    told: mpsc::Receiver<Ready>,
    listens: SocketAddr,
    thread: JoinHandle<Result<(), NodeError>>,
}

impl Pending {
    /// Waits until the node serves.
    pub fn ready(self) -> Server {
        let ready = self
            .told
            .recv_timeout(Duration::from_secs(30))
            .expect("the node becomes ready");
        Server {
            address: ready.resp,
            stop: self.stop,
            thread: Some(self.thread),
        }
    }

    /// A client of a node that is not ready.
    pub fn client(&self) -> Client {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match TcpStream::connect(self.listens) {
                Ok(stream) => return Client::new(stream),
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the node has refused to go on, and says why.
    pub fn failed(self) -> NodeError {
        let result = self.thread.join().expect("no panic");
        result.expect_err("the node refuses to start")
    }
}

impl Server {
    pub fn start(change: impl FnOnce(&mut NodeConfig)) -> Self {
        Self::launch(change).ready()
    }

    pub fn launch(change: impl FnOnce(&mut NodeConfig)) -> Pending {
        let (tell, told) = mpsc::channel::<Ready>();
        let stop = Arc::new(AtomicBool::new(false));
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let listens = free.expect("a free port");
        let mut config = NodeConfig {
            listen: listens.to_string(),
            durability: Durability::None,
            data_dir: std::env::temp_dir().join("repligo-test-without-data"),
            stop: Some(stop.clone()),
            // A test that has given up does not wait any more.
            ready_hook: Some(Box::new(move |ready| drop(tell.send(ready.clone())))),
            ..NodeConfig::default()
        };
        change(&mut config);
        let thread = std::thread::spawn(move || run(config));
        Pending {
            stop,
            told,
            listens,
            thread,
        }
    }

    pub fn client(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("the node accepts");
        Client::new(stream)
    }

    pub fn stop(mut self) -> Result<(), NodeError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .take()
            .expect("stopped once")
            .join()
            .expect("no panic")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

pub struct Client {
    pub stream: TcpStream,
    input: Vec<u8>,
}

impl Client {
    fn new(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a socket option");
        Self {
            stream,
            input: Vec::new(),
        }
    }

    pub fn send(&mut self, words: &[&str]) {
        self.stream.write_all(&request(words)).expect("sent");
    }

    pub fn receive(&mut self) -> Value {
        loop {
            if let Some((value, taken)) = decode_reply(&self.input).expect("a reply") {
                self.input.drain(..taken);
                return value;
            }
            let mut buffer = [0; 65536];
            let count = self.stream.read(&mut buffer).expect("bytes in time");
            assert!(count > 0, "the node closed the connection");
            self.input.extend_from_slice(&buffer[..count]);
        }
    }

    pub fn call(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.send(&words);
        show(&self.receive())
    }
}

pub fn show(value: &Value) -> String {
    match value {
        Value::Simple(text) => text.to_string(),
        Value::Error(text) => format!("-{text}"),
        Value::Integer(number) => format!(":{number}"),
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Null | Value::NullArray => "nil".to_owned(),
        Value::Map(pairs) => {
            let pair = |(key, value): &(Value, Value)| format!("{}={}", show(key), show(value));
            format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(" "))
        }
        other => match other.as_array() {
            Some(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
            None => format!("{other:?}"),
        },
    }
}
