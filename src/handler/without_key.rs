//! What tells a request without a key from a route without the layer.

/// In the extensions of a request that passed through a layer because it has no key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WithoutKey;
