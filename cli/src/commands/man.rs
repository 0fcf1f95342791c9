//! `man`: the man pages, one for each command.

use std::fs;
use std::path::Path;

use crate::args::Cli;
use crate::failure::Failure;

pub(crate) fn run(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::description(), folder))
        .map_err(|error| Failure::file(folder, &error))
}
