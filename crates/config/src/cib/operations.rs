//! What is said of operations.

use heart_model::policy::NamedOperation;

use super::{
    reader::{Element, Reader, children, named},
    sets, words,
};

/// All operations in an element, those referred to as well.
pub(super) fn all<'d>(reader: &Reader<'d>, resource: Element<'d>) -> Vec<NamedOperation> {
    let mut operations = Vec::new();
    for group in named(resource, "operations").filter_map(|group| reader.referred(group)) {
        reader.known(group, &["id", "id-ref"]);
        for operation in children(group) {
            if operation.tag_name().name() != "op" {
                reader.unknown(operation);
            } else if let Some(operation) = reader.referred(operation) {
                operations.extend(one(reader, operation));
            }
        }
    }
    operations
}

fn one<'d>(reader: &Reader<'d>, operation: Element<'d>) -> Option<NamedOperation> {
    reader.known(
        operation,
        &[
            "id",
            "id-ref",
            "name",
            "interval",
            "role",
            "description",
            "timeout",
            "on-fail",
            "on_fail",
            "enabled",
            "start-delay",
            "interval-origin",
            "record-pending",
            "requires",
            "disabled",
            "prereq",
            "start_delay",
        ],
    );
    reader.known_children(operation, &["meta_attributes", "instance_attributes"]);
    let Some(name) = operation.attribute("name") else {
        reader.note(operation, "an operation has no name; it is left out");
        return None;
    };
    let meta = sets::all(reader, operation, "meta_attributes");
    let every_ms = reader.parsed(operation, "interval", "a length of time", words::milliseconds);
    Some(NamedOperation {
        id: operation.attribute("id").unwrap_or_default().to_owned(),
        name: name.to_owned(),
        every_ms: every_ms.unwrap_or(0),
        role: reader.parsed(operation, "role", "a role", words::role),
        options: sets::of_attributes(operation, &["id", "id-ref", "name", "interval", "role", "description"]),
        meta,
        parameters: sets::all(reader, operation, "instance_attributes"),
    })
}
