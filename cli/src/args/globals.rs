//! The options of all commands: which store, and as whom.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values::duration;

#[derive(Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct Globals {
    /// The store: `redis://…`, `rediss://…`, `redis+cluster://…`, `redis+sentinel://…`,
    /// `postgres://…` or `sqlite:PATH`. Other users of this machine can read the arguments of a
    /// process, so put a URL with a password into the variable.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "IDEMPOTENCY_STORE",
        hide_env_values = true
    )]
    pub(crate) store: Option<String>,
    /// The table of the records, for PostgreSQL and SQLite. Default: `idempotency_records`.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) table: Option<String>,
    /// The schema of the table, for PostgreSQL. Default: the search path decides.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) schema: Option<String>,
    /// What the names of the records begin with, for Redis. Default: `idempotency:`.
    #[arg(long, global = true, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    /// A file with the secret of the service: 64 hexadecimal digits or 32 bytes. `--key` and
    /// `--scope` need it if the service has one. The variable `IDEMPOTENCY_SECRET` has the digits.
    #[arg(long, global = true, value_name = "FILE", env = "IDEMPOTENCY_SECRET_FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// A file with the key that encrypts responses, as the secret, with the number of the key
    /// before it: `2:key.hex`. The number is 1 by default. Repeatable: the first key writes, the
    /// others read. The variable `IDEMPOTENCY_ENCRYPTION_KEY` has digits for files, with commas
    /// between keys.
    #[arg(long = "encryption-key-file", global = true, value_name = "[NUMBER:]FILE")]
    pub(crate) encryption_key_files: Vec<String>,
    /// Accepts responses that are not encrypted, as the service does while it turns encryption on.
    #[arg(long, global = true)]
    pub(crate) accept_plain: bool,
    /// The longest time of one operation of the store.
    #[arg(long, global = true, value_name = "AGE", default_value = "5s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Your name, which the audit entry of a change contains. Default: the variable `USER`.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "IDEMPOTENCY_OPERATOR",
        help_heading = "Output and audit"
    )]
    pub(crate) by: Option<String>,
    /// Prints JSON: one document, or one for each line where there may be many.
    #[arg(long, global = true, help_heading = "Output and audit")]
    pub(crate) json: bool,
}
