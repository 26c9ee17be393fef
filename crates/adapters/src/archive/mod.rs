//! Archives: a folder, and S3 or a server that speaks its protocol.

pub mod folder;
pub mod s3;
