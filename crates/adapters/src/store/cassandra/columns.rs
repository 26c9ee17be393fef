//! Columns of the tables of bars and forecasts.

use market::kind::BarShape;

/// Columns as in `system_schema.columns`: name, then type and role in the key.
const BARS: &[(&str, &str)] = &[
    ("symbol", "text partition_key"),
    ("interval", "text partition_key"),
    ("period", "timestamp partition_key"),
    ("start", "timestamp clustering"),
    ("feed", "text clustering"),
    ("open", "decimal"),
    ("high", "decimal"),
    ("low", "decimal"),
    ("close", "decimal"),
    ("volume", "decimal"),
    ("vwap", "decimal"),
    ("trades", "bigint"),
    ("late", "int"),
    ("revision", "int"),
    ("final", "boolean"),
    ("complete", "boolean"),
];

/// The same for quote bars.
const QUOTE_BARS: &[(&str, &str)] = &[
    ("symbol", "text partition_key"),
    ("interval", "text partition_key"),
    ("period", "timestamp partition_key"),
    ("start", "timestamp clustering"),
    ("feed", "text clustering"),
    ("bid_open", "decimal"),
    ("bid_high", "decimal"),
    ("bid_low", "decimal"),
    ("bid_close", "decimal"),
    ("bid_size", "decimal"),
    ("ask_open", "decimal"),
    ("ask_high", "decimal"),
    ("ask_low", "decimal"),
    ("ask_close", "decimal"),
    ("ask_size", "decimal"),
    ("late", "int"),
    ("revision", "int"),
    ("final", "boolean"),
    ("complete", "boolean"),
];

/// The same for bars of readings.
const READING_BARS: &[(&str, &str)] = &[
    ("symbol", "text partition_key"),
    ("interval", "text partition_key"),
    ("period", "timestamp partition_key"),
    ("start", "timestamp clustering"),
    ("feed", "text clustering"),
    ("first", "decimal"),
    ("max", "decimal"),
    ("min", "decimal"),
    ("last", "decimal"),
    ("sum", "decimal"),
    ("count", "bigint"),
    ("late", "int"),
    ("revision", "int"),
    ("final", "boolean"),
    ("complete", "boolean"),
];

/// Names and types of the columns of a table of bars.
pub(super) const fn bars(shape: BarShape) -> &'static [(&'static str, &'static str)] {
    match shape {
        BarShape::Trades => BARS,
        BarShape::Quotes => QUOTE_BARS,
        BarShape::Readings => READING_BARS,
    }
}

/// Columns as in `system_schema.columns`: name, then type and role in the key. The last four are the score.
pub(super) const FORECASTS: &[(&str, &str)] = &[
    ("symbol", "text partition_key"),
    ("interval", "text partition_key"),
    ("period", "timestamp partition_key"),
    ("made_at", "timestamp clustering"),
    ("feed", "text clustering"),
    ("target", "text clustering"),
    ("horizon", "int clustering"),
    ("model", "text"),
    ("version", "text"),
    ("verdict", "text"),
    ("close", "double"),
    ("point", "double"),
    ("baseline", "double"),
    ("low_50", "double"),
    ("high_50", "double"),
    ("low_80", "double"),
    ("high_80", "double"),
    ("low_90", "double"),
    ("high_90", "double"),
    ("truth", "double"),
    ("settled_at", "timestamp"),
    ("loss", "double"),
    ("baseline_loss", "double"),
];
