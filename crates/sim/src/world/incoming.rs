//! What a client has received: bytes, cut anywhere, and the replies that they make.

use repligo_proto::resp::{Value, decode_reply};

/// The bytes of one connection that are no whole reply yet.
#[derive(Debug, Default)]
pub struct Incoming {
    serial: u64,
    bytes: Vec<u8>,
    /// How many of them were taken.
    taken: usize,
}

impl Incoming {
    /// Bytes have come on the connection with this serial number. What came on another one is forgotten.
    pub fn receive(&mut self, serial: u64, bytes: &[u8]) {
        if self.serial != serial {
            *self = Self {
                serial,
                ..Self::default()
            };
        }
        self.bytes.drain(..std::mem::take(&mut self.taken));
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole reply, if it has come.
    ///
    /// # Errors
    /// What has come begins no reply; a sentence with the bytes.
    pub fn take(&mut self) -> Result<Option<Value>, String> {
        let rest = &self.bytes[self.taken..];
        match decode_reply(rest) {
            Ok(Some((value, consumed))) => {
                self.taken += consumed;
                Ok(Some(value))
            }
            Ok(None) => Ok(None),
            Err(error) => Err(format!("{error:?} from {:?}", rest.escape_ascii().to_string())),
        }
    }

    /// Bytes of a reply that has not come as a whole.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_come_whole_wherever_their_bytes_are_cut() {
        let bytes = b"+OK\r\n$3\r\nabc\r\n*1\r\n:7\r\n";
        for cut in 0..=bytes.len() {
            let mut incoming = Incoming::default();
            let mut seen = Vec::new();
            for piece in [&bytes[..cut], &bytes[cut..]] {
                incoming.receive(1, piece);
                while let Some(value) = incoming.take().expect("these are replies") {
                    seen.push(value);
                }
            }
            let expected = [
                Value::Simple("OK".into()),
                Value::Bulk(b"abc".to_vec()),
                Value::Array(vec![Value::Integer(7)]),
            ];
            assert_eq!(seen, expected, "cut at {cut}");
            assert!(incoming.rest().is_empty());
        }
    }

    #[test]
    fn what_came_on_an_earlier_connection_is_forgotten() {
        let mut incoming = Incoming::default();
        incoming.receive(1, b"$3\r\na");
        incoming.receive(2, b":1\r\n");
        assert_eq!(incoming.take(), Ok(Some(Value::Integer(1))));
    }

    #[test]
    fn what_is_no_reply_is_told() {
        let mut incoming = Incoming::default();
        incoming.receive(1, b"?what\r\n");
        assert!(incoming.take().is_err());
    }
}
