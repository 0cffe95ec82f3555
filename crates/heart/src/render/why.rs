//! Why a resource is where it is, cause first.

use heart_model::{Guard, NodeName, Reason, Refusal};
use heart_node::core::Guarded;

use super::{
    Look,
    check::meaning,
    text::{Tone, paint, paragraph},
};

/// What the daemon answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    /// The causes, first cause first.
    pub(crate) reasons: &'a [Reason],
    /// What will be done about it.
    pub(crate) next: &'a [String],
    /// What makes taking it over safe, if it runs.
    pub(crate) guarded: Option<Guarded>,
    /// What the node that answered waits for, if it can agree with nobody.
    pub(crate) stuck: Option<&'a str>,
}

/// What is said of something that was started under another guard than the file names.
const AS_STARTED: &str = "it was started under another guard, and goes on under that until it is started anew. If its node is \
     lost before that, it stays down until that node is proven off; `heart move` it away and back has it started anew";

/// Reasons, then what will be done, then what a person can do.
pub(crate) fn why(resource: &str, answer: Answer<'_>, look: &Look) -> String {
    let Answer { reasons, next, guarded, stuck } = answer;
    let mut out = format!("{}\n", paint(look, Tone::Head, resource));
    for reason in reasons {
        let tone = if reason.is_obstacle() { Tone::Bad } else { Tone::Normal };
        out += &paragraph(look, 2, tone, &reason.to_string());
    }
    if reasons.is_empty() {
        out += &paragraph(look, 2, Tone::Normal, "nothing was decided about it yet");
    }
    if let Some(stuck) = stuck {
        out += &paragraph(look, 2, Tone::Bad, stuck);
    }
    if let Some(guarded) = guarded {
        let (guard, text) = meaning(guarded);
        out += &paragraph(look, 2, Tone::Normal, &format!("guard {guard}: if its node is lost, {text}"));
        if guarded.changed {
            out += &paragraph(look, 2, Tone::Bad, AS_STARTED);
        }
    }
    out += &format!("\n{}\n", paint(look, Tone::Head, "Next"));
    for step in next {
        out += &paragraph(look, 2, Tone::Normal, step);
    }
    if next.is_empty() {
        let idle = match reasons {
            [] => "nothing: ask again in a moment",
            _ if reasons.iter().any(Reason::is_obstacle) => "nothing, as long as that holds",
            _ => "nothing: it runs where it should",
        };
        out += &paragraph(look, 2, Tone::Normal, idle);
    }
    let mut hints: Vec<String> = reasons.iter().flat_map(|reason| remedies(resource, reason)).collect();
    hints.dedup();
    if !hints.is_empty() {
        out.push('\n');
    }
    for hint in hints {
        out += &paragraph(look, 0, Tone::Normal, &format!("hint: {hint}"));
    }
    out
}

/// Keeps of all reasons those that say something of a node; all of them, if none does.
pub(crate) fn about_node(reasons: &mut Vec<Reason>, node: &NodeName) {
    let refused = |refusals: &[(NodeName, Refusal)]| -> Vec<Reason> {
        let here = refusals.iter().filter(|(at, _)| at == node);
        here.map(|(node, refusal)| Reason::NotOn { node: node.clone(), refusal: refusal.clone() }).collect()
    };
    let about: Vec<Reason> = reasons
        .iter()
        .flat_map(|reason| match reason {
            Reason::Nowhere { refusals } => refused(refusals),
            Reason::NotOn { node: at, .. } | Reason::Stays { node: at } | Reason::Again { node: at }
                if at == node =>
            {
                vec![reason.clone()]
            }
            _ => Vec::new(),
        })
        .collect();
    if !about.is_empty() {
        *reasons = about;
    }
}

/// What a person could do about it.
fn remedies(resource: &str, reason: &Reason) -> Vec<String> {
    match reason {
        Reason::NoQuorum => vec![
            "`heart status` shows which voters are not heard; a node that hears more of them knows more"
                .into(),
        ],
        Reason::NoLeader => vec!["ask again in a second".into()],
        Reason::StopStuck { node, .. } => {
            vec![format!(
                "stop it on {node} by hand, or restart {node}; it goes on as soon as it has ended there"
            )]
        }
        Reason::WaitsForGuard { node, guard: Guard::Fence } => {
            vec![
                format!("bring {node} back; as soon as it is heard, it says what it still runs"),
                format!("if it is off for certain, say so: `heart confirm-off {node}`"),
            ]
        }
        Reason::WaitsFor { resource: other } => {
            vec![format!("`heart why {other}` says why that does not run")]
        }
        Reason::Nowhere { refusals } => {
            refusals.iter().filter_map(|(node, refusal)| way_out(node.as_str(), refusal)).collect()
        }
        Reason::NotOn { node, refusal } => way_out(node.as_str(), refusal).into_iter().collect(),
        Reason::FailedThere { .. } => {
            vec![format!("when its cause is mended, `heart forgive {resource}` forgets the failures")]
        }
        Reason::WithoutOther { other } => vec![format!("`heart why {other}` says why that does not run")],
        Reason::NoTicket { ticket } => {
            vec![format!("if no other site has it, `heart ticket grant {ticket}` gives it to this cluster")]
        }
        Reason::OnSick { node, with } => {
            with.iter().map(|ailment| format!("on {node}: {}", ailment.remedy())).collect()
        }
        Reason::OnFewer { node, .. } => vec![TARGETS.replace("NODE", node.as_str())],
        Reason::With { .. }
        | Reason::Copy { .. }
        | Reason::Promoted { .. }
        | Reason::EnoughCopies { .. }
        | Reason::NotNow { .. }
        | Reason::WaitsForGuard { guard: Guard::Lease | Guard::None, .. }
        | Reason::WaitsForPreferred { .. }
        | Reason::Removed
        | Reason::Stays { .. }
        | Reason::Again { .. }
        | Reason::Preferred { .. }
        | Reason::Spread { .. }
        | Reason::WithGroup { .. }
        | Reason::Asked { .. }
        | Reason::MoveEnded { .. }
        | Reason::LastKnown { .. }
        | Reason::NodeLost { .. } => Vec::new(),
    }
}

/// Where to look when a node reaches fewer ping targets.
const TARGETS: &str =
    "`heart status` says which ping targets NODE does not reach; see its cables and routes there: `ip route`";

/// What would make a node possible again.
fn way_out(node: &str, refusal: &Refusal) -> Option<String> {
    match refusal {
        Refusal::Standby => Some(format!("`heart resume {node}` lets things run on {node} again")),
        Refusal::Sick { with } => with.first().map(|ailment| format!("on {node}: {}", ailment.remedy())),
        Refusal::Fewer { .. } => Some(TARGETS.replace("NODE", node)),
        Refusal::Failed { resource, .. } => {
            Some(format!("when its cause is mended, `heart forgive {resource}` forgets the failures"))
        }
        Refusal::NotWith { other } => {
            Some(format!("`heart why {other}` says why that does not run on {node}"))
        }
        Refusal::NoRoom { of, .. } => Some(format!(
            "`capacity` in the configuration says how much {of} each node has, `needs` who takes it"
        )),
        Refusal::Held => Some("`heart release` lets it be taken over again".into()),
        Refusal::Quarantined => {
            Some(format!("`heart release {node}` lets things run on {node} again at once"))
        }
        Refusal::Never
        | Refusal::Apart { .. }
        | Refusal::NoCopy
        | Refusal::Outweighed
        | Refusal::Absent
        | Refusal::Joining
        | Refusal::Lost
        | Refusal::Fenced
        | Refusal::Leaving
        | Refusal::MovedAway => None,
    }
}
