//! What was understood of nodes and resources, for people and for tests.

use alloc::{
    collections::BTreeMap,
    string::{String, ToString as _},
    vec::Vec,
};

use super::{
    arena::{Arena, Kind, Node, NodeKind, Res},
    outcome::{NodeView, Picture, ResourceView},
    values::flag,
};

/// What is, as far as it was understood.
pub(crate) fn before(arena: &Arena<'_>) -> Picture {
    let nodes = arena.nodes.iter().map(|node| (node.name.clone(), node_view(arena, node))).collect();
    Picture { nodes, resources: resources(arena) }
}

fn node_view(arena: &Arena<'_>, node: &Node) -> NodeView {
    NodeView {
        online: node.online,
        pending: node.pending,
        unclean: node.unclean,
        standby: node.standby,
        standby_by_failure: node.standby_by_failure,
        maintenance: node.maintenance,
        shutting_down: node.shutting_down,
        active: node
            .running
            .iter()
            .any(|resource| arena[*resource].managed || arena[*resource].role.is_running()),
        guest: matches!(node.kind, NodeKind::Guest { .. }),
        remote: matches!(node.kind, NodeKind::Remote { .. }),
        health: health_colour(node),
    }
}

/// The worst colour that a node tells of its health, if one matters.
fn health_colour(node: &Node) -> Option<&'static str> {
    let colours: Vec<&str> = node
        .attributes
        .iter()
        .filter(|(name, _)| name.starts_with("#health"))
        .map(|(_, value)| &**value)
        .collect();
    ["red", "yellow"].into_iter().find(|colour| colours.contains(colour))
}

fn resources(arena: &Arena<'_>) -> BTreeMap<String, ResourceView> {
    let mut views: BTreeMap<String, (ResourceView, Vec<char>)> = BTreeMap::new();
    for number in arena.resource_numbers() {
        let resource = &arena[number];
        if resource.kind != Kind::Primitive {
            continue;
        }
        let is_spare = resource.removed && resource.active_on.is_empty() && arena.clone_of(number).is_some();
        let (view, flags) = views.entry(resource.name.clone()).or_default();
        if is_spare {
            continue;
        }
        for node in &resource.active_on {
            let role = resource.active_roles.get(node).copied().unwrap_or(resource.role);
            let task = resource.pending_task.clone();
            view.on.push((arena.node(*node).name.clone(), role, task));
        }
        let more = flags_of(resource);
        flags.extend(more);
    }
    let finish = |(name, (mut view, mut flags)): (String, (ResourceView, Vec<char>))| {
        view.on.sort();
        flags.sort_unstable();
        flags.dedup();
        view.flags = flags.into_iter().collect();
        (name, view)
    };
    views.into_iter().map(finish).collect()
}

fn flags_of(resource: &Res<'_>) -> Vec<char> {
    let asked = resource.meta.get("target-role").map(|word| word.to_ascii_lowercase());
    let promotable = flag(&resource.meta, "promotable", false);
    let disabled = match asked.as_deref() {
        Some("stopped") => true,
        Some("unpromoted" | "slave") => promotable,
        Some(_) | None => false,
    };
    let flags = [
        ('B', resource.blocked),
        ('D', disabled),
        ('F', resource.failed && !resource.failure_ignored),
        ('I', resource.failure_ignored),
        ('L', resource.lock.is_some()),
        ('M', !resource.managed && !resource.maintenance && !resource.blocked),
        ('O', resource.removed),
        ('X', resource.maintenance),
    ];
    flags.into_iter().filter(|(_, is_set)| *is_set).map(|(letter, _)| letter).collect()
}
