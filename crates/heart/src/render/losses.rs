//! What a cluster survives, in words.

use heart_model::policy::Cluster;
use heart_scheduler::engine::{
    explain::{Cause, NodeTrouble},
    survive::Loss,
};

use super::{
    Look,
    explanation::words,
    text::{Tone, list, paint, paragraph, plain},
};

/// Most losses that are written out, of each kind.
const LOSSES_MAX: usize = 40;
/// Most names in one sentence.
const NAMES_MAX: usize = 6;

/// Single losses, then those of two nodes: which are survived, and what the others do.
pub(crate) fn losses(losses: &[Loss], cluster: &Cluster, all: bool, look: &Look) -> String {
    let mut out = String::new();
    for (many, title) in [(1, "If one node is lost"), (2, "If two nodes are lost at once")] {
        let these: Vec<&Loss> = losses.iter().filter(|loss| loss.nodes.len() == many).collect();
        if these.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        out += &format!("{}\n", paint(look, Tone::Head, title));
        let survived = these.iter().filter(|loss| loss.is_survived()).count();
        let (tone, text) = match these.len() - survived {
            0 => (
                Tone::Good,
                format!("Everything goes on, whichever {}.", if many == 1 { "it is" } else { "they are" }),
            ),
            1 if these.len() == 1 => (Tone::Bad, "Something stays down.".to_owned()),
            some => (Tone::Bad, format!("In {some} of {} cases something stays down.", these.len())),
        };
        out += &paragraph(look, 2, tone, &text);
        let shown: Vec<&&Loss> = these.iter().filter(|loss| all || !loss.is_survived()).collect();
        for loss in shown.iter().take(LOSSES_MAX) {
            out += &one(loss, cluster, look);
        }
        if shown.len() > LOSSES_MAX {
            out += &format!("  and {} more: `--json` has them all\n", shown.len() - LOSSES_MAX);
        }
    }
    if out.is_empty() {
        out = paragraph(look, 0, Tone::Between, "No node takes part, so none can be lost.");
    }
    out
}

fn one(loss: &Loss, cluster: &Cluster, look: &Look) -> String {
    let nodes: Vec<String> = loss.nodes.iter().map(|node| plain(node)).collect();
    let mut words_of = Vec::new();
    if !loss.quorum {
        words_of.push("the others are too few to go on".to_owned());
    }
    let mut tell = |what: &str, names: &[String]| {
        if !names.is_empty() {
            words_of.push(format!("{what}: {}", some(names)));
        }
    };
    tell("stays down", &loss.down);
    tell("nobody is promoted of", &loss.unpromoted);
    tell("runs on fewer nodes", &loss.fewer);
    let moved: Vec<String> =
        loss.moved.iter().map(|(resource, _, to)| format!("{resource} to {to}")).collect();
    tell("moves", &moved);
    if words_of.is_empty() {
        words_of.push("nothing was there that has to go anywhere".to_owned());
    }
    let tone = if loss.is_survived() { Tone::Normal } else { Tone::Bad };
    let mut out = paragraph(look, 2, tone, &format!("{}: {}", list(&nodes), words_of.join("; ")));
    // Without a majority that is the reason, and is said already.
    for explanation in loss.because.iter().filter(|_| loss.quorum) {
        let is_the_loss = |cause: &Cause| match cause {
            Cause::Node { node, trouble: NodeTrouble::Absent } => loss.nodes.contains(node),
            _ => false,
        };
        let causes = explanation.because.iter().map(|because| &because.cause);
        let causes = causes.filter(|cause| !is_the_loss(cause)).take(NAMES_MAX);
        let causes: Vec<String> = causes.map(|cause| words(cause, cluster)).collect();
        let how = if explanation.together { "together" } else { "each alone" };
        let text = match causes.as_slice() {
            [] => continue,
            [only] => format!("{} stays down because {only}", plain(&explanation.resource)),
            _ => {
                format!("{} stays down because ({how}): {}", plain(&explanation.resource), causes.join("; "))
            }
        };
        out += &paragraph(look, 4, Tone::Faint, &text);
    }
    out
}

/// Some names of many.
fn some(names: &[String]) -> String {
    let mut shown: Vec<String> = names.iter().take(NAMES_MAX).map(|name| plain(name)).collect();
    if names.len() > NAMES_MAX {
        shown.push(format!("{} more", names.len() - NAMES_MAX));
    }
    list(&shown)
}
