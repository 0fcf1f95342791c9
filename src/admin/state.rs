//! What the routes share: the layer, and who may use them.

use std::sync::Arc;

use http::HeaderValue;
use http::request::Parts;

use super::problem::Problem;
use super::site::Site;
use crate::layer::IdempotencyLayer;
use crate::operate::Operator;
use crate::store::Store;

pub(super) type Who = dyn Fn(&Parts) -> Option<String> + Send + Sync;

/// What the routes share.
pub(super) struct State<St> {
    pub(super) layer: IdempotencyLayer<St>,
    pub(super) who: Arc<Who>,
    pub(super) challenge: Option<HeaderValue>,
    pub(super) site: Site,
}

/// The operator of a request, by the function of the application. The guard adds it to the request.
#[derive(Clone)]
pub(super) struct OperatorName(pub(super) String);

impl<St: Store> State<St> {
    /// The operators' side of the store, in the name of one operator.
    pub(super) fn operator(&self, name: &OperatorName) -> Result<Operator<St>, Problem> {
        self.layer.operator(&name.0).map_err(Problem::InvalidOperator)
    }
}
