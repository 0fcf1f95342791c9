//! The flags: what each takes, and a clear refusal of everything else.

use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tower_idempotency::{InFlight, OnAbandoned, OnFailed, OnOutage};

use crate::ledger::lines::Lines;
use crate::problem::Problem;

pub(crate) const USAGE: &str = "\
Usage: sandbox [flags]

  --listen 127.0.0.1:3000    where to listen; port 0 picks a free one
  --store memory             memory | redis://H:P[/DB] | redis+cluster://H:P,H:P | redis+sentinel://H:P,H:P/NAME
                             | postgres://… | postgres+tx://… | sqlite:PATH | sqlite+tx:PATH
                             the +tx stores run each attempt in a transaction, with the table `payments` as ledger;
                             PostgreSQL is given 16 connections, each of which is one attempt at a time in +tx
  --ledger PATH              append one JSON line per effect; not in a +tx store
  --lease 10s                how long an attempt is taken to be alive without a sign of life
  --retention 24h            how long an answer is kept
  --store-timeout 2s         how long an operation of the store may take
  --in-flight reject         reject | wait:5s
  --on-failed rerun          rerun | replay | refuse
  --on-abandoned rerun       rerun | refuse
  --on-outage closed         closed | open
  --profile default          default
  --keep full                full
  --require-key              answer 400 to a guarded request without a key
  --max-request 1MiB         the largest request body
  --max-response 1MiB        the largest answer that is kept
  --help                     print this

Durations are like 300ms, 10s, 5m, 24h; sizes like 300, 64KiB, 1MiB.";

/// What the flags ask for.
pub(crate) enum Command {
    Help,
    Serve(Args),
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
    pub(crate) on_failed: OnFailed,
    pub(crate) on_abandoned: OnAbandoned,
    pub(crate) on_outage: OnOutage,
    pub(crate) require_key: bool,
    pub(crate) max_request: usize,
    pub(crate) max_response: usize,
}

/// How many connections the pool of a PostgreSQL store has: the help says so.
#[cfg(feature = "postgres")]
pub(crate) const POSTGRES_CONNECTIONS: u32 = 16;

/// Where the records are kept: a URL, or the path of a file.
pub(crate) enum StoreChoice {
    Memory,
    Redis(String),
    Postgres(String),
    PostgresTx(String),
    Sqlite(String),
    SqliteTx(String),
}

/// Without what may follow `://`, for a URL can carry a password.
impl fmt::Display for StoreChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Redis(url) | Self::Postgres(url) => f.write_str(&shown(url)),
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
            on_failed: OnFailed::Rerun,
            on_abandoned: OnAbandoned::Rerun,
            on_outage: OnOutage::Closed,
            require_key: false,
            max_request: 1 << 20,
            max_response: 1 << 20,
        }
    }
}

impl Command {
    /// Reads the flags, `--flag value` or `--flag=value`; the last of several counts. The error is for a person.
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
                "--require-key" if joined.is_some() => {
                    return Err(format!("{flag} takes no value"));
                }
                "--require-key" => args.require_key = true,
                "--encryption-key" | "--canonical-json" | "--ignore" => return Err(not_yet(flag)),
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
                        .map_err(|problem| format!("{flag} {}: {problem}", shown(&value)))?;
                }
            }
        }
        if let (StoreChoice::PostgresTx(_) | StoreChoice::SqliteTx(_), Some(_)) = (&args.store, &args.ledger)
        {
            return Err(format!("--ledger: the ledger of {} is its table `payments`", args.store));
        }
        Ok(Self::Serve(args))
    }
}

const TAKES_VALUE: [&str; 14] = [
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
];

impl Args {
    /// Opens the ledger of a store that has none of its own.
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
            ("--on-failed", "rerun") => self.on_failed = OnFailed::Rerun,
            ("--on-failed", "replay") => self.on_failed = OnFailed::Replay,
            ("--on-failed", "refuse") => self.on_failed = OnFailed::Refuse,
            ("--on-abandoned", "rerun") => self.on_abandoned = OnAbandoned::Rerun,
            ("--on-abandoned", "refuse") => self.on_abandoned = OnAbandoned::Refuse,
            ("--max-request", _) => self.max_request = size(value)?,
            ("--max-response", _) => self.max_response = size(value)?,
            ("--on-outage", "closed") => self.on_outage = OnOutage::Closed,
            ("--on-outage", "open") => self.on_outage = OnOutage::OpenRiskingDoubleEffects,
            ("--profile", "default") | ("--keep", "full") => {}
            ("--profile", "ietf" | "stripe") | ("--keep", "status" | "digest") => {
                return Err(NOT_YET.into());
            }
            _ => return Err("not a value of this flag".into()),
        }
        Ok(())
    }
}

const NOT_YET: &str = "this version does not have it yet";

fn not_yet(flag: &str) -> String {
    format!("{flag}: {NOT_YET}")
}

/// The value without what may follow `://`, for a URL can carry a password.
fn shown(value: &str) -> String {
    match value.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://…"),
        None => value.into(),
    }
}

fn store(value: &str) -> Result<StoreChoice, String> {
    let redis = ["redis://", "redis+cluster://", "redis+sentinel://"];
    if value == "memory" {
        Ok(StoreChoice::Memory)
    } else if redis.iter().any(|scheme| value.starts_with(scheme)) {
        Ok(StoreChoice::Redis(value.into()))
    } else if value.starts_with("postgres://") {
        Ok(StoreChoice::Postgres(value.into()))
    } else if let Some(rest) = value.strip_prefix("postgres+tx://") {
        Ok(StoreChoice::PostgresTx(format!("postgres://{rest}")))
    } else if let Some(path) = value.strip_prefix("sqlite:") {
        file(path).map(StoreChoice::Sqlite)
    } else if let Some(path) = value.strip_prefix("sqlite+tx:") {
        file(path).map(StoreChoice::SqliteTx)
    } else {
        Err("not memory, a redis:// or postgres:// URL, or sqlite:PATH; see --help".into())
    }
}

fn file(path: &str) -> Result<String, String> {
    if path.is_empty() { Err("not a path".into()) } else { Ok(path.into()) }
}

fn duration(value: &str) -> Result<Duration, String> {
    let (number, unit) = number_and_unit(value);
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60 * 1_000,
        "h" => 60 * 60 * 1_000,
        _ => return Err("not a duration like 300ms, 10s or 24h".into()),
    };
    let number: u64 = number.parse().map_err(|_| "not a duration like 300ms, 10s or 24h")?;
    // A longer one is a slip of the finger, and would overflow the clocks of stores.
    let millis = number.checked_mul(millis).filter(|millis| *millis <= LONGEST_MS);
    millis.map(Duration::from_millis).ok_or_else(|| "longer than ten years".into())
}

const LONGEST_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;

fn size(value: &str) -> Result<usize, String> {
    let (number, unit) = number_and_unit(value);
    let unit: usize = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("not a size like 300, 64KiB or 1MiB".into()),
    };
    let number: usize = number.parse().map_err(|_| "not a size like 300, 64KiB or 1MiB")?;
    number.checked_mul(unit).ok_or_else(|| "too large".into())
}

fn number_and_unit(value: &str) -> (&str, &str) {
    let end = value.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(value.len());
    value.split_at(end)
}
