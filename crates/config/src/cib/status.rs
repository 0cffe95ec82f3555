//! What is: node states, what was done on the nodes, tickets.

use std::collections::BTreeMap;

use heart_model::policy::{
    AgentName, Digests, JoinState, NodeState, Operation, OperationStatus, ResourceHistory, State, TicketState,
};

use super::{
    reader::{Element, Reader, children, named},
    sets, words,
};

/// The status of all nodes, and the tickets.
pub(super) fn read<'d>(reader: &Reader<'d>, status: Element<'d>, state: &mut State) {
    for part in children(status) {
        match part.tag_name().name() {
            "node_state" => state.nodes.extend(node(reader, part)),
            "tickets" => tickets(reader, part, &mut state.tickets),
            _ => reader.unknown(part),
        }
    }
}

fn node<'d>(reader: &Reader<'d>, element: Element<'d>) -> Option<NodeState> {
    reader.known(
        element,
        &[
            "id",
            "uname",
            "in_ccm",
            "crmd",
            "join",
            "expected",
            "remote_node",
            "node_fenced",
            "node_in_maintenance",
            "ha",
            "shutdown",
            "clear_shutdown",
            "crm-debug-origin",
            "replace",
            "type",
            "resource-agents",
            "crm_debug_origin",
        ],
    );
    reader.known_children(element, &["lrm", "transient_attributes"]);
    let Some(id) = element.attribute("id").or_else(|| element.attribute("uname")) else {
        reader.note(element, "it is not said whose state this is; it is left out");
        return None;
    };
    let is_set =
        |name| reader.parsed(element, name, "yes or no, or a time", since).is_some_and(|since| since != 0);
    let transient = |sets| {
        let attributes = named(element, "transient_attributes");
        attributes.flat_map(move |attributes| sets::all(reader, attributes, sets)).collect()
    };
    for attributes in named(element, "transient_attributes") {
        reader.known(attributes, &["id"]);
        reader.known_children(attributes, &["instance_attributes", "utilization"]);
    }
    let lists = named(element, "lrm").flat_map(|lrm| {
        reader.known(lrm, &["id"]);
        reader.known_children(lrm, &["lrm_resources", "lrm_agents"]);
        named(lrm, "lrm_resources")
    });
    Some(NodeState {
        id: id.to_owned(),
        name: element.attribute("uname").map(str::to_owned),
        remote: is_set("remote_node"),
        member: reader.parsed(element, "in_ccm", "yes or no, or a time", since),
        process: reader.parsed(element, "crmd", "online or offline, or a time", process),
        join: reader.parsed(element, "join", "how far a node has joined", join),
        expected_up: reader.parsed(element, "expected", "what is expected of a node", expected),
        fenced: is_set("node_fenced"),
        in_maintenance: is_set("node_in_maintenance"),
        attributes: transient("instance_attributes"),
        utilization: transient("utilization"),
        history: lists.flat_map(|list| histories(reader, list)).collect(),
    })
}

/// Yes, no, or a time since when.
fn since(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| words::switch(text).map(i64::from))
}

fn process(text: &str) -> Option<i64> {
    match text {
        "online" => Some(1),
        "offline" => Some(0),
        text => text.parse().ok(),
    }
}

fn join(text: &str) -> Option<JoinState> {
    match text {
        "member" => Some(JoinState::Member),
        "pending" => Some(JoinState::Pending),
        "down" => Some(JoinState::Down),
        "banned" => Some(JoinState::Banned),
        _ => None,
    }
}

fn expected(text: &str) -> Option<bool> {
    match text {
        "member" => Some(true),
        "down" | "" => Some(false),
        _ => None,
    }
}

fn histories<'d>(reader: &Reader<'d>, list: Element<'d>) -> Vec<ResourceHistory> {
    reader.known(list, &["id"]);
    let mut histories = Vec::new();
    for resource in children(list) {
        if resource.tag_name().name() != "lrm_resource" {
            reader.unknown(resource);
            continue;
        }
        reader.known(resource, &["id", "class", "provider", "type", "container", "shutdown-lock"]);
        reader.known_children(resource, &["lrm_rsc_op"]);
        let Some(id) = resource.attribute("id") else {
            reader.note(resource, "it is not said which resource this is; it is left out");
            continue;
        };
        let text = |name| resource.attribute(name).unwrap_or_default().to_owned();
        let optional = |name| resource.attribute(name).filter(|text| !text.is_empty()).map(str::to_owned);
        histories.push(ResourceHistory {
            resource: id.to_owned(),
            agent: AgentName {
                class: text("class"),
                provider: optional("provider"),
                agent_type: text("type"),
            },
            container: optional("container"),
            locked_at: reader.parsed(resource, "shutdown-lock", "seconds since 1970", number),
            operations: named(resource, "lrm_rsc_op")
                .filter_map(|operation| one(reader, operation))
                .collect(),
        });
    }
    histories
}

fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.parse().ok()
}

/// What everybody knows of an operation, and what does not bear on anything.
const OF_AN_OPERATION: [&str; 32] = [
    "id",
    "operation",
    "operation_key",
    "interval",
    "op-status",
    "rc-code",
    "call-id",
    "transition-key",
    "transition-magic",
    "last-rc-change",
    "last-run",
    "migrate_source",
    "migrate_target",
    "on_node",
    "exit-reason",
    "op-digest",
    "op-restart-digest",
    "op-force-restart",
    "op-secure-digest",
    "op-secure-params",
    "crm_feature_set",
    "crm-debug-origin",
    "exec-time",
    "queue-time",
    // Older spellings of what does not count.
    "last_run",
    "last_rc_change",
    "exec_time",
    "queue_time",
    "on_node_uuid",
    "restart-digest",
    "crm_debug_origin",
    "operation-key",
];

fn one<'d>(reader: &Reader<'d>, element: Element<'d>) -> Option<Operation> {
    reader.known(element, &OF_AN_OPERATION);
    let Some(name) = element.attribute("operation") else {
        reader.note(element, "it is not said what was done; it is left out");
        return None;
    };
    let key = element.attribute("transition-key").or_else(|| {
        // The key is what stands behind the result.
        element.attribute("transition-magic").and_then(|magic| magic.split_once(';')).map(|(_, key)| key)
    });
    let key = key.and_then(|key| {
        let parts = transition(key);
        if parts.is_none() {
            reader.note_at(element, "transition-key", format!("`{key}` does not say to what this belongs"));
        }
        parts
    });
    let magic = element
        .attribute("transition-magic")
        .and_then(|magic| magic.split_once(';'))
        .map(|(result, _)| result);
    let from_magic = |part: usize| magic.and_then(|result| result.split(':').nth(part));
    let whole = |attribute: &str, part: usize| {
        let text = element.attribute(attribute).or_else(|| from_magic(part));
        let value = text.and_then(number::<i32>);
        if value.is_none() {
            reader.note_at(element, attribute, format!("`{attribute}` is no number"));
        }
        value
    };
    let optional = |name| element.attribute(name).filter(|text| !text.is_empty()).map(str::to_owned);
    Some(Operation {
        id: element.attribute("id").unwrap_or_default().to_owned(),
        name: name.to_owned(),
        every_ms: reader.parsed(element, "interval", "milliseconds", words::count).unwrap_or(0),
        status: status(reader, element, whole("op-status", 0)),
        answer: whole("rc-code", 1).unwrap_or(UNKNOWN_ERROR),
        expected: key.as_ref().map(|(_, _, expected, _)| *expected),
        call: reader.parsed(element, "call-id", "a number", number).unwrap_or(-1),
        transition: key.map(|(action, transition, _, identity)| (transition, action, identity)),
        changed_at: reader.parsed(element, "last-rc-change", "seconds since 1970", number),
        ran_at: reader.parsed(element, "last-run", "seconds since 1970", number),
        migrate_source: optional("migrate_source"),
        migrate_target: optional("migrate_target"),
        on_node: optional("on_node"),
        exit_reason: optional("exit-reason"),
        digests: digests(element),
    })
}

/// The answer of an agent that failed and does not say how.
const UNKNOWN_ERROR: i32 = 1;

/// The parts of a transition's key: action, transition, expected answer, identity of the scheduler.
fn transition(key: &str) -> Option<(i32, i32, i32, String)> {
    let mut parts = key.splitn(4, ':');
    let mut number = || parts.next().and_then(number::<i32>);
    let (action, transition, expected) = (number()?, number()?, number()?);
    Some((action, transition, expected, parts.next()?.to_owned()))
}

fn status<'d>(reader: &Reader<'d>, element: Element<'d>, number: Option<i32>) -> OperationStatus {
    match number {
        Some(-1) => OperationStatus::Pending,
        Some(0) => OperationStatus::Done,
        Some(1) => OperationStatus::Cancelled,
        Some(2) => OperationStatus::TimedOut,
        Some(3) => OperationStatus::NotSupported,
        Some(4) => OperationStatus::Error,
        Some(5) => OperationStatus::ErrorHard,
        Some(6) => OperationStatus::ErrorFatal,
        Some(7) => OperationStatus::NotInstalled,
        Some(8) => OperationStatus::NotConnected,
        Some(9) => OperationStatus::Invalid,
        // No device to fence with, no secrets to be had.
        Some(10 | 11) => OperationStatus::Error,
        Some(other) => {
            reader.note_at(
                element,
                "op-status",
                format!("{other} is no known result; it counts as an error"),
            );
            OperationStatus::Error
        }
        None => OperationStatus::Error,
    }
}

fn digests(element: Element<'_>) -> Digests {
    let text = |name| element.attribute(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let names = |name| {
        let names = element.attribute(name).unwrap_or_default().split_ascii_whitespace();
        names.map(str::to_owned).collect()
    };
    Digests {
        all: text("op-digest"),
        restart: text("op-restart-digest"),
        restart_names: element.has_attribute("op-force-restart").then(|| names("op-force-restart")),
        public: text("op-secure-digest"),
        secret_names: names("op-secure-params"),
        feature_set: text("crm_feature_set"),
    }
}

fn tickets<'d>(reader: &Reader<'d>, list: Element<'d>, into: &mut BTreeMap<String, TicketState>) {
    for part in children(list) {
        match part.tag_name().name() {
            "ticket_state" => {
                let Some(id) = part.attribute("id") else {
                    reader.note(part, "it is not said which ticket this is; it is left out");
                    continue;
                };
                let ticket = into.entry(id.to_owned()).or_default();
                for attribute in part.attributes().filter(|attribute| attribute.name() != "id") {
                    say(ticket, attribute.name(), attribute.value());
                }
            }
            // As it was before schema 1.2: values whose names end with that of the ticket.
            "instance_attributes" => {
                for (name, value) in sets::one(reader, part).values {
                    if let Some((known, ticket)) = of_a_ticket(&name) {
                        say(into.entry(ticket.to_owned()).or_default(), known, &value);
                    }
                }
            }
            _ => reader.unknown(part),
        }
    }
}

/// What a value with this name says, and of which ticket: `granted-ticket-paris`.
fn of_a_ticket(name: &str) -> Option<(&'static str, &str)> {
    ["granted", "standby", "last-granted"]
        .into_iter()
        .find_map(|known| Some((known, name.strip_prefix(known)?.strip_prefix("-ticket-")?)))
}

fn say(ticket: &mut TicketState, name: &str, value: &str) {
    let yes = words::switch(value) == Some(true);
    match name {
        "granted" => ticket.granted = yes,
        "standby" => ticket.standby = yes,
        "last-granted" => ticket.last_granted = value.parse().ok(),
        _ => {}
    }
    ticket.attributes.insert(name.to_owned(), value.to_owned());
}
