//! The load: pipelined connections with a mix of small commands, and one that asks for slow things.
//!
//! What comes back is counted and checked as far as one connection can know it: a reply per request, values
//! that some request has written, multi-key writes that are never seen in half.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Keys of the mix.
const KEYS: u64 = 200_000;
/// Less than the keys would take.
const MEMORY_MAX: &str = "48mb";
/// Requests that one connection sends at once.
const PIPELINE: usize = 32;
/// Requests that a connection of the crowd sends at once, at most.
const CROWD_PIPELINE: u64 = 8;
/// Connections per node.
const CONNECTIONS_PER_NODE: usize = 2;
/// Keys that are always written together.
const TORN_KEYS: usize = 500;
/// Arguments of the wide commands.
const WIDE: u64 = 50_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// What the load has done so far.
#[derive(Debug, Default)]
pub struct Progress {
    /// Requests that were answered.
    pub operations: AtomicU64,
    /// Slow ones among them.
    pub slow_commands: AtomicU64,
    /// Answers that are errors.
    pub errors: AtomicU64,
    stop: AtomicBool,
}

/// The running load.
#[derive(Debug)]
pub struct Load {
    /// What it has done so far.
    pub progress: Arc<Progress>,
    threads: Vec<JoinHandle<Result<(), String>>>,
}

impl Load {
    /// Limits the memory of every node, so that keys are evicted all the time, connects, and begins. `crowd` more
    /// connections to each node ask a little at a time.
    ///
    /// # Errors
    /// A node does not take its limit.
    pub fn start(addresses: &[String], crowd: usize) -> Result<Self, String> {
        addresses.iter().try_for_each(|address| limit(address))?;
        let progress = Arc::new(Progress::default());
        let mut threads = Vec::new();
        for (number, address) in addresses.iter().enumerate() {
            for connection in 0..CONNECTIONS_PER_NODE {
                let (address, progress) = (address.clone(), Arc::clone(&progress));
                let seed = (number * CONNECTIONS_PER_NODE + connection) as u64;
                threads.push(std::thread::spawn(move || mix(&address, seed, &progress)));
            }
            if crowd > 0 {
                let (address, progress) = (address.clone(), Arc::clone(&progress));
                let seed = 2000 + number as u64;
                threads.push(std::thread::spawn(move || {
                    crowded(&address, (crowd, seed), &progress)
                }));
            }
            let (address, progress) = (address.clone(), Arc::clone(&progress));
            threads.push(std::thread::spawn(move || {
                slow(&address, 1000 + number as u64, &progress)
            }));
        }
        Ok(Self { progress, threads })
    }

    /// Ends it; everything that went wrong.
    pub fn stop(self) -> Vec<String> {
        self.progress.stop.store(true, Ordering::Relaxed);
        let ends = self.threads.into_iter().map(JoinHandle::join);
        ends.filter_map(|end| match end {
            Ok(result) => result.err(),
            Err(_) => Some("a thread of the load panicked".to_owned()),
        })
        .collect()
    }
}

fn limit(address: &str) -> Result<(), String> {
    let mut client = Client::connect(address)?;
    client.put(&[
        b"CONFIG",
        b"SET",
        b"maxmemory",
        MEMORY_MAX.as_bytes(),
        b"maxmemory-policy",
        b"allkeys-lfu",
    ]);
    client.send()?;
    let reply = client.reply()?;
    if reply.is_error() {
        return Err(format!("{address}: {reply:?}"));
    }
    Ok(())
}

/// Small commands in pipelines, until the load is stopped.
fn mix(address: &str, seed: u64, progress: &Progress) -> Result<(), String> {
    let mut client = Client::connect(address)?;
    let mut draw = Draw(seed);
    while !progress.stop.load(Ordering::Relaxed) {
        let kinds = ask_small(&mut client, &mut draw, PIPELINE)?;
        hear_small(&mut client, &kinds, progress)?;
    }
    Ok(())
}

/// The same over so many connections: all of them ask a little, then all are heard, until the load is stopped.
fn crowded(address: &str, (count, seed): (usize, u64), progress: &Progress) -> Result<(), String> {
    let connect = |_| Client::connect(address);
    let mut clients = (0..count).map(connect).collect::<Result<Vec<_>, _>>()?;
    let mut draw = Draw(seed);
    while !progress.stop.load(Ordering::Relaxed) {
        let mut asked = Vec::with_capacity(count);
        for client in &mut clients {
            let requests = 1 + draw.below(CROWD_PIPELINE) as usize;
            asked.push(ask_small(client, &mut draw, requests)?);
        }
        for (client, kinds) in clients.iter_mut().zip(asked) {
            hear_small(client, &kinds, progress)?;
        }
    }
    Ok(())
}

/// Sends so many requests of the mix; which of them are a GET.
fn ask_small(client: &mut Client, draw: &mut Draw, requests: usize) -> Result<Vec<bool>, String> {
    let kinds = (0..requests).map(|_| put_small(client, draw)).collect();
    client.send()?;
    Ok(kinds)
}

/// Hears what [`ask_small`] has asked.
fn hear_small(client: &mut Client, kinds: &[bool], progress: &Progress) -> Result<(), String> {
    for is_get in kinds {
        let reply = client.reply()?;
        progress
            .errors
            .fetch_add(u64::from(reply.is_error()), Ordering::Relaxed);
        if let (true, Reply::Bulk(value)) = (is_get, &reply)
            && value.iter().any(|&byte| byte != b'x')
        {
            return Err(format!("{}: a value that nobody wrote", client.address));
        }
    }
    progress
        .operations
        .fetch_add(kinds.len() as u64, Ordering::Relaxed);
    Ok(())
}

/// Adds one request of the mix; true if it is a GET.
fn put_small(client: &mut Client, draw: &mut Draw) -> bool {
    let key = format!("key:{}", draw.below(KEYS));
    let value = vec![b'x'; 16 + draw.below(1000) as usize];
    let kind = draw.below(100);
    match kind {
        0..40 => client.put(&[b"GET", key.as_bytes()]),
        40..60 => client.put(&[b"SET", key.as_bytes(), &value]),
        60..80 => {
            let ttl = (200 + draw.below(10_000)).to_string();
            client.put(&[b"SET", key.as_bytes(), &value, b"PX", ttl.as_bytes()]);
        }
        80..90 => client.put(&[b"DEL", key.as_bytes()]),
        90..95 => client.put(&[b"PEXPIRE", key.as_bytes(), b"3000"]),
        _ => {
            let others: Vec<String> = (0..8).map(|_| format!("key:{}", draw.below(KEYS))).collect();
            let mut request: Vec<&[u8]> = vec![b"MSET"];
            others
                .iter()
                .for_each(|other| request.extend([other.as_bytes(), &value]));
            client.put(&request);
        }
    }
    kind < 40
}

/// Commands that take long, one at a time, until the load is stopped.
fn slow(address: &str, seed: u64, progress: &Progress) -> Result<(), String> {
    let mut client = Client::connect(address)?;
    let mut draw = Draw(seed);
    while !progress.stop.load(Ordering::Relaxed) {
        slow_round(&mut client, &mut draw)?;
        client.send()?;
        let mut replies = Vec::new();
        for _ in 0..std::mem::take(&mut client.requests) {
            replies.push(client.reply()?);
        }
        let errors = replies.iter().filter(|reply| reply.is_error()).count() as u64;
        progress.errors.fetch_add(errors, Ordering::Relaxed);
        for reply in &replies {
            if let Reply::Array(values) = reply
                && values.len() == TORN_KEYS
                && is_torn(values)
            {
                return Err(format!("{address}: an MSET was seen in half"));
            }
        }
        progress
            .operations
            .fetch_add(replies.len() as u64, Ordering::Relaxed);
        progress
            .slow_commands
            .fetch_add(replies.len() as u64, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// True if values of more than one MSET are seen. Any of the keys may have been evicted.
fn is_torn(values: &[Reply]) -> bool {
    let mut present = values.iter().filter(|value| **value != Reply::Null);
    let first = present.next();
    present.any(|value| Some(value) != first)
}

fn slow_round(client: &mut Client, draw: &mut Draw) -> Result<(), String> {
    let first = draw.below(KEYS);
    let wide = |name: &str, count: u64| {
        let mut words = vec![name.to_owned()];
        words.extend((0..count).map(|offset| format!("key:{}", (first + offset) % KEYS)));
        words
    };
    let torn = || (0..TORN_KEYS).map(|number| format!("torn:{number}"));
    let words: Vec<String> = match draw.below(9) {
        0 => vec!["KEYS".into(), "key:*7".into()],
        1 => vec!["SCAN".into(), "0".into(), "COUNT".into(), "1000000".into()],
        2 => wide("MGET", WIDE),
        3 => wide("EXISTS", WIDE),
        4 => wide("DEL", WIDE),
        5 => {
            let mut words = vec!["MSET".to_owned()];
            for number in 0..WIDE / 10 {
                words.extend([format!("key:{}", (first + number) % KEYS), "xxxxxxxx".into()]);
            }
            words
        }
        6 => {
            client.put(&[b"MULTI"]);
            for number in 0..2000 {
                client.put(&[
                    b"SET",
                    format!("key:{}", (first + number) % KEYS).as_bytes(),
                    b"xx",
                ]);
            }
            vec!["EXEC".into()]
        }
        7 => {
            let value = draw.below(u64::MAX).to_string();
            let mut words = vec!["MSET".to_owned()];
            torn().for_each(|key| words.extend([key, value.clone()]));
            words
        }
        _ => {
            let mut words = vec!["MGET".to_owned()];
            words.extend(torn());
            words
        }
    };
    let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
    client.put(&words);
    Ok(())
}

/// A reply as far as the checks need it.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Line(Vec<u8>),
    Null,
    Bulk(Vec<u8>),
    Array(Vec<Reply>),
}

impl Reply {
    fn is_error(&self) -> bool {
        matches!(self, Self::Line(line) if line.first() == Some(&b'-'))
    }
}

/// A connection that speaks RESP2.
#[derive(Debug)]
struct Client {
    address: String,
    stream: TcpStream,
    out: Vec<u8>,
    requests: usize,
    input: Vec<u8>,
    start: usize,
}

impl Client {
    fn connect(address: &str) -> Result<Self, String> {
        let complain = |error: std::io::Error| format!("{address}: {error}");
        let stream = TcpStream::connect(address).map_err(complain)?;
        stream.set_nodelay(true).map_err(complain)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(complain)?;
        Ok(Self {
            address: address.to_owned(),
            stream,
            out: Vec::new(),
            requests: 0,
            input: Vec::new(),
            start: 0,
        })
    }

    fn put(&mut self, words: &[&[u8]]) {
        self.requests += 1;
        self.out
            .extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            self.out
                .extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            self.out.extend_from_slice(word);
            self.out.extend_from_slice(b"\r\n");
        }
    }

    fn send(&mut self) -> Result<(), String> {
        let sent = self.stream.write_all(&self.out);
        self.out.clear();
        sent.map_err(|error| format!("{}: {error}", self.address))
    }

    fn fill(&mut self) -> Result<(), String> {
        if self.start > 0 && self.start * 2 > self.input.len() {
            self.input.drain(..self.start);
            self.start = 0;
        }
        let before = self.input.len();
        self.input.resize(before + (64 << 10), 0);
        let count = self.stream.read(&mut self.input[before..]);
        let count = count.map_err(|error| format!("{}: {error}", self.address))?;
        self.input.truncate(before + count);
        if count == 0 {
            return Err(format!("{} closed the connection", self.address));
        }
        Ok(())
    }

    fn line(&mut self) -> Result<Vec<u8>, String> {
        let mut looked = 0;
        loop {
            let rest = &self.input[self.start..];
            if let Some(end) = rest[looked..].windows(2).position(|pair| pair == b"\r\n") {
                let line = rest[..looked + end].to_vec();
                self.start += line.len() + 2;
                return Ok(line);
            }
            looked = rest.len().saturating_sub(1);
            self.fill()?;
        }
    }

    fn reply(&mut self) -> Result<Reply, String> {
        let line = self.line()?;
        let malformed = || format!("{}: a malformed reply", self.address);
        let (kind, rest) = line.split_first().ok_or_else(malformed)?;
        if !matches!(kind, b'$' | b'*') {
            return Ok(Reply::Line(line));
        }
        let number = std::str::from_utf8(rest)
            .ok()
            .and_then(|text| text.parse::<i64>().ok());
        let number = number.ok_or_else(malformed)?;
        let Ok(count) = usize::try_from(number) else {
            return Ok(Reply::Null);
        };
        if *kind == b'*' {
            let items = (0..count).map(|_| self.reply());
            return items.collect::<Result<_, _>>().map(Reply::Array);
        }
        while self.input.len() < self.start + count + 2 {
            self.fill()?;
        }
        let value = self.input[self.start..self.start + count].to_vec();
        self.start += count + 2;
        Ok(Reply::Bulk(value))
    }
}

/// SplitMix64.
#[derive(Debug)]
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
