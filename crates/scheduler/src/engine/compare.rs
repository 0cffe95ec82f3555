//! What an operation was told is compared with what it would be told today.

use alloc::{collections::BTreeMap, string::String};

use heart_model::policy::{Digests, Operation};

use super::{
    arena::{Arena, NodeIx, ResIx},
    digest::Told,
    facts,
    rules::{self, Context},
    values::milliseconds,
};

/// How long a monitor may take if nobody says so.
const TIMEOUT_MS: u64 = 20_000;

/// What nobody writes down of a fence device.
const SECRETS: [&str; 3] = ["passwd", "password", "user"];

/// What of its history a resource no longer agrees with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    /// The agent may be able to take it in while the resource runs.
    Reload,
    Restart,
}

/// What has changed since an operation was told; what is secret does not count, because whoever wrote
/// the history down may have taken it out.
pub(crate) fn change(arena: &Arena<'_>, resource: ResIx, node: NodeIx, operation: &Operation) -> Change {
    compare(arena, resource, node, operation, true)
}

/// Whether a failed operation was told anything else than it would be told today: then it deserves another
/// try.
pub(crate) fn deserves_another_try(
    arena: &Arena<'_>,
    resource: ResIx,
    node: NodeIx,
    operation: &Operation,
) -> bool {
    is_known(arena, resource)
        && matches!(operation.name.as_str(), "start" | "monitor")
        && operation.digests.all.is_some()
        && compare(arena, resource, node, operation, false) != Change::None
}

/// Whether a fence device is told anything else today than when it let a node in, as far as the node tells.
pub(crate) fn lets_in_anew(arena: &Arena<'_>, device: ResIx, node: NodeIx) -> bool {
    let told_by = |name: &str| arena.node(node).attributes.get(name).map(String::as_str);
    let Some(all) = told_by("#digests-all") else { return false };
    let parameters = parameters(arena, device, node, "on", 0);
    let told = Told { parameters: &parameters, timeout_ms: None, fence_device: true };
    let found = &arena[device];
    let is_in = |summary: &str, digest: &str| {
        let mut devices = summary.split(',').map(|device| device.splitn(3, ':'));
        devices.any(|device| device.eq([found.id.as_str(), found.agent.agent_type.as_str(), digest]))
    };
    if is_in(all, &told.all()) {
        return false;
    }
    // What is secret may have been taken out by whoever wrote this down.
    let secret = Digests {
        public: Some(String::new()),
        secret_names: SECRETS.iter().map(|name| String::from(*name)).collect(),
        ..Digests::default()
    };
    let public = told.public(&secret).unwrap_or_default();
    !told_by("#digests-secure").is_some_and(|summary| is_in(summary, &public))
}

/// Whether it is known what a resource would be told: it was written, or is made of what contains it.
pub(crate) fn is_known(arena: &Arena<'_>, resource: ResIx) -> bool {
    arena[resource].source.is_some() || arena[resource].implied.is_some()
}

fn compare(
    arena: &Arena<'_>,
    resource: ResIx,
    node: NodeIx,
    operation: &Operation,
    without_secrets: bool,
) -> Change {
    let recurs = operation.every_ms > 0;
    let task = match operation.name.as_str() {
        "monitor" | "migrate_from" | "migrate_to" | "promote" if !recurs => "start",
        name => name,
    };
    let parameters = parameters(arena, resource, node, task, operation.every_ms);
    let timeout_ms = recurs.then(|| {
        let said = facts::operation_option(arena, resource, task, operation.every_ms, "timeout");
        said.and_then(milliseconds).unwrap_or(TIMEOUT_MS)
    });
    let fence_device = arena[resource].fence_device;
    let told = Told { parameters: &parameters, timeout_ms, fence_device };
    let history = &operation.digests;
    if told.is_as_in(history, without_secrets) {
        return Change::None;
    }
    let names_known = history.restart_names.as_ref().is_some_and(|names| !names.is_empty());
    if history.restart.is_some() && names_known && told.restart(history) != history.restart {
        return Change::Restart;
    }
    // What is told only of this operation is nothing that an agent could reload.
    let written = facts::written_operation(arena, resource, task, operation.every_ms);
    if !recurs && written.is_some_and(|written| !written.parameters.is_empty()) {
        return Change::Restart;
    }
    Change::Reload
}

/// What an operation is told today.
fn parameters<'a>(
    arena: &'a Arena<'_>,
    resource: ResIx,
    node: NodeIx,
    task: &str,
    every_ms: u64,
) -> BTreeMap<&'a str, &'a str> {
    if let Some(implied) = &arena[resource].implied {
        return implied.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    }
    let attribute = |name: &str| facts::attribute(arena.node(node), name);
    let context = Context {
        now: arena.state.now,
        attribute: Some(&attribute),
        agent: Some(&arena[resource].agent),
        operation: Some((task, every_ms)),
        ..Context::default()
    };
    let written = facts::written_operation(arena, resource, task, every_ms);
    let mut all = written.map(|written| rules::chosen(&written.parameters, &context)).unwrap_or_default();
    let mut at = Some(resource);
    // Bounded by how deep resources are nested.
    while let Some(of) = at {
        if let Some(source) = arena[of].source.filter(|source| !source.parameters.is_empty()) {
            let chosen = rules::chosen(&source.parameters, &context);
            if all.is_empty() {
                all = chosen;
            } else {
                chosen.into_iter().for_each(|(name, value)| _ = all.entry(name).or_insert(value));
            }
        }
        at = arena[of].parent;
    }
    all
}
