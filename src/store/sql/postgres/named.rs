//! Errors that name what they are about: the server, the database, the role, the table.
//!
//! The texts of PostgreSQL may quote a value, and are in the language of the server. So the names
//! come from the pool and the store.

use std::fmt;

use ::sqlx::Error;
use ::sqlx::postgres::PgConnectOptions;

use super::PostgresStore;
use super::error::{code, no_tls, source_of};
use crate::store::{StoreError, StoreErrorKind};

/// What the role of the pool needs, in the words of `GRANT`.
pub(super) const RIGHTS: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];

impl PostgresStore {
    /// The same error, with the names.
    pub(super) fn named(&self, error: StoreError) -> StoreError {
        if error.kind() == StoreErrorKind::TransactionLost {
            return error;
        }
        let options = self.pool.inner.connect_options();
        let Some(source) = source_of(&error) else { return error };
        if let Some(detail) = of_connection(source, &options) {
            return not_connected(error.detail(detail), &options);
        }
        let detail = match code(source) {
            "42501" => self.not_permitted(&Quoted(options.get_username()), &RIGHTS),
            "42P01" | "3F000" => self.no_table(&options),
            "42703" => format!(
                "the table {} has other columns: `PostgresStore::migrate` of this version has not \
                 been run",
                self.names
            ),
            _ if matches!(source, Error::PoolTimedOut) => self.no_connection(&options),
            _ => return error,
        };
        error.detail(detail)
    }

    /// The role has not these rights.
    pub(super) fn not_permitted(&self, role: &Quoted<'_>, rights: &[&str]) -> String {
        let rights = rights.join(", ");
        let schema = self.names.schema.as_ref();
        let usage = schema.map(|schema| format!("GRANT USAGE ON SCHEMA {schema} TO {role}; "));
        format!(
            "the role {role} may not use the table {}, or its schema: {}GRANT {rights} ON {} TO {role}",
            self.names,
            usage.unwrap_or_default(),
            self.names,
        )
    }

    fn no_table(&self, options: &PgConnectOptions) -> String {
        let (records, role) = (&self.names, Quoted(options.get_username()));
        let schema = self.names.schema.as_ref().map_or("…".to_owned(), ToString::to_string);
        format!(
            "the table {records} is not found in the database {}: `PostgresStore::migrate` has not \
             been run on this database and schema, or the role {role} may not use the schema \
             (GRANT USAGE ON SCHEMA {schema} TO {role})",
            database(options),
        )
    }

    fn no_connection(&self, options: &PgConnectOptions) -> String {
        let most = self.pool.inner.options().get_max_connections();
        format!(
            "the pool had no connection in time: PostgreSQL at {} accepts none, or all \
             connections of the pool are in use (`max_connections` is {most}); \
             `IdempotencyLayer::check` says why one cannot be made",
            Place(options),
        )
    }
}

/// Puts the address before the detail.
pub(super) fn not_connected(error: StoreError, options: &PgConnectOptions) -> StoreError {
    error.at(format_args!("cannot connect to PostgreSQL at {}", Place(options)))
}

/// Why no connection is made, where the code or the settings say it.
pub(super) fn of_connection(error: &Error, options: &PgConnectOptions) -> Option<String> {
    let role = Quoted(options.get_username());
    Some(match code(error) {
        "3D000" => {
            format!("the database {} does not exist: check its name in the URL", database(options))
        }
        code if code.starts_with("28") => format!(
            "the server rejects the role {role} or its password: check them in the URL, and \
             `pg_hba.conf` on the server"
        ),
        _ => no_tls(error)?.to_owned(),
    })
}

/// Without a name of its own, the database has that of the role.
pub(super) fn database(options: &PgConnectOptions) -> Quoted<'_> {
    Quoted(options.get_database().unwrap_or_else(|| options.get_username()))
}

/// Where the server is.
struct Place<'a>(&'a PgConnectOptions);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.get_socket() {
            Some(socket) => write!(f, "{}", socket.display()),
            None => write!(f, "{}:{}", self.0.get_host(), self.0.get_port()),
        }
    }
}

/// A name as a statement contains it.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}
