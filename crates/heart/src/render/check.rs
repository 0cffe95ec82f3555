//! What a configuration without errors comes to.

use heart_model::{Guard, Spec};

use super::{
    Look,
    text::{Tone, count, paint, paragraph, table},
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
            let (word, text) = meaning(resource.guard);
            vec![
                (Tone::Normal, format!("{name}:")),
                (Tone::Normal, format!("guard {word}:")),
                (Tone::Normal, text.to_owned()),
            ]
        })
        .collect();
    out + &table(look, &rows)
}

/// What a guard means for a takeover.
fn meaning(guard: Guard) -> (&'static str, &'static str) {
    match guard {
        Guard::Lease => ("lease", "the kernel lets go of it without us, then another takes it"),
        Guard::Fence => ("fence", "it stays down until that node is proven off"),
        Guard::None => ("none", "another takes it at once; it may run twice for a while"),
    }
}
