//! OpenAPI 3.1: what the layer adds to the operations that it guards. Needs the feature `openapi`.
//!
//! [`IdempotencyLayer::openapi`](crate::IdempotencyLayer::openapi) describes a layer as it is set:
//! the header of the key, every rejection, and the headers of replays. The [`Fragment`] is plain
//! JSON, so it works with every generator, and with a document that was written by hand. The guide
//! [`openapi`](crate::guide::openapi) shows it with aide and utoipa.
//!
//! ```
//! use http::Method;
//! use serde_json::json;
//! use tower_idempotency::{IdempotencyLayer, MemoryStore};
//!
//! let layer = IdempotencyLayer::new(MemoryStore::new()).require_key();
//!
//! let mut document = json!({
//!     "openapi": "3.1.0",
//!     "info": { "title": "Payments", "version": "1" },
//!     "paths": {
//!         "/payments": { "post": { "responses": { "201": { "description": "Paid." } } } },
//!     },
//! });
//! layer.openapi().apply_to(&mut document, "/payments", &Method::POST)?;
//!
//! let pay = &document["paths"]["/payments"]["post"];
//! assert_eq!(pay["parameters"][0]["name"], "X-Idempotency-Key");
//! assert!(pay["responses"]["201"]["headers"]["X-Idempotent-Result"].is_object());
//! assert!(pay["responses"]["409"]["content"]["application/problem+json"].is_object());
//! # Ok::<(), tower_idempotency::openapi::ApplyError>(())
//! ```

use http::{HeaderName, Method};
use serde_json::{Map, Value};

use crate::layer::IdempotencyLayer;
use crate::store::Store;

mod apply;
mod error;
mod merge;
mod parameters;
mod problem;
mod reference;
mod rejections;
mod replays;

pub use error::ApplyError;

impl<St: Store> IdempotencyLayer<St> {
    /// Describes in OpenAPI 3.1 what this layer adds to an operation. Call it on the layer that the
    /// service uses, after its last setter.
    ///
    /// It calls [`rejection_response`](Self::rejection_response) once for each rejection that the
    /// layer can give, and describes the response.
    ///
    /// OpenAPI describes plain HTTP, so the fragment has nothing about gRPC.
    #[cfg_attr(docsrs, doc(cfg(feature = "openapi")))]
    pub fn openapi(&self) -> Fragment {
        let (config, store) = (&*self.config, &self.shared.store);
        Fragment {
            methods: config.methods.clone(),
            parameters: parameters::of(config),
            responses: rejections::responses(config, store),
            headers: replays::headers(config, store),
            schemas: problem::schemas(),
        }
    }
}

/// What a layer adds to an operation, in OpenAPI 3.1.
///
/// [`apply_to`](Self::apply_to) adds it to a document. The other methods are for documents that are
/// assembled in another way.
#[derive(Debug, Clone, PartialEq)]
pub struct Fragment {
    methods: Vec<Method>,
    parameters: Vec<Value>,
    responses: Map<String, Value>,
    headers: Map<String, Value>,
    schemas: Map<String, Value>,
}

impl Fragment {
    /// The headers that may contain the key, as Parameter Objects.
    ///
    /// With [`require_key`](crate::IdempotencyLayer::require_key) there is one, which is required:
    /// the first of [`headers`](crate::IdempotencyLayer::headers). OpenAPI cannot require one of
    /// several headers, so its description names the others. A layer that also reads the key from
    /// the body requires none.
    pub fn parameters(&self) -> &[Value] {
        &self.parameters
    }

    /// The rejections, as Response Objects by status. Their schemas refer to
    /// [`schemas`](Self::schemas).
    pub fn responses(&self) -> &Map<String, Value> {
        &self.responses
    }

    /// The headers that a response of the operation has if it is a replay, as Header Objects by
    /// name.
    pub fn headers(&self) -> &Map<String, Value> {
        &self.headers
    }

    /// The schemas that the responses refer to, for `components/schemas`. They are the same for all
    /// layers.
    pub fn schemas(&self) -> &Map<String, Value> {
        &self.schemas
    }
}

/// The name of a header as documents write it.
fn title_case(name: &HeaderName) -> String {
    let word = |word: &str| match word.split_at_checked(1) {
        _ if word == "www" => "WWW".into(),
        Some((first, rest)) => first.to_ascii_uppercase() + rest,
        None => String::new(),
    };
    name.as_str().split('-').map(word).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests;
