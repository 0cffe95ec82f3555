//! Circles: things of which each waits for the next, or goes where the next goes.

use std::collections::BTreeMap;

use super::parties::Parties;
use crate::{Code, Mistake, Span, Written, tree::cut};

/// Most parts of a circle that are said one by one.
const SAID_MAX: usize = 8;

/// That one thing depends on another.
struct Edge {
    to: usize,
    at: Span,
    /// In words, after the name of the one: "starts after `db`".
    says: String,
    /// Whether it follows from the order of a group.
    is_order: bool,
}

/// Reports every circle of `with` and of `after`.
pub(super) fn circles(parties: &Parties<'_>, mistakes: &mut Vec<Mistake>) {
    let names: Vec<String> = parties.all.iter().map(|party| party.shown()).collect();
    let edge = |(to, at): (usize, Span)| Edge {
        to,
        at,
        says: format!("runs where `{}` runs", names[to]),
        is_order: false,
    };
    let edges: Vec<Vec<Edge>> =
        (0..names.len()).map(|party| parties.with(party).map(edge).collect()).collect();
    for circle in find(&edges) {
        mistakes.push(report(&circle, &names, "nobody goes first").hint(
            "say it of those that follow, and leave it away where they lead; what is always together, can be one group",
        ));
    }
    let (names, edges) = starts(parties);
    for circle in find(&edges) {
        mistakes.push(report(&circle, &names, "none of them can ever start").hint("remove one of these"));
    }
}

/// Who starts after whom: every resource, members of groups too.
fn starts(parties: &Parties<'_>) -> (Vec<String>, Vec<Vec<Edge>>) {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut names = Vec::new();
    for member in parties.all.iter().flat_map(|party| &party.members) {
        numbers.insert(&member.name.value, names.len());
        names.push(cut(&member.name.value, 40));
    }
    let mut edges: Vec<Vec<Edge>> = names.iter().map(|_| Vec::new()).collect();
    for (number, party) in parties.all.iter().enumerate() {
        let Some(first) = party.members.first().and_then(|first| numbers.get(first.name.value.as_str()))
        else {
            continue;
        };
        let mut before: Option<usize> = None;
        for member in &party.members {
            let Some(&one) = numbers.get(member.name.value.as_str()) else { continue };
            if let Some(before) = before {
                let says = format!("starts after `{}` in the group `{}`", names[before], party.shown());
                let at = party.group.map_or(party.name.span, |group| group.name.span);
                edges[one].push(Edge { to: before, at, says, is_order: true });
            }
            before = Some(one);
            let list = member.wishes.after.iter().flat_map(|list| &list.value);
            edges[one].extend(list.filter_map(|name| waits(parties, &numbers, number, name)));
        }
        if let Some(group) = party.group {
            // The first member waits for what the group waits for, and the others for the first.
            let list = group.wishes.after.iter().flat_map(|list| &list.value);
            edges[*first].extend(list.filter_map(|name| {
                let edge = waits(parties, &numbers, number, name)?;
                let says = format!("{}, as all of the group `{}` does", edge.says, party.shown());
                Some(Edge { says, ..edge })
            }));
        }
    }
    (names, edges)
}

/// That something waits for what `name` names: of a group, for the last member.
fn waits(
    parties: &Parties<'_>,
    numbers: &BTreeMap<&str, usize>,
    party: usize,
    name: &Written<String>,
) -> Option<Edge> {
    let other = parties.number(&name.value).filter(|other| *other != party)?;
    let last = parties.all[other].members.last().filter(|_| parties.all[other].name.value == name.value);
    let to = *numbers.get(last.map_or(name.value.as_str(), |last| last.name.value.as_str()))?;
    let shown = cut(&name.value, 40);
    let says = match last.filter(|_| parties.all[other].group.is_some()) {
        Some(last) => {
            format!("starts after the group `{shown}` and its last member `{}`", cut(&last.name.value, 40))
        }
        None => format!("starts after `{shown}`"),
    };
    Some(Edge { to, at: name.span, says, is_order: false })
}

/// Circles that have nothing in common, each as its edges with those who say them. Nothing recurses: how
/// long a chain may be is not the stack's to say.
fn find(edges: &[Vec<Edge>]) -> Vec<Vec<(usize, &Edge)>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Not,
        Above,
        Done,
    }
    let mut seen = vec![Seen::Not; edges.len()];
    let mut circles: Vec<Vec<(usize, &Edge)>> = Vec::new();
    let mut in_circle = vec![false; edges.len()];
    for root in 0..edges.len() {
        if seen[root] != Seen::Not {
            continue;
        }
        // Each on the way down, with how many of its edges were followed.
        let mut path = vec![(root, 0)];
        seen[root] = Seen::Above;
        while let Some((one, followed)) = path.last_mut() {
            let Some(edge) = edges[*one].get(*followed) else {
                seen[*one] = Seen::Done;
                path.pop();
                continue;
            };
            *followed += 1;
            match seen[edge.to] {
                Seen::Not => {
                    seen[edge.to] = Seen::Above;
                    path.push((edge.to, 0));
                }
                Seen::Above => {
                    let begin = path.iter().position(|(one, _)| *one == edge.to).unwrap_or_default();
                    let circle: Vec<_> = path[begin..]
                        .iter()
                        .map(|(one, followed)| (*one, &edges[*one][followed - 1]))
                        .collect();
                    if circle.iter().all(|(one, _)| !in_circle[*one]) {
                        circle.iter().for_each(|(one, _)| in_circle[*one] = true);
                        circles.push(circle);
                    }
                }
                Seen::Done => {}
            }
        }
    }
    circles
}

fn report(circle: &[(usize, &Edge)], names: &[String], so: &str) -> Mistake {
    // Begin with what is written first, and is not only the order of a group.
    let begin =
        (0..circle.len()).min_by_key(|at| (circle[*at].1.is_order, circle[*at].1.at)).unwrap_or_default();
    let turned: Vec<_> = circle[begin..].iter().chain(&circle[..begin]).collect();
    let mut says: Vec<String> =
        turned.iter().take(SAID_MAX).map(|(one, edge)| format!("`{}` {}", names[*one], edge.says)).collect();
    if turned.len() > SAID_MAX {
        says.push(format!("and so on with {} more", turned.len() - SAID_MAX));
    }
    let at = turned.first().map(|(_, edge)| edge.at).unwrap_or_default();
    let mistake = Mistake::at(Code::Circle, at, format!("{so}: {}", says.join(", ")));
    let others = turned.iter().skip(1).take(SAID_MAX - 1);
    others.fold(mistake.label("a circle"), |mistake, (one, edge)| {
        mistake.related(edge.at, format!("`{}` {}", names[*one], edge.says))
    })
}
