//! What goes together, and in which order; what needs a ticket.

use heart_model::policy::{
    Colocation, ColocationSets, Constraint, Order, OrderKind, OrderSets, ResourceSet, Role, Score, TicketUse,
    Verb,
};

use super::{
    locations,
    reader::{Element, Reader, children, named},
    references::{Meaning, Names},
    words,
};

/// All constraints, in their order.
pub(super) fn read<'d>(
    reader: &Reader<'d>,
    names: &Names<'d>,
    constraints: Element<'d>,
    into: &mut Vec<Constraint>,
) {
    for element in children(constraints) {
        match element.tag_name().name() {
            "rsc_location" => locations::read(reader, names, element, into),
            "rsc_colocation" => into.extend(colocation(reader, names, element)),
            "rsc_order" => into.extend(order(reader, names, element)),
            "rsc_ticket" => tickets(reader, names, element, into),
            _ => reader.unknown(element),
        }
    }
}

/// What the name in an attribute means; None if nothing does.
fn meaning<'d>(
    reader: &Reader<'d>,
    names: &Names<'d>,
    element: Element<'d>,
    attribute: &str,
) -> Option<Meaning<'d>> {
    let Some(name) = element.attribute(attribute) else {
        reader.note(element, format!("`{attribute}` is not said; the constraint is left out"));
        return None;
    };
    match names.meaning(name) {
        Meaning::Nothing => {
            let message = format!("there is no resource `{name}`; the constraint is left out");
            reader.note_at(element, attribute, message);
            None
        }
        meaning => Some(meaning),
    }
}

/// The members of a set, tags and templates resolved.
pub(super) fn members<'d>(reader: &Reader<'d>, names: &Names<'d>, set: Element<'d>) -> Vec<String> {
    reader.known_children(set, &["resource_ref"]);
    let mut members = Vec::new();
    for reference in named(set, "resource_ref") {
        reader.known(reference, &["id"]);
        let name = reference.attribute("id").unwrap_or_default();
        let meaning = names.meaning(name);
        if meaning == Meaning::Nothing {
            reader.note(reference, format!("there is no resource `{name}`; it is left out of the set"));
        }
        members.extend(meaning.list());
    }
    members
}

/// All sets of a constraint.
fn sets<'d>(reader: &Reader<'d>, names: &Names<'d>, element: Element<'d>) -> Vec<ResourceSet> {
    let sets = named(element, "resource_set").filter_map(|set| reader.referred(set));
    let sets = sets.map(|set| {
        reader.known(
            set,
            &["id", "id-ref", "sequential", "require-all", "ordering", "action", "role", "score", "kind"],
        );
        let mut members = members(reader, names, set);
        if element.has_tag_name("rsc_colocation") && set.attribute("ordering") == Some("listed") {
            // Then each follows the next one.
            members.reverse();
        }
        ResourceSet {
            id: set.attribute("id").unwrap_or_default().to_owned(),
            members,
            sequential: reader.parsed(set, "sequential", "yes or no", words::switch),
            require_all: reader.parsed(set, "require-all", "yes or no", words::switch),
            role: reader.parsed(set, "role", "a role", words::role),
            action: reader.parsed(set, "action", "an action", words::verb),
            score: reader.parsed(set, "score", "a score", words::score),
            kind: reader.parsed(set, "kind", "a kind of order", words::order_kind),
        }
    });
    sets.filter(|set| !set.members.is_empty()).collect()
}

/// A set made of one end of a constraint that names a tag or a template.
fn set_of(
    id: &str,
    end: &str,
    meaning: &Meaning<'_>,
    role: Option<Role>,
    action: Option<Verb>,
) -> ResourceSet {
    ResourceSet {
        id: format!("{id}-{end}"),
        members: meaning.list(),
        sequential: Some(false),
        require_all: None,
        role,
        action,
        score: None,
        kind: None,
    }
}

fn colocation<'d>(reader: &Reader<'d>, names: &Names<'d>, element: Element<'d>) -> Option<Constraint> {
    reader.known(
        element,
        &[
            "id",
            "rsc",
            "with-rsc",
            "score",
            "rsc-role",
            "with-rsc-role",
            "node-attribute",
            "influence",
            "rsc-instance",
            "with-rsc-instance",
            "description",
        ],
    );
    reader.known_children(element, &["resource_set", "lifetime"]);
    let id = element.attribute("id").unwrap_or_default().to_owned();
    let score = reader.parsed(element, "score", "a score", words::score).unwrap_or_default();
    let node_attribute = element.attribute("node-attribute").map(str::to_owned);
    let influence = reader.parsed(element, "influence", "yes or no", words::switch);
    if named(element, "resource_set").next().is_some() {
        let sets = sets(reader, names, element);
        return Some(Constraint::ColocationSets(ColocationSets {
            id,
            score,
            sets,
            node_attribute,
            influence,
        }));
    }
    let dependent = meaning(reader, names, element, "rsc")?;
    let primary = meaning(reader, names, element, "with-rsc")?;
    let role = |name| reader.parsed(element, name, "a role", words::role);
    let (dependent_role, primary_role) = (role("rsc-role"), role("with-rsc-role"));
    if let (Meaning::One(dependent), Meaning::One(primary)) = (&dependent, &primary) {
        return Some(Constraint::Colocation(Colocation {
            id,
            score,
            dependent: instance(reader, element, dependent, "rsc-instance"),
            dependent_role,
            primary: instance(reader, element, primary, "with-rsc-instance"),
            primary_role,
            node_attribute,
            influence,
        }));
    }
    if let (Meaning::Many(_), Meaning::Many(_)) = (&dependent, &primary) {
        reader.note(element, "one end of a colocation has to be a single resource; it is left out");
        return None;
    }
    let sets = vec![
        set_of(&id, "rsc", &dependent, dependent_role, None),
        set_of(&id, "with-rsc", &primary, primary_role, None),
    ];
    Some(Constraint::ColocationSets(ColocationSets { id, score, sets, node_attribute, influence }))
}

/// The resource, or the instance of it that is meant.
fn instance<'d>(reader: &Reader<'d>, element: Element<'d>, resource: &str, attribute: &str) -> String {
    match reader.parsed(element, attribute, "the number of an instance", words::count) {
        Some(number) => format!("{resource}:{number}"),
        None => resource.to_owned(),
    }
}

fn order<'d>(reader: &Reader<'d>, names: &Names<'d>, element: Element<'d>) -> Option<Constraint> {
    reader.known(
        element,
        &[
            "id",
            "first",
            "then",
            "first-action",
            "then-action",
            "first-instance",
            "then-instance",
            "kind",
            "score",
            "symmetrical",
            "require-all",
            "description",
        ],
    );
    reader.known_children(element, &["resource_set", "lifetime"]);
    let id = element.attribute("id").unwrap_or_default().to_owned();
    // What was ordered with the score 0 was optional, before there was a word for it.
    let of_score =
        |score: Score| if score == Score::ZERO { OrderKind::Optional } else { OrderKind::Mandatory };
    let kind = reader
        .parsed(element, "kind", "a kind of order", words::order_kind)
        .or_else(|| reader.parsed(element, "score", "a score", words::score).map(of_score))
        .unwrap_or_default();
    let symmetrical = reader.parsed(element, "symmetrical", "yes or no", words::switch);
    if named(element, "resource_set").next().is_some() {
        let sets = sets(reader, names, element);
        return Some(Constraint::OrderSets(OrderSets { id, kind, symmetrical, sets }));
    }
    let first = meaning(reader, names, element, "first")?;
    let then = meaning(reader, names, element, "then")?;
    let action = |name| reader.parsed(element, name, "an action", words::verb);
    let first_action = action("first-action").unwrap_or(Verb::Start);
    let then_action = action("then-action").unwrap_or(first_action);
    let instance = |name| {
        let number = |text: &str| u32::try_from(words::count(text)?).ok();
        reader.parsed(element, name, "the number of an instance", number)
    };
    let require_all = reader.parsed(element, "require-all", "yes or no", words::switch);
    if let (Meaning::One(first), Meaning::One(then)) = (&first, &then) {
        return Some(Constraint::Order(Order {
            id,
            first: (*first).to_owned(),
            first_action,
            first_instance: instance("first-instance"),
            then: (*then).to_owned(),
            then_action,
            then_instance: instance("then-instance"),
            kind,
            symmetrical,
            require_all,
        }));
    }
    let sets = vec![
        ResourceSet { require_all, ..set_of(&id, "first", &first, None, Some(first_action)) },
        set_of(&id, "then", &then, None, Some(then_action)),
    ];
    Some(Constraint::OrderSets(OrderSets { id, kind, symmetrical, sets }))
}

/// What needs a ticket, each resource for itself.
fn tickets<'d>(reader: &Reader<'d>, names: &Names<'d>, element: Element<'d>, into: &mut Vec<Constraint>) {
    reader.known(element, &["id", "rsc", "rsc-role", "ticket", "loss-policy", "description"]);
    reader.known_children(element, &["resource_set"]);
    let id = element.attribute("id").unwrap_or_default();
    let Some(ticket) = element.attribute("ticket") else {
        reader.note(element, "it is not said which ticket is needed; the constraint is left out");
        return;
    };
    let loss = reader.parsed(element, "loss-policy", "an answer to a lost ticket", words::loss_policy);
    let mut push = |resource: String, role: Option<Role>| {
        let (id, ticket) = (id.to_owned(), ticket.to_owned());
        into.push(Constraint::Ticket(TicketUse { id, ticket, resource, role, loss }));
    };
    if named(element, "resource_set").next().is_some() {
        for set in sets(reader, names, element) {
            set.members.into_iter().for_each(|resource| push(resource, set.role));
        }
        return;
    }
    let role = reader.parsed(element, "rsc-role", "a role", words::role);
    if let Some(meaning) = meaning(reader, names, element, "rsc") {
        meaning.list().into_iter().for_each(|resource| push(resource, role));
    }
}
