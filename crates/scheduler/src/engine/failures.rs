//! Failures as nodes tell of them: in what was done there, and in what they count.

use heart_model::policy::{NodeState, Operation, OperationStatus};

use super::facts::without_instance;

/// How attributes begin in which a node counts failures, and says when the last one was; the resource follows.
pub(super) const COUNT: &str = "fail-count-";
pub(super) const LAST: &str = "last-failure-";

/// Answers that are no failure by themselves: it runs, it does not, it is promoted; and the first and last not
/// quite as it should.
pub(super) const FINE: [i32; 5] = [0, 7, 8, 190, 191];

/// Whether an operation ended otherwise than was hoped.
pub(super) fn has_failed(operation: &Operation) -> bool {
    let unexpected = operation.expected.is_some_and(|expected| expected != operation.answer);
    let answered_badly = unexpected || !FINE.contains(&operation.answer);
    operation.status.is_failure() || (operation.status == OperationStatus::Done && answered_badly)
}

/// Whether a node counts failures of a resource in an attribute of this name.
pub(super) fn counts(attribute: &str, resource: &str) -> bool {
    let of = [COUNT, LAST].iter().find_map(|prefix| attribute.strip_prefix(prefix));
    of.map(|rest| rest.split_once('#').map_or(rest, |(name, _)| name))
        .is_some_and(|name| without_instance(name) == without_instance(resource))
}

/// The node knows of no failure of this resource any more; whether it knew of one.
pub(super) fn forget(node: &mut NodeState, resource: &str) -> bool {
    let mut knew = false;
    for said in &mut node.attributes {
        let before = said.values.len();
        said.values.retain(|name, _| !counts(name, resource));
        knew |= said.values.len() < before;
    }
    let base = without_instance(resource);
    for history in node.history.iter_mut().filter(|history| without_instance(&history.resource) == base) {
        let before = history.operations.len();
        history.operations.retain(|operation| !has_failed(operation));
        knew |= history.operations.len() < before;
    }
    knew
}
