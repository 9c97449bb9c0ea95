//! PUBLISH to many subscribers. One publisher sends a pipeline and takes in its replies; then every subscriber
//! must have got each message of it, in order, before the next is sent. One thread.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::codec::{value, words};
use super::{Latency, Sample};
use crate::run::{Failure, Outcome};

const CHANNEL: &str = "benchmark:channel";

/// A load on one server.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Connections that have subscribed.
    pub subscribers: usize,
    /// Messages that are sent at once.
    pub pipeline: u64,
    /// Bytes of a message.
    pub value_bytes: usize,
    /// How long.
    pub seconds: f64,
}

/// Runs a load against a port of loopback. An operation is one PUBLISH with all its deliveries; its latency
/// ends with the last of its pipeline.
///
/// # Errors
/// A connection broke, or a reply or a message was not what it must be.
pub fn run(port: u16, load: Load) -> Outcome<Sample> {
    let failed = |error: std::io::Error| Failure::new(format!("publishing on port {port}: {error}"));
    let mut subscribers = Vec::new();
    for _ in 0..load.subscribers {
        subscribers.push(subscribe(port).map_err(failed)?);
    }
    let mut publisher = connect(port).map_err(failed)?;
    let start = Instant::now();
    let (mut next, mut latencies) = (0, Vec::new());
    while start.elapsed().as_secs_f64() < load.seconds {
        let sent = Instant::now();
        exchange(&mut publisher, &mut subscribers, load, next).map_err(failed)?;
        next += load.pipeline;
        let latency = u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX);
        latencies.extend((0..load.pipeline).map(|_| latency));
    }
    Ok(Sample {
        operations: next,
        seconds: start.elapsed().as_secs_f64(),
        cpu_seconds: 0.0,
        latency: Latency::of(latencies),
    })
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

fn subscribe(port: u16) -> std::io::Result<TcpStream> {
    let mut stream = connect(port)?;
    let (mut request, mut reply) = (Vec::new(), b"*3\r\n".to_vec());
    words(&mut request, &["SUBSCRIBE", CHANNEL]);
    for word in ["subscribe", CHANNEL] {
        bulk(&mut reply, word);
    }
    reply.extend_from_slice(b":1\r\n");
    stream.write_all(&request)?;
    expect(&mut stream, &reply)?;
    Ok(stream)
}

/// One pipeline, from the first byte to the last delivery.
fn exchange(
    publisher: &mut TcpStream,
    subscribers: &mut [TcpStream],
    load: Load,
    first: u64,
) -> std::io::Result<()> {
    let (mut requests, mut replies, mut messages) = (Vec::new(), Vec::new(), Vec::new());
    for number in first..first + load.pipeline {
        let text = value(number, load.value_bytes);
        words(&mut requests, &["PUBLISH", CHANNEL, &text]);
        replies.extend_from_slice(format!(":{}\r\n", load.subscribers).as_bytes());
        messages.extend_from_slice(b"*3\r\n");
        for word in ["message", CHANNEL, &text] {
            bulk(&mut messages, word);
        }
    }
    publisher.write_all(&requests)?;
    expect(publisher, &replies)?;
    subscribers
        .iter_mut()
        .try_for_each(|subscriber| expect(subscriber, &messages))
}

fn bulk(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(format!("${}\r\n{text}\r\n", text.len()).as_bytes());
}

fn expect(stream: &mut TcpStream, expected: &[u8]) -> std::io::Result<()> {
    let mut found = vec![0; expected.len()];
    stream.read_exact(&mut found)?;
    if found == expected {
        return Ok(());
    }
    let start = String::from_utf8_lossy(&found[..found.len().min(80)]).into_owned();
    Err(std::io::Error::other(format!(
        "unexpected reply or message {start:?}"
    )))
}
