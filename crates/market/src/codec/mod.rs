//! How records are written and read. Sans-I/O: bytes in, records out.

pub mod alpaca;
pub mod bar;
pub mod json;
pub mod lean;
pub mod lean_bars;
