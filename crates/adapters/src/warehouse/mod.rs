//! Warehouses: Amazon Redshift.

pub mod redshift;
