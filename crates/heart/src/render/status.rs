//! The state of the cluster on one screen.

use heart_model::Intent;
use heart_node::core::{NodeView, ResourceView, StatusView};

use super::{
    Look, devices,
    text::{Date, Tone, count, list, paint, paragraph, plain, since, table},
};

/// Most resources that are shown one by one, unless all are asked for; those that do not run
/// come first.
const RESOURCES_SHOWN_MAX: usize = 30;
/// Most problems and next steps that are shown, unless all are asked for.
const LINES_SHOWN_MAX: usize = 12;

/// The whole screen; with everything, however long, if `all`.
pub(crate) fn status(view: &StatusView, all: bool, look: &Look) -> String {
    let mut out = heading(view, look);
    out += &section(look, "Nodes", &nodes(view, look));
    out += &fence_devices(view, all, look);
    let title = if view.leader.is_some() { "Resources" } else { "Resources, as this node knew them last" };
    out += &section(look, title, &resources(view, all, look));
    if !view.intents.is_empty() {
        let asked: String =
            view.intents.iter().map(|intent| paragraph(look, 2, Tone::Normal, &wish(intent))).collect();
        out += &section(look, "Asked for", &asked);
    }
    let wrong = lines(look, all, Tone::Bad, &view.problems)
        .unwrap_or_else(|| paragraph(look, 2, Tone::Good, "nothing is wrong"));
    out += &section(look, "Wrong", &wrong);
    let next = lines(look, all, Tone::Normal, &view.next)
        .unwrap_or_else(|| paragraph(look, 2, Tone::Normal, nothing_next(view)));
    out += &section(look, "Next", &next);
    out
}

fn section(look: &Look, title: &str, body: &str) -> String {
    format!("\n{}\n{body}", paint(look, Tone::Head, title))
}

fn heading(view: &StatusView, look: &Look) -> String {
    let (voters, heard) = view.voters;
    let quorum = format!("{heard} of {} heard", count(voters, "voter"));
    let (tone, quorum) =
        if view.quorum { (Tone::Normal, quorum) } else { (Tone::Bad, quorum + ": no quorum") };
    let leader = match &view.leader {
        Some(leader) => format!("{} leads", plain(leader)),
        None => paint(look, Tone::Bad, "nobody leads"),
    };
    format!(
        "Cluster {}: {leader} (term {}), {}\nas {} sees it at {} {}\n",
        paint(look, Tone::Head, &plain(&view.cluster)),
        view.term,
        paint(look, tone, &quorum),
        plain(&view.node),
        Date::of(look, look.now_ms).time(),
        Date::zone(look, look.now_ms)
    )
}

fn nodes(view: &StatusView, look: &Look) -> String {
    let row = |(name, node): (&String, &NodeView)| {
        let tone = match node.state.as_str() {
            "online" => Tone::Good,
            "lost" | "fenced" | "silent" | "absent" => Tone::Bad,
            _ => Tone::Between,
        };
        let mut notes = Vec::new();
        if view.leader.as_ref() == Some(name) {
            notes.push("leads".to_owned());
        }
        if !node.voter {
            notes.push("no vote".to_owned());
        }
        notes.push(if *name == view.node { lease(node) } else { hearing(&node.links) });
        vec![(Tone::Normal, plain(name)), (tone, plain(&node.state)), (Tone::Normal, notes.join(", "))]
    };
    table(look, &view.nodes.iter().map(row).collect::<Vec<_>>())
}

/// What is known of devices that switch nodes off, if there are any.
fn fence_devices(view: &StatusView, all: bool, look: &Look) -> String {
    let (mut body, left_out) = devices::rows(view, all, look);
    if body.is_empty() {
        return body;
    }
    if left_out > 0 {
        let text = format!("and {left_out} more: `heart status --all` shows them");
        body += &paragraph(look, 2, Tone::Faint, &text);
    }
    section(look, &format!("Devices that switch off, as {} finds them", plain(&view.node)), &body)
}

/// One thing that is wrong.
pub(crate) fn problem(look: &Look, text: &str) -> String {
    paragraph(look, 2, Tone::Bad, text)
}

/// How long the node that answered may go on if it hears nothing more.
fn lease(node: &NodeView) -> String {
    match node.lease_ms {
        None | Some(0) => "has no lease".into(),
        Some(left) => format!("has a lease for {left} ms"),
    }
}

/// On which links a node is heard.
fn hearing(links: &[bool]) -> String {
    let on = |wanted: bool| -> Vec<String> {
        let those = links.iter().enumerate().filter(|(_, heard)| **heard == wanted);
        those.map(|(link, _)| link.to_string()).collect()
    };
    let named = |links: &[String]| format!("link{} {}", if links.len() == 1 { "" } else { "s" }, list(links));
    let (heard, silent) = (on(true), on(false));
    match (heard.is_empty(), silent.is_empty()) {
        (true, _) => "not heard".into(),
        (false, true) => format!("heard on {}", named(&heard)),
        (false, false) => format!("heard on {}, not on {}", named(&heard), named(&silent)),
    }
}

fn resources(view: &StatusView, all: bool, look: &Look) -> String {
    if view.resources.is_empty() {
        return paragraph(look, 2, Tone::Normal, "none are configured");
    }
    let mut shown: Vec<(&String, &ResourceView)> = view.resources.iter().collect();
    // Members of a group stand together.
    shown.sort_by_key(|(name, it)| (it.group.as_ref().unwrap_or(name), *name));
    let mut rest = Vec::new();
    if !all && shown.len() > RESOURCES_SHOWN_MAX {
        shown.sort_by_key(|(_, it)| it.state == "running");
        rest = shown.split_off(RESOURCES_SHOWN_MAX);
    }
    let rows: Vec<_> = shown.iter().map(|(name, it)| resource(name, it, look)).collect();
    let mut out = table(look, &rows);
    if !rest.is_empty() {
        let running = rest.iter().filter(|(_, it)| it.state == "running").count();
        let text =
            format!("and {} more, {running} of them running: `heart status --all` shows them", rest.len());
        out += &paragraph(look, 2, Tone::Faint, &text);
    }
    out
}

fn resource(name: &str, it: &ResourceView, look: &Look) -> Vec<(Tone, String)> {
    let tone = match it.state.as_str() {
        _ if it.rests => Tone::Faint,
        "running" => Tone::Good,
        "failed" | "stuck" | "stopped" => Tone::Bad,
        _ => Tone::Between,
    };
    let agent = match &it.group {
        Some(group) => format!("{}, group {}", plain(&it.agent), plain(group)),
        None => plain(&it.agent),
    };
    let agent = match it.why.as_ref().filter(|_| it.rests) {
        Some(why) => format!("{agent}: {}", plain(why)),
        None => agent,
    };
    let state = if it.rests { "rests".into() } else { plain(&it.state) };
    vec![
        (Tone::Normal, plain(name)),
        (tone, state),
        (Tone::Normal, it.node.as_ref().map(|node| format!("on {}", plain(node))).unwrap_or_default()),
        (Tone::Normal, it.since.map(|at| since(look, at)).unwrap_or_default()),
        (Tone::Faint, agent),
    ]
}

/// What somebody asked for, and how it ends.
fn wish(intent: &Intent) -> String {
    match intent {
        Intent::Ticket { ticket } => {
            format!("has the ticket {ticket}, until `heart ticket revoke {ticket}`")
        }
        Intent::Standby { node } => format!("nothing runs on {node}, until `heart resume {node}`"),
        Intent::Move { resource, from, to: Some(to) } => {
            format!("{resource} moves from {from} to {to}; over as soon as it runs there")
        }
        Intent::Move { resource, from, to: None } => {
            format!("{resource} moves away from {from}; over as soon as it runs elsewhere")
        }
    }
}

/// Lines of one section, or nothing if there are none.
fn lines(look: &Look, all: bool, tone: Tone, lines: &[String]) -> Option<String> {
    let most = if all { usize::MAX } else { LINES_SHOWN_MAX };
    let mut out: String = lines.iter().take(most).map(|line| paragraph(look, 2, tone, line)).collect();
    if lines.len() > most {
        let text = format!("and {} more: `heart status --all` shows them", lines.len() - most);
        out += &paragraph(look, 2, Tone::Faint, &text);
    }
    (!out.is_empty()).then_some(out)
}

/// What to say if nothing is planned.
fn nothing_next(view: &StatusView) -> &'static str {
    if view.leader.is_none() || !view.quorum {
        "nothing, before a leader with a quorum decides"
    } else if view.problems.is_empty() {
        "nothing: everything is where it should be"
    } else {
        "nothing is planned"
    }
}
