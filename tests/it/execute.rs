//! The protocol around any operation, over every store.

/// The same checks over each store that leases.
macro_rules! over_every_store_that_leases {
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
    };
}

/// The same checks over each store, in both modes.
macro_rules! over_every_store {
    ($($name:ident)*) => {
        crate::execute::over_every_store_that_leases! { $($name)* }
        mod postgres_in_transaction {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name::<crate::transaction::given::Pg>().await })*
        }
        mod sqlite_in_transaction {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name::<crate::transaction::given::Lite>().await })*
        }
    };
}

pub(crate) use {over_every_store, over_every_store_that_leases};

mod conflicts;
pub(crate) mod given;
mod operations;
mod transactions;
