//! The machines: names, addresses, who votes.

use std::collections::BTreeMap;

use heart_model::{LINKS_MAX, LinkAddress, NODES_MAX, NodeId, NodeName, NodeSpec, Timing, VOTERS_MAX};

use super::{absent, addresses, fence, missing_key, name, room, too_many, watchdog};
use crate::{
    Code, Environment, Mistake, Span,
    draft::{Draft, NodeDraft},
    tree::cut,
    words,
};

pub(super) fn nodes(
    draft: &Draft,
    timing: &Timing,
    environment: &dyn Environment,
    mistakes: &mut Vec<Mistake>,
) -> BTreeMap<NodeName, NodeSpec> {
    if draft.nodes.is_empty() && absent("node", &draft.present) {
        let none = Mistake::of_file(Code::NoNodes, "there are no nodes");
        mistakes.push(none.hint("write a table such as `[node.ada]` with `addresses = [\"10.0.0.1\"]`"));
    }
    if let Some(node) = draft.nodes.get(NODES_MAX) {
        too_many(draft.nodes.len(), NODES_MAX, "nodes", node.name.span, mistakes);
    }
    let voters = voters(&draft.nodes, draft.tie_break.is_some(), mistakes);
    let mut nodes = BTreeMap::new();
    let mut numbers: BTreeMap<NodeId, (NodeName, Span)> = BTreeMap::new();
    for (node, voter) in draft.nodes.iter().zip(voters) {
        let addresses = addresses_of(node, mistakes);
        let capacity = room::amounts("capacity", node.capacity.as_ref(), mistakes);
        let fence = fence::levels(node, timing, environment, mistakes);
        let (watchdog, never_paused) = watchdog::of(node, environment, mistakes);
        let Some(name) = name(&node.name, "node", NodeName::new, mistakes) else { continue };
        let taken = numbers.insert(name.id(), (name.clone(), node.name.span));
        if let Some((other, first)) = taken {
            mistakes.push(number_taken(&name, &other, node.name.span, first));
        }
        nodes.insert(name, NodeSpec { addresses, voter, capacity, fence, watchdog, never_paused });
    }
    uneven(&draft.nodes, mistakes);
    nodes
}

fn number_taken(name: &NodeName, other: &NodeName, at: Span, first: Span) -> Mistake {
    Mistake::at(Code::NumberTaken, at, format!("the names `{name}` and `{other}` give the same number"))
        .label("rename this one")
        .hint(format!(
            "on the wire a node is known by a number made of its name; by chance both get {}, so that one of \
             them needs another name",
            name.id()
        ))
        .related(first, "has the same number")
}

fn addresses_of(node: &NodeDraft, mistakes: &mut Vec<Mistake>) -> Vec<LinkAddress> {
    let place = format!("[node.{}]", cut(&node.name.value, 40));
    let way_out = "write one address for each link: `addresses = [\"10.0.0.1\", \"10.1.0.1\"]`";
    let Some(list) = &node.addresses else {
        if absent("addresses", &node.present) {
            mistakes.push(missing_key("addresses", &place, node.name.span, way_out));
        }
        return Vec::new();
    };
    if list.value.is_empty() {
        let message = format!("node `{}` has no address", cut(&node.name.value, 40));
        mistakes.push(Mistake::at(Code::MissingKey, list.span, message).label("nothing in it").hint(way_out));
    }
    if let Some(address) = list.value.get(LINKS_MAX) {
        too_many(list.value.len(), LINKS_MAX, "links", address.span, mistakes);
    }
    list.value.iter().filter_map(|text| addresses::of_node(text, mistakes)).map(LinkAddress).collect()
}

/// Who votes. Whoever says so does, and whoever says not does not; the others do in the order in
/// which they are written, as long as there is room and so that their number is odd.
fn voters(nodes: &[NodeDraft], tied: bool, mistakes: &mut Vec<Mistake>) -> Vec<bool> {
    let said = |node: &NodeDraft| node.voter.as_ref().map(|voter| voter.value);
    let mut voters: Vec<bool> = nodes.iter().map(|node| said(node) == Some(true)).collect();
    let chosen = voters.iter().filter(|voter| **voter).count();
    let silent: Vec<usize> = (0..nodes.len()).filter(|&node| said(&nodes[node]).is_none()).collect();
    let mut room = VOTERS_MAX.saturating_sub(chosen).min(silent.len());
    if room > 0 && (chosen + room).is_multiple_of(2) && chosen + room > 2 {
        room -= 1;
    }
    for &node in silent.iter().take(room) {
        voters[node] = true;
    }
    let voting = nodes.iter().zip(&voters).filter(|(_, votes)| **votes).map(|(node, _)| node);
    judge(nodes, &voting.collect::<Vec<_>>(), tied, mistakes);
    voters
}

/// Whether exactly two nodes vote, and each can have the other switched off: nothing else decides between them.
pub(super) fn is_fenced_pair(nodes: &[NodeDraft]) -> bool {
    let voters = voters(nodes, true, &mut Vec::new());
    let mut voting = nodes.iter().zip(voters).filter(|(_, votes)| *votes);
    voting.clone().count() == 2 && voting.all(|(node, _)| fence::can_be_switched_off(node))
}

fn judge(nodes: &[NodeDraft], voting: &[&NodeDraft], tied: bool, mistakes: &mut Vec<Mistake>) {
    let voters = voting.len();
    let unfenced: Vec<&str> = voting
        .iter()
        .filter(|node| !fence::can_be_switched_off(node))
        .map(|node| node.name.value.as_str())
        .collect();
    let saying = |wanted: bool| {
        nodes.iter().filter_map(move |node| node.voter.as_ref()).filter(move |voter| voter.value == wanted)
    };
    match voters {
        0 => {
            if let Some(said) = saying(false).next() {
                mistakes.push(
                    Mistake::at(Code::NoVoters, said.span, "no node votes, so nothing can ever be decided")
                        .label("this one does not")
                        .hint("let one or three nodes vote: remove `voter = false` from them"),
                );
            }
        }
        // What can be switched off is no riddle to the other half.
        _ if (tied || unfenced.is_empty()) && voters.is_multiple_of(2) && voters <= VOTERS_MAX => {}
        2 => {
            let at = nodes.last().map_or(Span::default(), |node| node.name.span);
            let has_no_proof = voting
                .iter()
                .any(|node| node.fence.is_some() && unfenced.contains(&node.name.value.as_str()));
            let but = match has_no_proof {
                true => {
                    "; not a watchdog, as each would wait for the other's, nor what only shuts it out from storage"
                }
                false => "",
            };
            let lost = if unfenced.len() == 2 { "one" } else { unfenced[0] };
            mistakes.push(
                Mistake::at(
                    Code::TwoVoters,
                    at,
                    format!("with two voters, nothing moves by itself when {} is lost", cut(lost, 40)),
                )
                .label("the second of two")
                .hint(format!(
                    "one of two is no majority: the node that is left cannot tell whether the other is off or only \
                     cut off. Add a third node, which may be small and run nothing; or something that decides between the two \
                     (`[tie_break]`); or say for each of the two what switches it off (`fence`{but}). As it is, a person \
                     has to say that the other one is off: `heart takeover --peers-are-off NODE`"
                )),
            );
        }
        _ if voters > VOTERS_MAX => {
            if let Some(said) = saying(true).nth(VOTERS_MAX) {
                let message = format!("{voters} nodes vote, and {VOTERS_MAX} may");
                mistakes.push(
                    Mistake::at(Code::TooMany, said.span, message)
                        .label("the first one too many")
                        .hint("three or five voters are enough; the other nodes follow them"),
                );
            }
        }
        _ if voters.is_multiple_of(2) => {
            even(voters, saying(true).next_back().map(|said| said.span), mistakes);
        }
        _ => {}
    }
}

fn even(voters: usize, at: Option<Span>, mistakes: &mut Vec<Mistake>) {
    let Some(at) = at else { return };
    mistakes.push(
        Mistake::at(Code::EvenVoters, at, format!("{voters} nodes vote: an even number, and no tie-break"))
            .label("the last of them")
            .hint(format!(
                "{voters} voters survive the loss of no more nodes than {} do, and can be cut into equal halves: \
                 let one more vote, or one less",
                voters - 1
            )),
    );
}

/// The n-th address of every node is link n, so that all need the same number and family.
fn uneven(nodes: &[NodeDraft], mistakes: &mut Vec<Mistake>) {
    let lists: Vec<_> = nodes.iter().filter_map(|node| Some((node, node.addresses.as_ref()?))).collect();
    let usual = usual_count(lists.iter().map(|(_, list)| list.value.len()));
    let Some((model, model_list)) = lists.iter().find(|(_, list)| list.value.len() == usual) else { return };
    for (node, list) in lists.iter().filter(|(_, list)| list.value.len() != usual && !list.value.is_empty()) {
        let count = |number| words::count(number, "address", "addresses");
        let message = format!(
            "`{}` has {}, and `{}` has {}",
            cut(&node.name.value, 40),
            count(list.value.len()),
            cut(&model.name.value, 40),
            count(usual)
        );
        mistakes.push(
            Mistake::at(Code::UnevenAddresses, list.span, message)
                .label(count(list.value.len()))
                .hint("the first address of every node is one link, the second another: give each node one for each link")
                .related(model_list.span, count(usual)),
        );
    }
    for link in 0..usual.min(LINKS_MAX) {
        mixed(link, &lists.iter().filter_map(|(_, list)| list.value.get(link)).collect::<Vec<_>>(), mistakes);
    }
}

/// The number that most lists have; of two that are equally frequent, the larger.
fn usual_count(counts: impl Iterator<Item = usize>) -> usize {
    let mut frequency: BTreeMap<usize, usize> = BTreeMap::new();
    for count in counts {
        *frequency.entry(count).or_default() += 1;
    }
    frequency.into_iter().max_by_key(|(count, times)| (*times, *count)).map_or(0, |(count, _)| count)
}

fn mixed(link: usize, addresses: &[&crate::Written<String>], mistakes: &mut Vec<Mistake>) {
    let family = |text: &str| text.parse::<std::net::IpAddr>().ok().map(|ip| ip.is_ipv6());
    let mut known = addresses.iter().filter_map(|address| Some((address, family(&address.value)?)));
    let Some((first, usual)) = known.next() else { return };
    if let Some((other, _)) = known.find(|(_, family)| *family != usual) {
        let name = |v6: bool| if v6 { "IPv6" } else { "IPv4" };
        let message =
            format!("link {} is {} on one node and {} on another", link + 1, name(usual), name(!usual));
        mistakes.push(
            Mistake::at(Code::MixedFamilies, other.span, message)
                .label(name(!usual))
                .hint("the addresses of one link have to reach each other: use one family")
                .related(first.span, name(usual)),
        );
    }
}
