//! Two descriptions of one response as one.

use serde_json::{Map, Value, json};

pub(super) type Members = Map<String, Value>;

/// Describes a response that is either of the two.
pub(super) fn either(own: &mut Members, other: &Members) {
    add_description(own, other);
    let mut headers = take(own, "headers");
    // The other response may lack it.
    headers.values_mut().filter_map(Value::as_object_mut).for_each(forget_required);
    put(own, "headers", headers);
    if let Some(Value::Object(others)) = other.get("headers") {
        add_headers(own, others);
    }
    let mut content = take(own, "content");
    for (media_type, media) in other.get("content").and_then(Value::as_object).into_iter().flatten()
    {
        add_content(&mut content, media_type, media);
    }
    put(own, "content", content);
}

/// Adds headers that a response may have.
pub(super) fn add_headers(response: &mut Members, others: &Members) {
    let mut headers = take(response, "headers");
    for (name, other) in others {
        let Some(other) = other.as_object() else { continue };
        match headers.iter_mut().find(|(own, _)| own.eq_ignore_ascii_case(name)) {
            Some((_, Value::Object(own))) => {
                forget_required(own);
                // A header may be described by a reference or by a media type.
                if own.contains_key("schema") {
                    add_schema(own, other.get("schema"));
                }
            }
            Some(_) => {}
            None => {
                let mut header = other.clone();
                forget_required(&mut header);
                headers.insert(name.clone(), header.into());
            }
        }
    }
    put(response, "headers", headers);
}

/// Adds a media type that the body may have.
pub(super) fn add_content(content: &mut Members, media_type: &str, media: &Value) {
    let known = content.iter_mut().find(|(own, _)| own.eq_ignore_ascii_case(media_type));
    let (own, media) = match (known, media) {
        (Some((_, Value::Object(own))), Value::Object(media)) => (own, media),
        (Some(_), _) => return,
        (None, media) => {
            content.insert(media_type.to_owned(), media.clone());
            return;
        }
    };
    add_schema(own, media.get("schema"));
    // `example` and `examples` exclude one another.
    if !own.contains_key("example") {
        let mut examples = take(own, "examples");
        if let Some(Value::Object(others)) = media.get("examples") {
            examples.extend(others.clone());
        }
        put(own, "examples", examples);
    }
}

/// Allows another schema too. No schema allows everything.
fn add_schema(own: &mut Members, other: Option<&Value>) {
    let Some(other) = other else {
        own.remove("schema");
        return;
    };
    let Some(schema) = own.get_mut("schema").filter(|schema| *schema != other) else { return };
    let mut any = match schema.take() {
        Value::Object(mut single) if single.len() == 1 && single.contains_key("anyOf") => {
            single.remove("anyOf").and_then(|any| any.as_array().cloned()).unwrap_or_default()
        }
        schema => vec![schema],
    };
    if !any.contains(other) {
        any.push(other.clone());
    }
    *schema = json!({ "anyOf": any });
}

fn add_description(own: &mut Members, other: &Members) {
    let text =
        |of: &Members| of.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    let (own_text, other) = (text(own), text(other));
    let both = match &*own_text {
        "" => other,
        own if own.contains(&other) => own.to_owned(),
        own => format!("{own}\n\n{other}"),
    };
    own.insert("description".into(), both.into());
}

/// Every response of the other kind lacks the header.
fn forget_required(header: &mut Members) {
    header.remove("required");
}

/// The members of an object in an object. Without one there are none.
pub(super) fn take(from: &mut Members, name: &str) -> Members {
    match from.remove(name) {
        Some(Value::Object(members)) => members,
        _ => Members::new(),
    }
}

/// Puts the members back, if there are any.
pub(super) fn put(into: &mut Members, name: &str, members: Members) {
    if !members.is_empty() {
        into.insert(name.to_owned(), members.into());
    }
}
