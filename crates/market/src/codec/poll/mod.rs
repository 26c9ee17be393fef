//! Bars from vendors' REST APIs. Each vendor has a file; `reply` holds what they share.
//!
//! A bar's start is the vendor's, in UTC; for daily bars it is midnight at the exchange. Prices are exact
//! decimals: a JSON number is read as its shortest digits. A row that is not a bar is reported with its text,
//! and the others are kept.

mod alpaca;
mod alpha_vantage;
mod massive;
mod reply;
#[cfg(test)]
mod tests;
mod twelve_data;
mod yahoo;

pub use reply::{NextPage, PendingRequest, Refused, Reply};
pub(super) use reply::{Row, make, price, short};
use serde_json::Value;

/// Vendor of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum PollVendor {
    Alpaca,
    Massive,
    AlphaVantage,
    TwelveData,
    Yahoo,
}

/// Decodes a reply.
///
/// # Errors
/// The reply contains no bars.
pub fn read(vendor: PollVendor, body: &str, request: &PendingRequest<'_>) -> Result<Reply, Refused> {
    if body.trim_start().starts_with('<') {
        // An error page of a proxy or an overloaded server.
        let start: String = body.trim_start().chars().take(100).collect();
        return Err(Refused::Later(format!("a page of HTML instead of JSON: {start}")));
    }
    let value: Value =
        serde_json::from_str(body).map_err(|error| Refused::Unreadable(format!("not JSON: {error}")))?;
    match vendor {
        PollVendor::Alpaca => alpaca::read(&value, request),
        PollVendor::Massive => massive::read(&value, request),
        PollVendor::AlphaVantage => alpha_vantage::read(&value, request),
        PollVendor::TwelveData => twelve_data::read(&value, request),
        PollVendor::Yahoo => yahoo::read(&value, request),
    }
}
