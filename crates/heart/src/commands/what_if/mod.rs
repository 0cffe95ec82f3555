//! `heart what-if`.

mod configured;
mod described;

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use clap::Args;
use heart_scheduler::engine::survive::Enough;

use super::simulate;
use crate::{
    client::Client,
    failure::{Failure, Kind},
    output, render,
};

/// Most losses that are looked at: all pairs of a thousand nodes are half a million.
const LOSSES_MAX: usize = 600_000;

/// Say what every loss of one node, or of two at once, would do
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  heart what-if                    what the cluster that runs survives, as it is now
  heart what-if heart.toml         what a configuration would survive
  heart what-if cib.xml --single   the same of a Pacemaker cluster, of single nodes

The exit code is 1 if something would stay down after the loss of a single node.")]
pub(crate) struct Options {
    /// The description: the configuration of Heart (a name that ends with `.toml`), or the CIB of a
    /// Pacemaker cluster, as `cibadmin --query` prints it; without it, the cluster that runs is asked about
    file: Option<PathBuf>,
    /// Only single losses
    #[arg(long)]
    single: bool,
    /// Half of the nodes may go on: one of two, where the cluster is told so
    #[arg(long)]
    half_is_enough: bool,
    /// List losses that everything survives, too
    #[arg(long)]
    all: bool,
    /// Print everything as JSON
    #[arg(long, conflicts_with = "all")]
    json: bool,
    /// Say it as if it were that time (UTC), such as `2026-07-24 09:30:00`
    #[arg(short = 't', long, value_name = "TIME", value_parser = simulate::time)]
    now: Option<i64>,
}

impl Options {
    fn enough(&self) -> Enough {
        if self.half_is_enough { Enough::Half } else { Enough::Majority }
    }
}

/// Says it.
pub(crate) fn run(options: &Options, client: &Client) -> Result<ExitCode, Failure> {
    let losses = match &options.file {
        None => configured::that_runs(options, client)?,
        Some(file) if simulate::is_configuration(file) => configured::of_file(options, file)?,
        Some(file) => described::losses(options, file)?,
    };
    let safe = losses.iter().filter(|loss| loss.nodes.len() == 1).all(|loss| loss.survived);
    if options.json {
        output::print_json(&losses)?;
    } else {
        output::print(&render::losses(&losses, options.all, &output::look()))?;
    }
    Ok(if safe { ExitCode::SUCCESS } else { ExitCode::from(Kind::Problem.code()) })
}

/// # Errors
/// When there are more losses than anybody would wait for.
fn few_enough<N>(losses: &[N]) -> Result<(), Failure> {
    if losses.len() <= LOSSES_MAX {
        return Ok(());
    }
    let what = format!("{} losses are too many to look at", losses.len());
    Err(Failure::problem(what, "look at the loss of single nodes: add `--single`"))
}

/// Does the work on as many cores as there are, each with its own tool; what came of it in its order.
fn in_parallel<L: Clone + Sync, W: Sync, T: Send>(
    tool: &L,
    work: &[W],
    one: impl Fn(&mut L, &W) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let (mut tool, mut done) = (tool.clone(), Vec::new());
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(work) = work.get(place) else { return done };
            done.push((place, one(&mut tool, work)));
        }
    };
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut all: Vec<(usize, T)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores.min(work.len())).map(|_| scope.spawn(worker)).collect();
        // A worker that panics has found a bug of the engine: the panic goes on here.
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    all.sort_by_key(|(place, _)| *place);
    all.into_iter().map(|(_, done)| done).collect()
}
