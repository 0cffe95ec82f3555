//! `heart what-if`.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use clap::Args;
use heart_config::cib::Imported;
use heart_scheduler::engine::{
    Outcome,
    survive::{self, Enough, Loss},
};
use serde::Serialize;

use super::simulate;
use crate::{
    failure::{Failure, Kind},
    output, render, simulation,
};

/// Most losses that are looked at: all pairs of a thousand nodes are half a million.
const LOSSES_MAX: usize = 600_000;

/// Say what every loss of one node, or of two at once, would do
#[derive(Debug, Args)]
#[command(after_help = "\
The exit code is 1 if something would stay down after the loss of a single node.")]
pub(crate) struct Options {
    /// The description: the CIB of a Pacemaker cluster, as `cibadmin --query` prints it, or the
    /// configuration of Heart (a name that ends with `.toml`)
    file: PathBuf,
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

/// Says it.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let imported = simulate::described(&options.file, options.now)?;
    let before = simulation::decide(&imported);
    let wanted = survive::losses(&before, !options.single);
    if wanted.len() > LOSSES_MAX {
        let what = format!("{} losses are too many to look at", wanted.len());
        return Err(Failure::problem(what, "look at the loss of single nodes: add `--single`"));
    }
    let enough = if options.half_is_enough { Enough::Half } else { Enough::Majority };
    let losses = all(&imported, &before, &wanted, enough);
    let safe = losses.iter().filter(|loss| loss.nodes.len() == 1).all(Loss::is_survived);
    if options.json {
        output::print_json(&losses.iter().map(Told::of).collect::<Vec<_>>())?;
    } else {
        output::print(&render::losses(&losses, &imported.cluster, options.all, &output::look()))?;
    }
    Ok(if safe { ExitCode::SUCCESS } else { ExitCode::from(Kind::Problem.code()) })
}

/// Decides all losses, on as many cores as there are; in their order.
fn all(imported: &Imported, before: &Outcome, wanted: &[Vec<String>], enough: Enough) -> Vec<Loss> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(nodes) = wanted.get(place) else { return done };
            done.push((place, survive::lose(&imported.cluster, &imported.state, before, nodes, enough)));
        }
    };
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut losses: Vec<(usize, Loss)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores.min(wanted.len())).map(|_| scope.spawn(work)).collect();
        // A worker that panics has found a bug of the engine: the panic goes on here.
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    losses.sort_by_key(|(place, _)| *place);
    losses.into_iter().map(|(_, loss)| loss).collect()
}

/// A loss for programs.
#[derive(Debug, Serialize)]
struct Told<'l> {
    nodes: &'l [String],
    survived: bool,
    quorum: bool,
    moved: Vec<Moved<'l>>,
    down: &'l [String],
    unpromoted: &'l [String],
    fewer: &'l [String],
}

#[derive(Debug, Serialize)]
struct Moved<'l> {
    resource: &'l str,
    from: Option<&'l str>,
    to: &'l str,
}

impl Told<'_> {
    fn of(loss: &Loss) -> Told<'_> {
        let moved = loss.moved.iter();
        Told {
            nodes: &loss.nodes,
            survived: loss.is_survived(),
            quorum: loss.quorum,
            moved: moved.map(|(resource, from, to)| Moved { resource, from: from.as_deref(), to }).collect(),
            down: &loss.down,
            unpromoted: &loss.unpromoted,
            fewer: &loss.fewer,
        }
    }
}
