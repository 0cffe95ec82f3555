//! `heart fence`.

use std::{
    collections::BTreeMap,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use heart_model::NodeName;
use heart_node::core::{DeviceView, Request, StatusView};

use super::confirm_off::who;
use crate::{
    client::Client,
    failure::{Failure, Kind},
    output, render,
};

/// How often it is looked whether all devices were tried.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Longest that this is waited for: each device may take as long as its timeout.
const TEST_MAX: Duration = Duration::from_secs(900);

/// Switch a node off; or test what could
#[derive(Debug, Args)]
#[command(after_help = "\
A lost node is switched off by itself when something it ran may be started elsewhere only then. When \
no device can prove that it is off, the next attempts follow after some minutes, and `heart status` \
says so: this begins them at once. It also switches off a lost node that nothing waits for.

A node that is heard is switched off with --anyway alone: what it runs ends as in a power cut, and \
goes on elsewhere. `heart standby NODE` empties it in an orderly way before. It is done only if the \
others can go on without it. `heart unfence NODE` gives it power again; with --reboot it gets that \
by itself.

With --test nobody is switched off: this node asks every device by which it could switch another one \
off how that node is. It does so by itself every hour, and `heart status` says what it found. The \
exit code is 1 if one of them is of no use.")]
pub(crate) struct Options {
    /// The node; with --test all others if not said
    #[arg(value_parser = NodeName::new, required_unless_present = "test")]
    node: Option<NodeName>,
    /// Also if it is heard and takes part
    #[arg(long, conflicts_with = "test")]
    anyway: bool,
    /// Give it power again once it is proven off
    #[arg(long, conflicts_with = "test")]
    reboot: bool,
    /// Only try whether this node could do it
    #[arg(long)]
    test: bool,
}

/// Asks for it.
pub(crate) fn run(options: Options, client: &Client) -> Result<ExitCode, Failure> {
    match options.node {
        node if options.test => test(node.as_ref(), client),
        Some(node) => {
            let Options { anyway, reboot, .. } = options;
            let said = client.demand(&Request::Fence { node, who: who(), anyway, reboot })?;
            output::print(&format!("{said}\n"))?;
            Ok(ExitCode::SUCCESS)
        }
        None => Err(Failure::problem("no node was named", "`heart fence NODE`, or `heart fence --test`")),
    }
}

/// Has devices tried, and says what was found.
fn test(node: Option<&NodeName>, client: &Client) -> Result<ExitCode, Failure> {
    let before = only(client.status()?, node);
    client.demand(&Request::Prove { node: node.cloned() })?;
    let view = wait(client, node)?;
    let problems = problems(&before, &view);
    let mut text = render::devices(&view, &output::look());
    for problem in &problems {
        text += &format!("\n{}", render::problem(&output::look(), problem));
    }
    output::print(&text)?;
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(Kind::Problem.code()) })
}

/// Waits until nothing is tried any more. A daemon that is busy for a moment does not end that.
fn wait(client: &Client, node: Option<&NodeName>) -> Result<StatusView, Failure> {
    let deadline = Instant::now() + TEST_MAX;
    loop {
        let seen = client.status().map(|view| only(view, node));
        let is_over = seen.as_ref().is_ok_and(|view| !devices(view).any(|(_, one)| one.asked));
        if is_over || Instant::now() >= deadline {
            return seen;
        }
        thread::park_timeout(LOOK_EVERY);
    }
}

/// What a node knows, without the devices of others than this one.
fn only(mut view: StatusView, node: Option<&NodeName>) -> StatusView {
    let others = view.nodes.iter_mut().filter(|(name, _)| node.is_some_and(|node| node.as_str() != *name));
    others.for_each(|(_, other)| other.devices.clear());
    view
}

/// Every device, with its node and its place there.
fn devices(view: &StatusView) -> impl Iterator<Item = ((&str, usize), &DeviceView)> {
    view.nodes.iter().flat_map(|(name, node)| {
        node.devices.iter().enumerate().map(move |(at, one)| ((name.as_str(), at), one))
    })
}

/// What is wrong with a device, or with this test of it.
fn problems(before: &StatusView, view: &StatusView) -> Vec<String> {
    let tried: BTreeMap<_, _> = devices(before).map(|(which, one)| (which, one.tried)).collect();
    let problem = |(which, one): ((&str, usize), &DeviceView)| {
        let is_old = one.tried.is_none() || tried.get(&which).is_some_and(|tried| *tried == one.tried);
        match is_old {
            true => Some(format!(
                "{} of {} was not tried: {} was busy switching a node off, or restarted; ask again in a minute",
                one.device, which.0, view.node
            )),
            false => one.message.clone(),
        }
    };
    devices(view).filter_map(problem).collect()
}
