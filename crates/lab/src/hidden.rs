//! The programs that a lab is made of, inside one binary.

use std::process::ExitCode;

use anyhow::Result;

use crate::{demo, flood, init, janitor, ledger, probe, stores, watchdog};

/// Runs one of the lab's own programs if `arguments` (without the program's name) ask for one.
///
/// A `main` that uses this crate calls it before anything else, and exits with what it returns:
/// namespaces can only be left while there is a single thread.
#[must_use]
pub fn hidden_main(arguments: &[String]) -> Option<ExitCode> {
    let (name, rest) = arguments.split_first()?;
    let program: fn(&[String]) -> Result<()> = match name.as_str() {
        "lab-janitor" => |_| janitor::run(),
        "lab-hold" => |_| janitor::run_hold(),
        "lab-enter" => |_| init::enter(),
        "lab-init" => |_| init::run(),
        "lab-probe" => probe::ask::run,
        "lab-answer" => probe::answer::run,
        "lab-watch" => probe::watch::run,
        "lab-flood" => flood::run,
        "lab-http" => demo::service::run,
        "lab-ledger" => ledger::run,
        "lab-watchdog" => watchdog::run,
        "lab-object-store" => stores::run_object_store,
        "lab-etcd" => stores::run_etcd,
        _ => return None,
    };
    Some(match program(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    })
}
