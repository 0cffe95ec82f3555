//! What a configuration without errors comes to.

use heart_model::{Copies, Guard, Name, ResourceSpec, Spec, Wishes};

use super::{
    Look,
    text::{Tone, count, list, paint, paragraph, table},
};

/// The cluster in a few lines, and what makes taking over each resource safe.
pub(crate) fn summary(spec: &Spec, look: &Look) -> String {
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
    if spec.resources.is_empty() {
        return out;
    }
    out += &format!("\n{}\n", paint(look, Tone::Head, "If the node of a resource is lost"));
    let rows: Vec<_> = spec
        .resources
        .iter()
        .map(|(name, resource)| {
            let (word, text) = match spec.copies_of(name) {
                Some(copies) => meaning_for_copies(copies, resource),
                None => meaning(resource.guard),
            };
            vec![
                (Tone::Normal, format!("{name}:")),
                (Tone::Normal, format!("guard {word}:")),
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

/// What a guard means for one copy of several.
fn meaning_for_copies(copies: Copies, resource: &ResourceSpec) -> (&'static str, &'static str) {
    let text = match (resource.promotable, resource.guard) {
        (false, _) => match copies {
            Copies::All => "its copies elsewhere go on; nobody takes this one over",
            Copies::Of(_) => "its copies elsewhere go on; a node that has none starts one",
        },
        (true, Guard::Fence) => {
            "its copies elsewhere go on; the next is promoted once that node is proven off"
        }
        (true, Guard::Lease) => "its copies elsewhere go on; the next is promoted when its lease has ended",
        (true, Guard::None) => "its copies elsewhere go on; the next is promoted at once",
    };
    (meaning(resource.guard).0, text)
}

/// What a guard means for a takeover.
fn meaning(guard: Guard) -> (&'static str, &'static str) {
    match guard {
        Guard::Lease => ("lease", "the kernel lets go of it without us, then another takes it"),
        Guard::Fence => ("fence", "it stays down until that node is proven off"),
        Guard::None => ("none", "another takes it at once; it may run twice for a while"),
    }
}
