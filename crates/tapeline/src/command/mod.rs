//! One file per verb (produce, consume and run share one; so do those that read bars).

pub(crate) mod aggregate;
pub(crate) mod alert;
pub(crate) mod backfill;
pub(crate) mod bars;
pub(crate) mod config;
pub(crate) mod count;
pub(crate) mod dead_letters;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod flow;
pub(crate) mod forecast;
pub(crate) mod gaps;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod messages;
pub(crate) mod monitor;
pub(crate) mod plot;
pub(crate) mod query;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod simulate;
pub(crate) mod status;
pub(crate) mod symbols;
pub(crate) mod verify;
pub(crate) mod zone;
