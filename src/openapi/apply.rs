//! Adds a [`Fragment`] to a document.

use http::Method;
use serde_json::{Value, json};

use super::Fragment;
use super::error::ApplyError;
use super::merge::{Members, add_headers, either, put, take};
use super::reference::resolved;

impl Fragment {
    /// Adds what the layer adds to one operation of an OpenAPI 3.1 document.
    ///
    /// - The parameters of the key replace parameters of the same name.
    /// - Each response of the operation may have the headers of a replay. A response that the
    ///   document refers to becomes a copy in the operation.
    /// - A rejection whose status the operation has too is added to that response. If the operation
    ///   describes the status by a range (`4XX`) or by `default`, the new response describes both.
    /// - The schema of problem documents is added to `components/schemas`.
    ///
    /// ```
    /// use http::Method;
    /// # use tower_idempotency::{IdempotencyLayer, MemoryStore};
    /// # let mut document = serde_json::json!({ "paths": { "/payments": { "post": {} } } });
    ///
    /// let layer = IdempotencyLayer::new(MemoryStore::new());
    /// layer.openapi().apply_to(&mut document, "/payments", &Method::POST)?;
    /// # Ok::<(), tower_idempotency::openapi::ApplyError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ApplyError`] if the document has no such operation, the layer does not guard the method,
    /// or a reference leads nowhere. The document is then as it was.
    pub fn apply_to(
        &self,
        document: &mut Value,
        path: &str,
        method: &Method,
    ) -> Result<(), ApplyError> {
        if !self.methods.contains(method) {
            return Err(ApplyError::NotGuarded { method: method.clone() });
        }
        let missing = || ApplyError::NoOperation { path: path.into(), method: method.clone() };
        let pointer = format!(
            "/paths/{}/{}",
            path.replace('~', "~0").replace('/', "~1"),
            method.as_str().to_ascii_lowercase()
        );
        let operation =
            document.pointer(&pointer).and_then(Value::as_object).ok_or_else(missing)?;
        let operation = self.added_to(operation.clone(), document)?;
        if let Some(place) = document.pointer_mut(&pointer) {
            *place = operation.into();
        }
        if let Some(document) = document.as_object_mut() {
            let mut components = take(document, "components");
            let mut schemas = take(&mut components, "schemas");
            schemas.extend(self.schemas.clone());
            put(&mut components, "schemas", schemas);
            put(document, "components", components);
        }
        Ok(())
    }

    /// Adds the same to every operation of the document whose method the layer guards.
    ///
    /// Use it if the layer is around all routes. Otherwise call [`apply_to`](Self::apply_to) for
    /// each route.
    ///
    /// # Errors
    ///
    /// [`ApplyError`] if the layer guards no operation of the document, or a reference leads
    /// nowhere.
    pub fn apply_to_all(&self, document: &mut Value) -> Result<(), ApplyError> {
        let paths: Vec<_> = document["paths"].as_object().into_iter().flatten().collect();
        let guarded: Vec<_> = paths
            .into_iter()
            .flat_map(|(path, item)| {
                self.guarded_of(item).map(|method| (path.clone(), method.clone()))
            })
            .collect();
        if guarded.is_empty() {
            return Err(ApplyError::NothingGuarded);
        }
        guarded.iter().try_for_each(|(path, method)| self.apply_to(document, path, method))
    }

    fn guarded_of<'a>(&'a self, item: &'a Value) -> impl Iterator<Item = &'a Method> {
        let has = |method: &&Method| item.get(method.as_str().to_ascii_lowercase()).is_some();
        self.methods.iter().filter(has)
    }

    fn added_to(&self, mut operation: Members, document: &Value) -> Result<Members, ApplyError> {
        let parameters = self.with_parameters(operation.get("parameters"), document)?;
        operation.insert("parameters".into(), parameters);
        let mut responses = take(&mut operation, "responses");
        for response in responses.values_mut() {
            let mut own = object(document, response)?;
            add_headers(&mut own, &self.headers);
            *response = own.into();
        }
        for (status, rejected) in &self.responses {
            let response = match (own(&responses, status), rejected) {
                (Some(Value::Object(own)), Value::Object(rejected)) => {
                    let mut own = own.clone();
                    either(&mut own, rejected);
                    own.into()
                }
                _ => rejected.clone(),
            };
            responses.insert(status.clone(), response);
        }
        put(&mut operation, "responses", responses);
        Ok(operation)
    }

    fn with_parameters(&self, own: Option<&Value>, document: &Value) -> Result<Value, ApplyError> {
        let mut parameters = self.parameters.clone();
        for parameter in own.and_then(Value::as_array).into_iter().flatten() {
            let described = object(document, parameter)?;
            let is_replaced = self.parameters.iter().any(|ours| is_same_header(ours, &described));
            if !is_replaced {
                parameters.push(parameter.clone());
            }
        }
        Ok(parameters.into())
    }
}

fn is_same_header(ours: &Value, own: &Members) -> bool {
    let [name, own_name] =
        [ours.get("name"), own.get("name")].map(|name| name.and_then(Value::as_str));
    own.get("in") == Some(&json!("header"))
        && name.zip(own_name).is_some_and(|(name, own)| name.eq_ignore_ascii_case(own))
}

/// How the operation describes its own responses with this status.
fn own<'a>(responses: &'a Members, status: &str) -> Option<&'a Value> {
    let range = format!("{}XX", status.get(..1)?);
    [status, &range, &range.to_ascii_lowercase(), "default"]
        .into_iter()
        .find_map(|key| responses.get(key))
}

fn object(document: &Value, value: &Value) -> Result<Members, ApplyError> {
    let unresolved = |reference| ApplyError::UnknownReference { reference };
    let object = resolved(document, value).map_err(unresolved)?;
    object.as_object().cloned().ok_or_else(|| ApplyError::NotAnObject { found: object.to_string() })
}
