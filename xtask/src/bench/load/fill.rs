//! Fills a server with keys, and looks from a second connection whether they are there.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::codec::{Codec, Kind, is_right_value, key};
use crate::bench::resp::Client;
use crate::run::{Failure, Outcome};

/// Requests per round trip.
const BATCH: u64 = 500;

/// Writes keys `0..keys`, each once, over one connection.
///
/// # Errors
/// The connection broke, or a reply was an error.
pub fn fill(port: u16, kind: Kind, keys: u64, value_bytes: usize) -> Outcome {
    let failed = |what: String| Failure::new(format!("filling port {port}: {what}"));
    let broken = |error: std::io::Error| failed(error.to_string());
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(broken)?;
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .map_err(broken)?;
    let mut codec = Codec::new(kind, value_bytes);
    let (mut output, mut input, mut chunk) = (Vec::new(), Vec::new(), vec![0; 64 << 10]);
    let mut next = 0;
    while next < keys {
        let end = keys.min(next + BATCH);
        output.clear();
        (next..end).for_each(|number| codec.encode(number, &mut output));
        stream.write_all(&output).map_err(broken)?;
        let mut missing = end - next;
        while missing > 0 {
            let count = stream.read(&mut chunk).map_err(broken)?;
            if count == 0 {
                return Err(failed("the server closed the connection".to_owned()));
            }
            input.extend_from_slice(&chunk[..count]);
            let mut used = 0;
            while missing > 0 {
                let Some(length) = codec.decode(&input[used..]).map_err(failed)? else {
                    break;
                };
                used += length;
                missing -= 1;
            }
            input.drain(..used);
        }
        next = end;
    }
    Ok(())
}

/// Reads every so many keys over a connection of its own and compares the values; returns how many it read.
///
/// # Errors
/// A value is missing or wrong.
pub fn check_sample(port: u16, keys: u64, value_bytes: usize, readonly: bool) -> Outcome<u64> {
    const SAMPLES: u64 = 1_000;
    let mut client = Client::connect(port)?;
    if readonly {
        client.ask(&["READONLY"])?;
    }
    let step = (keys / SAMPLES).max(1);
    let mut count = 0;
    for number in (0..keys).step_by(usize::try_from(step).expect("a small step")) {
        let reply = client.ask(&["GET", &key(number)])?;
        if !is_right_value(number, reply.text().as_bytes(), value_bytes) {
            return Err(Failure::new(format!(
                "{} holds {:?}, which nobody wrote",
                key(number),
                reply.text()
            )));
        }
        count += 1;
    }
    Ok(count)
}
