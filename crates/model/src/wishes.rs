//! Where, with what and when something shall run: the words of the file that need no scores.

use alloc::{collections::BTreeMap, vec::Vec};
use core::fmt;
use serde::{Deserialize, Serialize};

use crate::{Name, NodeName};

/// What is wished of the place and the time of a resource, or of a group as a whole. A member of a group
/// has none of its own but [`Wishes::after`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wishes {
    /// Nodes it would rather run on, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefers: Vec<NodeName>,
    /// Where it goes only if it can go nowhere else: nodes, and the company of others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub avoids: Vec<Other>,
    /// Where it does not go at all: nodes, and the company of others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub never: Vec<Other>,
    /// Resources and groups: it runs only on the node where all of these run, and goes where they go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<Name>,
    /// Resources and groups: it starts when all of these run, and stops before they do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Name>,
    /// On how many nodes it runs at once. Nothing said: on one, and it moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<Copies>,
    /// It runs only while one of these times is; always if none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub during: Vec<Name>,
    /// It runs only while this cluster has this ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Name>,
    /// What is wished instead while a time is, by the name of the time. Of several that are, the first by
    /// name counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub at: BTreeMap<Name, Instead>,
}

/// What is wished instead of what is always wished; what is not said stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instead {
    /// See [`Wishes::prefers`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefers: Option<Vec<NodeName>>,
    /// See [`Wishes::avoids`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avoids: Option<Vec<Other>>,
    /// See [`Wishes::never`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub never: Option<Vec<Other>>,
}

/// What something keeps away from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Other {
    /// A node.
    Node(NodeName),
    /// The node on which this resource or group runs.
    Unit(Name),
}

impl fmt::Display for Other {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Other::Node(name) => name.fmt(to),
            Other::Unit(name) => name.fmt(to),
        }
    }
}

/// On how many nodes something runs at once, one copy on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Copies {
    /// On every node that can.
    All,
    /// On so many; at least 1.
    Of(u32),
}

impl Wishes {
    /// Nothing but nodes that are preferred, best first.
    #[must_use]
    pub fn preferring(nodes: Vec<NodeName>) -> Wishes {
        Wishes { prefers: nodes, ..Wishes::default() }
    }

    /// The same, as they are while `now` says which times are.
    #[must_use]
    pub fn while_times(&self, is: impl Fn(&Name) -> bool) -> Wishes {
        let mut wishes = self.clone();
        if let Some((_, instead)) = self.at.iter().find(|(name, _)| is(name)) {
            if let Some(prefers) = &instead.prefers {
                wishes.prefers.clone_from(prefers);
            }
            if let Some(avoids) = &instead.avoids {
                wishes.avoids.clone_from(avoids);
            }
            if let Some(never) = &instead.never {
                wishes.never.clone_from(never);
            }
        }
        wishes
    }
}
