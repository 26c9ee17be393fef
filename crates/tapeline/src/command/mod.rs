//! One file a verb (produce, consume and run share theirs).

pub(crate) mod count;
pub(crate) mod demo;
pub(crate) mod flow;
pub(crate) mod init;
pub(crate) mod query;
pub(crate) mod verify;
