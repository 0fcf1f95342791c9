//! The store contract as runnable checks.
