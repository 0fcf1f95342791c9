//! The protocol around any operation, over every store.

/// The same checks over each store.
macro_rules! over_every_store {
    ($($name:ident)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name::<crate::execute::given::Memory>().await })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name::<crate::execute::given::Redis>().await })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name::<crate::execute::given::Leasing<crate::transaction::given::Pg>>().await })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name::<crate::execute::given::Leasing<crate::transaction::given::Lite>>().await })*
        }
        mod postgres_in_transaction {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name::<crate::transaction::given::Pg>().await })*
        }
        mod sqlite_in_transaction {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name::<crate::transaction::given::Lite>().await })*
        }
    };
}

pub(crate) mod given;
mod operations;
mod transactions;
