//! `heart`: everything there is, in one binary.
//!
//! The same file is the daemon, each of its processes, the command line and the lab. What is asked
//! for by a person is in [`commands`]; the rest are programs that Heart starts itself, under names
//! that no help mentions.

mod client;
mod commands;
mod failure;
mod output;
mod render;
mod simulation;
mod sys;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    // Before anything else: these leave namespaces, which takes a process of a single thread.
    if let Some(code) = heart_lab::hidden_main(&arguments) {
        return code;
    }
    if let Some(code) = heart_daemon::hidden_main(&arguments) {
        return code;
    }
    commands::run(commands::Cli::parse())
}
