//! Wishes for a specification that has none, such that they can come true together.
//!
//! So that nothing contradicts: the first node is never refused; what is wished of others is wished of
//! those before; parties with an even number go with others, those with an odd one keep away.

use std::collections::BTreeMap;

use heart_model::{AgentRef, Copies, Hours, Instead, Name, NodeName, Other, ResourceName, Spec, Wishes};

/// Most minutes of a day.
const DAY_MINUTES: u32 = 1440;
/// The first second of the year 10000.
const END_OF_DATES: i64 = 253_402_300_800;

/// Numbers that chance has drawn before, used in turn.
pub(crate) struct Picks {
    numbers: Vec<u32>,
    next: usize,
}

impl Picks {
    pub(crate) fn new(numbers: Vec<u32>) -> Picks {
        Picks { numbers, next: 0 }
    }

    /// A number below `end`.
    fn below(&mut self, end: u32) -> u32 {
        let number = self.numbers.get(self.next % self.numbers.len().max(1)).copied().unwrap_or(0);
        self.next += 1;
        number % end.max(1)
    }

    fn one_in(&mut self, many: u32) -> bool {
        self.below(many) == 1
    }
}

/// A group, or a resource that is in none.
struct Party {
    name: Name,
    members: Vec<ResourceName>,
    is_group: bool,
}

/// Fills in wishes, needs, capacities and times.
pub(crate) fn wish(spec: &mut Spec, picks: &mut Picks) {
    for node in spec.nodes.values_mut() {
        node.capacity = amounts(picks, 1_000_000);
        // There is room for everything on every node.
        for what in ["cpus", "main.memory"] {
            node.capacity.insert(name(what), 100_000);
        }
    }
    spec.times = (0..picks.below(4)).filter_map(|number| time(number, picks)).collect();
    let times: Vec<Name> = spec.times.keys().cloned().collect();
    let nodes: Vec<NodeName> = spec.nodes.keys().cloned().collect();
    for resource in spec.resources.values_mut() {
        resource.needs = amounts(picks, 100);
        resource.needs.retain(|what, _| ["cpus", "main.memory"].contains(&what.as_str()));
    }
    let parties = parties(spec);
    for (number, party) in parties.iter().enumerate() {
        let mut wishes = wishes(number, &parties, &nodes, &times, picks);
        let agents = party.members.iter().map(|member| &spec.resources[member].agent);
        if agents.clone().any(|agent| *agent == AgentRef::BuiltIn("ip".into())) {
            wishes.copies = wishes.copies.map(|_| Copies::Of(1));
        }
        let can_promote =
            agents.clone().all(|agent| matches!(agent, AgentRef::Ocf { .. })) && !party.is_group;
        let promotable = can_promote && wishes.copies.is_some() && picks.one_in(2);
        if promotable || !matches!(wishes.copies, None | Some(Copies::Of(1))) {
            // Several copies cannot all go where one thing is, and what is promoted follows nobody.
            wishes.with.clear();
        }
        for member in &party.members {
            let Some(resource) = spec.resources.get_mut(member) else { continue };
            resource.promotable = promotable;
            resource.wishes = if party.is_group {
                Wishes { after: before(number, &parties, picks), ..Wishes::default() }
            } else {
                wishes.clone()
            };
        }
        if let Some((_, group)) =
            spec.groups.iter_mut().find(|(name, _)| name.as_str() == party.name.as_str())
        {
            group.wishes = wishes;
        }
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn amounts(picks: &mut Picks, end: u32) -> BTreeMap<Name, u64> {
    let mut amounts = BTreeMap::new();
    for what in ["cpus", "main.memory", "9-tapes"] {
        if picks.one_in(2) {
            amounts.insert(name(what), u64::from(picks.below(end)));
        }
    }
    amounts
}

fn parties(spec: &Spec) -> Vec<Party> {
    let mut parties: Vec<Party> = spec
        .groups
        .iter()
        .map(|(group, what)| Party {
            name: name(group.as_str()),
            members: what.members.clone(),
            is_group: true,
        })
        .collect();
    let alone = spec.resources.keys().filter(|resource| spec.group_of(resource).is_none());
    parties.extend(alone.map(|resource| Party {
        name: name(resource.as_str()),
        members: vec![resource.clone()],
        is_group: false,
    }));
    parties
}

/// Names of parties before this one, or of members of them.
fn before(number: usize, parties: &[Party], picks: &mut Picks) -> Vec<Name> {
    let mut names = Vec::new();
    for party in &parties[..number] {
        if picks.one_in(4) {
            let member = party.members.get(picks.below(4) as usize).map(|member| name(member.as_str()));
            names.push(member.unwrap_or_else(|| party.name.clone()));
        }
    }
    names
}

fn wishes(number: usize, parties: &[Party], nodes: &[NodeName], times: &[Name], picks: &mut Picks) -> Wishes {
    let mut always = places(number, parties, nodes, picks);
    let even = number.is_multiple_of(2);
    let with = parties[..number].iter().step_by(2).filter(|_| even && picks.one_in(4));
    let with = with.map(|party| party.name.clone()).collect();
    let during = times.iter().filter(|_| picks.one_in(3)).cloned().collect();
    let at = times.iter().filter(|_| picks.one_in(3)).cloned().collect::<Vec<_>>();
    let at = at
        .into_iter()
        .map(|time| {
            // All of it, so that it cannot contradict what is always wished; or nothing but nothing.
            let instead = places(number, parties, nodes, picks);
            let all = Instead { prefers: Some(instead.0), avoids: Some(instead.1), never: Some(instead.2) };
            let none = Instead { never: Some(Vec::new()), ..Instead::default() };
            (time, if picks.one_in(3) { none } else { all })
        })
        .collect();
    let copies = match picks.below(4) {
        0 => Some(Copies::All),
        1 => Some(Copies::Of(picks.below(64) + 1)),
        _ => None,
    };
    let ticket = picks.one_in(4).then(|| name("site-a"));
    let (prefers, avoids, never) = std::mem::take(&mut always);
    let after = before(number, parties, picks);
    Wishes { prefers, avoids, never, with, after, copies, during, ticket, at }
}

/// Nodes that are preferred, and what is avoided and never used; nothing is in two of them.
fn places(
    number: usize,
    parties: &[Party],
    nodes: &[NodeName],
    picks: &mut Picks,
) -> (Vec<NodeName>, Vec<Other>, Vec<Other>) {
    let (mut prefers, mut avoids, mut never) = (Vec::new(), Vec::new(), Vec::new());
    for (place, node) in nodes.iter().enumerate().rev() {
        match picks.below(6) {
            0 => prefers.push(node.clone()),
            1 => avoids.push(Other::Node(node.clone())),
            2 if place > 0 => never.push(Other::Node(node.clone())),
            _ => {}
        }
    }
    let odd = !number.is_multiple_of(2);
    for party in parties[..number].iter().skip(1).step_by(2).filter(|_| odd) {
        match picks.below(4) {
            0 => avoids.push(Other::Unit(party.name.clone())),
            1 => never.push(Other::Unit(party.name.clone())),
            _ => {}
        }
    }
    (prefers, avoids, never)
}

/// A time that can be, and says something.
fn time(number: u32, picks: &mut Picks) -> Option<(Name, Hours)> {
    let mut spans = |first: u32, last: u32| {
        let mut spans: Vec<(u32, u32)> = Vec::new();
        for _ in 0..picks.below(4) {
            let span = (first + picks.below(last - first + 1), first + picks.below(last - first + 1));
            if !spans.contains(&span) {
                spans.push(span);
            }
        }
        spans
    };
    let (weekdays, days, months) = (spans(1, 7), spans(1, 31), spans(1, 12));
    let mut times = spans(0, DAY_MINUTES);
    times.retain(|(from, _)| *from < DAY_MINUTES);
    let mut moment = || {
        let seconds = i64::from(picks.below(u32::MAX)) * 59;
        picks.one_in(3).then_some(seconds.min(END_OF_DATES - 1))
    };
    let hours = Hours { weekdays, days, months, times, from: moment(), until: moment() };
    (hours != Hours::default() && hours.can_hold()).then(|| (name(&format!("time{number}.x")), hours))
}
