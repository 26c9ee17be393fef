//! Shell completions and manual pages.

use super::{Cli, ManOptions};
use crate::output::Out;
use clap::CommandFactory;
use ports::error::io;
use ports::{Error, Result};
use std::process::ExitCode;

/// `tapeline completions SHELL`: a script for the shell, on standard output.
pub(crate) fn completions(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tapeline", &mut script);
    print(&script).map_or_else(|error| super::failed(&error), |()| ExitCode::SUCCESS)
}

/// Prints to a reader who may end early.
fn print(bytes: &[u8]) -> Result<()> {
    let mut out = Out::new();
    out.bytes(bytes)?;
    out.end()
}

/// `tapeline man`: prints the manual page, or writes the pages of all verbs to a folder.
pub(crate) fn man(options: &ManOptions) -> Result<ExitCode> {
    let failed = |error: std::io::Error| Error::user(format!("write the manual page: {error}"));
    let Some(dir) = &options.out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(failed)?;
        print(&page)?;
        return Ok(ExitCode::SUCCESS);
    };
    std::fs::create_dir_all(dir).map_err(io("create folder", dir))?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(failed)?;
    println!("manual pages in {}; read one: man -l {}", dir.display(), dir.join("tapeline.1").display());
    Ok(ExitCode::SUCCESS)
}
