//! The processes of a node: guardian, core, executor and gateway.
//!
//! `heart daemon` is the guardian; it starts the other three from the same program. They perform
//! what the pure crates ask for, and decide nothing. `heart witness` is a process for itself, on another machine.

pub mod channel;
pub mod core;
pub mod disk;
mod echo;
pub mod executor;
pub mod gateway;
pub mod guardian;
mod life;
mod log;
mod pressure;
mod rights;
pub mod setup;
mod sys;
mod watch;
pub mod witness;

use std::{
    os::fd::{IntoRawFd, OwnedFd, RawFd},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use guardian::{FIRST_FD, Role, place, wait_at_gate};
use heart_agents::{LeaseView, process::keeper::keeper_main};
use setup::{BoardLease, Places, Running};

/// Runs the guardian: `heart daemon`.
#[must_use]
pub fn daemon(places: &Places) -> ExitCode {
    sys::name_process("heart-guardian");
    log::start();
    end(guardian::run(places))
}

/// Runs a witness: `heart witness`.
#[must_use]
pub fn witness(options: &witness::Options) -> ExitCode {
    sys::name_process("heart-witness");
    log::start();
    end(witness::run(options))
}

/// Runs what is started by programs, not by people: `heart internal ROLE RUN-DIRECTORY` and
/// `heart keeper PLAN`. None if the arguments (without the program's name) ask for something else.
#[must_use]
pub fn hidden_main(arguments: &[String]) -> Option<ExitCode> {
    match arguments {
        [word, plan] if word == "keeper" => {
            sys::name_process("heart-keeper");
            sys::unblock_signals();
            Some(keeper_main([plan.into()], open_board))
        }
        [word, role, run] if word == "internal" => {
            log::start();
            Some(end(internal(role, Path::new(run))))
        }
        _ => None,
    }
}

fn open_board(path: &Path) -> std::io::Result<Box<dyn LeaseView>> {
    Ok(Box::new(BoardLease::open(path)?))
}

fn internal(role: &str, run: &Path) -> anyhow::Result<()> {
    // Agents, keepers and services have no part in the channels and sockets of a node, and outlive it.
    sys::share_nothing().context("cannot keep descriptors from what is started here")?;
    if role == "guardian" {
        sys::name_process("heart-guardian");
        return guardian::take_over(run);
    }
    if role != Role::Core.word() {
        // The core reads them: one that is asked to stop before it can does not die of that.
        sys::unblock_signals();
    }
    if role == "disk" {
        return disk::run(run);
    }
    let role = Role::of(role).with_context(|| format!("`{role}` is no process of a node"))?;
    if !wait_at_gate().context("cannot hear the guardian")? {
        return Ok(());
    }
    sys::name_process(&format!("heart-{}", role.word()));
    let running = Running::find(run)
        .with_context(|| format!("{} does not tell what this node runs with", run.display()))?;
    match role {
        Role::Core => {
            let links = (0..running.setup.links()).map(|link| handed(place::LINKS + link));
            let handed = core::Handed {
                executor: handed(place::CORE_TO_EXECUTOR)?,
                gateway: handed(place::CORE_TO_GATEWAY)?,
                links: links.collect::<anyhow::Result<_>>()?,
            };
            core::run(&running, handed)
        }
        Role::Executor => run_executor(&running),
        Role::Gateway => {
            let (listener, core) = (handed(place::LISTENER)?, handed(place::GATEWAY_TO_CORE)?);
            // It has no rights: not to speak for the core to the executor, either.
            close_but(&[place::LISTENER, place::GATEWAY_TO_CORE], running.setup.links());
            gateway::run(&running.setup.places, listener, core)
        }
    }
}

/// The descriptor that the guardian handed over at this place. It stays open under its number, for
/// the next guardian; this process uses a copy.
fn handed(place: usize) -> anyhow::Result<OwnedFd> {
    let number = handed_number(place);
    let fd = sys::take_fd(number).with_context(|| format!("descriptor {number} was not handed over"))?;
    let copy = fd.try_clone()?;
    let _ = fd.into_raw_fd();
    Ok(copy)
}

fn handed_number(place: usize) -> RawFd {
    FIRST_FD + place as RawFd
}

/// Closes what the guardian handed over, but for these.
fn close_but(kept: &[usize], links: usize) {
    for place in (0..place::LINKS + links).filter(|place| !kept.contains(place)) {
        sys::take_fd(handed_number(place)).map(drop).ok();
    }
}

fn run_executor(running: &Running) -> anyhow::Result<()> {
    let setup = &running.setup;
    let board = setup.places.board();
    watch::start(&setup.places.run)?;
    disk::start(&setup.places.run)?;
    let options = executor::Options {
        node: setup.me.clone(),
        run_dir: setup.places.run.join("executor"),
        keeper: vec!["/proc/self/exe".into(), "keeper".into()],
        lease: Some(Arc::new(BoardLease::open(&board)?)),
        board,
        wake: None,
        ocf_root: heart_agents::ocf::OCF_ROOT.into(),
        fence: heart_agents::fence::Places::default(),
        cluster: setup.spec.cluster.name.to_string(),
        disks: disk::all(&setup.spec),
        witness_key: running.witness_key(),
    };
    Ok(executor::run(handed(place::EXECUTOR_TO_CORE)?, options)?)
}

fn end(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => {
            log::last_words("");
            ExitCode::SUCCESS
        }
        Err(error) => {
            log::last_words(&format!("error: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}
