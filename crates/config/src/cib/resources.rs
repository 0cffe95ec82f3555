//! What is kept running: primitives and their templates, groups, clones, bundles.

use heart_model::policy::{AgentName, AttributeSet, Body, Bundle, NamedOperation, Resource, Role, Score};

use super::{
    operations,
    reader::{Element, Reader, children, named},
    sets,
};

/// All resources, in their order.
pub(super) fn read<'d>(reader: &Reader<'d>, resources: Element<'d>, into: &mut Vec<Resource>) {
    for part in children(resources) {
        match part.tag_name().name() {
            "template" => {
                reader.known(part, &["id", "class", "provider", "type", "description"]);
            }
            _ => into.extend(one(reader, part)),
        }
    }
}

/// One resource of any kind.
fn one<'d>(reader: &Reader<'d>, element: Element<'d>) -> Option<Resource> {
    let kind = element.tag_name().name();
    if !matches!(kind, "primitive" | "group" | "clone" | "master" | "bundle") {
        reader.unknown(element);
        return None;
    }
    if element.attribute("id").is_none_or(str::is_empty) {
        reader.note(element, format!("a <{kind}> has no id; it is left out"));
        return None;
    }
    match kind {
        "primitive" => primitive(reader, element),
        "group" => group(reader, element),
        "bundle" => bundle(reader, element),
        _ => clone(reader, element),
    }
}

/// The resource of an element, as far as all kinds have it.
fn common<'d>(reader: &Reader<'d>, element: Element<'d>, body: Body) -> Resource {
    Resource {
        id: element.attribute("id").unwrap_or_default().to_owned(),
        body,
        meta: sets::all(reader, element, "meta_attributes"),
        parameters: sets::all(reader, element, "instance_attributes"),
        utilization: sets::all(reader, element, "utilization"),
        operations: operations::all(reader, element),
    }
}

const OF_A_PRIMITIVE: [&str; 4] = ["meta_attributes", "instance_attributes", "utilization", "operations"];

fn primitive<'d>(reader: &Reader<'d>, element: Element<'d>) -> Option<Resource> {
    reader.known(element, &["id", "class", "provider", "type", "template", "description"]);
    reader.known_children(element, &OF_A_PRIMITIVE);
    let template = match element.attribute("template") {
        None => None,
        Some(id) => {
            let found = reader.by_id("template", id);
            if found.is_none() {
                reader.note_at(element, "template", format!("there is no template `{id}`"));
            }
            found
        }
    };
    let text = |name| element.attribute(name).or_else(|| template?.attribute(name)).map(str::to_owned);
    let (Some(class), Some(agent_type)) = (text("class"), text("type")) else {
        reader.note(element, "the resource has no agent; it is left out");
        return None;
    };
    let agent = AgentName { class, provider: text("provider"), agent_type };
    let mut resource = common(reader, element, Body::Primitive(agent));
    if let Some(template) = template {
        reader.known_children(template, &OF_A_PRIMITIVE);
        let of_template = common(reader, template, Body::Group(Vec::new()));
        resource.meta.extend(of_template.meta);
        resource.parameters.extend(of_template.parameters);
        resource.utilization.extend(of_template.utilization);
        let own: Vec<_> = resource.operations.iter().map(key).collect();
        let others = of_template.operations.into_iter().filter(|operation| !own.contains(&key(operation)));
        resource.operations.extend(others);
    }
    Some(resource)
}

/// What makes two operations the same one: how often they recur does not, so that a resource can be
/// watched at another pace than its template has it.
fn key(operation: &NamedOperation) -> (String, Option<Role>) {
    let role = operation.role.filter(|role| !matches!(role, Role::Started | Role::Unpromoted));
    (operation.name.clone(), role)
}

fn group<'d>(reader: &Reader<'d>, element: Element<'d>) -> Option<Resource> {
    reader.known(element, &["id", "description", "ordered", "collocated"]);
    reader.known_children(element, &["meta_attributes", "instance_attributes", "primitive"]);
    let members: Vec<Resource> =
        named(element, "primitive").filter_map(|member| one(reader, member)).collect();
    if members.is_empty() {
        reader.note(element, "the group has no members; it is left out");
        return None;
    }
    Some(common(reader, element, Body::Group(members)))
}

fn clone<'d>(reader: &Reader<'d>, element: Element<'d>) -> Option<Resource> {
    reader.known(element, &["id", "description"]);
    reader.known_children(element, &["meta_attributes", "instance_attributes", "primitive", "group"]);
    let inner = |kind| named(element, kind).find_map(|inner| one(reader, inner));
    let Some(inner) = inner("primitive").or_else(|| inner("group")) else {
        reader.note(element, "there is nothing that it could be a clone of; it is left out");
        return None;
    };
    let mut resource = common(reader, element, Body::Clone(Box::new(inner)));
    if element.has_tag_name("master") {
        let promotable = ("promotable".to_owned(), "true".to_owned());
        resource.meta.insert(
            0,
            AttributeSet {
                id: "master".to_owned(),
                score: Score::INFINITY,
                rule: None,
                values: [promotable].into(),
            },
        );
    }
    Some(resource)
}

fn bundle<'d>(reader: &Reader<'d>, element: Element<'d>) -> Option<Resource> {
    const TECHNOLOGIES: [&str; 3] = ["docker", "podman", "rkt"];
    reader.known(element, &["id", "description"]);
    let known = ["meta_attributes", "network", "storage", "primitive", "docker", "podman", "rkt"];
    reader.known_children(element, &known);
    let container = children(element).find(|part| TECHNOLOGIES.contains(&part.tag_name().name()));
    let Some(container) = container else {
        reader.note(element, "the bundle does not say what makes its containers; it is left out");
        return None;
    };
    let network = named(element, "network").next();
    let storage = named(element, "storage").next();
    let inside = |parent: Option<Element<'d>>, kind| {
        let parts = parent.into_iter().flat_map(move |parent| named(parent, kind));
        parts.map(|part| sets::of_attributes(part, &["id"])).collect()
    };
    if let Some(network) = network {
        reader.known(
            network,
            &["id", "ip-range-start", "control-port", "host-interface", "host-netmask", "add-host"],
        );
        reader.known_children(network, &["port-mapping"]);
    }
    if let Some(storage) = storage {
        reader.known_children(storage, &["storage-mapping"]);
    }
    let bundle = Bundle {
        technology: container.tag_name().name().to_owned(),
        container: container_options(reader, container),
        network: network.map(|network| sets::of_attributes(network, &["id"])),
        ports: inside(network, "port-mapping"),
        storage: inside(storage, "storage-mapping"),
        inner: named(element, "primitive").find_map(|inner| one(reader, inner)).map(Box::new),
    };
    Some(common(reader, element, Body::Bundle(Box::new(bundle))))
}

/// What is said of the containers; how many may be promoted has had another name.
fn container_options<'d>(reader: &Reader<'d>, container: Element<'d>) -> AttributeSet {
    reader.known(
        container,
        &[
            "image",
            "replicas",
            "replicas-per-host",
            "promoted-max",
            "masters",
            "network",
            "run-command",
            "options",
        ],
    );
    let mut options = sets::of_attributes(container, &[]);
    if let Some(masters) = options.values.remove("masters") {
        options.values.entry("promoted-max".to_owned()).or_insert(masters);
    }
    options
}
