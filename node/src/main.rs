//! The binary `twinscale`.

use std::process::ExitCode;

fn main() -> ExitCode {
    twinscale::cli::main()
}
