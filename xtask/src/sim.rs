//! `cargo xtask sim`: runs the simulator, which is a program of crate `heart-sim`.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::metadata;

/// Worlds in one run, unless told otherwise: what continuous integration can afford.
pub(crate) const WORLDS: &str = "20000";
const PROGRAM: &str = "heart-sim";
/// What is simulated is compiled for speed, and checks itself all the same.
const PROFILE: &str = "sim";

/// Whether there is a simulator to run.
pub(crate) fn exists() -> Result<bool> {
    Ok(metadata::packages(false)?.iter().any(|package| package.binaries.contains(PROGRAM)))
}

/// The command that runs `worlds` worlds.
pub(crate) fn command(worlds: &str, seed: Option<&str>) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(metadata::root());
    command.args(["run", "--quiet", "--profile", PROFILE, "--package", PROGRAM, "--bin", PROGRAM]);
    command.args(["--", "run", "--worlds", worlds]);
    command.args(seed.map(|seed| ["--seed", seed]).into_iter().flatten());
    command
}

/// Obeys `sim [--worlds N] [--seed S]`.
pub(crate) fn run(options: &[&str]) -> Result<bool> {
    let (mut worlds, mut seed) = (WORLDS, None);
    for option in options.chunks(2) {
        match option {
            ["--worlds", number] if number.parse::<u64>().is_ok() => worlds = number,
            ["--seed", number] if number.parse::<u64>().is_ok() => seed = Some(*number),
            other => bail!("`{}` is no option: --worlds N and --seed S are", other.join(" ")),
        }
    }
    if !exists()? {
        bail!("crate heart-sim has no program `{PROGRAM}`");
    }
    let status = command(worlds, seed).status().context("cannot run cargo")?;
    Ok(status.success())
}
