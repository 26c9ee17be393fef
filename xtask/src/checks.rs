use anyhow::Result;
pub(crate) fn ci() -> Result<()> { Ok(()) }
