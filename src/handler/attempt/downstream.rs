//! The keys of an operation in other systems.

use std::fmt::Write;
use std::sync::Arc;

use crate::record::digest::Framed;
use crate::record::key::StorageKey;
use crate::record::secret::SecretKey;

/// The input of the keys.
#[derive(Debug, Clone)]
pub(crate) struct Downstream {
    /// A digest of namespace, scope and the client's key.
    pub(crate) operation: StorageKey,
    /// Keys the digest. Without it, a reader of the store could compute the keys from the names of
    /// the records.
    pub(crate) secret: Option<Arc<SecretKey>>,
}

impl Downstream {
    /// A UUID of version 8 for one purpose.
    pub(crate) fn key(&self, purpose: &str) -> String {
        let mut framed = Framed::new("downstream key 1");
        framed.field(self.operation.as_bytes());
        framed.field(purpose.as_bytes());
        let digest = framed.finish(self.secret.as_ref().map(|secret| &***secret));
        let mut bytes = *digest.as_bytes();
        bytes[6] = 0x80 | bytes[6] & 0x0f;
        bytes[8] = 0x80 | bytes[8] & 0x3f;
        let mut key = String::with_capacity(36);
        for (index, byte) in bytes[..16].iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                key.push('-');
            }
            // Writing to a string cannot fail.
            let _ = write!(key, "{byte:02x}");
        }
        key
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::record::key::{IdempotencyKey, Scope};

    fn downstream(namespace: &str, scope: &str, key: &str, secret: Option<u8>) -> Downstream {
        let key = IdempotencyKey::parse(key.as_bytes()).unwrap();
        let secret = secret.map(|byte| Arc::new(SecretKey::new([byte; 32])));
        let bytes = secret.as_ref().map(|secret| &***secret);
        Downstream {
            operation: StorageKey::derive(bytes, namespace, &Scope::new(scope), &key),
            secret,
        }
    }

    #[test]
    fn each_namespace_scope_key_purpose_and_secret_has_a_downstream_key_of_its_own() {
        let all = [
            downstream("payments", "alice", "order-1", None).key("charge"),
            downstream("payments", "alice", "order-1", None).key("payout"),
            downstream("payments", "bob", "order-1", None).key("charge"),
            downstream("refunds", "alice", "order-1", None).key("charge"),
            downstream("payments", "alice", "order-2", None).key("charge"),
            downstream("payments", "alice", "order-1", Some(7)).key("charge"),
            downstream("payments", "alice", "order-1", Some(8)).key("charge"),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "{all:?}");
    }

    #[test]
    fn a_secret_keys_it_also_for_a_reader_of_the_store() {
        let keyed = downstream("payments", "alice", "order-1", Some(7));
        let as_a_reader = Downstream { secret: None, ..keyed.clone() };
        assert_ne!(keyed.key("charge"), as_a_reader.key("charge"));
    }

    #[test]
    fn a_downstream_key_is_a_uuid_of_version_8_and_never_changes() {
        let key = downstream("payments", "alice", "order-1", None).key("charge");
        assert_eq!(key, "3fe3e7d1-c241-8a38-89a9-e1f8222255d7");
        let dashes: Vec<_> = key.match_indices('-').map(|(at, _)| at).collect();
        assert_eq!((key.len(), dashes), (36, vec![8, 13, 18, 23]));
        assert_eq!(&key[14..15], "8");
        assert!(matches!(&key[19..20], "8" | "9" | "a" | "b"));
    }
}
