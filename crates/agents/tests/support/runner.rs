//! The runner of tests that have a `main` of their own.

use std::{env, process::ExitCode};

/// Lists or runs the tests, as a runner asks for it: these need a `main` of their own, because the
/// programs are their own keepers.
pub(crate) fn run_tests(tests: &[(&str, fn())]) -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let asks_for = |word: &str| arguments.iter().any(|argument| argument == word);
    if asks_for("--list") {
        // None of them is ignored.
        let listed = tests.iter().filter(|_| !asks_for("--ignored"));
        listed.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    for (name, test) in tests.iter().filter(|(name, _)| wanted.is_empty() || asks_for(name)) {
        test();
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}
