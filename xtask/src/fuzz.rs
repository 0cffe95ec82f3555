//! `cargo xtask fuzz`: the decoders under libFuzzer, which is built with a stable compiler.
//!
//! What libFuzzer needs of the compiler is LLVM's coverage pass, and that can be asked for by name; no
//! sanitizer is used, as there is no `unsafe` in what is fuzzed. So neither a nightly compiler nor
//! cargo-fuzz has to be installed; who has both can use them: `fuzz/` is laid out as they expect.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use crate::metadata;

/// The targets, and the folders whose files they begin with beside `fuzz/seeds`.
const TARGETS: [(&str, &[&str]); 7] = [
    ("frame", &[]),
    ("journal", &[]),
    ("message", &[]),
    ("echo", &[]),
    ("disk", &[]),
    ("cib", &["crates/config/tests/cib"]),
    ("configuration", &["crates/config/tests/corpus/valid", "crates/config/tests/corpus/invalid"]),
];
/// Seconds for each target, unless told otherwise.
const SECONDS: &str = "60";
/// For which machine it is built: named, so that the flags below are not used for build scripts.
const MACHINE: &str = "x86_64-unknown-linux-gnu";
/// As cargo-fuzz has them, without a sanitizer.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Cllvm-args=-sanitizer-coverage-trace-compares -Cforce-frame-pointers=yes";
/// Longest input, in bytes; slowest in seconds; most memory in all and at once, in MiB.
const BOUNDS: [&str; 4] = ["-max_len=4096", "-timeout=10", "-rss_limit_mb=2048", "-malloc_limit_mb=512"];

/// Obeys `fuzz [TARGET] [--seconds N]`: one target, or all one after the other.
pub(crate) fn run(options: &[&str]) -> Result<bool> {
    let (mut wanted, mut seconds) = (None, SECONDS);
    let mut rest = options;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match (*first, behind) {
            ("--seconds", [number, behind @ ..]) if number.parse::<u32>().is_ok() => {
                (seconds, rest) = (number, behind);
            }
            (name, _) if TARGETS.iter().any(|(target, _)| *target == name) => wanted = Some(name),
            (other, _) => {
                let names: Vec<&str> = TARGETS.iter().map(|(target, _)| *target).collect();
                bail!("`{other}` is neither a target ({}) nor `--seconds N`", names.join(", "));
            }
        }
    }
    build()?;
    let mut good = true;
    for (target, seeds) in TARGETS.iter().filter(|(target, _)| wanted.is_none_or(|wanted| wanted == *target))
    {
        println!("=== {target}, {seconds} s");
        good &= fuzz(target, seeds, seconds)?;
    }
    Ok(good)
}

fn folder() -> PathBuf {
    metadata::root().join("fuzz")
}

fn build() -> Result<()> {
    let mut command = Command::new("cargo");
    command.current_dir(folder()).env("RUSTFLAGS", FLAGS);
    let built = command.args(["build", "--release", "--locked", "--bins", "--target", MACHINE]).status();
    if !built.context("cannot run cargo")?.success() {
        bail!("the fuzzer cannot be built; it needs a C++ compiler (`g++`)");
    }
    Ok(())
}

/// Runs one target; false if it found something, which then lies in `fuzz/artifacts`.
fn fuzz(target: &str, seeds: &[&str], seconds: &str) -> Result<bool> {
    let (corpus, found) = (folder().join("corpus").join(target), folder().join("artifacts").join(target));
    for path in [&corpus, &found] {
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    let program = folder().join("target").join(MACHINE).join("release").join(target);
    let mut command = Command::new(&program);
    command.arg(corpus).arg(folder().join("seeds").join(target));
    command.args(seeds.iter().map(|seeds| metadata::root().join(seeds)));
    command.args(BOUNDS).arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1");
    command.arg(format!("-artifact_prefix={}/", found.display()));
    let status = command.status().with_context(|| format!("cannot run {}", program.display()))?;
    if !status.success() {
        println!(
            "{target} found something: repeat it with `{} {}/FILE`; once it is mended, FILE goes to \
             fuzz/seeds/{target}, where the ordinary tests read it",
            program.display(),
            found.display()
        );
    }
    Ok(status.success())
}
