//! `cargo xtask test`: everything that must hold before a change goes in, by one command.
//!
//! Nothing stops at the first failure: one run tells all there is to mend. The last line counts.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use anyhow::{Context, Result};

use crate::{demo, metadata, packages, sim, tidy};

/// How one step went.
struct Step {
    name: &'static str,
    passed: u64,
    failed: u64,
    seconds: f64,
}

/// Runs everything, or everything but the laboratory and the simulator.
pub(crate) fn run(quick: bool) -> Result<bool> {
    let began = Instant::now();
    packages::install(&packages::NEEDS)?;
    let mut steps = vec![
        step("format", || command(&["fmt", "--all", "--check"], &[])),
        step("clippy", || {
            command(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], &[])
        }),
        step("documentation", || {
            command(&["doc", "--workspace", "--no-deps", "--locked"], &[("RUSTDOCFLAGS", "-D warnings")])
        }),
        step("house rules", || Ok(once(tidy::run()?))),
    ];
    if packages::has("cargo-deny") {
        steps.push(step("cargo-deny", || {
            command(&["deny", "--log-level", "error", "check", "bans", "licenses", "sources"], &[])
        }));
    }
    let beside = if quick { None } else { beside()? };
    steps.push(step("tests", || tests(quick)));
    steps.extend(beside.into_iter().flat_map(Beside::finish));
    steps.push(step("examples in documentation", || {
        tally(cargo(&["test", "--workspace", "--doc", "--locked"]))
    }));
    if !quick {
        steps.push(step("demonstration", || Ok(once(demo::script()?))));
    }
    println!("\n{}", summary(&steps, began.elapsed().as_secs_f64()));
    Ok(steps.iter().all(|step| step.failed == 0))
}

fn summary(steps: &[Step], seconds: f64) -> String {
    let mut text = String::new();
    for step in steps {
        let verdict = if step.failed == 0 { "ok" } else { "FAILED" };
        let _ = writeln!(
            text,
            "{:<28} {verdict:<7} {:>5} passed {:>4} failed {:>8.1} s",
            step.name, step.passed, step.failed, step.seconds
        );
    }
    let (passed, failed) = steps.iter().fold((0, 0), |(p, f), step| (p + step.passed, f + step.failed));
    let _ = write!(text, "{:<28} {:>41.1} s\n{passed} passed, {failed} failed", "", seconds);
    text
}

fn step(name: &'static str, run: impl FnOnce() -> Result<(u64, u64)>) -> Step {
    println!("\n=== {name}");
    let began = Instant::now();
    let (passed, failed) = run().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        (0, 1)
    });
    Step { name, passed, failed, seconds: began.elapsed().as_secs_f64() }
}

/// Steps that go on while the tests run: those of the laboratory wait most of their time, one after the other.
struct Beside(std::thread::JoinHandle<Vec<(Step, String)>>);

impl Beside {
    /// Waits for the steps, and says what they said.
    fn finish(self) -> Vec<Step> {
        let ended = self.0.join().unwrap_or_else(|_| {
            let step = Step { name: "simulator", passed: 0, failed: 1, seconds: 0.0 };
            vec![(step, "it panicked\n".to_owned())]
        });
        let say = |(step, said): (Step, String)| {
            println!("\n=== {}, beside the tests\n{said}", step.name);
            step
        };
        ended.into_iter().map(say).collect()
    }
}

/// Begins the simulated worlds and the bugs planted into them. They get what time of the processors nobody else
/// wants, as the laboratory measures milliseconds.
fn beside() -> Result<Option<Beside>> {
    if !sim::exists()? {
        return Ok(None);
    }
    Ok(Some(Beside(std::thread::spawn(|| {
        let planted = ["test", "--package", "heart-sim", "--features", "planted", "--locked"];
        let planted = cargo(&[&planted[..], &["--test", "planted", "--test", "stories"]].concat());
        let steps = [("simulated worlds", sim::command(sim::WORLDS, None)), ("planted bugs", planted)];
        let quietly = |(name, command)| {
            let began = Instant::now();
            let (passed, failed, said) = tally_quietly(idle(command));
            (Step { name, passed, failed, seconds: began.elapsed().as_secs_f64() }, said)
        };
        steps.into_iter().map(quietly).collect()
    }))))
}

/// The same command in the kernel's idle class (`sched(7)`), if there is a program that says so.
fn idle(command: Command) -> Command {
    if !packages::has("chrt") {
        return command;
    }
    let mut idle = Command::new("chrt");
    idle.args(["--idle", "0"]).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        idle.current_dir(folder);
    }
    idle
}

fn once(passed: bool) -> (u64, u64) {
    if passed { (1, 0) } else { (0, 1) }
}

fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(metadata::root()).args(words);
    command
}

/// Runs cargo; it passes or fails as a whole.
fn command(words: &[&str], environment: &[(&str, &str)]) -> Result<(u64, u64)> {
    let mut command = cargo(words);
    command.envs(environment.iter().copied());
    Ok(once(command.status().context("cannot run cargo")?.success()))
}

/// The tests, by nextest if it is there. Tests in files called `lab…` need the machine for
/// themselves; `.config/nextest.toml` says so to nextest.
fn tests(quick: bool) -> Result<(u64, u64)> {
    if packages::has("cargo-nextest") {
        let mut words = vec!["nextest", "run", "--workspace", "--locked", "--no-fail-fast"];
        words.extend(["--no-tests=pass", "--status-level=slow", "--final-status-level=fail"]);
        if quick {
            words.extend(["-E", "not binary(/^lab/)"]);
        }
        return tally_of(cargo(&words), |line| line.starts_with("Summary ["));
    }
    let mut words = vec!["test", "--workspace", "--locked", "--no-fail-fast", "--lib", "--bins"];
    if !quick {
        words.extend(["--tests", "--", "--test-threads=1"]);
    }
    tally(cargo(&words))
}

/// Runs a command, passes on what it prints, and counts the tests it reports.
fn tally(command: Command) -> Result<(u64, u64)> {
    tally_of(command, |_| true)
}

/// The same, of the lines that count: nextest repeats what a failed test printed, and that has a
/// summary of its own.
fn tally_of(command: Command, which: fn(&str) -> bool) -> Result<(u64, u64)> {
    tally_into(command, which, &|line| println!("{line}"))
}

/// The same, and keeps what is printed.
fn tally_quietly(command: Command) -> (u64, u64, String) {
    let said = Mutex::new(String::new());
    let keep = |line: &str| {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(said, "{line}");
    };
    let outcome = tally_into(command, |_| true, &keep);
    let (passed, failed) = outcome.unwrap_or_else(|error| {
        keep(&format!("error: {error:#}"));
        (0, 1)
    });
    (passed, failed, said.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn tally_into(
    mut command: Command,
    which: fn(&str) -> bool,
    say: &(impl Fn(&str) + Sync),
) -> Result<(u64, u64)> {
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot run cargo")?;
    let (out, err) = (child.stdout.take().context("no output")?, child.stderr.take().context("no errors")?);
    let (one, other) = std::thread::scope(|scope| {
        let errors = scope.spawn(|| say_and_count(BufReader::new(err), which, say));
        (say_and_count(BufReader::new(out), which, say), errors.join().unwrap_or_default())
    });
    let (passed, failed) = (one.0 + other.0, one.1 + other.1);
    let good = child.wait()?.success();
    // A build that fails reports no test at all.
    Ok((passed, if good { failed } else { failed.max(1) }))
}

fn say_and_count(lines: impl BufRead, which: fn(&str) -> bool, say: &impl Fn(&str)) -> (u64, u64) {
    let mut sum = (0, 0);
    for line in lines.lines().map_while(Result::ok) {
        say(&line);
        let counted = Some(without_colours(&line)).filter(|line| which(line.trim()));
        let (passed, failed) = counted.and_then(|line| counts(&line)).unwrap_or_default();
        sum = (sum.0 + passed, sum.1 + failed);
    }
    sum
}

/// Passed and failed tests, from a summary line of nextest, of cargo's own runner, or of the
/// simulator.
fn counts(line: &str) -> Option<(u64, u64)> {
    let plain = without_colours(line);
    let plain = plain.trim();
    let is_summary = plain.starts_with("Summary [")
        || plain.starts_with("test result:")
        || plain
            .split_once(' ')
            .is_some_and(|(number, rest)| number.parse::<u64>().is_ok() && rest.starts_with("passed, "));
    if !is_summary {
        return None;
    }
    let words: Vec<&str> =
        plain.split(|c: char| c.is_whitespace() || ",;(.)".contains(c)).filter(|w| !w.is_empty()).collect();
    let before = |label: &str| {
        let sums =
            words.windows(2).filter(|pair| pair[1] == label).filter_map(|pair| pair[0].parse::<u64>().ok());
        sums.sum::<u64>()
    };
    Some((before("passed"), before("failed") + before("timed")))
}

fn without_colours(line: &str) -> String {
    let mut plain = String::new();
    let mut inside = false;
    for character in line.chars() {
        match character {
            '\u{1b}' => inside = true,
            'm' if inside => inside = false,
            _ if inside => {}
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_all_runners_are_counted() {
        for (line, expected) in [
            ("     Summary [  11.654s] 26 tests run: 25 passed, 1 failed, 0 skipped", Some((25, 1))),
            (
                "     Summary [  1s] 3 tests run: 1 passed (1 slow), 1 failed, 1 timed out, 0 skipped",
                Some((1, 2)),
            ),
            (
                "\u{1b}[32;1m     Summary\u{1b}[0m [ 1s] \u{1b}[1m2\u{1b}[0m tests run: 2 passed, 0 skipped",
                Some((2, 0)),
            ),
            ("test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured", Some((4, 0))),
            ("2000 passed, 0 failed", Some((2000, 0))),
            ("3 passed the gate", None),
            ("test a ... ok", None),
        ] {
            assert_eq!(counts(line), expected, "{line}");
        }
    }

    #[test]
    fn the_last_line_is_the_sum() {
        let step = |passed, failed| Step { name: "x", passed, failed, seconds: 0.0 };
        let text = summary(&[step(1, 0), step(20, 2)], 1.0);
        assert_eq!(text.lines().last(), Some("21 passed, 2 failed"));
    }
}
