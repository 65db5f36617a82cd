//! `twinscale man`: manual pages, one per command.

use crate::console;
use crate::error::ExpectedError;
use clap::Args;
use std::path::PathBuf;

/// Writes the manual pages.
#[derive(Debug, Args)]
pub(super) struct ManArguments {
    /// Folder for one page per command (twinscale.1, twinscale-run.1, ...); without it the first page goes
    /// to standard output.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(arguments: &ManArguments, command: clap::Command) -> anyhow::Result<()> {
    let Some(folder) = &arguments.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        console::print(&String::from_utf8_lossy(&page))?;
        return Ok(());
    };
    let failed = |source| ExpectedError::file("write manual pages into", folder, source);
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(command, folder).map_err(failed)?;
    Ok(())
}
