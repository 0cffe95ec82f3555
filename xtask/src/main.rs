//! The tools of the house.
//!
//! ```text
//! cargo xtask test [--quick]              everything that must hold before a change goes in
//! cargo xtask tidy                        the house rules alone
//! cargo xtask sim --worlds N [--seed S]   simulated worlds
//! cargo xtask clusters --count N          random clusters for the policy engine
//! cargo xtask fuzz [TARGET] [--seconds N] the decoders under libFuzzer
//! cargo xtask test-machines [STORY...]    stories on virtual machines, outside the ordinary run
//! cargo xtask demo [--script] [--keep]    the demonstration: what `cargo demo` is
//! ```

mod clusters;
mod demo;
mod fuzz;
mod machines;
mod metadata;
mod packages;
mod sim;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask test [--quick]
       cargo xtask tidy
       cargo xtask sim [--worlds N] [--seed S]
       cargo xtask clusters [--count N] [--seed S] [--tier T] [--asked-each N]
       cargo xtask clusters --replay SEED [--tier T]
       cargo xtask fuzz [TARGET] [--seconds N]
       cargo xtask test-machines [STORY...]
       cargo xtask test-machines --list
       cargo xtask demo [--script] [--keep]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test"] => test::run(false),
        ["test", "--quick"] => test::run(true),
        ["tidy"] => tidy::run(),
        ["test-machines", names @ ..] => machines::run(names),
        ["demo", options @ ..] => demo::run(options),
        ["clusters", options @ ..] => clusters::run(options),
        ["fuzz", options @ ..] => fuzz::run(options),
        ["sim", options @ ..] => sim::run(options),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
