//! The lab as a program of its own, for the tests of this crate: what `heart lab` and
//! `heart demo` are.

use std::process::ExitCode;

use clap::{Args, Command, FromArgMatches, Parser};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = heart_lab::hidden_main(&arguments) {
        return code;
    }
    if arguments.first().is_some_and(|word| word == "demo") {
        let command = heart_lab::DemoOptions::augment_args(Command::new("demo"));
        let matches = command.get_matches_from(arguments);
        return match heart_lab::DemoOptions::from_arg_matches(&matches) {
            Ok(options) => heart_lab::demo(options),
            Err(error) => error.exit(),
        };
    }
    heart_lab::cli(heart_lab::Cli::parse())
}
