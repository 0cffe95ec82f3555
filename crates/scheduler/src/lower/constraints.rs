//! What the words for where, with what and when become.

use alloc::{borrow::ToOwned as _, format, string::String, vec::Vec};

use heart_model::{
    Name, NodeName, Other, Spec, Wishes,
    policy::{
        Colocation, Constraint, Discovery, Location, LossPolicy, Order, OrderKind, Role, Score, TicketUse,
        Verb, Where,
    },
};

/// What the first preference is worth to the next. The score is asked before the load of a node.
const PREFERENCE: i64 = 10;

/// What it is worth to a resource not to be where it would rather not: more than all preferences.
const AVOIDANCE: i64 = 20_000;

/// A resource or group, as a constraint names it.
struct Named {
    id: String,
    /// The role in which others mean it.
    role: Option<Role>,
    copies: bool,
}

/// How the engine knows what the file calls by this name: with copies, all of them together; if one of
/// these is promoted, that one.
fn named(spec: &Spec, name: &str) -> Named {
    let resource = spec.resources.get(name);
    let group = spec.groups.get_key_value(name);
    let around = resource.and_then(|_| {
        spec.groups.iter().find(|(_, group)| group.members.iter().any(|one| one.as_str() == name))
    });
    let copies = match (group.or(around), resource) {
        (Some((group, spec)), _) => spec.wishes.copies.map(|_| group.as_str()),
        (None, Some(resource)) => resource.wishes.copies.map(|_| name),
        (None, None) => None,
    };
    let promotable = around.is_none() && resource.is_some_and(|resource| resource.promotable);
    Named {
        id: copies.map_or_else(|| name.to_owned(), super::all_copies),
        role: (promotable && copies.is_some()).then_some(Role::Promoted),
        copies: copies.is_some(),
    }
}

/// Everything that is wished of a resource or a group.
pub(super) fn of_unit(spec: &Spec, name: &str, wishes: &Wishes, promotable: bool) -> Vec<Constraint> {
    let own = named(spec, name);
    let mut all = Vec::new();
    let most = wishes.prefers.len();
    let role = promotable.then_some(Role::Promoted);
    for (place, node) in wishes.prefers.iter().enumerate() {
        let score = Score::new(PREFERENCE * (most - place) as i64);
        all.push(location(&own.id, "prefers", node, score, role));
    }
    avoid(spec, &own.id, &wishes.avoids, &mut all);
    for other in &wishes.never {
        all.push(match other {
            Other::Node(node) => location(&own.id, "never", node, Score::NEVER, None),
            Other::Unit(other) => together(spec, &own, "never", other, Score::NEVER),
        });
    }
    all.extend(wishes.with.iter().map(|other| together(spec, &own, "with", other, Score::INFINITY)));
    all.extend(orders(spec, name, &wishes.after));
    all.extend(wishes.ticket.iter().map(|ticket| {
        Constraint::Ticket(TicketUse {
            id: format!("{} ticket {ticket}", own.id),
            ticket: ticket.as_str().to_owned(),
            resource: own.id.clone(),
            role: None,
            loss: Some(LossPolicy::Stop),
        })
    }));
    all
}

/// What a resource would rather not: so that it goes there all the same if there is nothing else, the score
/// of every node is lifted, and that of the others further.
fn avoid(spec: &Spec, id: &str, avoids: &[Other], all: &mut Vec<Constraint>) {
    let own = Named { id: id.to_owned(), role: None, copies: false };
    let nodes: Vec<&NodeName> = avoids
        .iter()
        .filter_map(|other| match other {
            Other::Node(node) => Some(node),
            Other::Unit(_) => None,
        })
        .collect();
    let units = avoids.len() - nodes.len();
    if avoids.is_empty() {
        return;
    }
    let lift = AVOIDANCE * (units as i64 + 1);
    for node in spec.nodes.keys() {
        let score = if nodes.contains(&node) { lift - AVOIDANCE } else { lift };
        all.push(location(id, "rather on", node, Score::new(score), None));
    }
    for other in avoids {
        if let Other::Unit(other) = other {
            all.push(together(spec, &own, "avoids", other, Score::new(-AVOIDANCE)));
        }
    }
}

/// That something starts when others run, and stops before they do.
pub(super) fn orders<'n>(
    spec: &Spec,
    name: &str,
    after: impl IntoIterator<Item = &'n Name>,
) -> Vec<Constraint> {
    let then = named(spec, name);
    let order = |other: &Name| {
        let first = named(spec, other.as_str());
        Constraint::Order(Order {
            id: format!("{} after {other}", then.id),
            first_action: if first.role.is_some() { Verb::Promote } else { Verb::Start },
            first: first.id,
            first_instance: None,
            then: then.id.clone(),
            then_action: Verb::Start,
            then_instance: None,
            kind: OrderKind::Mandatory,
            symmetrical: Some(true),
            require_all: first.copies.then_some(false),
        })
    };
    after.into_iter().map(order).collect()
}

fn location(id: &str, word: &str, node: &NodeName, score: Score, role: Option<Role>) -> Constraint {
    Constraint::Location(Location {
        id: format!("{id} {word} {node}"),
        resource: id.to_owned(),
        at: Where::Node { node: node.as_str().to_owned(), score },
        role,
        discovery: Discovery::Always,
    })
}

fn together(spec: &Spec, own: &Named, word: &str, other: &Name, score: Score) -> Constraint {
    let primary = named(spec, other.as_str());
    Constraint::Colocation(Colocation {
        id: format!("{} {word} {other}", own.id),
        score,
        dependent: own.id.clone(),
        dependent_role: own.role,
        primary: primary.id,
        primary_role: primary.role,
        node_attribute: None,
        influence: None,
    })
}
