//! `heart what-if`.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use clap::Args;
use heart_model::policy::Cluster;
use heart_scheduler::engine::{
    explain::{self, Because, Explanation, NodeTrouble},
    survive::{Enough, Loss, Survey},
};
use serde::Serialize;

use super::simulate;
use crate::{
    failure::{Failure, Kind},
    output, render,
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
    let enough = if options.half_is_enough { Enough::Half } else { Enough::Majority };
    let survey = Survey::new(&imported.cluster, &imported.state, enough);
    let wanted = survey.losses(!options.single);
    if wanted.len() > LOSSES_MAX {
        let what = format!("{} losses are too many to look at", wanted.len());
        return Err(Failure::problem(what, "look at the loss of single nodes: add `--single`"));
    }
    let losses = all(&survey, &wanted);
    let safe = losses.iter().filter(|loss| loss.nodes.len() == 1).all(Loss::is_survived);
    if options.json {
        let told = losses.iter().map(|loss| Told::of(loss, &imported.cluster));
        output::print_json(&told.collect::<Vec<_>>())?;
    } else {
        output::print(&render::losses(&losses, &imported.cluster, options.all, &output::look()))?;
    }
    Ok(if safe { ExitCode::SUCCESS } else { ExitCode::from(Kind::Problem.code()) })
}

/// All losses in their order, with the reasons for what stays down.
fn all(survey: &Survey<'_>, wanted: &[Vec<String>]) -> Vec<Loss> {
    let mut losses = in_parallel(survey, wanted, |survey, nodes| survey.lose(nodes));
    let questions = survey.questions(&losses);
    let answers = in_parallel(survey, &questions, |survey, question| {
        let nodes = wanted.get(question.loss)?;
        survey.why(nodes, &question.resource)
    });
    for (question, answer) in questions.iter().zip(answers) {
        if let Some(loss) = losses.get_mut(question.loss) {
            loss.because.extend(answer);
        }
    }
    losses
}

/// Does the work on as many cores as there are; what came of it in its order.
fn in_parallel<W: Sync, T: Send>(
    survey: &Survey<'_>,
    work: &[W],
    one: impl Fn(&mut Survey<'_>, &W) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let (mut survey, mut done) = (survey.clone(), Vec::new());
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(work) = work.get(place) else { return done };
            done.push((place, one(&mut survey, work)));
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
    because: Vec<Why<'l>>,
}

#[derive(Debug, Serialize)]
struct Moved<'l> {
    resource: &'l str,
    from: Option<&'l str>,
    to: &'l str,
}

/// Why something stays down.
#[derive(Debug, Serialize)]
struct Why<'l> {
    resource: &'l str,
    /// Only all causes together; else each alone.
    together: bool,
    /// There may be more causes.
    more: bool,
    causes: Vec<Cause<'l>>,
}

/// A cause, and on which nodes the resource would be without it.
#[derive(Debug, Serialize)]
struct Cause<'l> {
    /// `constraint`, `node`, `quorum`, `option`, `default`, `cluster-option`, `failure`, `activity`, `ticket` or
    /// `needs`.
    kind: &'static str,
    /// What is named by it: the constraint, the option, the ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'l str>,
    /// How the node is that takes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<&'static str>,
    /// The same as a sentence.
    text: String,
    otherwise: Vec<&'l str>,
}

impl<'l> Why<'l> {
    fn of(explanation: &'l Explanation, cluster: &Cluster) -> Why<'l> {
        Why {
            resource: &explanation.resource,
            together: explanation.together,
            more: explanation.cut,
            causes: explanation.because.iter().map(|because| Cause::of(because, cluster)).collect(),
        }
    }
}

impl<'l> Cause<'l> {
    fn of(because: &'l Because, cluster: &Cluster) -> Cause<'l> {
        use explain::Cause as C;
        let (kind, name, resource, node) = match &because.cause {
            C::Constraint { id, .. } => ("constraint", Some(id), None, None),
            C::Node { node, .. } => ("node", None, None, Some(node)),
            C::Quorum => ("quorum", None, None, None),
            C::ResourceOption { resource, name } => ("option", Some(name), Some(resource), None),
            C::Default { name } => ("default", Some(name), None, None),
            C::ClusterOption { name } => ("cluster-option", Some(name), None, None),
            C::Failed { resource, node } => ("failure", None, Some(resource), Some(node)),
            C::Active { resource, node } => ("activity", None, Some(resource), Some(node)),
            C::Changed { resource, node } => ("change", None, Some(resource), Some(node)),
            C::PromotionScore { resource, node } => ("promotion-score", None, Some(resource), Some(node)),
            C::Ticket { ticket } => ("ticket", Some(ticket), None, None),
            C::Needs { resource } => ("needs", None, Some(resource), None),
        };
        let trouble = match &because.cause {
            C::Node { trouble: NodeTrouble::Standby, .. } => Some("standby"),
            C::Node { trouble: NodeTrouble::Maintenance, .. } => Some("maintenance"),
            C::Node { trouble: NodeTrouble::Absent, .. } => Some("absent"),
            C::Node { trouble: NodeTrouble::Health, .. } => Some("health"),
            _ => None,
        };
        Cause {
            kind,
            name: name.map(String::as_str),
            resource: resource.map(String::as_str),
            node: node.map(String::as_str),
            trouble,
            text: render::cause(&because.cause, cluster),
            otherwise: because.otherwise.iter().map(|(node, _)| node.as_str()).collect(),
        }
    }
}

impl<'l> Told<'l> {
    fn of(loss: &'l Loss, cluster: &Cluster) -> Told<'l> {
        let moved = loss.moved.iter();
        Told {
            nodes: &loss.nodes,
            survived: loss.is_survived(),
            quorum: loss.quorum,
            moved: moved.map(|(resource, from, to)| Moved { resource, from: from.as_deref(), to }).collect(),
            down: &loss.down,
            unpromoted: &loss.unpromoted,
            fewer: &loss.fewer,
            because: loss.because.iter().map(|why| Why::of(why, cluster)).collect(),
        }
    }
}
