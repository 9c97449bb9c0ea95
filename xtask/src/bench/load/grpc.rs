//! Just enough HTTP/2 and gRPC to put keys into etcd over one connection, as its own Go client would: headers
//! from the compression table after the first request. etcd's JSON gateway would cost etcd CPU that its users
//! do not pay, and a full gRPC library would cost the client CPU that the servers need on a small machine.
//!
//! Put answers with a message in a DATA frame only when it succeeded; refusals come as trailers alone. So a
//! success is a stream with DATA that ended, and no header needs to be decoded. (RFC 9113, RFC 7541, and the
//! gRPC over HTTP/2 specification.)

use super::codec;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
const FRAME_HEADER_BYTES: usize = 9;
/// What a connection may send before the peer grants more (RFC 9113, 6.9.2).
const FIRST_WINDOW_BYTES: i64 = 65_535;

/// One HTTP/2 connection; requests go out one after the other, each in a stream of its own.
#[derive(Debug)]
pub struct Stream {
    /// Identifier of the stream of the last request.
    last: u32,
    /// Bytes of DATA that may still be sent.
    window: i64,
    /// Acknowledgements that leave with the next request.
    owed: Vec<u8>,
    /// The stream that is being answered has brought a message.
    has_message: bool,
    /// Bytes of messages taken in since we last granted the peer more.
    taken: u32,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            last: 0,
            window: FIRST_WINDOW_BYTES,
            owed: Vec::new(),
            has_message: false,
            taken: 0,
        }
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32) -> usize {
    out.extend_from_slice(&[0, 0, 0, kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.len()
}

/// Fills in the length of the frame whose payload began at `start`.
fn close(out: &mut [u8], start: usize) {
    let length = u32::try_from(out.len() - start).expect("frames are small");
    out[start - FRAME_HEADER_BYTES..start - FRAME_HEADER_BYTES + 3]
        .copy_from_slice(&length.to_be_bytes()[1..]);
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).expect("header texts are short"));
    out.extend_from_slice(text.as_bytes());
}

fn bytes_field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
}

impl Stream {
    /// The connection preface with empty settings.
    pub const PREFACE: &'static [u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    /// Appends a put.
    pub fn put(&mut self, key: &[u8], value: &[u8], out: &mut Vec<u8>) {
        out.append(&mut self.owed);
        let first = self.last == 0;
        self.last = if first { 1 } else { self.last + 2 };
        let start = frame(out, HEADERS, END_HEADERS, self.last);
        // From the static table: POST, http.
        out.extend_from_slice(&[0x83, 0x86]);
        if first {
            // Literals that enter the dynamic table; their names are in the static one, but for `te`.
            out.push(0x44);
            text(out, "/etcdserverpb.KV/Put");
            out.push(0x41);
            text(out, "localhost");
            out.push(0x5f);
            text(out, "application/grpc");
            out.push(0x40);
            text(out, "te");
            text(out, "trailers");
        } else {
            // The four from the dynamic table, the newest of which has number 62.
            out.extend_from_slice(&[0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62]);
        }
        close(out, start);
        let start = frame(out, DATA, END_STREAM, self.last);
        // The message's prefix: not compressed, length.
        out.extend_from_slice(&[0; 5]);
        bytes_field(out, 1, key);
        bytes_field(out, 2, value);
        let length = u32::try_from(out.len() - start - 5).expect("messages are small");
        out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
        self.window -= i64::try_from(out.len() - start).expect("frames are small");
        close(out, start);
    }

    /// Bytes up to the end of the answer to the put that waits; `None` if it is not all there.
    ///
    /// # Errors
    /// The put was refused, or the server did what it must not.
    pub fn decode(&mut self, input: &[u8]) -> Result<Option<usize>, String> {
        // Frames are taken in only when the whole answer is there, so that nothing is taken in twice.
        let mut end = 0;
        loop {
            let Some((kind, flags, stream, payload)) = next_frame(&input[end..]) else {
                return Ok(None);
            };
            end += FRAME_HEADER_BYTES + payload.len();
            if stream == self.last && kind == HEADERS && flags & END_STREAM != 0 {
                break;
            }
            if kind == RST_STREAM || kind == GOAWAY {
                return Err(format!("etcd ended the stream (frame type {kind})"));
            }
        }
        let mut at = 0;
        while let Some((kind, flags, _, payload)) = next_frame(&input[at..end]) {
            at += FRAME_HEADER_BYTES + payload.len();
            self.take(kind, flags, payload);
        }
        if !std::mem::take(&mut self.has_message) {
            return Err(format!("etcd refused the put of {}", codec::key(0)));
        }
        if self.window <= 0 {
            return Err("etcd grants no more bytes to send".to_owned());
        }
        Ok(Some(end))
    }

    fn take(&mut self, kind: u8, flags: u8, payload: &[u8]) {
        match kind {
            DATA => {
                self.has_message = true;
                self.taken += u32::try_from(payload.len()).expect("frames are small");
                if self.taken > FIRST_WINDOW_BYTES as u32 / 2 {
                    frame(&mut self.owed, WINDOW_UPDATE, 0, 0);
                    let start = self.owed.len();
                    self.owed.extend_from_slice(&self.taken.to_be_bytes());
                    close(&mut self.owed, start);
                    self.taken = 0;
                }
            }
            SETTINGS if flags & ACK == 0 => {
                frame(&mut self.owed, SETTINGS, ACK, 0);
            }
            PING if flags & ACK == 0 => {
                let start = frame(&mut self.owed, PING, ACK, 0);
                self.owed.extend_from_slice(payload);
                close(&mut self.owed, start);
            }
            WINDOW_UPDATE if payload.len() == 4 => {
                let grant = u32::from_be_bytes([payload[0], payload[1], payload[2], payload[3]]);
                self.window += i64::from(grant);
            }
            _ => {}
        }
    }
}

/// Kind, flags, stream and payload of the first frame, if all of it is there.
fn next_frame(input: &[u8]) -> Option<(u8, u8, u32, &[u8])> {
    let header = input.get(..FRAME_HEADER_BYTES)?;
    let length = usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
    let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]) & 0x7fff_ffff;
    let payload = input.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + length)?;
    Some((header[3], header[4], stream, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame_of(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let start = frame(&mut out, kind, flags, stream);
        out.extend_from_slice(payload);
        close(&mut out, start);
        out
    }

    #[test]
    fn an_answer_is_a_message_and_the_end_of_its_stream() {
        let mut stream = Stream::default();
        stream.put(b"key", b"value", &mut Vec::new());
        let mut answer = frame_of(SETTINGS, 0, 0, &[]);
        answer.extend(frame_of(PING, 0, 0, b"12345678"));
        answer.extend(frame_of(HEADERS, END_HEADERS, 1, b"h"));
        answer.extend(frame_of(DATA, 0, 1, b"message"));
        assert_eq!(stream.decode(&answer), Ok(None));
        answer.extend(frame_of(HEADERS, END_HEADERS | END_STREAM, 1, b"t"));
        assert_eq!(stream.decode(&answer), Ok(Some(answer.len())));
        let mut out = Vec::new();
        stream.put(b"key", b"value", &mut out);
        assert_eq!(
            &out[..FRAME_HEADER_BYTES],
            &frame_of(SETTINGS, ACK, 0, &[])[..],
            "owed acknowledgements leave first"
        );
        let refused = frame_of(HEADERS, END_HEADERS | END_STREAM, 3, b"status 14");
        assert!(stream.decode(&refused).is_err());
    }
}
