//! What will be done. A plan has no choice left in it, and obeying it twice is harmless.

use alloc::{collections::BTreeMap, vec::Vec};
use serde::{Deserialize, Serialize};

use crate::{Ended, Intent, NodeName, Reason, ResourceName};

/// Where everything shall be, what has to be done for it, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The node each resource shall run on; `None` if it shall not or can not run.
    pub placement: BTreeMap<ResourceName, Option<NodeName>>,
    /// What has to be done, each after those that its `after` names.
    pub steps: Vec<Step>,
    /// Why each resource is where it is, or is not: cause first.
    pub reasons: BTreeMap<ResourceName, Vec<Reason>>,
    /// What people asked for that cannot be done any more, and why.
    #[serde(default)]
    pub ended: Vec<(Intent, Ended)>,
    /// When it has to be planned again although nothing happened, in seconds since 1970.
    #[serde(default)]
    pub look_again: Option<i64>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// With which resource.
    pub resource: ResourceName,
    /// Where.
    pub node: NodeName,
    /// What.
    pub action: StepAction,
    /// Positions in [`Plan::steps`] of what must have succeeded before; all smaller than its own.
    pub after: Vec<usize>,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepAction {
    /// Stop it on the node that holds its grant; that closes the grant.
    Stop,
    /// Grant it to the node and start it there.
    Start,
    /// Take it from a node that is lost, once its guard makes that safe; a start follows.
    TakeOver,
}
