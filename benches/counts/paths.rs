//! The paths that are counted: those of a guarded request.

use super::load::{HEADER, Keys, Load};

/// One path, and what serves it.
pub(crate) struct Path {
    pub(crate) name: &'static str,
    pub(crate) guarded: &'static str,
    /// Empty: the path is compared with another one.
    pub(crate) limit: &'static str,
    pub(crate) load: Load,
}

impl Path {
    /// Whether each run makes the same system calls. Requests that overlap share some, and a large
    /// body arrives in pieces of any size.
    pub(crate) fn has_steady_calls(&self) -> bool {
        self.load.connections == 1 && !self.name.contains("256 KiB")
    }
}

const KIB: usize = 1 << 10;

pub(crate) fn all() -> Vec<Path> {
    let path = |name, guarded, limit, keys, connections| {
        let (address, path) = (String::new(), "/payments".to_owned());
        Path {
            name,
            guarded,
            limit,
            load: Load { address, path, header: HEADER, keys, body: 200, connections },
        }
    };
    let (first, replay) = (Keys::Unique, Keys::Pool(64));
    let memory = |name, keys| path(name, "memory", "memory by hand", keys, 1);
    let told = |name, guarded| path(name, guarded, "", first, 1);
    let request = |name, body| {
        let path = memory(name, first);
        Path { load: Load { path: "/swallow".into(), body, ..path.load }, ..path }
    };
    let redis = |name, keys, connections| path(name, "redis", "redis by hand", keys, connections);
    let response = |name, keys, bytes| {
        let path = redis(name, keys, 1);
        Path { load: Load { path: format!("/payments?response={bytes}"), ..path.load }, ..path }
    };
    vec![
        path("no key", "memory", "from_fn", Keys::None, 1),
        memory("memory, first", first),
        told("memory, first, with spans", "memory with spans"),
        told("memory, first, with metrics", "memory with metrics"),
        told("memory, first, with metrics and labels", "memory with metrics, labels"),
        told("memory, first, with Prometheus", "memory with Prometheus"),
        told("memory, first, with events", "memory with events"),
        told("memory, first, with all of them", "memory with spans, metrics, events"),
        memory("memory, replay", replay),
        request("memory, request of 16 KiB, first", 16 * KIB),
        request("memory, request of 256 KiB, first", 256 * KIB),
        redis("Redis, first", first, 1),
        redis("Redis, replay", replay, 1),
        redis("Redis, first, 64 connections", first, 64),
        redis("Redis, replay, 64 connections", replay, 64),
        response("Redis, response of 16 KiB, first", first, 16 * KIB),
        response("Redis, response of 16 KiB, replay", replay, 16 * KIB),
        response("Redis, response of 256 KiB, first", first, 256 * KIB),
        response("Redis, response of 256 KiB, replay", replay, 256 * KIB),
    ]
}
