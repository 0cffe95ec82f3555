//! What a cluster of Heart's own survives: its planner is asked, as its leader would ask it.

use std::path::Path;

use heart_model::{NodeName, Reason, Spec, Status};
use heart_node::core::{Request, Response};
use heart_scheduler::survival::{Loss, Survival, at_rest};

use super::{Options, few_enough, in_parallel, simulate};
use crate::{
    client::{Client, unexpected},
    failure::Failure,
    output,
    render::{Cause, Lost, Moved, Why},
};

/// What stays down with one loss is explained of that many of it.
const EXPLAINED_MAX: usize = 3;

/// The losses of the cluster that runs, as its leader knows it.
pub(super) fn that_runs(options: &Options, client: &Client) -> Result<Vec<Lost>, Failure> {
    match client.ask(&Request::Picture)? {
        Response::Picture { spec, mut status } => {
            status.now = options.now.or(status.now);
            losses(options, &spec, &status)
        }
        other => Err(unexpected(&other)),
    }
}

/// The losses of the cluster that a file configures, with all its nodes there.
pub(super) fn of_file(options: &Options, file: &Path) -> Result<Vec<Lost>, Failure> {
    let spec = simulate::configured(file)?;
    let status = at_rest(&spec, options.now.or(Some(output::now_s())));
    losses(options, &spec, &status)
}

fn losses(options: &Options, spec: &Spec, status: &Status) -> Result<Vec<Lost>, Failure> {
    let survival = Survival::new(spec, status, options.enough());
    let wanted = survival.losses(!options.single);
    few_enough(&wanted)?;
    Ok(in_parallel(&survival, &wanted, |survival, nodes| told(survival.lose(nodes))))
}

fn told(loss: Loss) -> Lost {
    let text = |node: &NodeName| node.to_string();
    let because = loss.down.iter().chain(&loss.unpromoted).filter(|_| loss.quorum);
    let because = because.map(|(resource, reasons)| why(resource, reasons, &loss.nodes));
    let because = because.filter(|why| !why.causes.is_empty()).take(EXPLAINED_MAX).collect();
    let names = |those: &[(String, Vec<Reason>)]| those.iter().map(|(name, _)| name.clone()).collect();
    Lost {
        nodes: loss.nodes.iter().map(text).collect(),
        survived: loss.is_survived(),
        quorum: loss.quorum,
        down: names(&loss.down),
        unpromoted: names(&loss.unpromoted),
        moved: loss
            .moved
            .into_iter()
            .map(|(resource, from, to)| Moved { resource, from: from.as_ref().map(text), to: text(&to) })
            .collect(),
        fewer: loss.fewer,
        because,
    }
}

/// What is said of something that stays down. That a lost node is not there goes without saying.
fn why(resource: &str, reasons: &[Reason], lost: &[NodeName]) -> Why {
    let said = reasons.iter().filter(|reason| reason.is_obstacle()).flat_map(|reason| match reason {
        Reason::Nowhere { refusals } => refusals
            .iter()
            .filter(|(node, _)| !lost.contains(node))
            .map(|(node, refusal)| Reason::NotOn { node: node.clone(), refusal: refusal.clone() })
            .collect(),
        Reason::NotOn { node, .. } if lost.contains(node) => Vec::new(),
        other => vec![other.clone()],
    });
    let causes = said.map(|reason| Cause {
        kind: "reason",
        text: reason.to_string(),
        is_said: true,
        reason: Some(reason),
        ..Cause::default()
    });
    Why { resource: resource.to_owned(), together: true, more: false, causes: causes.collect() }
}
