//! What a configuration without errors comes to.

use heart_config::{Checked, GuardChosen};
use heart_model::{Copies, Guard, Name, Spec, Wishes};
use heart_node::core::Guarded;

use super::{
    Look,
    halves::halves,
    text::{Tone, count, list, paint, paragraph, table},
};

/// The cluster in a few lines, and what makes taking over each resource safe.
pub(crate) fn summary(checked: &Checked, look: &Look) -> String {
    let spec = &checked.spec;
    let voters = spec.voters().count();
    let mut out = format!(
        "Cluster {}: {}, {} (quorum {}), {}\n",
        paint(look, Tone::Head, spec.cluster.name.as_str()),
        count(spec.nodes.len(), "node"),
        count(voters, "voter"),
        voters / 2 + 1,
        count(spec.resources.len(), "resource"),
    );
    let timing = format!(
        "a node says that it lives every {} ms, and is lost after {} ms of silence",
        spec.timing.heartbeat.as_millis(),
        spec.timing.lost_after.as_millis()
    );
    out += &paragraph(look, 0, Tone::Normal, &timing);
    out += &halves(spec, look);
    if spec.resources.is_empty() {
        return out;
    }
    out += &format!("\n{}\n", paint(look, Tone::Head, "If the node of a resource is lost"));
    let rows: Vec<_> = spec
        .resources
        .keys()
        .filter_map(|name| Some((name, Guarded::of(spec, name)?)))
        .map(|(name, guarded)| {
            let (word, text) = meaning(guarded);
            let why = checked.guards.get(name).map_or("", |chosen| because(*chosen));
            vec![
                (Tone::Normal, format!("{name}:")),
                (Tone::Normal, format!("guard {word}{why}:")),
                (Tone::Normal, text.to_owned()),
            ]
        })
        .collect();
    out += &table(look, &rows);
    out + &conditions(spec, look)
}

/// What does not always run, and when it does.
fn conditions(spec: &Spec, look: &Look) -> String {
    let resources = spec.resources.iter().map(|(name, resource)| (name.as_str(), &resource.wishes));
    let groups = spec.groups.iter().map(|(name, group)| (name.as_str(), &group.wishes));
    let rows: Vec<_> = resources
        .chain(groups)
        .filter_map(|(name, wishes)| Some((name, condition(wishes)?)))
        .map(|(name, text)| vec![(Tone::Normal, format!("{name}:")), (Tone::Normal, text)])
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}\n{}", paint(look, Tone::Head, "What runs only at times"), table(look, &rows))
}

fn condition(wishes: &Wishes) -> Option<String> {
    let times: Vec<String> = wishes.during.iter().map(Name::to_string).collect();
    let during = (!times.is_empty()).then(|| match times.as_slice() {
        [only] => format!("during {only}, in UTC"),
        _ => format!("during any of {}, in UTC", list(&times)),
    });
    let ticket = wishes.ticket.as_ref().map(|ticket| format!("with the ticket {ticket}"));
    let both: Vec<String> = during.into_iter().chain(ticket).collect();
    (!both.is_empty()).then(|| both.join(", "))
}

/// Why it has that guard.
fn because(chosen: GuardChosen) -> &'static str {
    match chosen {
        GuardChosen::InFile => " (chosen in the file)",
        GuardChosen::ByAgent => " (by its agent)",
        GuardChosen::ByDevices => " (as two with devices have no lease)",
    }
}

/// The guard of something, and what that means when its node is lost.
pub(super) fn meaning(guarded: Guarded) -> (&'static str, &'static str) {
    let Guarded { guard, copies, promotable, by_person, changed: _ } = guarded;
    let word = match guard {
        Guard::Lease => "lease",
        Guard::Fence => "fence",
        Guard::None => "none",
    };
    let text = match (copies, promotable, guard) {
        (Some(Copies::All), false, _) => "its copies elsewhere go on; nobody takes this one over",
        (Some(Copies::Of(_)), false, _) => "its copies elsewhere go on; a node that has none starts one",
        (Some(_), true, Guard::Fence) => {
            "its copies elsewhere go on; the next is promoted once that node is proven off"
        }
        (Some(_), true, Guard::Lease) => {
            "its copies elsewhere go on; the next is promoted when its lease has ended"
        }
        (Some(_), true, Guard::None) => "its copies elsewhere go on; the next is promoted at once",
        (None, _, Guard::Lease) if by_person => {
            "the kernel lets go of it without us, then a person says that another may take it"
        }
        (None, _, Guard::None) if by_person => "another takes it once a person says that it may",
        (None, _, Guard::Fence) if by_person => "it stays down until a person says that its node is off",
        (None, _, Guard::Lease) => "the kernel lets go of it without us, then another takes it",
        (None, _, Guard::Fence) => "it stays down until that node is proven off",
        (None, _, Guard::None) => "another takes it at once; it may run twice for a while",
    };
    (word, text)
}
