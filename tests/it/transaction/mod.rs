//! Transaction mode: business rows, key and response are committed together or not at all.

/// The same checks on both databases.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name::<crate::support::databases::Pg>().await })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name::<crate::support::databases::Lite>().await })*
        }
    };
}

mod conflicts;
mod directive;
mod duplicates;
mod ends;
mod extractor;
mod faults;
#[cfg(feature = "grpc")]
mod grpc;
mod isolation;
mod locked;
mod misuse;
mod operators;
mod pool;
mod quoted;
mod responses;
pub(crate) mod script;
mod session;
mod takeover;
