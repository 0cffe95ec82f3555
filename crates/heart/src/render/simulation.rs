//! What would be done, in words.

use std::collections::BTreeMap;

use heart_config::cib::{Note, date_text};
use heart_model::policy::Role;
use heart_scheduler::engine::{
    Outcome,
    outcome::{Action, Picture, ResourceView},
};

use super::{
    Look,
    text::{Tone, count, list, paint, paragraph, plain, table},
};
use crate::simulation::{Order, node_text};

/// Most notes that are written out.
const NOTES_MAX: usize = 20;

/// What is, what would be done and in which order, and what would be then.
pub(crate) fn simulation(outcome: &Outcome, notes: &[Note], look: &Look) -> String {
    let mut out = head(look, "Now");
    out += &picture(&outcome.before, look);
    if outcome.actions.is_empty() && outcome.decisions.is_empty() {
        out += &format!("\n{}\n", paint(look, Tone::Good, "Nothing has to be done."));
    } else {
        out += &format!("\n{}", head(look, "What would happen"));
        out += &decisions(outcome, look);
        out += &format!("\n{}", head(look, "Step by step"));
        out += &steps(outcome, look);
        out += &format!("\n{}", head(look, "Then"));
        out += &picture(&outcome.after, look);
    }
    if let Some(at) = outcome.look_again {
        out += &format!("\nIt depends on the time, and has to be looked again at {} UTC.\n", date_text(at));
    }
    out + &not_understood(notes, look)
}

pub(super) fn head(look: &Look, text: &str) -> String {
    format!("{}\n", paint(look, Tone::Head, text))
}

/// Nodes, then resources; those that are active nowhere are only counted, if nothing else is wrong.
pub(super) fn picture(picture: &Picture, look: &Look) -> String {
    let nodes = picture.nodes.iter().filter_map(|(name, node)| {
        let text = node_text(node)?;
        let tone = if node.unclean {
            Tone::Bad
        } else if node.online && !node.standby && !node.maintenance && !node.pending {
            Tone::Good
        } else {
            Tone::Between
        };
        let word = text
            .replace("-health-is-", ", its health is ")
            .replace("standby-active", "standby, still active");
        Some(vec![(Tone::Normal, format!("{}:", plain(name))), (tone, word)])
    });
    let mut out = table(look, &nodes.collect::<Vec<_>>());
    let (there, absent): (Vec<_>, Vec<_>) = picture
        .resources
        .iter()
        .partition(|(_, view)| !view.on.is_empty() || view.flags.contains(['F', 'B']));
    let rows: Vec<_> = there
        .iter()
        .map(|(name, view)| {
            vec![
                (Tone::Normal, format!("{}:", plain(name))),
                (tone(view), places(view)),
                (Tone::Faint, flags(view)),
            ]
        })
        .collect();
    out += &table(look, &rows);
    if !absent.is_empty() {
        out += &format!(
            "  {}\n",
            paint(look, Tone::Faint, &format!("{} not active", count(absent.len(), "resource")))
        );
    }
    out
}

fn tone(view: &ResourceView) -> Tone {
    if view.flags.contains(['F', 'B']) {
        Tone::Bad
    } else if view.on.is_empty() || view.flags.contains(['M', 'X', 'O']) {
        Tone::Between
    } else {
        Tone::Good
    }
}

/// `promoted on a; unpromoted on b and c`.
fn places(view: &ResourceView) -> String {
    let mut by_state: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (node, role, pending) in &view.on {
        let role = match role {
            Role::Stopped => "stopped",
            Role::Started => "started",
            Role::Unpromoted => "unpromoted",
            Role::Promoted => "promoted",
        };
        let state = match pending {
            Some(task) => format!("{role}, {} asked for,", plain(task)),
            None => role.to_owned(),
        };
        by_state.entry(state).or_default().push(plain(node));
    }
    if by_state.is_empty() {
        return "stopped".into();
    }
    let parts: Vec<String> =
        by_state.iter().map(|(state, nodes)| format!("{state} on {}", list(nodes))).collect();
    parts.join("; ")
}

fn flags(view: &ResourceView) -> String {
    let words: Vec<String> = view
        .flags
        .chars()
        .filter_map(|flag| {
            Some(match flag {
                'F' => "failed",
                'B' => "blocked: a person has to mend it",
                'M' => "not managed",
                'X' => "in maintenance",
                'D' => "not wanted",
                'O' => "not configured any more",
                'L' => "waits for its node",
                'I' => "its failure is ignored",
                _ => return None,
            })
        })
        .map(str::to_owned)
        .collect();
    list(&words)
}

pub(super) fn decisions(outcome: &Outcome, look: &Look) -> String {
    let rows: Vec<_> = outcome
        .decisions
        .iter()
        .map(|decision| {
            let tone = match decision.verb.split('/').next() {
                Some("Fence") => Tone::Bad,
                Some("Start" | "Promote") => Tone::Good,
                _ => Tone::Between,
            };
            vec![
                (tone, decision.verb.clone()),
                (Tone::Normal, plain(&decision.subject)),
                (Tone::Normal, plain(&decision.detail)),
            ]
        })
        .collect();
    let mut out = table(look, &rows);
    if !outcome.implied.is_empty() {
        let implied: Vec<String> = outcome.implied.iter().map(words).collect();
        let text = format!("What fencing does by itself: {}.", list(&implied));
        out += &paragraph(look, 2, Tone::Normal, &text);
    }
    out
}

/// All actions, numbered, each behind those that it waits for.
fn steps(outcome: &Outcome, look: &Look) -> String {
    let order = Order::of(outcome);
    let sequence = order.sequence(|action| words(&outcome.actions[action]));
    let mut number = vec![0; sequence.len()];
    for (place, &action) in sequence.iter().enumerate() {
        number[action] = place + 1;
    }
    let mut waits: Vec<Vec<usize>> = vec![Vec::new(); sequence.len()];
    for (first, then) in order.reduced(|_| true, |_| true) {
        waits[then].push(number[first]);
    }
    let mut row = |&action: &usize| {
        waits[action].sort_unstable();
        let after: Vec<String> = waits[action].iter().map(ToString::to_string).collect();
        let after = if after.is_empty() { String::new() } else { format!("after {}", list(&after)) };
        vec![
            (Tone::Faint, format!("{}.", number[action])),
            (Tone::Normal, words(&outcome.actions[action])),
            (Tone::Faint, after),
        ]
    };
    table(look, &sequence.iter().map(&mut row).collect::<Vec<_>>())
}

/// An action as a sentence would have it.
pub(super) fn words(action: &Action) -> String {
    let node = plain(&action.node);
    let kind = action.kind.as_deref().map(plain).unwrap_or_default();
    let Some(resource) = action.resource.as_deref().map(plain) else {
        return match action.name.as_str() {
            "fence" | "fence-guest" if kind == "on" => {
                format!("let node {node} take part again (unfence it)")
            }
            "fence" => format!("fence node {node} ({kind})"),
            "fence-guest" => format!("fence guest {node} by way of its container ({kind})"),
            "shutdown" => format!("let node {node} shut down"),
            name => format!("{} on node {node}", plain(name)),
        };
    };
    let every = || format!("every {}", every(action.every_ms));
    match action.name.as_str() {
        "probe" => format!("look whether {resource} is active on {node}"),
        "monitor" if action.every_ms > 0 => format!("watch {resource} on {node}, {}", every()),
        "cancel" => format!(
            "end the {} of {resource} on {node}, {}",
            if kind.is_empty() { "monitor" } else { &kind },
            every()
        ),
        "notify" => format!("tell {resource} on {node}: {kind}"),
        "migrate_to" => format!("send {resource} off from {node}, alive"),
        "migrate_from" => format!("receive {resource} on {node}, alive"),
        "reload-agent" => format!("tell {resource} on {node} its new parameters"),
        "clear_failcount" => format!("forget the failures of {resource} on {node}"),
        "delete" | "lrm_delete" => format!("forget what was done with {resource} on {node}"),
        name => format!("{} {resource} on {node}", plain(name)),
    }
}

fn every(milliseconds: u64) -> String {
    match milliseconds {
        milliseconds if milliseconds % 1000 == 0 => format!("{} s", milliseconds / 1000),
        milliseconds => format!("{milliseconds} ms"),
    }
}

pub(super) fn not_understood(notes: &[Note], look: &Look) -> String {
    if notes.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{}", head(look, "Not understood in the description"));
    for note in notes.iter().take(NOTES_MAX) {
        let text = format!("line {}, column {}: {}", note.line, note.column, note.message);
        out += &paragraph(look, 2, Tone::Between, &text);
    }
    if notes.len() > NOTES_MAX {
        out += &format!("  and {} more\n", notes.len() - NOTES_MAX);
    }
    out
}
