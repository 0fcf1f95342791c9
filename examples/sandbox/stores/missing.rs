//! The replacement of a store whose feature is off.

use crate::args::Args;
use crate::problem::Problem;

#[allow(clippy::unused_async)]
pub(crate) async fn serve(_: &str, args: &Args) -> Result<(), Problem> {
    Err(Problem::Misused(format!(
        "--store {}: this example was built without this store; add `--all-features`",
        args.store
    )))
}

#[cfg(not(all(feature = "postgres", feature = "sqlite")))]
pub(crate) use serve as serve_in_transaction;
