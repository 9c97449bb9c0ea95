//! Encoder of requests, for clients and tools.

use crate::reply::integer_line;

/// Appends a request as a RESP array of bulk strings.
pub fn encode_request<A: AsRef<[u8]>>(out: &mut Vec<u8>, arguments: &[A]) {
    integer_line(out, b'*', arguments.len() as i64);
    for argument in arguments {
        let argument = argument.as_ref();
        integer_line(out, b'$', argument.len() as i64);
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}

/// A request as a RESP array of bulk strings.
pub fn request<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_request(&mut out, arguments);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_an_array_of_bulk_strings() {
        assert_eq!(request(&["GET", "a b"]), b"*2\r\n$3\r\nGET\r\n$3\r\na b\r\n");
        assert_eq!(request::<&str>(&[]), b"*0\r\n");
    }
}
