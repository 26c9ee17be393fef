//! Other programs' APIs, served from the same store.

mod alpaca;
mod alpaca_protocol;
mod alpaca_stream;
mod intervals;
mod number;
mod udf;

use crate::app::App;
use axum::Router;

pub(crate) fn routes() -> Router<App> {
    alpaca::routes().merge(alpaca_stream::routes()).merge(udf::routes())
}
