//! Why something was decided as it was, and what would change it.
//!
//! The engine is a pure function, and fast. So a cause is not guessed from scores: the engine is asked
//! again with that one thing gone, and what it decides then is the proof. A [`Cause`] is whatever can
//! be taken away by itself: a constraint, the trouble of a node, an option, a failure, that something
//! runs already.
//!
//! 1. *levers*: everything that could be taken away and has to do with the resource, what is nearest
//!    first;
//! 2. *search*: which of them alone changes the decision; if none does, the fewest that do together;
//! 3. *mend*: the cluster without one, which the engine is asked about.
//!
//! What moves although nothing drives it away moves because nothing holds it: that is asked last.
//!
//! The price is one decision for each lever. Levers and rounds are bounded by [`LEVERS_MAX`].

mod lever;
mod mend;
mod related;
mod search;
#[cfg(test)]
mod tests;

use alloc::{string::String, vec::Vec};

use heart_model::policy::{Cluster, Role, State};

use super::{absences::Absences, outcome::Decision};
pub use lever::{Cause, NodeTrouble};
pub use mend::without;
use search::Asked;
pub(super) use search::How;

/// Most things that are taken away, one by one, for one answer.
pub const LEVERS_MAX: usize = 400;

/// Why a resource stands as it does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// The resource: a primitive.
    pub resource: String,
    /// The node that was asked about, if one was.
    pub node: Option<String>,
    /// Where it will be, and in which role.
    pub stands: Places,
    /// What is done with it for that.
    pub decisions: Vec<Decision>,
    /// What decides it. Each alone would change it if it were gone, unless [`Explanation::together`].
    ///
    /// If there is none, nothing that was written or that happened speaks for another answer: then it is
    /// where least runs, or the first by name.
    pub because: Vec<Because>,
    /// No cause alone would change it if it were gone; all of them together would.
    pub together: bool,
    /// Nothing keeps it from the node that was asked about: the causes say why it is where it is instead.
    pub elsewhere: bool,
    /// There was more that could have been taken away: more than [`LEVERS_MAX`], or than it took to find as
    /// many causes as were asked for.
    pub cut: bool,
}

/// Nodes and roles.
pub type Places = Vec<(String, Role)>;

/// A cause, and what would be without it.
#[derive(Clone, Debug, PartialEq)]
pub struct Because {
    /// What it is.
    pub cause: Cause,
    /// Where the resource would be without it. Where causes only count together: without all of them.
    pub otherwise: Places,
}

/// What a question means that cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// There is no such resource.
    Resource(String),
    /// There is no such node.
    Node(String),
}

/// The primitives that a name means: itself, or what the group, clone, bundle or tag of that name is
/// made of. Empty if nothing has that name.
#[must_use]
pub fn primitives(cluster: &Cluster, name: &str) -> Vec<String> {
    let family = related::Family::of(cluster);
    match cluster.tags.get(name) {
        Some(tagged) => tagged.iter().flat_map(|name| family.primitives(name)).collect(),
        None => family.primitives(name),
    }
}

/// Why a primitive is where it will be; with a node, why it is there, or why it is not.
///
/// # Errors
/// When there is no such resource or node.
pub fn why(
    cluster: &Cluster,
    state: &State,
    resource: &str,
    node: Option<&str>,
) -> Result<Explanation, Unknown> {
    let asked = Asked { resource, node, most: LEVERS_MAX, how: How::Ahead, lost: &[] };
    ask(cluster, state, &Absences::of(state), asked)
}

/// Some of the causes why a primitive is where it will be when nodes are lost, beside that they are: the first so
/// many that each decide it alone. If none does, the fewest that do together.
pub(super) fn some(
    cluster: &Cluster,
    state: &State,
    absences: &Absences,
    (resource, how): (&str, How),
    lost: &[String],
    most: usize,
) -> Result<Explanation, Unknown> {
    ask(cluster, state, absences, Asked { resource, node: None, most, how, lost })
}

fn ask(
    cluster: &Cluster,
    state: &State,
    absences: &Absences,
    asked: Asked<'_>,
) -> Result<Explanation, Unknown> {
    let known = |name: &str| cluster.nodes.iter().any(|node| node.name == name);
    let family = related::Family::of(cluster);
    search::search(cluster, state, absences, &family, asked).ok_or_else(|| match asked.node {
        Some(node) if family.is_primitive(asked.resource) && !known(node) => Unknown::Node(node.into()),
        _ => Unknown::Resource(asked.resource.into()),
    })
}
