//! A RESP server for the tests of the generator, which behaves as told: right, lying, stalling, breaking.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use repligo_proto::resp::{Args, Limits, RequestDecoder};

/// What the server does with a request before it would answer rightly.
pub enum Act {
    /// Answers as a server should.
    Answer,
    /// Sends these bytes instead.
    Say(Vec<u8>),
    /// Acknowledges a write without doing it.
    Pretend,
    /// Never answers on this connection again.
    Hush,
    /// Closes the connection.
    Close,
}

/// Decides what happens to a request, which is given with its number (from 0) among all of this server.
pub type Whim = dyn Fn(u64, &[Vec<u8>]) -> Act + Send + Sync;

struct State {
    whim: Box<Whim>,
    data: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    requests: AtomicU64,
    began: Instant,
    /// No request is looked at from here to there.
    stall: Option<(Duration, Duration)>,
    password: Option<&'static str>,
    gone: AtomicBool,
}

/// A running server; its threads end with the test process.
pub struct Fake {
    pub address: String,
    state: Arc<State>,
}

/// What a server needs besides its whim.
#[derive(Default)]
pub struct Habits {
    pub stall: Option<(Duration, Duration)>,
    pub password: Option<&'static str>,
}

impl Fake {
    /// A server with a whim.
    pub fn new(whim: impl Fn(u64, &[Vec<u8>]) -> Act + Send + Sync + 'static) -> Fake {
        Fake::with(Habits::default(), whim)
    }

    /// A server that also stalls or asks for a password.
    pub fn with(habits: Habits, whim: impl Fn(u64, &[Vec<u8>]) -> Act + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port");
        let address = listener.local_addr().expect("address").to_string();
        let state = Arc::new(State {
            whim: Box::new(whim),
            data: Mutex::default(),
            requests: AtomicU64::new(0),
            began: Instant::now(),
            stall: habits.stall,
            password: habits.password,
            gone: AtomicBool::new(false),
        });
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.gone.load(Ordering::SeqCst) {
                    return;
                }
                let shared = shared.clone();
                std::thread::spawn(move || serve(&shared, stream));
            }
        });
        Fake { address, state }
    }

    /// Requests so far, questions about the server included.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::SeqCst)
    }
}

fn serve(state: &State, mut stream: TcpStream) {
    let mut decoder = RequestDecoder::new(Limits::default());
    let (mut buffer, mut args, mut chunk) = (Vec::new(), Args::new(), vec![0; 64 << 10]);
    let mut is_known = state.password.is_none();
    loop {
        let mut replies = Vec::new();
        let mut used = 0;
        while let Ok(Some(length)) = decoder.decode(&buffer[used..], &mut args) {
            let words: Vec<Vec<u8>> = args.view(&buffer[used..]).iter().map(<[u8]>::to_vec).collect();
            used += length;
            if words[0] == b"AUTH" {
                is_known = state.password.map(str::as_bytes) == Some(&words[1]);
                replies.extend_from_slice(if is_known {
                    b"+OK\r\n"
                } else {
                    b"-WRONGPASS no\r\n"
                });
                continue;
            }
            if !is_known {
                replies.extend_from_slice(b"-NOAUTH Authentication required.\r\n");
                continue;
            }
            let number = state.requests.fetch_add(1, Ordering::SeqCst);
            match (state.whim)(number, &words) {
                Act::Answer => replies.extend(answer(state, &words)),
                Act::Say(bytes) => replies.extend(bytes),
                Act::Pretend => replies.extend_from_slice(b"+OK\r\n"),
                Act::Hush => loop {
                    if matches!(stream.read(&mut chunk), Ok(0) | Err(_)) {
                        return;
                    }
                },
                Act::Close => return,
            }
        }
        buffer.drain(..used);
        if stream.write_all(&replies).is_err() {
            return;
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(count) => buffer.extend_from_slice(&chunk[..count]),
        }
        if let Some((from, to)) = state.stall {
            let now = state.began.elapsed();
            if now >= from && now < to {
                std::thread::sleep(to - now);
            }
        }
    }
}

fn answer(state: &State, words: &[Vec<u8>]) -> Vec<u8> {
    let mut data = state.data.lock().expect("no test panics in here");
    let bulk = |value: &[u8]| [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat();
    match words[0].as_slice() {
        b"GET" => data
            .get(&words[1])
            .map_or(b"$-1\r\n".to_vec(), |value| bulk(value)),
        b"SET" => {
            data.insert(words[1].clone(), words[2].clone());
            b"+OK\r\n".to_vec()
        }
        b"DBSIZE" => format!(":{}\r\n", data.len()).into_bytes(),
        b"INFO" => bulk(b"redis_version:7.0.0\r\n"),
        b"WAIT" => b":1\r\n".to_vec(),
        _ => b"+OK\r\n".to_vec(),
    }
}
