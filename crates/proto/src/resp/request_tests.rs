//! Tests of the request decoder: whole, cut, inline and hostile input.

use super::*;
use proptest::prelude::*;

/// Decodes everything in `input` as a connection would, in pieces of `step` bytes.
fn decode_all(input: &[u8], step: usize) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
    decode_with(RequestDecoder::default(), input, step)
}

fn decode_with(
    mut decoder: RequestDecoder,
    input: &[u8],
    step: usize,
) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
    let mut requests = Vec::new();
    let mut args = Args::new();
    let (mut start, mut end) = (0, 0);
    while end < input.len() {
        end = (end + step).min(input.len());
        while let Some(taken) = decoder.decode(&input[start..end], &mut args)? {
            requests.push(args.view(&input[start..end]).iter().map(<[u8]>::to_vec).collect());
            start += taken;
            // A caller may use another `Args` for each request, also in the middle of one.
            args = Args::new();
        }
    }
    Ok(requests)
}

fn check(input: &[u8], expect: Result<&[&[&str]], ProtocolError>) {
    for step in [1, 2, 3, 7, input.len().max(1)] {
        let got = decode_all(input, step);
        let expect = expect.map(|requests| {
            let owned = |request: &&[&str]| request.iter().map(|a| a.as_bytes().to_vec()).collect::<Vec<_>>();
            requests.iter().map(owned).collect::<Vec<_>>()
        });
        assert_eq!(
            got,
            expect,
            "{:?} in steps of {step}",
            String::from_utf8_lossy(input)
        );
    }
}

fn check_error(input: &[u8], text: &str) {
    // What follows must not matter, although more bytes at once take another path.
    let followed = [input, b"*1\r\n$4\r\nPING\r\n"].concat();
    for (input, step) in [(input, 1), (input, input.len()), (&followed, followed.len())] {
        let error = decode_all(input, step).expect_err(text);
        assert_eq!(
            error.wire(),
            format!("ERR Protocol error: {text}"),
            "{:?}",
            input.escape_ascii().to_string()
        );
    }
}

#[test]
fn arrays_and_inline_requests_may_be_mixed() {
    check(b"*1\r\n$4\r\nPING\r\n", Ok(&[&["PING"]]));
    check(
        b"*2\r\n$3\r\nGET\r\n$10\r\n0123456789\r\nPING\r\n*1\r\n$0\r\n\r\nset a 'b c'\n",
        Ok(&[&["GET", "0123456789"], &["PING"], &[""], &["set", "a", "b c"]]),
    );
    check(b"*2\r\n$1\r\n\r\r\n$2\r\n\r\n\r\n", Ok(&[&["\r", "\r\n"]]));
}

#[test]
fn tls_on_a_plain_port_is_called_so_at_once() {
    check_error(
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "this port speaks plain text, not TLS",
    );
    check(b"\x16\x04 x\r\n", Ok(&[&["\x16\x04", "x"]]));
}

#[test]
fn empty_requests_are_consumed_without_arguments() {
    check(
        b"\r\n\n*0\r\n*-1\r\nPING\r\n",
        Ok(&[&[], &[], &[], &[], &["PING"]]),
    );
}

#[test]
fn malformed_lengths_get_the_sentences_of_redis() {
    check_error(b"*2147483648\r\n", "invalid multibulk length");
    check_error(b"*x\r\n", "invalid multibulk length");
    check_error(b"*\r\n", "invalid multibulk length");
    check_error(b"*01\r\n", "invalid multibulk length");
    check_error(b"*+1\r\n", "invalid multibulk length");
    check_error(b"*1 \r\n", "invalid multibulk length");
    check_error(b"*18446744073709551617\r\n", "invalid multibulk length");
    check_error(b"*1\r\n$-2\r\n", "invalid bulk length");
    check_error(b"*1\r\n$-1\r\n", "invalid bulk length");
    check_error(b"*1\r\n$18446744073709551615\r\n", "invalid bulk length");
    check_error(b"*1\r\n$536870913\r\n", "invalid bulk length");
    check_error(b"*1\r\n$9223372036854775807\r\n", "invalid bulk length");
    check_error(b"*1\r\n$\r\n", "invalid bulk length");
    check_error(b"*1\r\n$007\r\n", "invalid bulk length");
    check_error(b"*1\r\nPING\r\n", "expected '$', got 'P'");
    check_error(b"*1\r\n\r\n", "expected '$', got ' '");
    check_error(b"*1\r\n$1\r\nabc\r\n", "expected CRLF after bulk");
    check_error(b"set \"a\r\n", "unbalanced quotes in request");
    check_error(b"Host: example\r\n", "this is not an HTTP server");
    check_error(b"POST / HTTP/1.1\r\n", "this is not an HTTP server");
}

#[test]
fn lines_without_end_stop_at_the_limit() {
    let long = |start: &[u8], byte: u8, count| [start, &vec![byte; count]].concat();
    let limit = 64 << 10;
    check_error(&long(b"", b'x', 1 << 20), "too big inline request");
    check_error(&long(b"*", b'1', 1 << 17), "too big mbulk count string");
    check_error(&long(b"*1\r\n$", b'1', 1 << 17), "too big bulk count string");
    assert_eq!(decode_all(&long(b"", b'x', limit), limit), Ok(vec![]));
    let too_long = [long(b"", b'x', limit + 1), b"\n".to_vec()].concat();
    check_error(&too_long, "too big inline request");
}

#[test]
fn a_claimed_size_costs_no_memory_and_is_reported_as_missing() {
    let mut decoder = RequestDecoder::default();
    let mut args = Args::new();
    let input = b"*1048576\r\n$536870912\r\nabc";
    assert_eq!(decoder.decode(input, &mut args), Ok(None));
    assert_eq!(decoder.bytes_missing(), 536_870_912 + 2 - 3);
    assert!(decoder.partial.capacity() < 64);
    assert!(args.spans.capacity() < 64);
}

#[test]
fn an_unauthenticated_peer_is_kept_small() {
    let decode = |input: &[u8]| {
        let mut decoder = RequestDecoder::default();
        decoder.set_authenticated(false);
        decode_with(decoder, input, 1)
    };
    assert_eq!(
        decode(b"*11\r\n"),
        Err(ProtocolError::UnauthenticatedMultibulkLength)
    );
    assert_eq!(decode(b"*10\r\n"), Ok(vec![]));
    assert_eq!(
        decode(b"*1\r\n$16385\r\n"),
        Err(ProtocolError::UnauthenticatedBulkLength)
    );
    assert_eq!(decode(b"*1\r\n$16384\r\n"), Ok(vec![]));
}

#[test]
fn a_request_has_a_total_limit() {
    let limits = Limits {
        request_bytes_max: 32 + ARGUMENT_OVERHEAD_BYTES,
        ..Limits::default()
    };
    let decode = |input: &[u8]| decode_with(RequestDecoder::new(limits), input, 1);
    assert_eq!(decode(b"*1\r\n$30\r\n"), Err(ProtocolError::TooBigRequest));
    assert_eq!(decode(b"*1\r\n$18\r\n"), Ok(vec![]));
    assert_eq!(decode(b"*9\r\n$4\r\nabcd\r\n"), Err(ProtocolError::TooBigRequest));
    let two = Limits {
        request_bytes_max: 25 + 2 * ARGUMENT_OVERHEAD_BYTES,
        ..limits
    };
    for (input, fits) in [
        (&b"*2\r\n$4\r\nabcd\r\n$5\r\nabcde\r\n"[..], true),
        (b"*2\r\n$4\r\nabcd\r\n$6\r\nabcdef\r\n", false),
    ] {
        for step in [1, input.len()] {
            let result = decode_with(RequestDecoder::new(two), input, step);
            assert_eq!(result.is_ok(), fits, "{step} at once");
        }
    }
}

#[test]
fn a_million_words_and_more_are_a_request_as_long_as_they_fit() {
    let words = (1 << 20) + 2;
    let mut input = format!("*{words}\r\n").into_bytes();
    input.extend(b"$1\r\nx\r\n".repeat(words));
    for step in [64 << 10, input.len()] {
        let (mut decoder, mut args, mut end) = (RequestDecoder::default(), Args::new(), 0);
        let taken = loop {
            end = input.len().min(end + step);
            if let Some(taken) = decoder.decode(&input[..end], &mut args).expect("it fits") {
                break taken;
            }
            assert!(end < input.len(), "complete");
        };
        assert_eq!((taken, args.len()), (input.len(), words));
        assert!(
            decoder.heap_bytes() <= 8 * KEPT_ARGUMENTS_MAX,
            "nothing of it is kept"
        );
    }
    // What cannot fit is refused by its first line.
    check_error(b"*5000000\r\n", "too big request");
    check_error(b"*2147483648\r\n", "invalid multibulk length");
}

#[test]
fn a_long_line_that_trickles_in_is_scanned_once() {
    // 64 KiB byte by byte: a rescan per byte would touch 2 GiB.
    let line = vec![b'x'; 64 << 10];
    let mut decoder = RequestDecoder::default();
    let mut args = Args::new();
    for end in 1..=line.len() {
        assert_eq!(decoder.decode(&line[..end], &mut args), Ok(None));
        assert_eq!(decoder.progress.scanned, end);
    }
}

fn arguments() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..20)
}

proptest! {
    #[test]
    fn requests_survive_any_fragmentation(
        requests in prop::collection::vec(arguments(), 0..8),
        step in 1_usize..50,
    ) {
        let input: Vec<u8> = requests.iter().flat_map(|r| crate::resp::request(r)).collect();
        prop_assert_eq!(decode_all(&input, step), Ok(requests));
    }

    #[test]
    fn the_outcome_does_not_depend_on_fragmentation(input in hostile(), step in 1_usize..9) {
        let whole = decode_all(&input, input.len().max(1));
        prop_assert_eq!(decode_all(&input, step).is_ok(), whole.is_ok());
        if whole.is_ok() {
            prop_assert_eq!(decode_all(&input, step), whole);
        }
    }
}

/// Bytes that look enough like RESP to get past the first check.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"*1\r\n".to_vec()),
        Just(b"*2\r\n".to_vec()),
        Just(b"*".to_vec()),
        Just(b"$".to_vec()),
        Just(b"$3\r\nabc\r\n".to_vec()),
        Just(b"$-1\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\"".to_vec()),
        Just(b"12".to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

#[test]
fn a_cut_anywhere_leaves_nothing_behind_for_the_next_request() {
    let stream = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n\r\n*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\nPING\r\n";
    for cut in 0..stream.len() {
        let (mut decoder, mut args) = (RequestDecoder::default(), Args::default());
        let (mut start, mut lengths) = (0, Vec::new());
        for end in [cut, stream.len()] {
            while let Some(taken) = decoder
                .decode(&stream[start..end], &mut args)
                .expect("well-formed")
            {
                lengths.push(args.len());
                start += taken;
                if start == end {
                    break;
                }
            }
        }
        assert_eq!((lengths, start), (vec![2, 0, 2, 1], stream.len()), "cut at {cut}");
    }
}
