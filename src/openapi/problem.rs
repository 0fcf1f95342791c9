//! The schema of a problem document.

use http::StatusCode;
use serde_json::{Map, Value, json};

/// The name of the schema in a document.
const NAME: &str = "IdempotencyProblem";

/// The schema of the problem documents with this status and these codes.
pub(super) fn schema(status: StatusCode, codes: &[&str]) -> Value {
    let narrowed = json!({
        "type": "object",
        "properties": {
            "code": { "type": "string", "enum": codes },
            "status": { "type": "integer", "enum": [status.as_u16()] },
        },
    });
    // utoipa drops `const`, and the members beside `allOf`.
    json!({ "allOf": [{ "$ref": format!("#/components/schemas/{NAME}") }, narrowed] })
}

/// The schemas that responses refer to, by name.
pub(super) fn schemas() -> Map<String, Value> {
    let problem = json!({
        "type": "object",
        "description": "Why the request was rejected (RFC 9457). Programs act on `code`.",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {
                "type": "string",
                "format": "uri",
                "description": "A page that explains the problem.",
            },
            "title": { "type": "string" },
            "status": { "type": "integer", "description": "The status of the response." },
            "detail": { "type": "string", "description": "What happened, and what to do." },
            "code": { "type": "string" },
            "original_status": {
                "type": "integer",
                "description": "The status of the first response, if the problem is about one.",
            },
        },
    });
    Map::from_iter([(NAME.to_owned(), problem)])
}
