//! The headers that may contain the key.

use serde_json::{Value, json};

use super::title_case;
use crate::settings::Config;

/// A Parameter Object for each header that the layer reads.
pub(super) fn of(config: &Config) -> Vec<Value> {
    let names: Vec<_> = config.headers.iter().map(title_case).collect();
    // A client may send the key in the body instead.
    let is_required = config.require_key && config.key_pointer.is_none();
    let parameter = |(index, name): (usize, &String)| {
        json!({
            "name": name,
            "in": "header",
            "required": is_required && index == 0,
            "description": match (index, names.first()) {
                (1.., Some(first)) => another_name(first),
                _ => description(config),
            },
            "schema": { "type": "string", "pattern": config.key_form.pattern },
            // The quoted form is a key in every layer.
            "example": "\"9f1c6a52-5d0e-4d3b-8a55-3b6b1c8d2e77\"",
        })
    };
    names.iter().enumerate().map(parameter).collect()
}

fn description(config: &Config) -> String {
    let mut text = String::from(
        "A value that is new for each operation, for example a random UUID. Send the same value \
         with every retry of the operation: it is done once, and a retry gets the first response.",
    );
    if let Some(pointer) = &config.key_pointer {
        text += &format!(" The member `{pointer}` of a JSON body may contain it instead.");
    }
    text
}

fn another_name(first: &str) -> String {
    format!("Another name of `{first}`. If a request has both, they must be equal.")
}
