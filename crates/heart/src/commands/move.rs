//! `heart move`.

use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use heart_model::{Intent, NodeName, ResourceName};
use heart_node::core::{Request, ResourceView, StatusView};

use crate::{client::Client, failure::Failure, output};

/// How often it is looked whether the resource has arrived.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Move a resource, with its group, to another node, or call that off
///
/// A move ends by itself: when it is done, or when it cannot be done any more, because its target is
/// lost, in standby, or failed as often as it may, or because another node got the resource.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which
    #[arg(value_parser = ResourceName::parse)]
    resource: ResourceName,
    /// Where to; anywhere else if not said
    #[arg(value_parser = NodeName::new)]
    node: Option<NodeName>,
    /// Wait so many seconds until it runs there; 0 does not wait
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    wait: u32,
    /// Call off a move that is under way: the resource stays where it is now
    #[arg(long, conflicts_with_all = ["node", "wait"])]
    cancel: bool,
}

/// How far a move is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Progress {
    /// It runs where it shall, on this node.
    There(String),
    /// It runs on this node instead, and nothing will move it any more.
    Elsewhere(String),
    /// The move ended before it was done; why, in a sentence.
    Ended(String),
    /// Not yet.
    Underway,
}

/// Asks for it, and waits until it is done.
pub(crate) fn run(options: &Options, client: &Client) -> Result<ExitCode, Failure> {
    if options.cancel {
        let text = client.demand(&Request::Cancel { resource: options.resource.clone() })?;
        output::print(&format!("{text}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let before = client.status()?;
    let before = before.resources.get(options.resource.as_str());
    let began = Instant::now();
    let request = Request::Move { resource: options.resource.clone(), to: options.node.clone() };
    output::print(&format!("{}\n", client.demand(&request)?))?;
    if options.wait > 0 {
        let deadline = began + Duration::from_secs(options.wait.into());
        let node = wait(options, client, before, deadline)?;
        let took = began.elapsed().as_millis();
        output::print(&format!("{} runs on {node} after {took} ms\n", options.resource))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits until it runs where it shall. While the cluster has no leader or the daemon is busy,
/// there is no answer, and the move may go on all the same.
fn wait(
    options: &Options,
    client: &Client,
    before: Option<&ResourceView>,
    deadline: Instant,
) -> Result<String, Failure> {
    let resource = &options.resource;
    let hint = format!("`heart why {resource}` says what it waits for");
    loop {
        let seen = client.status();
        match seen.as_ref().map(|view| progress(options, before, view)) {
            Ok(Progress::There(node)) => return Ok(node),
            Ok(Progress::Elsewhere(node)) => {
                return Err(Failure::problem(format!("{resource} runs on {node} instead"), hint));
            }
            Ok(Progress::Ended(why)) => {
                return Err(Failure::problem(format!("{resource} did not move: {why}"), hint));
            }
            Ok(Progress::Underway) | Err(_) => {}
        }
        if Instant::now() >= deadline {
            seen?;
            let message = format!("{resource} has not arrived after {} s; the move goes on", options.wait);
            return Err(Failure::problem(message, hint));
        }
        thread::park_timeout(LOOK_EVERY);
    }
}

fn progress(options: &Options, before: Option<&ResourceView>, view: &StatusView) -> Progress {
    let Some(now) = view.resources.get(options.resource.as_str()) else { return Progress::Underway };
    let ended = |view: &ResourceView| view.move_ended.as_ref().map_or(0, |(at, _)| *at);
    if let Some((at, why)) = &now.move_ended
        && *at > before.map_or(0, ended)
    {
        return Progress::Ended(why.clone());
    }
    let (last, from) = before.map_or((0, None), |before| (before.epoch, before.node.as_ref()));
    // Every move is a new grant: under the old one, nothing has moved yet.
    let Some(node) = now.node.clone().filter(|_| now.state == "running" && now.epoch > last) else {
        return Progress::Underway;
    };
    let there = options.node.as_ref().map_or(from != Some(&node), |to| to.as_str() == node);
    let still = |intent: &Intent| match intent {
        Intent::Move { resource, .. } => *resource == options.resource,
        Intent::Standby { .. } | Intent::Ticket { .. } => false,
    };
    match there {
        true => Progress::There(node),
        false if view.intents.iter().any(still) => Progress::Underway,
        false => Progress::Elsewhere(node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(state: &str, node: &str, epoch: u64, moving: bool) -> StatusView {
        let site =
            ResourceView { state: state.into(), node: Some(node.into()), epoch, ..ResourceView::default() };
        let intent = Intent::Move {
            resource: ResourceName::new("site").unwrap(),
            from: NodeName::new("ada").unwrap(),
            to: None,
        };
        StatusView {
            resources: [("site".into(), site)].into(),
            intents: moving.then_some(intent).into_iter().collect(),
            ..StatusView::default()
        }
    }

    #[test]
    fn a_move_is_over_when_it_runs_there_under_a_new_grant() {
        let before = view("running", "ada", 4, false);
        let before = before.resources.get("site");
        let there = || Progress::There("bob".into());
        for (to, now, expected) in [
            (Some("bob"), view("running", "ada", 4, true), Progress::Underway),
            (Some("bob"), view("running", "ada", 4, false), Progress::Underway),
            (Some("bob"), view("starting", "bob", 5, true), Progress::Underway),
            (Some("bob"), view("running", "bob", 5, true), there()),
            (Some("bob"), view("running", "cyn", 5, true), Progress::Underway),
            (Some("bob"), view("running", "cyn", 5, false), Progress::Elsewhere("cyn".into())),
            (None, view("running", "bob", 5, false), there()),
            (None, view("running", "ada", 5, false), Progress::Elsewhere("ada".into())),
        ] {
            let options = Options {
                resource: ResourceName::new("site").unwrap(),
                node: to.map(|to| NodeName::new(to).unwrap()),
                wait: 1,
                cancel: false,
            };
            assert_eq!(progress(&options, before, &now), expected, "{to:?} {now:?}");
        }
    }

    #[test]
    fn a_move_that_was_given_up_is_waited_for_no_longer_and_an_earlier_one_is_no_news() {
        let options = Options {
            resource: ResourceName::new("site").unwrap(),
            node: NodeName::new("bob").ok(),
            wait: 1,
            cancel: false,
        };
        let ended = |at: u64, why: &str| {
            let mut view = view("running", "ada", 4, true);
            view.resources.get_mut("site").unwrap().move_ended = Some((at, why.into()));
            view
        };
        let before = ended(7, "old");
        let before = before.resources.get("site");
        assert_eq!(progress(&options, before, &ended(7, "old")), Progress::Underway);
        assert_eq!(progress(&options, before, &ended(9, "new")), Progress::Ended("new".into()));
    }
}
