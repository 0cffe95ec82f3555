//! `heart log`.

use std::{collections::BTreeSet, process::ExitCode};

use clap::Args;
use heart_node::{
    core::{Request, Response, StatusView},
    ledger::{Happened, TIMELINE_MAX},
};

use crate::{
    client::{Client, unexpected},
    failure::Failure,
    output, render,
};

/// So many entries before those that are told are looked at: they say on which node things were.
const LOOK_BACK: usize = 200;

/// Tell what happened in the cluster, oldest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  heart log -n 200              the last 200 entries
  heart log --of ada            the last that are about the node ada, what ran there among them
  heart log --of web            the last that are about a resource, or any member of a group
  heart log --fencing           the last that are about switching nodes off or on
  heart log --fencing --of ada  the last of these that are about ada

Every node keeps the last 1000 entries, and of what people said and devices proved of nodes that are off up to 300
older ones in their place.")]
pub(crate) struct Options {
    /// Tell the last so many entries
    #[arg(long, short = 'n', default_value_t = 50, value_name = "N")]
    limit: usize,
    /// Only what is about this node, resource, group or ticket
    #[arg(long, value_name = "NAME")]
    of: Option<String>,
    /// Only what is about switching nodes off or on, by devices or by the word of a person
    #[arg(long)]
    fencing: bool,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

/// Tells it.
pub(crate) fn run(options: &Options, client: &Client) -> Result<ExitCode, Failure> {
    let is_filtered = options.of.is_some() || options.fencing;
    // What is wanted may be anywhere in what is kept.
    let limit = if is_filtered { TIMELINE_MAX } else { options.limit.saturating_add(LOOK_BACK) };
    let timeline = match client.ask(&Request::Log { limit })? {
        Response::Log { timeline } => timeline,
        other => return Err(unexpected(&other)),
    };
    let view = options.of.as_ref().map(|_| client.status()).transpose()?;
    let of = options.of.as_ref().zip(view.as_ref()).map(|(name, view)| with_members(name, view));
    let wanted = render::Wanted { of, fencing: options.fencing };
    let places = wanted.pick(&timeline, options.limit);
    if let (Some(name), Some(view), []) = (&options.of, &view, places.as_slice())
        && !is_known(name, view)
    {
        return Err(Failure::problem(
            format!("nothing is called `{name}`, and nothing in the log is about it"),
            "`heart status` shows the names of nodes, resources and groups",
        ));
    }
    if options.json {
        let shown: Vec<&Happened> = places.iter().map(|place| &timeline[*place]).collect();
        output::print_json(&shown)?;
    } else {
        output::print(&render::log(&timeline, &places, &output::look()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A name, and those of its members if it is a group's.
fn with_members(name: &str, view: &StatusView) -> BTreeSet<String> {
    let members = view.resources.iter().filter(|(_, it)| it.group.as_deref() == Some(name));
    members.map(|(member, _)| member.clone()).chain([name.to_owned()]).collect()
}

fn is_known(name: &str, view: &StatusView) -> bool {
    let of_copies = |resource: &String| resource.split_once('@').is_some_and(|(of, _)| of == name);
    let is_group = view.resources.values().any(|it| it.group.as_deref() == Some(name));
    let is_resource = view.resources.keys().any(|resource| resource == name || of_copies(resource));
    view.nodes.contains_key(name) || is_resource || is_group
}
