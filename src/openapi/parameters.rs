//! The headers that may contain the key.

use serde_json::{Value, json};

use super::title_case;
use crate::settings::Config;

/// A Parameter Object for each header that the layer reads. OpenAPI cannot require one of several
/// headers. So if one is required, it is the first, and its description names the others.
pub(super) fn of(config: &Config) -> Vec<Value> {
    let names: Vec<_> = config.headers.iter().map(title_case).collect();
    // A client may send the key in the body instead.
    let is_required = config.require_key && config.key_pointer.is_none();
    let Some((first, others)) = names.split_first() else { return Vec::new() };
    let mut description = description(config);
    if is_required && !others.is_empty() {
        let others: Vec<_> = others.iter().map(|name| format!("`{name}`")).collect();
        description += &format!(" The header may also be called {}.", others.join(" or "));
    }
    let mut parameters = vec![parameter(config, first, is_required, &description)];
    if !is_required {
        let description =
            format!("Another name of `{first}`. If a request has both, they are equal.");
        parameters.extend(others.iter().map(|name| parameter(config, name, false, &description)));
    }
    parameters
}

fn parameter(config: &Config, name: &str, is_required: bool, description: &str) -> Value {
    json!({
        "name": name,
        "in": "header",
        "required": is_required,
        "description": description,
        "schema": { "type": "string", "pattern": config.key_form.pattern },
        // Every layer accepts a key in quotes.
        "example": "\"9f1c6a52-5d0e-4d3b-8a55-3b6b1c8d2e77\"",
    })
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
