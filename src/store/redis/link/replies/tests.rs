#![allow(clippy::unwrap_used)]

use bytes::BufMut;
use proptest::prelude::*;

use super::*;

impl Replies {
    fn take_in(&mut self, bytes: &[u8]) {
        self.buffer().unwrap().put_slice(bytes);
    }

    fn all(&mut self) -> RedisResult<Vec<Value>> {
        std::iter::from_fn(|| self.next().transpose()).collect()
    }
}

const EACH_KIND: [&str; 24] = [
    "+OK\r\n",
    "+PONG\r\n",
    "-ERR syntax error\r\n",
    ":1\r\n",
    ":-42\r\n",
    "$0\r\n\r\n",
    "$5\r\nab\r\nc\r\n",
    "$-1\r\n",
    "*-1\r\n",
    "_\r\n",
    "*0\r\n",
    "*3\r\n:1\r\n$3\r\nabc\r\n_\r\n",
    "*2\r\n*2\r\n:1\r\n*0\r\n+OK\r\n",
    "*1\r\n-ERR inside\r\n",
    "#t\r\n",
    "#f\r\n",
    ",1.5\r\n",
    "(3492890328409238509324850943850943825024385\r\n",
    "=7\r\ntxt:abc\r\n",
    "!9\r\nERR fault\r\n",
    "%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n",
    "~2\r\n:1\r\n:2\r\n",
    "|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n",
    "$3\r\n\r\n\r\r\n",
];

#[test]
fn every_kind_of_reply_is_read_as_the_driver_reads_it() {
    for reply in EACH_KIND {
        let mut replies = Replies::default();
        replies.take_in(reply.as_bytes());
        let expected = parse_redis_value(reply.as_bytes()).unwrap();
        assert_eq!(replies.all().unwrap(), [expected], "{reply:?}");
    }
}

proptest! {
    #[test]
    fn replies_may_arrive_in_any_pieces(
        chosen in prop::collection::vec(0..EACH_KIND.len(), 1..20),
        pieces in prop::collection::vec(1_usize..30, 1..20),
    ) {
        let bytes: String = chosen.iter().map(|reply| EACH_KIND[*reply]).collect();
        let mut replies = Replies::default();
        let (mut read, mut rest) = (Vec::new(), bytes.as_bytes());
        for piece in pieces.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at(piece.min(rest.len()));
            replies.take_in(now);
            read.extend(replies.all().unwrap());
            rest = later;
        }
        let expected: Vec<_> = chosen
            .iter()
            .map(|reply| parse_redis_value(EACH_KIND[*reply].as_bytes()).unwrap())
            .collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(
        prop::sample::select(b"+-:$*_#,(=!%~|>\r\n019ax".to_vec()), 0..40,
    )) {
        let mut replies = Replies::default();
        replies.take_in(&bytes);
        let _ = replies.all();
        let _ = replies.buffer();
    }
}

#[test]
fn what_the_server_says_unasked_is_no_reply() {
    let mut replies = Replies::default();
    replies.take_in(b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n:5\r\n>1\r\n+message\r\n");
    assert_eq!(replies.all().unwrap(), [Value::Int(5)]);
}

#[test]
fn malformed_replies_are_those_of_a_broken_connection() {
    for bytes in ["HTTP/1.1 400 Bad Request\r\n", ":abc\r\n", "$x\r\n", "*99999999999999999999\r\n"]
    {
        let mut replies = Replies::default();
        replies.take_in(bytes.as_bytes());
        let error = replies.all().unwrap_err();
        assert!(error.is_connection_dropped(), "{bytes:?}: {error:?}");
    }
}

#[test]
fn a_long_reply_takes_no_memory_before_it_arrives_and_none_after() {
    let mut replies = Replies::default();
    replies.take_in(b"$9999999999\r\nabc");
    assert!(replies.all().unwrap().is_empty());
    assert!(replies.buffer().unwrap().capacity() <= 2 * LONG_READ);

    let mut replies = Replies::default();
    let body = vec![b'x'; 3 * LONG_READ];
    replies.take_in(format!("${}\r\n", body.len()).as_bytes());
    for piece in body.chunks(LONG_READ) {
        replies.take_in(piece);
        assert!(replies.all().unwrap().is_empty());
    }
    replies.take_in(b"\r\n:1\r\n");
    assert_eq!(replies.all().unwrap(), [Value::BulkString(body), Value::Int(1)]);
    assert!(replies.buffer().unwrap().capacity() <= 4 * READ);
}

/// Otherwise the reply never ends, and neither does the connection: each further byte counts as a
/// sign of life.
#[test]
fn a_carriage_return_within_a_line_is_a_part_of_it_as_it_is_for_the_driver() {
    for reply in ["+a\rb\r\n", "-ERR a\rb\r\n", "+\r\r\n"] {
        let expected = parse_redis_value(reply.as_bytes()).unwrap();
        let mut replies = Replies::default();
        replies.take_in(reply.as_bytes());
        assert_eq!(replies.all().unwrap(), [expected], "{reply:?}");
    }
}

/// The commands may have been carried out, so a reservation among them must be undone.
#[test]
fn a_whole_reply_that_cannot_be_read_is_one_of_a_broken_connection() {
    for bytes in [
        &b"#x\r\n"[..],
        b",x\r\n",
        b"-ERR \xff\r\n",
        b"+\xff\r\n",
        b"=1\r\nx\r\n",
        b"%1\r\n+a\r\n#x\r\n",
    ] {
        let mut replies = Replies::default();
        replies.take_in(bytes);
        let error = replies.all().unwrap_err();
        assert!(error.is_connection_dropped(), "{}: {error:?}", bytes.escape_ascii());
    }
}
