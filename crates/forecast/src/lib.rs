//! Pure numerics for looking ahead. So far: the baselines every forecast must beat, and how to score them.
//!
//! No I/O and no knowledge of the pipeline: series in, numbers out.
#![deny(missing_docs)]

pub mod baseline;
pub mod score;
