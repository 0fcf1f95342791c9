//! Which server of a cluster has which names.

use redis::{ErrorKind, RedisError, RedisResult, Value};

/// The slots that one server has, both ends included.
pub(super) struct Slots {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) host: String,
    pub(super) port: u16,
}

/// Reads the reply to `CLUSTER SLOTS`. A server that does not know its own host is at the host that
/// was asked.
pub(super) fn read(reply: Value, asked: &str) -> RedisResult<Vec<Slots>> {
    let Value::Array(ranges) = reply else {
        return Err(malformed());
    };
    let slots: Option<Vec<_>> = ranges.into_iter().map(|range| read_range(range, asked)).collect();
    // One that was just added or reset knows of no slots.
    slots.filter(|slots| !slots.is_empty()).ok_or_else(malformed)
}

fn read_range(range: Value, asked: &str) -> Option<Slots> {
    let Value::Array(range) = range else {
        return None;
    };
    let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = &range[..] else {
        return None;
    };
    let [named, Value::Int(port), ..] = &primary[..] else {
        return None;
    };
    let host = match host(text(named).unwrap_or_default(), asked) {
        Some(host) => host,
        None => host(ip(primary.get(3)?)?, asked)?,
    };
    Some(Slots {
        first: (*first).try_into().ok()?,
        last: (*last).try_into().ok()?,
        host: host.to_owned(),
        port: (*port).try_into().ok()?,
    })
}

/// The host that a server has named, for a client that has asked it at `asked`. `None` if it knows
/// none.
pub(super) fn host<'a>(named: &'a str, asked: &'a str) -> Option<&'a str> {
    match named {
        // The server is set to tell names, and has none.
        "?" => None,
        // The server itself, by the address on which it listens.
        "" | "0.0.0.0" | "::" => Some(asked),
        named => Some(named),
    }
}

/// The address in the details of a server: a map or a flat list, by the version of the protocol.
fn ip(more: &Value) -> Option<&str> {
    match more {
        Value::Map(pairs) => {
            pairs.iter().find(|(name, _)| text(name) == Some("ip")).and_then(|(_, ip)| text(ip))
        }
        Value::Array(flat) => flat
            .chunks_exact(2)
            .find(|pair| text(&pair[0]) == Some("ip"))
            .and_then(|pair| text(&pair[1])),
        _ => None,
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(text) => std::str::from_utf8(text).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

fn malformed() -> RedisError {
    (ErrorKind::UnexpectedReturnType, "the server knows no cluster").into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn the_first_server_of_a_range_is_its_primary() {
        let node = |host, port| {
            Value::Array(vec![host, Value::Int(port), bulk("id"), Value::Array(vec![])])
        };
        let range = |first, last, nodes: [Value; 2]| {
            Value::Array([Value::Int(first), Value::Int(last)].into_iter().chain(nodes).collect())
        };
        let reply = Value::Array(vec![
            range(0, 5460, [node(bulk("10.0.0.1"), 7000), node(bulk("10.0.0.2"), 7001)]),
            range(5461, 16383, [node(Value::Nil, 7002), node(bulk("10.0.0.3"), 7003)]),
        ]);
        let slots = read(reply, "example.org").unwrap();
        let told: Vec<_> =
            slots.iter().map(|slots| (slots.first, slots.last, &*slots.host, slots.port)).collect();
        assert_eq!(told, [(0, 5460, "10.0.0.1", 7000), (5461, 16383, "example.org", 7002)]);
    }

    #[test]
    fn a_server_without_the_name_that_was_wanted_is_found_by_its_address() {
        let reply = |host: &str, more: Value| {
            let primary = Value::Array(vec![bulk(host), Value::Int(7000), bulk("id"), more]);
            Value::Array(vec![Value::Array(vec![Value::Int(0), Value::Int(16383), primary])])
        };
        let told = |host, more| {
            read(reply(host, more), "example.org").map(|slots| slots[0].host.clone()).ok()
        };
        let none = || Value::Array(Vec::new());
        let flat = |ip| Value::Array(vec![bulk("hostname"), bulk(""), bulk("ip"), bulk(ip)]);
        let map = |ip| Value::Map(vec![(bulk("ip"), bulk(ip))]);
        assert_eq!(told("?", flat("10.0.0.1")).as_deref(), Some("10.0.0.1"));
        assert_eq!(told("?", map("10.0.0.1")).as_deref(), Some("10.0.0.1"));
        assert_eq!(told("?", map("")).as_deref(), Some("example.org"));
        assert_eq!(told("?", none()), None);
        for itself in ["", "0.0.0.0", "::"] {
            assert_eq!(told(itself, none()).as_deref(), Some("example.org"), "{itself}");
        }
    }

    #[test]
    fn a_reply_without_slots_is_an_error() {
        for reply in [Value::Nil, Value::Array(vec![]), Value::Array(vec![Value::Int(1)])] {
            assert!(read(reply, "example.org").is_err());
        }
    }
}
