//! `cargo demo`: sees to what the demonstration needs, builds what is shipped, and shows it.

use std::process::Command;

use anyhow::{Context, Result};

use crate::{metadata, packages};

/// Obeys `demo [--script] [--keep]`: the options are those of `heart demo`.
pub(crate) fn run(options: &[&str]) -> Result<bool> {
    packages::install(&packages::DEMO_NEEDS)?;
    println!("=== building what is shipped; the first time this takes some minutes");
    let built = cargo(&["build", "--release", "--package", "heart"]).status().context("cannot run cargo")?;
    if !built.success() {
        return Ok(false);
    }
    let mut words = vec!["run", "--release", "--quiet", "--package", "heart", "--", "demo"];
    // `cargo demo -- --script` and `cargo demo --script` are the same.
    words.extend(options.iter().filter(|word| **word != "--"));
    Ok(cargo(&words).status().context("cannot run cargo")?.success())
}

/// The demonstration as a test, with the build that the other tests use.
pub(crate) fn script() -> Result<bool> {
    let words = ["run", "--quiet", "--package", "heart", "--", "demo", "--script"];
    Ok(cargo(&words).status().context("cannot run cargo")?.success())
}

fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(metadata::root()).args(words);
    command
}
