//! What a cluster survives, in words.

use heart_model::Reason;
use serde::Serialize;

use super::{
    Look,
    text::{Tone, list, paint, paragraph, plain},
};

/// Most losses that are written out, of each kind.
const LOSSES_MAX: usize = 40;
/// Most names in one sentence.
const NAMES_MAX: usize = 6;

/// A loss, as programs and people are told of it.
#[derive(Debug, Serialize)]
pub(crate) struct Lost {
    pub(crate) nodes: Vec<String>,
    pub(crate) survived: bool,
    pub(crate) quorum: bool,
    pub(crate) moved: Vec<Moved>,
    pub(crate) down: Vec<String>,
    pub(crate) unpromoted: Vec<String>,
    pub(crate) fewer: Vec<String>,
    pub(crate) because: Vec<Why>,
}

/// What goes elsewhere with a loss.
#[derive(Debug, Serialize)]
pub(crate) struct Moved {
    pub(crate) resource: String,
    pub(crate) from: Option<String>,
    pub(crate) to: String,
}

/// Why something stays down.
#[derive(Debug, Serialize)]
pub(crate) struct Why {
    pub(crate) resource: String,
    /// Only all causes together; else each alone.
    pub(crate) together: bool,
    /// There may be more causes.
    pub(crate) more: bool,
    pub(crate) causes: Vec<Cause>,
}

/// A cause, and on which nodes the resource would be without it, where that is known.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Cause {
    /// `constraint`, `node`, `quorum`, `option`, `default`, `cluster-option`, `failure`, `activity`, `ticket`,
    /// `change`, `promotion-score` or `needs` of a described cluster; `reason` where Heart's planner says it.
    pub(crate) kind: &'static str,
    /// What is named by it: the constraint, the option, the ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<String>,
    /// How the node is that takes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trouble: Option<&'static str>,
    /// What Heart's planner says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Reason>,
    /// The same as a sentence.
    pub(crate) text: String,
    pub(crate) otherwise: Vec<String>,
    /// Whether it is said to people, too.
    #[serde(skip)]
    pub(crate) is_said: bool,
}

/// Single losses, then those of two nodes: which are survived, and what the others do.
pub(crate) fn losses(losses: &[Lost], all: bool, look: &Look) -> String {
    let mut out = String::new();
    for (many, title) in [(1, "If one node is lost"), (2, "If two nodes are lost at once")] {
        let these: Vec<&Lost> = losses.iter().filter(|loss| loss.nodes.len() == many).collect();
        if these.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        out += &format!("{}\n", paint(look, Tone::Head, title));
        let survived = these.iter().filter(|loss| loss.survived).count();
        let (tone, text) = match these.len() - survived {
            0 => (
                Tone::Good,
                format!("Everything goes on, whichever {}.", if many == 1 { "it is" } else { "they are" }),
            ),
            1 if these.len() == 1 => (Tone::Bad, "Something stays down.".to_owned()),
            some => (Tone::Bad, format!("In {some} of {} cases something stays down.", these.len())),
        };
        out += &paragraph(look, 2, tone, &text);
        let shown: Vec<&&Lost> = these.iter().filter(|loss| all || !loss.survived).collect();
        for loss in shown.iter().take(LOSSES_MAX) {
            out += &one(loss, look);
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

fn one(loss: &Lost, look: &Look) -> String {
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
        loss.moved.iter().map(|moved| format!("{} to {}", moved.resource, moved.to)).collect();
    tell("moves", &moved);
    if words_of.is_empty() {
        words_of.push("nothing was there that has to go anywhere".to_owned());
    }
    let tone = if loss.survived { Tone::Normal } else { Tone::Bad };
    let mut out = paragraph(look, 2, tone, &format!("{}: {}", list(&nodes), words_of.join("; ")));
    for why in &loss.because {
        let said = why.causes.iter().filter(|cause| cause.is_said).take(NAMES_MAX);
        let said: Vec<&str> = said.map(|cause| cause.text.as_str()).collect();
        let how = if why.together { "together" } else { "each alone" };
        let text = match said.as_slice() {
            [] => continue,
            [only] => format!("{} stays down because {only}", plain(&why.resource)),
            _ => format!("{} stays down because ({how}): {}", plain(&why.resource), said.join("; ")),
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
