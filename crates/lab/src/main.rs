//! The lab as a program of its own: what `heart lab` is, for the tests of this crate.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    heart_lab::hidden_main(&arguments).unwrap_or_else(|| heart_lab::cli(heart_lab::Cli::parse()))
}
