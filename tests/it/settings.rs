//! The settings that say what is kept of an answer, where keys come from, what one operation is, and how much is taken.

mod body_key;
mod fingerprints;
mod keep;
mod limits;
#[cfg(all(
    feature = "encryption",
    feature = "compression",
    feature = "redis",
    feature = "postgres",
    feature = "sqlite",
    feature = "conformance"
))]
mod packed;
mod profiles;
mod retention;
mod verdict;
