//! The headers that may contain the key.

use serde_json::{Value, json};

use super::title_case;
use crate::settings::Config;

/// A Parameter Object for each header that the layer reads. OpenAPI cannot require one of several
/// headers. So if one is required, it is the first, and its description names the others.
pub(super) fn of(config: &Config) -> Vec<Value> {
    let mut names = Vec::new();
    for name in config.headers.iter().map(title_case) {
        // A document must not have a parameter twice.
        if !names.contains(&name) {
            names.push(name);
        }
    }
    // A client may send the key in the body instead.
    let is_required = config.require_key && config.key_pointer.is_none();
    let Some((first, others)) = names.split_first() else { return Vec::new() };
    let described = description(config, if is_required { others } else { &[] });
    let mut parameters = vec![parameter(config, first, is_required, &described)];
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

fn description(config: &Config, other_names: &[String]) -> String {
    let mut sentences = vec![
        "A value that is new for each operation, for example a random UUID.".to_owned(),
        "Send the same value with every retry of the operation: it is done once, and a retry gets \
         the first response."
            .to_owned(),
    ];
    if let Some(pointer) = &config.key_pointer {
        sentences.push(format!("The member `{pointer}` of a JSON body may contain it instead."));
    }
    if !other_names.is_empty() {
        let names = other_names.join("` or `");
        sentences.push(format!("The header may also be called `{names}`."));
    }
    sentences.join(" ")
}
