//! The flags and their values. Everything else is rejected with a clear error.

use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use tower_idempotency::{InFlight, JsonPointer, OnAbandoned, OnFailed, OnOutage, StoredResponse};

use crate::ledger::lines::Lines;
use crate::problem::Problem;

mod values;

use values::{duration, hex, shown, size, store};

pub(crate) const USAGE: &str = "\
Usage: sandbox [flags]

  --listen 127.0.0.1:3000    where to listen; port 0 picks a free one
  --store memory             memory | redis://H:P[/DB] | redis+cluster://H:P,H:P | redis+sentinel://H:P,H:P/NAME
                             | postgres://… | postgres+tx://… | sqlite:PATH | sqlite+tx:PATH
                             a +tx store runs each attempt in a transaction, with the table `payments` as ledger;
                             PostgreSQL gets 16 connections; in +tx each of them runs one attempt at a time
  --ledger PATH              append one JSON line per effect; not with a +tx store
  --lease 10s                an attempt without a renewal for this time is abandoned
  --retention 24h            how long a response is stored
  --store-timeout 2s         the longest time of one store operation
  --in-flight reject         reject | wait:5s
  --on-failed rerun          rerun | replay | refuse
  --on-abandoned rerun       rerun | refuse
  --on-outage closed         closed | open
  --profile default          default | ietf | stripe: the rules to follow; other flags still apply
  --require-key              reject a guarded request without a key with 400
  --max-request 1MiB         the largest request body
  --max-response 1MiB        the largest response that is stored
  --keep full                full | status | digest: how much of a response is stored
  --encryption-key HEX       encrypt responses before they are stored; 64 hexadecimal digits
  --canonical-json           JSON bodies with the same content are the same request
  --ignore /json/pointer     ignore the value at this place; repeatable, implies --canonical-json
  --help                     print this

Durations are like 300ms, 10s, 5m, 24h; sizes like 300, 64KiB, 1MiB.";

/// The command that the flags ask for.
pub(crate) enum Command {
    Help,
    Serve(Box<Args>),
}

/// The settings of the server.
pub(crate) struct Args {
    pub(crate) listen: SocketAddr,
    pub(crate) store: StoreChoice,
    pub(crate) ledger: Option<PathBuf>,
    pub(crate) lease: Duration,
    pub(crate) retention: Duration,
    pub(crate) store_timeout: Duration,
    pub(crate) in_flight: InFlight,
    /// `None`: the profile decides.
    pub(crate) on_failed: Option<OnFailed>,
    pub(crate) on_abandoned: OnAbandoned,
    pub(crate) on_outage: OnOutage,
    pub(crate) profile: Profile,
    pub(crate) require_key: bool,
    pub(crate) max_request: usize,
    pub(crate) max_response: usize,
    pub(crate) stored_response: StoredResponse,
    pub(crate) encryption_key: Option<[u8; 32]>,
    pub(crate) canonical_json: bool,
    pub(crate) ignore: Vec<JsonPointer>,
}

/// The rules that the layer follows.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    Default,
    Ietf,
    Stripe,
}

/// The connections in the pool of a PostgreSQL store. The help text contains this number.
#[cfg(feature = "postgres")]
pub(crate) const POSTGRES_CONNECTIONS: u32 = 16;

/// The place of the records: a URL, or the path of a file.
pub(crate) enum StoreChoice {
    Memory,
    Redis(String),
    Postgres(String),
    PostgresTx(String),
    Sqlite(String),
    SqliteTx(String),
}

/// Shows nothing after `://`, because a URL can contain a password.
impl fmt::Display for StoreChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Redis(url) | Self::Postgres(url) => f.write_str(&shown("--store", url)),
            Self::PostgresTx(_) => f.write_str("postgres+tx://…"),
            Self::Sqlite(path) => write!(f, "sqlite:{path}"),
            Self::SqliteTx(path) => write!(f, "sqlite+tx:{path}"),
        }
    }
}

impl Default for Args {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 3000).into(),
            store: StoreChoice::Memory,
            ledger: None,
            lease: Duration::from_secs(10),
            retention: Duration::from_hours(24),
            store_timeout: Duration::from_secs(2),
            in_flight: InFlight::Reject,
            on_failed: None,
            on_abandoned: OnAbandoned::Rerun,
            on_outage: OnOutage::FailClosed,
            profile: Profile::Default,
            require_key: false,
            max_request: 1 << 20,
            max_response: 1 << 20,
            stored_response: StoredResponse::Full,
            encryption_key: None,
            canonical_json: false,
            ignore: Vec::new(),
        }
    }
}

impl Command {
    /// Parses the flags, `--flag value` or `--flag=value`. The last of several counts. The error is
    /// for a person.
    pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut words = words.into_iter().map(|word| {
            word.into_string().map_err(|word| format!("{} is not UTF-8", word.to_string_lossy()))
        });
        let mut args = Args::default();
        while let Some(word) = words.next().transpose()? {
            let (flag, joined) = match word.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            match flag {
                "--help" | "-h" => return Ok(Self::Help),
                "--require-key" | "--canonical-json" if joined.is_some() => {
                    return Err(format!("{flag} takes no value"));
                }
                "--require-key" => args.require_key = true,
                "--canonical-json" => args.canonical_json = true,
                _ if !TAKES_VALUE.contains(&flag) => return Err(format!("{flag} is not a flag")),
                _ => {
                    let value = match joined {
                        Some(value) => value,
                        None => words
                            .next()
                            .transpose()?
                            .filter(|value| !value.starts_with("--"))
                            .ok_or_else(|| format!("{flag} needs a value"))?,
                    };
                    args.set(flag, &value)
                        .map_err(|problem| format!("{flag} {}: {problem}", shown(flag, &value)))?;
                }
            }
        }
        if let (StoreChoice::PostgresTx(_) | StoreChoice::SqliteTx(_), Some(_)) =
            (&args.store, &args.ledger)
        {
            return Err(format!("--ledger: the ledger of {} is its table `payments`", args.store));
        }
        Ok(Self::Serve(args.into()))
    }
}

const TAKES_VALUE: [&str; 16] = [
    "--listen",
    "--store",
    "--ledger",
    "--lease",
    "--retention",
    "--store-timeout",
    "--in-flight",
    "--on-failed",
    "--on-abandoned",
    "--on-outage",
    "--profile",
    "--keep",
    "--max-request",
    "--max-response",
    "--encryption-key",
    "--ignore",
];

impl Args {
    /// Opens the ledger for a store without its own ledger.
    pub(crate) fn ledger(&self) -> Result<Lines, Problem> {
        let lines = Lines::open(self.ledger.as_deref());
        lines.map_err(|error| Problem::failed("the ledger cannot be opened", &error))
    }

    fn set(&mut self, flag: &str, value: &str) -> Result<(), String> {
        match (flag, value) {
            ("--listen", _) => {
                self.listen = value.parse().map_err(|_| "not an address like 127.0.0.1:3000")?;
            }
            ("--store", _) => self.store = store(value)?,
            ("--ledger", "") => return Err("not a path".into()),
            ("--ledger", _) => self.ledger = Some(value.into()),
            ("--lease", _) => self.lease = duration(value)?,
            ("--retention", _) => self.retention = duration(value)?,
            ("--store-timeout", _) => self.store_timeout = duration(value)?,
            ("--in-flight", "reject") => self.in_flight = InFlight::Reject,
            ("--in-flight", _) => {
                let bound = value.strip_prefix("wait:").ok_or("not reject or wait:5s")?;
                self.in_flight = InFlight::Wait(duration(bound)?);
            }
            ("--on-failed", "rerun") => self.on_failed = Some(OnFailed::Rerun),
            ("--on-failed", "replay") => self.on_failed = Some(OnFailed::Replay),
            ("--on-failed", "refuse") => self.on_failed = Some(OnFailed::Reject),
            ("--on-abandoned", "rerun") => self.on_abandoned = OnAbandoned::Rerun,
            ("--on-abandoned", "refuse") => self.on_abandoned = OnAbandoned::Reject,
            ("--max-request", _) => self.max_request = size(value)?,
            ("--max-response", _) => self.max_response = size(value)?,
            ("--on-outage", "closed") => self.on_outage = OnOutage::FailClosed,
            ("--on-outage", "open") => self.on_outage = OnOutage::FailOpenRiskingDoubleEffects,
            ("--profile", "default") => self.profile = Profile::Default,
            ("--profile", "ietf") => self.profile = Profile::Ietf,
            ("--profile", "stripe") => self.profile = Profile::Stripe,
            ("--keep", "full") => self.stored_response = StoredResponse::Full,
            ("--keep", "status") => self.stored_response = StoredResponse::Status,
            ("--keep", "digest") => self.stored_response = StoredResponse::Digest,
            ("--encryption-key", _) => self.encryption_key = Some(hex(value)?),
            ("--ignore", _) => {
                let pointer = JsonPointer::new(value).map_err(|error| error.to_string())?;
                self.ignore.push(pointer);
                self.canonical_json = true;
            }
            _ => return Err("not a value of this flag".into()),
        }
        Ok(())
    }
}
