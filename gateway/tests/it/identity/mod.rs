//! TLS, and the callers that certificates and tokens name.

mod authority;
mod certificates;
mod client;
mod figures;
mod program;
mod site;
mod tls;
mod tokens;
mod tokens_over_time;
mod written;
