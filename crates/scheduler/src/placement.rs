//! Where each unit shall run, and why.
//!
//! Who goes where is the policy engine's to say (see [`crate::situation`]). Here its answer is read, and
//! what it comes from is told: in the order in which people would ask, what stays first, then what goes
//! where it is preferred, then the rest, so that how much each node had to do already is told as it was.

use alloc::{vec, vec::Vec};
use heart_model::{Copies, NodeName, Reason, Refusal};

use crate::{
    candidates::{Candidates, worn_out},
    facts::{Asked, Facts, Holding, Kind, Node, Unit},
    gathering::waits_for_preferred,
    lower, reach,
    refusals::Refusals,
};

/// Where a unit shall run.
pub(crate) struct Place<'f> {
    /// On which node; nothing if it can run nowhere.
    pub(crate) target: Option<&'f NodeName>,
    /// How many of its members, from the first on: all, unless one has worn out and there is
    /// nowhere else to go.
    pub(crate) keep: usize,
    /// Why, cause first.
    pub(crate) reasons: Vec<Reason>,
    /// Why the other members can run nowhere.
    pub(crate) nowhere: Option<Reason>,
}

impl<'f> Place<'f> {
    /// A place for the whole unit.
    fn whole(unit: &Unit<'f>, target: &'f NodeName, reasons: Vec<Reason>) -> Place<'f> {
        Place { target: Some(target), keep: unit.members.len(), reasons, nowhere: None }
    }

    fn none(reasons: Vec<Reason>, nowhere: Option<Reason>) -> Place<'f> {
        Place { target: None, keep: 0, reasons, nowhere }
    }
}

/// Places every unit.
pub(crate) fn place<'f>(refusals: &Refusals<'_, 'f>) -> Vec<Place<'f>> {
    let (facts, candidates, targets) = (refusals.facts, refusals.candidates, refusals.targets);
    let mut loads: Vec<u32> = vec![0; facts.nodes.len()];
    let mut places: Vec<Option<Place<'f>>> = facts.units.iter().map(|_| None).collect();
    for turn in [Turn::Stays, Turn::Preferred, Turn::Spread, Turn::Rest] {
        for (number, unit) in facts.units.iter().enumerate().filter(|(_, unit)| !unit.members.is_empty()) {
            if places[number].is_some() {
                continue;
            }
            let teller = Teller { facts, unit, number, candidates: &candidates[number], refusals };
            places[number] = teller.tell(turn, targets[number], &loads);
            let target = places[number].as_ref().and_then(|place| facts.number(place.target?));
            if let Some(node) = target {
                loads[node] += u32::try_from(unit.members.len()).unwrap_or(u32::MAX);
            }
        }
    }
    places.into_iter().map(|place| place.unwrap_or_else(|| Place::none(Vec::new(), None))).collect()
}

/// What is told of in turn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Stays,
    Preferred,
    Spread,
    Rest,
}

/// Says why one unit goes where it goes.
struct Teller<'t, 'f> {
    facts: &'t Facts<'f>,
    unit: &'t Unit<'f>,
    number: usize,
    candidates: &'t Candidates<'t>,
    refusals: &'t Refusals<'t, 'f>,
}

impl<'f> Teller<'_, 'f> {
    /// The place of the unit, if it is its turn.
    fn tell(&self, turn: Turn, target: Option<Node>, loads: &[u32]) -> Option<Place<'f>> {
        let unit = self.unit;
        if let Some(node) = unit.unheard() {
            let refusal = self.facts.number(node).and_then(|number| self.candidates.refusal(number)).cloned();
            let refusal = refusal.unwrap_or(Refusal::Absent);
            let reasons = vec![Reason::NotOn { node: node.clone(), refusal }];
            return Some(Place::whole(unit, node, reasons));
        }
        let home = unit.home(self.facts).and_then(|home| self.facts.number(home));
        match target {
            Some(node) if Some(node) == home => Some(self.stays(node)),
            _ if turn == Turn::Stays => None,
            Some(node) => {
                let place = self.goes(node, loads);
                let own_turn = place.reasons.iter().map(|reason| match reason {
                    Reason::With { .. } | Reason::Promoted { .. } => Turn::Rest,
                    Reason::Spread { .. } => Turn::Spread,
                    _ => Turn::Preferred,
                });
                (own_turn.max() <= Some(turn)).then_some(place)
            }
            None => Some(self.nowhere()),
        }
    }

    fn name(&self, node: Node) -> &'f NodeName {
        self.facts.nodes[node].name
    }

    /// It stays where it is, whole or in part.
    fn stays(&self, home: Node) -> Place<'f> {
        let mut reasons = Vec::new();
        let worn_out = worn_out(self.facts, self.unit, self.candidates);
        if worn_out.is_some() {
            reasons.extend(self.causes());
        }
        if let Some(asked) = self.unit.asked.as_ref().filter(|asked| asked.from == self.name(home)) {
            reasons.push(Reason::Asked { to: asked.to.cloned() });
            reasons.extend(self.unfulfilled(asked));
        }
        if worn_out.is_some() {
            self.passed_over(None, &mut reasons);
        }
        reasons.extend(self.on_sick(home));
        reasons.extend(reach::on_fewer(self.facts, home));
        reasons.push(Reason::Stays { node: self.name(home).clone() });
        match worn_out {
            Some((_, keep)) => Place {
                target: Some(self.name(home)),
                keep,
                reasons,
                nowhere: Some(self.refused_everywhere()),
            },
            None => Place::whole(self.unit, self.name(home), reasons),
        }
    }

    /// That it is where somebody is sick, because nobody else can take it.
    fn on_sick(&self, node: Node) -> Option<Reason> {
        let with = &self.facts.nodes[node].sick;
        (!with.is_empty()).then(|| Reason::OnSick { node: self.name(node).clone(), with: with.clone() })
    }

    /// It goes to a node where it is not.
    fn goes(&self, node: Node, loads: &[u32]) -> Place<'f> {
        let mut reasons = self.causes();
        reasons.extend(self.on_sick(node));
        reasons.extend(reach::on_fewer(self.facts, node));
        let asked = self.request();
        if let Some(asked) = asked {
            reasons.push(Reason::Asked { to: asked.to.cloned() });
            if asked.to == Some(self.name(node)) {
                return Place::whole(self.unit, self.name(node), reasons);
            }
            reasons.extend(self.unfulfilled(asked));
        }
        if self.unit.kind == Kind::Copy(node) {
            reasons.push(Reason::Copy { node: self.name(node).clone() });
            return Place::whole(self.unit, self.name(node), reasons);
        }
        let with = self.unit.wishes.with.iter().map(|other| Reason::With { other: other.clone() });
        let with: Vec<Reason> = with.collect();
        if !with.is_empty() {
            reasons.extend(with);
        } else if self.passed_over(Some(node), &mut reasons) {
            reasons.push(Reason::Preferred { node: self.name(node).clone() });
        } else if self.unit.kind == Kind::Promotion {
            reasons.push(Reason::Promoted { node: self.name(node).clone() });
        } else {
            reasons.push(Reason::Spread { node: self.name(node).clone(), load: loads[node] });
        }
        Place::whole(self.unit, self.name(node), reasons)
    }

    /// It can run nowhere, or shall not.
    fn nowhere(&self) -> Place<'f> {
        if let Some(wait) = waits_for_preferred(self.facts, self.unit, self.candidates) {
            return Place::none(vec![wait], None);
        }
        if let Some(reason) = self.must_not() {
            return Place::none(vec![reason], None);
        }
        let mut reasons = self.causes();
        if let Kind::Copy(node) = self.unit.kind {
            if reasons.is_empty() {
                reasons.extend(self.no_copy(node));
            }
            return Place::none(reasons, None);
        }
        if let Some(asked) = self.request() {
            reasons.push(Reason::Asked { to: asked.to.cloned() });
            reasons.extend(self.unfulfilled(asked));
        }
        if let Some(other) = self.refusals.without(self.unit) {
            reasons.push(Reason::WithoutOther { other });
            return Place::none(reasons, None);
        }
        self.passed_over(None, &mut reasons);
        Place::none(reasons, Some(self.refused_everywhere()))
    }

    /// Why it runs nowhere, whatever nodes there are.
    fn must_not(&self) -> Option<Reason> {
        let wishes = &self.unit.wishes;
        if !lower::runs_now(self.facts.spec, wishes, self.facts.now) {
            return Some(Reason::NotNow { during: wishes.during.clone() });
        }
        let missing = wishes.ticket.as_ref().filter(|ticket| !self.facts.tickets.contains(ticket));
        missing.map(|ticket| Reason::NoTicket { ticket: ticket.clone() })
    }

    /// Why there is no copy on a node.
    fn no_copy(&self, node: Node) -> Option<Reason> {
        let not_on = |refusal: Refusal| Reason::NotOn { node: self.name(node).clone(), refusal };
        if let Some(refusal) = self.refusals.of(self.number, node).filter(|why| *why != Refusal::Outweighed) {
            return Some(not_on(refusal));
        }
        match self.unit.wishes.copies {
            Some(Copies::Of(copies)) => Some(Reason::EnoughCopies { copies }),
            Some(Copies::All) | None => Some(not_on(Refusal::Outweighed)),
        }
    }

    /// The request that concerns it where it is now.
    fn request(&self) -> Option<&Asked<'f>> {
        let home = self.unit.home(self.facts);
        self.unit.asked.as_ref().filter(|asked| home.is_none_or(|home| home == asked.from))
    }

    /// Why a request cannot be done.
    fn unfulfilled(&self, asked: &Asked<'f>) -> Vec<Reason> {
        let not_on = |node: Node| {
            let refusal = self.refusals.of(self.number, node)?;
            Some(Reason::NotOn { node: self.name(node).clone(), refusal })
        };
        match asked.to {
            Some(to) => match self.facts.number(to) {
                Some(node) => not_on(node).into_iter().collect(),
                None => vec![Reason::NotOn { node: to.clone(), refusal: Refusal::Absent }],
            },
            None => {
                let others = (0..self.facts.nodes.len()).filter(|node| self.name(*node) != asked.from);
                let refusals: Vec<Option<Reason>> = others.map(not_on).collect();
                let stuck = refusals.iter().all(Option::is_some);
                if stuck { refusals.into_iter().flatten().collect() } else { Vec::new() }
            }
        }
    }

    /// Why it is not where it was.
    fn causes(&self) -> Vec<Reason> {
        let lost = self.unit.members.iter().find_map(|member| match member.holding {
            Holding::Lost { node } => Some(node),
            Holding::Free | Holding::Live { .. } | Holding::Unheard { .. } => None,
        });
        let mut reasons: Vec<Reason> =
            lost.into_iter().map(|node| Reason::NodeLost { node: node.clone() }).collect();
        if let (Some(home), Kind::Whole | Kind::Promotion) = (self.unit.home(self.facts), self.unit.kind) {
            // A node that is configured no more is on its way out.
            let gone = Some(Refusal::Leaving);
            let number = self.facts.number(home);
            let refusal = number.map_or(gone, |node| self.candidates.refusal(node).cloned());
            reasons.extend(refusal.map(|refusal| Reason::NotOn { node: home.clone(), refusal }));
        }
        reasons
    }

    /// Which nodes that it prefers to this one it cannot have. Whether it prefers this one.
    fn passed_over(&self, chosen: Option<Node>, reasons: &mut Vec<Reason>) -> bool {
        let avoid = self.unit.asked.as_ref().and_then(|asked| self.facts.number(asked.from));
        for &node in &self.unit.prefers {
            if Some(node) == chosen {
                return true;
            }
            let refusal = match self.candidates.refusal(node) {
                Some(refusal) => refusal.clone(),
                None if Some(node) == avoid => Refusal::MovedAway,
                None => self.refusals.of(self.number, node).unwrap_or(Refusal::Outweighed),
            };
            let passed_over = Reason::NotOn { node: self.name(node).clone(), refusal };
            let said = Reason::NodeLost { node: self.name(node).clone() };
            if !reasons.contains(&passed_over) && !reasons.contains(&said) {
                reasons.push(passed_over);
            }
        }
        false
    }

    fn refused_everywhere(&self) -> Reason {
        let refusal = |node: Node| Some((self.name(node).clone(), self.refusals.of(self.number, node)?));
        Reason::Nowhere { refusals: (0..self.facts.nodes.len()).filter_map(refusal).collect() }
    }
}
