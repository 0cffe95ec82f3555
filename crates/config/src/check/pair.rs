//! Two halves that can switch each other off.

use std::collections::BTreeMap;

use heart_model::{FenceDevice, NodeName, NodeSpec};

use crate::{Code, Mistake, draft::Draft, words};

/// Warns of voters that cannot know which of them is cut off, and switch each other off.
pub(super) fn cut_off(draft: &Draft, nodes: &BTreeMap<NodeName, NodeSpec>, mistakes: &mut Vec<Mistake>) {
    let proves = |node: &NodeSpec| node.fence.iter().any(|level| FenceDevice::prove_off(level));
    let mut voters = nodes.values().filter(|node| node.voter);
    let halves = voters.clone().count().is_multiple_of(2) && voters.all(proves);
    if !halves || draft.tie_break.is_some() || !draft.pings.is_empty() {
        return;
    }
    let votes = |name: &str| nodes.iter().any(|(known, node)| known.as_str() == name && node.voter);
    let voting: Vec<_> = draft.nodes.iter().filter(|node| votes(&node.name.value)).collect();
    let Some(last) = voting.last() else { return };
    let (who, other, what) = match voting.as_slice() {
        [one, other] => {
            let names = words::list(&[&one.name.value, &other.name.value], "and");
            (format!("of {names}, the one"), "the other", "the one")
        }
        _ => (format!("of {} voters, the half", voting.len()), "the other half", "the half"),
    };
    mistakes.push(
        Mistake::at(
            Code::NoPingTarget,
            last.name.span,
            format!("{who} that is cut off itself may switch {other} off and go on where nobody reaches it"),
        )
        .label("nothing here tells which of them is cut off")
        .hint(format!(
            "{what} that runs more has {other} switched off at once, also when it is its own cable that was pulled. Name \
             what both should reach, such as the gateway: `[ping.gateway]` with `hosts = [\"192.0.2.1\"]`; who does not \
             reach that switches nobody off. Or let something outside decide (`[tie_break]`)"
        )),
    );
}
