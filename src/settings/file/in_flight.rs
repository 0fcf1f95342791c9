//! `reject`, or `{ wait: 5s }`. What serde derives would need a tag in YAML.

use std::fmt;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::AsText;
use crate::settings::InFlight;

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    wait: AsText<Duration>,
}

impl Serialize for InFlight {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Reject => serializer.serialize_str("reject"),
            Self::Wait(bound) => Wait { wait: AsText(*bound) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for InFlight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Policy)
    }
}

struct Policy;

impl<'de> Visitor<'de> for Policy {
    type Value = InFlight;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "`reject`, or a `wait` with a duration: `{ wait = \"5s\" }` in TOML, \
             `{\"wait\": \"5s\"}` in JSON",
        )
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<InFlight, E> {
        match text {
            "reject" => Ok(InFlight::Reject),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<InFlight, A::Error> {
        let Wait { wait: AsText(bound) } = Wait::deserialize(MapAccessDeserializer::new(map))?;
        Ok(InFlight::Wait(bound))
    }
}
