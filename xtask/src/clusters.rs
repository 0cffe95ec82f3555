//! `cargo xtask clusters`: random clusters for the policy engine, which is a program of crate
//! `heart-clusters`.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::metadata;

/// Clusters in one run, unless told otherwise.
const COUNT: &str = "20000";
const PROGRAM: &str = "heart-clusters";

/// Obeys `clusters [--count N] [--seed S] [--tier T] [--asked-each N]` and `clusters --replay SEED [--tier T]`.
pub(crate) fn run(options: &[&str]) -> Result<bool> {
    let words = words(options)?;
    let mut command = Command::new("cargo");
    command.current_dir(metadata::root());
    command.args(["run", "--quiet", "--release", "--package", PROGRAM, "--bin", PROGRAM, "--"]);
    let status = command.args(words).status().context("cannot run cargo")?;
    Ok(status.success())
}

/// What the program is told.
fn words(options: &[&str]) -> Result<Vec<String>> {
    let (mut count, mut replay, mut more) = (COUNT, None, Vec::new());
    for option in options.chunks(2) {
        match option {
            ["--count", number] if is_number(number) => count = number,
            ["--replay", number] if is_number(number) => replay = Some(*number),
            ["--seed" | "--tier" | "--asked-each", number] if is_number(number) => more.extend(option),
            other => {
                bail!(
                    "`{}` is no option: --count N, --seed S, --tier T, --asked-each N, --replay S are",
                    other.join(" ")
                )
            }
        }
    }
    let what = match replay {
        Some(seed) => vec!["replay", seed],
        None => vec!["run", "--count", count],
    };
    Ok(what.into_iter().chain(more.into_iter().copied()).map(str::to_owned).collect())
}

fn is_number(text: &str) -> bool {
    text.parse::<u64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_handed_on() {
        for (options, expected) in [
            (vec![], "run --count 20000"),
            (vec!["--count", "7", "--seed", "3"], "run --count 7 --seed 3"),
            (vec!["--replay", "9", "--tier", "2"], "replay 9 --tier 2"),
        ] {
            assert_eq!(words(&options).unwrap().join(" "), expected);
        }
        assert!(words(&["--count", "many"]).is_err() && words(&["--seed"]).is_err());
    }
}
