//! Orders: rows in one database, committed together with the key and the response.

use axum::http::StatusCode;
use axum::{Extension, Json, Router, routing::post};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_idempotency::Tx;

use crate::auth::Account;
use crate::error::AppError;
use repository::Repository;

mod repository;

/// The routes for one of the databases. A service with one database needs no type parameter.
pub(crate) fn routes<DB: Repository>() -> Router {
    Router::new().route("/", post(place::<DB>))
}

#[derive(Deserialize)]
struct Order {
    item: String,
    quantity: u16,
}

/// An error rolls back what was written.
async fn place<DB: Repository>(
    Extension(Account(account)): Extension<Account>,
    mut tx: Tx<DB>,
    Json(Order { item, quantity }): Json<Order>,
) -> Result<(StatusCode, Json<Value>), AppError> {
    let placed = DB::place(&mut tx, account, &item, quantity).await?;
    let id = placed.ok_or(AppError::SoldOut)?;
    Ok((StatusCode::CREATED, Json(json!({ "id": id, "item": item, "quantity": quantity }))))
}
