//! The REST API and the stream against the embedded engines, hostile clients included.

mod compat;
mod harness;
mod hostile;
mod read;
mod stream;
