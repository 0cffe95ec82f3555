//! Who chose the guard of each resource: people ask why something waits for a fence.

use std::collections::BTreeMap;

use heart_model::{ResourceName, Spec, builtin_agents};

use crate::draft::Draft;

/// Who chose the guard of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardChosen {
    /// It is written in the file.
    InFile,
    /// Its agent's default.
    ByAgent,
    /// Two nodes vote, and have devices that switch them off: neither has a lease while it does not hear the other.
    ByDevices,
}

/// Of each resource.
pub(crate) fn chosen(draft: &Draft, spec: &Spec) -> BTreeMap<ResourceName, GuardChosen> {
    let agents = builtin_agents();
    let written = |name: &ResourceName| {
        let mut all = draft.resources.iter();
        all.any(|resource| resource.name.value == name.as_str() && resource.guard.is_some())
    };
    let one = |(name, resource): (&ResourceName, &heart_model::ResourceSpec)| {
        let default = agents.iter().find(|info| info.agent == resource.agent).map(|info| info.guard);
        let chosen = match default {
            _ if written(name) => GuardChosen::InFile,
            Some(default) if default != resource.guard => GuardChosen::ByDevices,
            Some(_) | None => GuardChosen::ByAgent,
        };
        (name.clone(), chosen)
    };
    spec.resources.iter().map(one).collect()
}
