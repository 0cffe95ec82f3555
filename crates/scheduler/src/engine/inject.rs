//! What is known of a node, if it failed, or came back.

use heart_model::policy::{Cluster, JoinState, NodeState, State};

/// The node's state, made if nothing is known of it; None if there is no such node.
fn state_of<'s>(cluster: &Cluster, state: &'s mut State, name: &str) -> Option<&'s mut NodeState> {
    let configured = cluster.nodes.iter().find(|node| node.name == name);
    let is_it = |known: &NodeState| {
        let named = known.name.as_deref() == Some(name) || known.id == name;
        named || configured.is_some_and(|node| node.id == known.id)
    };
    let place = match state.nodes.iter().position(is_it) {
        Some(place) => place,
        None => {
            let node = configured?;
            let (id, name) = (node.id.clone(), Some(node.name.clone()));
            state.nodes.push(NodeState { id, name, ..NodeState::default() });
            state.nodes.len() - 1
        }
    };
    state.nodes.get_mut(place)
}

/// The node is lost all at once. Whether there is such a node.
pub fn fail(cluster: &Cluster, state: &mut State, name: &str) -> bool {
    let Some(node) = state_of(cluster, state, name) else { return false };
    node.member = Some(0);
    node.process = Some(0);
    node.join = Some(JoinState::Down);
    node.expected_up = Some(true);
    true
}

/// The node is there and takes part. Whether there is such a node.
pub fn recover(cluster: &Cluster, state: &mut State, name: &str) -> bool {
    let Some(node) = state_of(cluster, state, name) else { return false };
    node.member = Some(1);
    node.process = Some(1);
    node.join = Some(JoinState::Member);
    node.expected_up = Some(true);
    true
}
