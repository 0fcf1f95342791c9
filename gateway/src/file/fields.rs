//! The fields of one table, taken one after the other.

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, ValueDeserializer};

use super::{At, Position, Problem};

/// A table, without the fields that were taken already.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    table: DeTable<'a>,
    pub(super) position: Position,
}

impl<'a> Fields<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Problem> {
        Ok(Self::of(DeTable::parse(text)?))
    }

    fn of(table: Spanned<DeTable<'a>>) -> Self {
        Self { position: table.span().into(), table: table.into_inner() }
    }

    /// A field that may be absent.
    pub(super) fn optional<T: DeserializeOwned>(
        &mut self,
        name: &str,
    ) -> Result<Option<At<T>>, Problem> {
        self.table.remove(name).map(read).transpose()
    }

    /// A field without which there is no gateway. `example` shows how it is written.
    pub(super) fn required<T: DeserializeOwned>(
        &mut self,
        name: &str,
        example: &str,
    ) -> Result<At<T>, Problem> {
        self.optional(name)?.ok_or_else(|| {
            Problem::at(self.position, format!("`{name}` is missing, for example {example}"))
        })
    }

    pub(super) fn or_default<T: DeserializeOwned + Default>(
        &mut self,
        name: &str,
    ) -> Result<T, Problem> {
        Ok(self.optional(name)?.map(|found| found.value).unwrap_or_default())
    }

    /// The values of a list, each with its position.
    pub(super) fn each<T: DeserializeOwned>(&mut self, name: &str) -> Result<Vec<At<T>>, Problem> {
        let Some(list) = self.table.remove(name) else { return Ok(Vec::new()) };
        let position = list.span().into();
        match list.into_inner() {
            DeValue::Array(values) => values.into_iter().map(read).collect(),
            _ => Err(Problem::at(position, format!("`{name}` is not a list"))),
        }
    }

    /// The tables that are written as `[[name]]`.
    pub(super) fn tables(&mut self, name: &str) -> Result<Vec<Self>, Problem> {
        let Some(list) = self.table.remove(name) else { return Ok(Vec::new()) };
        let not_tables = Problem::at(list.span().into(), format!("write it as [[{name}]]"));
        let DeValue::Array(tables) = list.into_inner() else { return Err(not_tables) };
        let table = |value: Spanned<DeValue<'a>>| {
            let position = value.span().into();
            match value.into_inner() {
                DeValue::Table(table) => Ok(Self { table, position }),
                _ => Err(not_tables.clone()),
            }
        };
        tables.into_iter().map(table).collect()
    }

    /// All fields that are left, as one value.
    pub(super) fn rest<T: DeserializeOwned>(self) -> Result<T, Problem> {
        // The names have positions of their own.
        let whole = Spanned::new(0..0, self.table);
        Ok(T::deserialize(Deserializer::from(whole))?)
    }

    /// Fields that are left are errors.
    pub(super) fn end(self) -> Result<(), Problem> {
        match self.table.keys().next() {
            None => Ok(()),
            Some(name) => Err(Problem::at(
                name.span().into(),
                format!("`{}` is not a setting of the gateway", name.get_ref()),
            )),
        }
    }
}

fn read<T: DeserializeOwned>(value: Spanned<DeValue<'_>>) -> Result<At<T>, Problem> {
    let position = Position::from(value.span());
    match T::deserialize(ValueDeserializer::from(value)) {
        Ok(value) => Ok(At { value, position }),
        Err(error) => Err(Problem::from(error).or_at(position)),
    }
}
