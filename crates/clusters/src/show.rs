//! A cluster, and what was decided in it, so that people can read it.

use std::fmt::Write as _;

use heart_model::policy::{
    AttributeSet, Body, Constraint, NodeState, Operation, OperationStatus, Resource, ResourceHistory,
    ResourceSet, Where,
};
use heart_scheduler::engine::{Outcome, outcome::Action};

use crate::Situation;

/// The cluster and its state, a line for each thing.
#[must_use]
pub fn situation(situation: &Situation) -> String {
    let Situation { cluster, state } = situation;
    let mut text = String::new();
    let leader = state.leader.as_deref().unwrap_or("-");
    let _ = writeln!(
        text,
        "quorum={} had={} leader={leader} now={:?} watchdog={}",
        state.quorum, state.had_quorum, state.now, state.watchdog
    );
    line(&mut text, "options", &sets(&cluster.options));
    line(&mut text, "resource defaults", &sets(&cluster.resource_defaults));
    line(&mut text, "operation defaults", &sets(&cluster.operation_defaults));
    for node in &cluster.nodes {
        let more = format!("{} {}", sets(&node.attributes), sets(&node.utilization));
        let _ = writeln!(text, "node {} {} {:?} {} {more}", node.id, node.name, node.kind, node.score);
    }
    cluster.resources.iter().for_each(|top| resource(&mut text, top, 0));
    cluster.constraints.iter().for_each(|one| constraint(&mut text, one));
    for level in &cluster.fencing_levels {
        let _ = writeln!(text, "level {} {:?}: {}", level.index, level.target, level.devices.join(" "));
    }
    for (name, ticket) in &state.tickets {
        let _ = writeln!(text, "ticket {name} granted={} standby={}", ticket.granted, ticket.standby);
    }
    state.nodes.iter().for_each(|node| node_state(&mut text, node));
    text
}

/// What was decided.
#[must_use]
pub fn outcome(outcome: &Outcome) -> String {
    let mut text = String::new();
    for (name, view) in &outcome.before.resources {
        let _ = writeln!(text, "  before {name}: {:?} {}", view.on, view.flags);
    }
    for (name, node) in &outcome.before.nodes {
        let words = [
            (node.online, "online"),
            (node.pending, "pending"),
            (node.unclean, "unclean"),
            (node.standby, "standby"),
            (node.maintenance, "maintenance"),
            (node.shutting_down, "leaving"),
        ];
        let words: Vec<&str> = words.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
        let _ = writeln!(text, "  before {name}: {}", words.join(" "));
    }
    for decision in &outcome.decisions {
        let _ = writeln!(text, "  decides {} {} {}", decision.verb, decision.subject, decision.detail);
    }
    for place in 0..outcome.actions.len() + outcome.points {
        let firsts = outcome.order.iter().filter(|(_, then)| *then == place);
        let firsts: Vec<String> = firsts.map(|(first, _)| first.to_string()).collect();
        let behind = if firsts.is_empty() { String::new() } else { format!(" < {}", firsts.join(" ")) };
        let what = outcome.actions.get(place).map_or_else(|| "a point".to_owned(), action);
        let _ = writeln!(text, "  {place}. {what}{behind}");
    }
    for implied in &outcome.implied {
        let _ = writeln!(text, "  implied {}", action(implied));
    }
    text
}

/// An action in a few words.
#[must_use]
pub fn action(action: &Action) -> String {
    let mut text = action.name.clone();
    if let Some(kind) = &action.kind {
        let _ = write!(text, "/{kind}");
    }
    if action.every_ms > 0 {
        let _ = write!(text, "/{}", action.every_ms);
    }
    if let Some(resource) = &action.resource {
        let _ = write!(text, " {resource}");
    }
    let _ = write!(text, " {}", action.node);
    text
}

fn line(text: &mut String, what: &str, values: &str) {
    if !values.is_empty() {
        let _ = writeln!(text, "{what}: {values}");
    }
}

fn sets(sets: &[AttributeSet]) -> String {
    let one = |set: &AttributeSet| {
        let values: Vec<String> = set.values.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let rule = set.rule.as_ref().map(|rule| format!("[score {} if {rule:?}] ", set.score));
        format!("{}{}", rule.unwrap_or_default(), values.join(" "))
    };
    sets.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn resource(text: &mut String, resource: &Resource, depth: usize) {
    let kind = match &resource.body {
        Body::Primitive(agent) => format!("{}:{}", agent.class, agent.agent_type),
        Body::Group(_) => "group".to_owned(),
        Body::Clone(_) => "clone".to_owned(),
        Body::Bundle(bundle) => {
            let network = bundle.network.as_ref().map(|network| sets(std::slice::from_ref(network)));
            format!("bundle {} {network:?}", sets(std::slice::from_ref(&bundle.container)))
        }
    };
    let more = [&resource.meta, &resource.parameters, &resource.utilization].map(|values| sets(values));
    let _ = writeln!(text, "{:depth$}{} {kind} {}", "", resource.id, more.join(" ").trim());
    for operation in &resource.operations {
        let options = sets(std::slice::from_ref(&operation.options));
        let role = operation.role.map(|role| format!(" {role:?}")).unwrap_or_default();
        let _ = writeln!(text, "{:depth$}  op {}/{}{role} {options}", "", operation.name, operation.every_ms);
    }
    match &resource.body {
        Body::Primitive(_) => {}
        Body::Group(members) => members.iter().for_each(|member| self::resource(text, member, depth + 2)),
        Body::Clone(inner) => self::resource(text, inner, depth + 2),
        Body::Bundle(bundle) => {
            bundle.inner.iter().for_each(|inner| self::resource(text, inner, depth + 2));
        }
    }
}

fn constraint(text: &mut String, constraint: &Constraint) {
    let said = match constraint {
        Constraint::Location(location) => {
            let at = match &location.at {
                Where::Node { node, score } => format!("{node} {score}"),
                Where::Rules(rules) => format!("{rules:?}"),
            };
            let role = location.role.map(|role| format!(" {role:?}")).unwrap_or_default();
            format!("{} at {at}{role} {:?}", location.resource, location.discovery)
        }
        Constraint::Colocation(with) => format!(
            "{} {:?} with {} {:?} {} by {:?} influence {:?}",
            with.dependent,
            with.dependent_role,
            with.primary,
            with.primary_role,
            with.score,
            with.node_attribute,
            with.influence
        ),
        Constraint::ColocationSets(with) => format!("together {} {}", with.score, resource_sets(&with.sets)),
        Constraint::Order(order) => format!(
            "{:?} {} then {:?} {} {:?} symmetrical {:?} require-all {:?}",
            order.first_action,
            order.first,
            order.then_action,
            order.then,
            order.kind,
            order.symmetrical,
            order.require_all
        ),
        Constraint::OrderSets(order) => {
            format!(
                "in order {:?} symmetrical {:?} {}",
                order.kind,
                order.symmetrical,
                resource_sets(&order.sets)
            )
        }
        Constraint::Ticket(ticket) => {
            format!("{} needs ticket {} {:?} {:?}", ticket.resource, ticket.ticket, ticket.role, ticket.loss)
        }
    };
    let _ = writeln!(text, "{said}");
}

fn resource_sets(sets: &[ResourceSet]) -> String {
    let one = |set: &ResourceSet| {
        format!(
            "({} sequential {:?} all {:?} role {:?} action {:?} score {:?} kind {:?})",
            set.members.join(" "),
            set.sequential,
            set.require_all,
            set.role,
            set.action,
            set.score.map(|score| score.to_string()),
            set.kind
        )
    };
    sets.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn node_state(text: &mut String, node: &NodeState) {
    let _ = writeln!(
        text,
        "state {} {:?} member={:?} process={:?} join={:?} up={:?} {}{}{}{}",
        node.id,
        node.name,
        node.member,
        node.process,
        node.join,
        node.expected_up,
        if node.remote { "remote " } else { "" },
        if node.fenced { "fenced " } else { "" },
        if node.in_maintenance { "in-maintenance " } else { "" },
        sets(&node.attributes)
    );
    node.history.iter().for_each(|history| history_line(text, history));
}

fn history_line(text: &mut String, history: &ResourceHistory) {
    let operations: Vec<String> = history.operations.iter().map(operation).collect();
    let locked = history.locked_at.map(|at| format!(" locked {at}")).unwrap_or_default();
    let _ = writeln!(
        text,
        "  {} {}{locked}: {}",
        history.resource,
        history.agent.agent_type,
        operations.join(", ")
    );
}

fn operation(operation: &Operation) -> String {
    let mut text = format!("{}/{}", operation.name, operation.every_ms);
    match operation.status {
        OperationStatus::Done => {
            let _ = write!(text, "={}", operation.answer);
        }
        other => {
            let _ = write!(text, " {other:?}={}", operation.answer);
        }
    }
    if operation.expected.is_some_and(|expected| expected != operation.answer) {
        let _ = write!(text, "({})", operation.expected.unwrap_or_default());
    }
    let _ = write!(text, "#{}", operation.call);
    if let Some(target) = &operation.migrate_target {
        let _ = write!(text, " {}->{target}", operation.migrate_source.as_deref().unwrap_or("?"));
    }
    if let Some(digest) = &operation.digests.all {
        let _ = write!(text, " told {digest}");
    }
    text
}
