//! What will be when all of it has succeeded.

use alloc::{string::String, vec::Vec};

use heart_model::policy::{Role, Verb};

use super::{
    draft::Draft,
    emit::Plan,
    table::{Action, Doing},
};
use crate::engine::{
    arena::{NodeIx, NodeKind, ResIx},
    outcome::Picture,
};

/// The picture after everything in the plan has succeeded.
pub(super) fn after(draft: &Draft<'_, '_>, before: &Picture, plan: &Plan) -> Picture {
    let mut picture = before.clone();
    for action in &plan.sequence {
        succeed(draft, &mut picture, &draft.table[*action]);
    }
    for view in picture.resources.values_mut() {
        view.on.sort();
    }
    follow_connections(draft, &mut picture);
    let busy: Vec<String> =
        picture.resources.values().flat_map(|view| view.on.iter().map(|(node, _, _)| node.clone())).collect();
    for (name, node) in &mut picture.nodes {
        node.active = busy.contains(name);
    }
    picture
}

fn succeed(draft: &Draft<'_, '_>, picture: &mut Picture, action: &Action) {
    let Some(node) = action.node else { return };
    let name = &draft.arena.node(node).name;
    let Some(resource) = action.resource else {
        if action.doing == Doing::Fence {
            fenced(draft, picture, node);
        }
        return;
    };
    let Some(view) = picture.resources.get_mut(&draft.arena[resource].name) else { return };
    let there = view.on.iter().position(|(at, _, _)| at == name);
    match (action.doing, there) {
        (Doing::Do(Verb::Stop), Some(place)) => {
            view.on.remove(place);
        }
        (Doing::Do(Verb::Start) | Doing::MigrateFrom, None) => {
            view.on.push((name.clone(), started(draft, resource), None));
        }
        (Doing::Do(Verb::Start) | Doing::MigrateFrom, Some(place)) => view.on[place].2 = None,
        (Doing::Do(Verb::Promote), Some(place)) => {
            view.on[place] = (name.clone(), Role::Promoted, None);
        }
        (Doing::Do(Verb::Demote), Some(place)) => {
            view.on[place] = (name.clone(), Role::Unpromoted, None);
        }
        (_, _) => {}
    }
}

fn started(draft: &Draft<'_, '_>, resource: ResIx) -> Role {
    let clone = draft.arena.clone_of(resource).and_then(|clone| draft.arena[clone].clone);
    if clone.is_some_and(|clone| clone.promotable) { Role::Unpromoted } else { Role::Started }
}

/// Nothing is left on a node that was fenced.
fn fenced(draft: &Draft<'_, '_>, picture: &mut Picture, node: NodeIx) {
    let name = &draft.arena.node(node).name;
    for view in picture.resources.values_mut() {
        view.on.retain(|(at, _, _)| at != name);
    }
    if let Some(view) = picture.nodes.get_mut(name) {
        view.online = false;
        view.unclean = false;
        view.pending = false;
        view.standby_by_failure = false;
        view.shutting_down = false;
    }
}

/// A remote node or a guest is there when its connection is.
fn follow_connections(draft: &Draft<'_, '_>, picture: &mut Picture) {
    for node in &draft.arena.nodes {
        let connection = match node.kind {
            NodeKind::Remote { connection: Some(connection) } | NodeKind::Guest { connection, .. } => {
                connection
            }
            NodeKind::Remote { connection: None } | NodeKind::Member | NodeKind::Ping => continue,
        };
        let is_connected =
            picture.resources.get(&draft.arena[connection].name).is_some_and(|view| !view.on.is_empty());
        if let Some(view) = picture.nodes.get_mut(&node.name) {
            if is_connected && (!view.online || view.unclean) {
                view.unclean = false;
            }
            view.online = is_connected;
        }
    }
}
