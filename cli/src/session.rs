//! What every command on a store has: the layer, the name of the operator, and the terminal.

use tower_idempotency::IdempotencyLayer;
use tower_idempotency::operate::Operator;
use tower_idempotency::store::DynStore;

use crate::args::{Command, Globals};
use crate::failure::Failure;
use crate::open::{Opened, open};
use crate::terminal::Terminal;

/// The name for commands that only read. No audit entry contains it.
const READER: &str = "reader";

/// A command on a store.
pub(crate) struct Session<'a> {
    pub(crate) layer: IdempotencyLayer<DynStore>,
    pub(crate) store: DynStore,
    pub(crate) terminal: &'a mut Terminal,
    pub(crate) json: bool,
    /// Whether this command has a key for responses.
    pub(crate) has_encryption_key: bool,
    /// Whether the service accepts responses that are not encrypted.
    pub(crate) accepts_plain: bool,
    by: Option<String>,
}

impl<'a> Session<'a> {
    /// Opens the store for a command.
    pub(crate) fn open(
        globals: &Globals,
        command: &Command,
        terminal: &'a mut Terminal,
    ) -> Result<Self, Failure> {
        let Opened { layer, store, has_encryption_key } =
            open(globals, command.url(), command.namespace())?;
        let by = globals.by.clone().or_else(|| std::env::var("USER").ok());
        let by = by.filter(|by| !by.is_empty());
        let (json, accepts_plain) = (globals.json, globals.accept_plain);
        Ok(Self { layer, store, terminal, json, has_encryption_key, accepts_plain, by })
    }

    /// An operator who changes nothing.
    pub(crate) fn reader(&self) -> Result<Operator<DynStore>, Failure> {
        self.layer.operator(READER).map_err(|error| Failure::usage(error.to_string()))
    }

    /// An operator who changes records, with the name for audit entries.
    pub(crate) fn writer(&self, even_in_flight: bool) -> Result<Operator<DynStore>, Failure> {
        let Some(by) = &self.by else {
            return Err(Failure::usage(
                "a change needs your name: use --by or the variable IDEMPOTENCY_OPERATOR",
            ));
        };
        let operator = self
            .layer
            .operator(by)
            .map_err(|error| Failure::usage(format!("your name cannot be stored: {error}")))?;
        Ok(if even_in_flight { operator.even_in_flight() } else { operator })
    }

    /// The name of the operator, as the confirmation shows it.
    pub(crate) fn by(&self) -> &str {
        self.by.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
impl<'a> Session<'a> {
    pub(crate) fn of(
        layer: IdempotencyLayer<DynStore>,
        store: DynStore,
        terminal: &'a mut Terminal,
        globals: &Globals,
    ) -> Self {
        let (json, accepts_plain) = (globals.json, globals.accept_plain);
        let by = Some("alice".into());
        Self { layer, store, terminal, json, has_encryption_key: false, accepts_plain, by }
    }
}
