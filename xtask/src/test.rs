use anyhow::Result;
pub(crate) fn all() -> Result<()> { Ok(()) }
pub(crate) fn unit() -> Result<()> { Ok(()) }
pub(crate) fn bench(_: &[&str]) -> Result<()> { Ok(()) }
pub(crate) fn prove(_: &[&str]) -> Result<()> { let _ = crate::stack::for_tests; Ok(()) }
