//! The processes of a node: guardian, core, executor and gateway.
//!
//! `heart daemon` is the guardian; it starts the other three from the same program. They perform
//! what the pure crates ask for, and decide nothing.

pub mod channel;
pub mod core;
pub mod executor;
pub mod gateway;
pub mod guardian;
pub mod setup;
mod sys;
mod watch;

use std::{
    os::fd::{IntoRawFd, OwnedFd},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use guardian::{FIRST_FD, Role};
use heart_agents::{LeaseView, process::keeper::keeper_main};
use setup::{BoardLease, Places, Setup};

/// Runs the guardian: `heart daemon`.
#[must_use]
pub fn daemon(places: &Places) -> ExitCode {
    sys::name_process("heart-guardian");
    start_log();
    end(guardian::run(places))
}

/// Runs what is started by programs, not by people: `heart internal ROLE PLACES` and
/// `heart keeper PLAN`. None if the arguments (without the program's name) ask for something else.
#[must_use]
pub fn hidden_main(arguments: &[String]) -> Option<ExitCode> {
    match arguments {
        [word, plan] if word == "keeper" => {
            sys::name_process("heart-keeper");
            sys::unblock_signals();
            Some(keeper_main([plan.into()], open_board))
        }
        [word, role, places] if word == "internal" => {
            start_log();
            sys::unblock_signals();
            Some(end(internal(role, places)))
        }
        _ => None,
    }
}

fn open_board(path: &Path) -> std::io::Result<Box<dyn LeaseView>> {
    Ok(Box::new(BoardLease::open(path)?))
}

fn internal(role: &str, places: &str) -> anyhow::Result<()> {
    let role = Role::of(role).with_context(|| format!("`{role}` is no process of a node"))?;
    sys::name_process(&format!("heart-{}", role.word()));
    let places: Places = serde_json::from_str(places).context("the guardian said nonsense")?;
    match role {
        Role::Core => {
            let setup = Setup::read(&places)?;
            let links = setup.spec.nodes[&setup.me].addresses.len() + setup.spec.cluster.links.len();
            let links = (0..links).map(|link| handed(4 + link)).collect::<anyhow::Result<_>>()?;
            core::run(&setup, core::Handed { executor: handed(0)?, gateway: handed(2)?, links })
        }
        Role::Executor => run_executor(&places),
        Role::Gateway => gateway::run(&places, handed(3)?),
    }
}

/// The descriptor that the guardian handed over at this place. It stays open under its number, for
/// the next guardian; this process uses a copy.
fn handed(place: usize) -> anyhow::Result<OwnedFd> {
    let number = FIRST_FD + i32::try_from(place)?;
    // Agents and services must not inherit it.
    let fd = sys::take_fd(number).with_context(|| format!("descriptor {number} was not handed over"))?;
    let copy = fd.try_clone()?;
    let _ = fd.into_raw_fd();
    Ok(copy)
}

fn run_executor(places: &Places) -> anyhow::Result<()> {
    let setup = Setup::read(places)?;
    let board = places.board();
    watch::start(places)?;
    let options = executor::Options {
        node: setup.me.to_string(),
        run_dir: places.run.join("executor"),
        keeper: vec!["/proc/self/exe".into(), "keeper".into()],
        lease: Some(Arc::new(BoardLease::open(&board)?)),
        board,
        wake: None,
        ocf_root: heart_agents::ocf::OCF_ROOT.into(),
    };
    Ok(executor::run(handed(1)?, options)?)
}

fn start_log() {
    let level = std::env::var("HEART_LOG").ok().and_then(|level| level.parse().ok());
    tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(tracing::Level::INFO))
        .with_target(false)
        .with_writer(std::io::stderr)
        .init();
}

fn end(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
