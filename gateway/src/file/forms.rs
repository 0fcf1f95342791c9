//! How single values are written.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use http::HeaderName;
use serde::{Deserialize, Deserializer, de};

/// A duration such as `300ms`, `10s` or `1h 30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Duration(pub(crate) std::time::Duration);

impl Duration {
    pub(super) fn seconds(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let duration = humantime::parse_duration(&text)
            .map_err(|error| de::Error::custom(format!("{error}, for example `10s`")))?;
        if duration < std::time::Duration::from_millis(10) {
            return Err(de::Error::custom("at least `10ms`"));
        }
        Ok(Self(duration))
    }
}

/// A size such as `64KiB` or `1MiB`, or a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) usize);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a size such as `64KiB`, or a number of bytes")]
        enum Form {
            Bytes(usize),
            Text(String),
        }
        let wrong = || de::Error::custom("a size such as `64KiB`, `1MiB` or a number of bytes");
        match Form::deserialize(deserializer)? {
            Form::Bytes(bytes) => Ok(Self(bytes)),
            Form::Text(text) => {
                let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
                let (number, unit) = units
                    .iter()
                    .find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))
                    .ok_or_else(wrong)?;
                let number: usize = number.trim().parse().map_err(|_| wrong())?;
                number.checked_mul(*unit).map(Self).ok_or_else(wrong)
            }
        }
    }
}

/// One value, or a list of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OneOrMore<T>(pub(crate) Vec<T>);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a text, or a list of texts")]
        enum Form {
            One(String),
            More(Vec<String>),
        }
        let texts = match Form::deserialize(deserializer)? {
            Form::One(text) => vec![text],
            Form::More(texts) if texts.is_empty() => {
                return Err(de::Error::custom("the list is empty"));
            }
            Form::More(texts) => texts,
        };
        let value = |text: String| {
            text.parse().map_err(|error| de::Error::custom(format!("`{text}`: {error}")))
        };
        texts.into_iter().map(value).collect::<Result<_, _>>().map(Self)
    }
}

/// Text that should not be in the file itself: `{ env = "NAME" }`, `{ file = "PATH" }`, or the text.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(untagged, expecting = "a text, `{ env = \"NAME\" }` or `{ file = \"PATH\" }`")]
pub(crate) enum Secret {
    Text(String),
    Env(Env),
    File(Named),
}

#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Env {
    env: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    file: PathBuf,
}

impl Secret {
    /// The text.
    ///
    /// # Errors
    ///
    /// If the variable or the file is missing. The text contains no part of the secret.
    pub(crate) fn read(&self, folder: &Path) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::Env(Env { env }) => std::env::var(env)
                .ok()
                .filter(|value| !value.is_empty())
                .ok_or_else(|| format!("the variable {env} is not set")),
            Self::File(Named { file }) => std::fs::read_to_string(folder.join(file))
                .map(|text| text.trim_end().to_owned())
                .map_err(|error| format!("{}: {error}", file.display())),
        }
    }

    /// The file that it is in.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(Named { file }) => Some(file),
            _ => None,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text",
            Self::Env(_) => "Env",
            Self::File(_) => "File",
        })
    }
}

/// The name of a header.
pub(super) fn header<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<HeaderName>, D::Error> {
    let name = String::deserialize(deserializer)?;
    name.parse()
        .map(Some)
        .map_err(|_| de::Error::custom(format!("`{name}` is not the name of a header")))
}
