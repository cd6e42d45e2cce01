//! The CantinaOS logging service as a program.

mod commands;
mod deployment;
mod exit;
mod output;
mod settings;
mod stderr;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // A reader that goes away (`cantina-log search x | head`) ends us quietly.
    let cli = commands::Cli::parse();
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}
