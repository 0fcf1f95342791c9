use std::error::Error as _;

use tower_idempotency::RedisStore;

use crate::args::Args;
use crate::problem::Problem;
use crate::server;

pub(crate) async fn serve(url: &str, args: &Args) -> Result<(), Problem> {
    let store = RedisStore::open(url).map_err(|error| {
        // The source names the error in the URL.
        let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        Problem::Misused(format!("--store {}: {why}", args.store))
    })?;
    server::serve(store, args.ledger()?, args).await
}
