//! What must hold in every cluster, whatever was written and whatever is known.
//!
//! Claims look at what the engine has decided from outside, and judge by what was written: no claim asks the
//! engine how it came to a decision, but the one about causes, which tries what it is told. Where the words leave a
//! choice, a claim is silent.

mod calm;
mod causes;
mod foreseen;
mod hands;
mod needs;
mod once;
mod places;
mod same;
mod settles;
mod tangle;
mod told;

use std::{collections::BTreeMap, fmt};

use heart_model::policy::Role;
use heart_scheduler::engine::{
    Outcome,
    outcome::{Action, NodeView},
    rehearse,
};

use crate::{Situation, grow, grow::Tier, known::Known};

pub use calm::{Failures, rests};
pub use causes::{Questions, explained};
pub use settles::ROUNDS_MAX;

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// The engine comes to an end and does not panic.
    Decides,
    /// Every action of the plan can begin at some time.
    Finishes,
    /// When plan after plan is carried out, soon nothing is left to do.
    Settles,
    /// The same input gives the same plan.
    SameTwice,
    /// Lists whose order says nothing may come in any order.
    SameInAnyOrder,
    /// What is in no clone is started only when it can run nowhere else any more.
    Once,
    /// What is not managed is neither started nor stopped.
    HandsOff,
    /// Nothing starts on a node that takes nothing.
    FitNodes,
    /// Nothing starts without a quorum where one is needed.
    Quorum,
    /// What needs another starts behind it, and stops before it.
    Needs,
    /// Instances are told of the steps of their clone at their time.
    Told,
    /// Nothing healthy moves because something else failed.
    Calm,
    /// Where everything ends up when a node is lost can be read from the plan alone.
    Foreseen,
    /// What is named as a cause is one: without it something else is decided, and just what was said.
    Explained,
}

/// Of how many clusters one is asked for causes. An answer takes a decision for everything that could be a cause;
/// so these take about half as long as all other claims.
pub const ASKED_EACH: u64 = 16;

/// A claim that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub claim: Claim,
    /// In which round of planning and carrying out, from 1.
    pub round: usize,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, round {}: {}", self.claim, self.round, self.what)
    }
}

/// Checks all claims in the cluster of a seed: in a wild one, and in a calm one in which something fails. One wild
/// cluster of `asked_each` is asked for causes.
///
/// # Errors
/// The first claim that does not hold, and in which cluster.
pub fn of_seed(seed: u64, tier: Tier, asked_each: u64) -> Result<(), Box<(Situation, Broken)>> {
    let wild = grow::wild(seed, tier);
    if let Some(broken) = check(&wild) {
        return Err(Box::new((wild, broken)));
    }
    let calm = grow::calm(seed, tier);
    if let Some(broken) = rests(&calm, Failures::OneOfEach(seed / 3)) {
        return Err(Box::new((calm, broken)));
    }
    let is_asked = seed.is_multiple_of(asked_each);
    match is_asked.then(|| explained(&wild, Questions::OneOfEach(seed / 3))).flatten() {
        Some(broken) => Err(Box::new((wild, broken))),
        None => Ok(()),
    }
}

/// Checks the claims that hold in any cluster, plan after plan.
#[must_use]
pub fn check(situation: &Situation) -> Option<Broken> {
    let course = settles::run(situation);
    let broken = course.broken.or_else(|| same::twice(situation, &course.first));
    broken.or_else(|| same::in_any_order(situation, course.first))
}

/// Checks what must hold of one plan.
#[must_use]
pub fn of_plan(situation: &Situation, outcome: &Outcome) -> Option<Broken> {
    let plan = match Plan::of(situation, outcome) {
        Ok(plan) => plan,
        Err(broken) => return Some(broken),
    };
    once::check(&plan)
        .or_else(|| hands::check(&plan))
        .or_else(|| places::check(&plan))
        .or_else(|| needs::check(&plan))
        .or_else(|| told::check(&plan))
}

fn broken(claim: Claim, what: String) -> Broken {
    Broken { claim, round: 1, what }
}

/// A plan, in the shape in which claims ask for it.
struct Plan<'p> {
    situation: &'p Situation,
    outcome: &'p Outcome,
    known: Known<'p>,
    /// For each action, and each point behind them, all that come before it, a bit each.
    before: Vec<Vec<u64>>,
    /// Places of actions, by name and resource.
    places: BTreeMap<&'p str, BTreeMap<&'p str, Vec<usize>>>,
}

impl<'p> Plan<'p> {
    fn of(situation: &'p Situation, outcome: &'p Outcome) -> Result<Plan<'p>, Broken> {
        let sequence = rehearse::sequence(outcome);
        let count = outcome.actions.len() + outcome.points;
        if sequence.len() < count {
            let never = (0..count).find(|place| !sequence.contains(place));
            let action = never.and_then(|never| outcome.actions.get(never));
            let what = action.map_or_else(|| "a point".to_owned(), crate::show::action);
            return Err(broken(Claim::Finishes, format!("{what} never begins")));
        }
        let mut firsts = vec![Vec::new(); count];
        for (first, then) in &outcome.order {
            firsts[*then].push(*first);
        }
        let mut before = vec![vec![0; count.div_ceil(64)]; count];
        for then in sequence {
            for first in &firsts[then] {
                let row = before[*first].clone();
                before[then].iter_mut().zip(row).for_each(|(to, from): (&mut u64, u64)| *to |= from);
                before[then][first / 64] |= 1 << (first % 64);
            }
        }
        let mut places: BTreeMap<&str, BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
        for (place, action) in outcome.actions.iter().enumerate() {
            let resource = action.resource.as_deref().unwrap_or_default();
            let of_name = places.entry(&action.name).or_default();
            of_name.entry(resource).or_default().push(place);
        }
        Ok(Plan { situation, outcome, known: Known::of(&situation.cluster), before, places })
    }

    fn comes_before(&self, first: usize, then: usize) -> bool {
        self.before[then][first / 64] & (1 << (first % 64)) != 0
    }

    /// Actions of this name with a resource; of a node as a whole if the resource is empty.
    fn all(&self, name: &str, resource: &str) -> &[usize] {
        let of_name = self.places.get(name);
        of_name.and_then(|of_name| of_name.get(resource)).map_or(&[], Vec::as_slice)
    }

    /// The action of this name with a resource on a node.
    fn on(&self, name: &str, resource: &str, node: &str) -> Option<usize> {
        self.all(name, resource).iter().copied().find(|place| self.outcome.actions[*place].node == node)
    }

    /// What switches a node off.
    fn fencing(&self, node: &str) -> Option<usize> {
        let of = |name| {
            let all = self.all(name, "").iter().copied();
            all.filter(|place| self.action(*place).node == node)
                .find(|place| self.action(*place).kind.as_deref() != Some("on"))
        };
        of("fence").or_else(|| of("fence-guest"))
    }

    fn action(&self, place: usize) -> &'p Action {
        &self.outcome.actions[place]
    }

    fn node(&self, name: &str) -> Option<&'p NodeView> {
        self.outcome.before.nodes.get(name)
    }

    /// Where something is active before anything is done, and in which role.
    fn active(&self, resource: &str) -> impl Iterator<Item = (&'p str, Role)> {
        let view = self.outcome.before.resources.get(resource);
        let on = view.into_iter().flat_map(|view| &view.on);
        on.filter(|(_, role, _)| role.is_running()).map(|(node, role, _)| (node.as_str(), *role))
    }

    fn flags(&self, resource: &str) -> &'p str {
        self.outcome.before.resources.get(resource).map_or("", |view| view.flags.as_str())
    }

    fn say(&self, place: usize) -> String {
        crate::show::action(self.action(place))
    }
}
