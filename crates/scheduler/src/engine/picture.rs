//! What was understood of nodes and resources, for people and for tests.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use heart_model::policy::Role;

use super::{
    arena::{Arena, Kind, Node, NodeKind, Replica, Res, ResIx},
    candidates::health,
    outcome::{Health, NodeView, Picture, ResourceView},
    values::flag,
};

/// What is, as far as it was understood.
pub(crate) fn before(arena: &Arena<'_>) -> Picture {
    // A guest that is not there is nothing but its container.
    let shown = arena.nodes.iter().filter(|node| node.online || !is_guest(node.kind));
    let nodes = shown.map(|node| (node.name.clone(), node_view(arena, node))).collect();
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
        health: if health::counts(arena) { health_of(node) } else { Health::Green },
    }
}

/// The worst colour that a node tells of its health.
fn health_of(node: &Node) -> Health {
    let told = node.attributes.iter().filter(|(name, _)| name.starts_with("#health"));
    let colours: Vec<String> = told.map(|(_, value)| value.to_ascii_lowercase()).collect();
    let is_told = |colour: &str| colours.iter().any(|told| told == colour);
    if is_told("red") {
        Health::Red
    } else if is_told("yellow") {
        Health::Yellow
    } else {
        Health::Green
    }
}

fn resources(arena: &Arena<'_>) -> BTreeMap<String, ResourceView> {
    let mut views: BTreeMap<String, (ResourceView, Vec<char>)> = BTreeMap::new();
    for number in arena.resource_numbers() {
        let resource = &arena[number];
        let part_of_bundle = arena[arena.outermost(number)].kind == Kind::Bundle;
        // What a guest is reached by is part of its container.
        let to_guest = resource.connection_to.is_some_and(|node| is_guest(arena.node(node).kind));
        let implied = to_guest && !resource.removed;
        if resource.kind != Kind::Primitive || part_of_bundle || implied {
            continue;
        }
        let anonymous = arena.clone_of(number).filter(|_| !resource.unique);
        let (view, flags) = views.entry(resource.name.clone()).or_default();
        if resource.removed && anonymous.is_some() && is_idle(arena, number) {
            continue;
        }
        let mut is_shown = false;
        for node in &resource.active_on {
            let told = arena.node(*node);
            if anonymous.is_some() && is_guest(told.kind) && !told.online {
                continue;
            }
            view.on.push((told.name.clone(), shown_role(resource), resource.pending_task.clone()));
            is_shown = true;
        }
        if let Some(node) = resource.pending_at.filter(|_| resource.active_on.is_empty()) {
            let is_start = resource.pending_task.as_deref() == Some("start");
            let at = is_start.then(|| arena.node(node).name.clone());
            view.on.extend(at.map(|at| (at, Role::Started, resource.pending_task.clone())));
        }
        if is_shown || resource.active_on.is_empty() {
            flags.extend(flags_of(resource, anonymous.map_or(resource, |clone| &arena[clone])));
        }
    }
    for bundle in arena.resource_numbers() {
        for replica in arena[bundle].bundle.iter().flat_map(|bundle| &bundle.replicas) {
            let (name, view) = replica_view(arena, replica);
            views.insert(name, view);
        }
    }
    let finish = |(name, (mut view, mut flags)): (String, (ResourceView, Vec<char>))| {
        view.on.sort();
        view.on.dedup();
        flags.sort_unstable();
        flags.dedup();
        view.flags = flags.into_iter().collect();
        (name, view)
    };
    views.into_iter().map(finish).collect()
}

/// Whether nothing of an instance is active.
fn is_idle(arena: &Arena<'_>, member: ResIx) -> bool {
    let around = arena[member].parent.filter(|around| arena[*around].kind == Kind::Group);
    let idle = |part: &ResIx| arena[*part].active_on.is_empty();
    around.map_or_else(|| idle(&member), |group| arena[group].children.iter().all(idle))
}

/// A replica of a bundle is seen as one thing: what runs in it, where its container is.
fn replica_view(arena: &Arena<'_>, replica: &Replica) -> (String, (ResourceView, Vec<char>)) {
    let shown = replica.inner.unwrap_or(replica.container);
    let primitive = arena[shown].children.first().copied().unwrap_or(shown);
    let role = shown_role(&arena[primitive]);
    let mut view = ResourceView::default();
    if role.is_running() {
        let task = arena[primitive].pending_task.clone();
        let hosts = arena[replica.container].active_on.first();
        view.on.extend(hosts.map(|host| (arena.node(*host).name.clone(), role, task)));
    }
    let name = arena[replica.connection.unwrap_or(replica.container)].id.clone();
    let flags = flags_of(&arena[primitive], &arena[primitive]);
    (name, (view, flags))
}

/// Of what has failed it is not said that it could be promoted.
fn shown_role(resource: &Res<'_>) -> Role {
    if resource.failed && resource.role == Role::Unpromoted { Role::Started } else { resource.role }
}

fn is_guest(kind: NodeKind) -> bool {
    matches!(kind, NodeKind::Guest { .. })
}

/// Instances that are alike are switched off as a whole, or are not.
fn flags_of(resource: &Res<'_>, whole: &Res<'_>) -> Vec<char> {
    let asked = whole.meta.get("target-role").map(|word| word.to_ascii_lowercase());
    let promotable = flag(&whole.meta, "promotable", false);
    let disabled = match asked.as_deref() {
        Some("stopped") => true,
        Some("unpromoted" | "slave") => promotable,
        Some(_) | None => false,
    };
    let flags = [
        ('B', resource.blocked),
        ('D', disabled),
        ('F', resource.failed),
        ('I', resource.failure_ignored),
        ('L', resource.lock.is_some()),
        ('M', !resource.managed && !resource.maintenance && !resource.blocked),
        ('O', resource.removed),
        ('X', resource.maintenance && !resource.blocked),
    ];
    flags.into_iter().filter(|(_, is_set)| *is_set).map(|(letter, _)| letter).collect()
}
