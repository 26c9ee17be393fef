//! Encoding and decoding of records. Sans-I/O: bytes in, records out.

pub mod alpaca;
pub mod avro;
pub mod bar;
pub mod binance;
pub mod coinbase;
mod extras;
pub mod feed;
pub mod finnhub;
pub mod json;
pub mod kraken;
pub mod lean;
pub mod lean_bars;
pub mod lines;
pub mod massive;
pub mod msgpack;
mod placeholder;
pub mod poll;
pub mod scan;
pub mod schema;
pub mod sparkplug;
pub mod vendor_bar;
