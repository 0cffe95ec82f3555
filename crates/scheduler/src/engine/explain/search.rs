//! Which causes decide.

use alloc::{string::String, vec::Vec};

use heart_model::policy::{Cluster, Role, State};

use super::{
    Because, Explanation, Places,
    lever::{Cause, NodeTrouble, gives_more, holds, levers},
    mend::{taken, touched},
    related::Family,
};
use crate::engine::{
    self, Outcome, absences::Absences, facts::without_instance, outcome::Decision, rehearse,
};

/// How a resource stands in a decision.
#[derive(Clone, Debug, PartialEq)]
struct Stand {
    places: Places,
    decisions: Vec<Decision>,
}

/// A question that can be asked again with something gone.
struct Inquiry<'q> {
    cluster: &'q Cluster,
    state: &'q State,
    /// What that state says was looked for and not found.
    absences: &'q Absences,
    resource: &'q str,
    node: Option<&'q str>,
    first: Stand,
    how: How,
}

/// How it is found out where something will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum How {
    /// By looking ahead.
    Ahead,
    /// From the plan alone, which is enough where nothing runs in guests or bundles, and does not tell what
    /// merely runs from what could be promoted.
    ByPlan,
}

/// What is asked, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'q> {
    pub(super) resource: &'q str,
    pub(super) node: Option<&'q str>,
    /// How many causes are enough.
    pub(super) most: usize,
    pub(super) how: How,
    /// Nodes of which everybody knows that they are lost: that is no answer.
    pub(super) lost: &'q [String],
}

pub(super) fn search(
    cluster: &Cluster,
    state: &State,
    absences: &Absences,
    family: &Family<'_>,
    asked: Asked<'_>,
) -> Option<Explanation> {
    let Asked { resource, node, most, how, lost } = asked;
    let outcome = decide(cluster, state, absences, how);
    let is_node = |name: &str| outcome.before.nodes.contains_key(name);
    if !family.is_primitive(resource) && !outcome.before.resources.contains_key(resource) {
        return None;
    }
    if node.is_some_and(|node| !is_node(node)) {
        return None;
    }
    let first = stand(&outcome, resource, how);
    let mut inquiry = Inquiry { cluster, state, absences, resource, node, first, how };
    let (mut levers, cut) = levers(cluster, state, family, (resource, node), &outcome);
    levers.retain(|lever| match lever {
        Cause::Node { node, trouble: NodeTrouble::Absent } => !lost.contains(node),
        _ => true,
    });
    let mut because = inquiry.alone(&levers, most);
    let mut together = because.is_empty();
    if together {
        because = inquiry.together(&levers);
    }
    if because.is_empty() && inquiry.is_moved() {
        (because, together) = inquiry.at_last(&levers, &holds(cluster, family, resource));
    }
    let elsewhere = because.is_empty() && node.is_some() && !inquiry.first.places.is_empty();
    if elsewhere {
        inquiry.node = None;
        because = inquiry.alone(&levers, most);
    }
    let Stand { places, decisions } = inquiry.first;
    Some(Explanation {
        resource: resource.into(),
        node: node.map(String::from),
        stands: places,
        decisions,
        together: together && !elsewhere && because.len() > 1,
        cut: cut || !together && because.len() == most,
        because,
        elsewhere,
    })
}

/// That something runs is no obstacle to itself; to take it away mostly hides only what it is.
fn is_activity(cause: &Cause) -> bool {
    matches!(cause, Cause::Active { .. })
}

fn decide(cluster: &Cluster, state: &State, absences: &Absences, how: How) -> Outcome {
    match how {
        How::Ahead => engine::decide_noted(cluster, state, absences),
        How::ByPlan => engine::plan_noted(cluster, state, absences),
    }
}

fn stand(outcome: &Outcome, resource: &str, how: How) -> Stand {
    let own = |(node, role): &(&str, Role)| ((*node).into(), *role);
    let places = match how {
        How::Ahead => {
            let view = outcome.after.resources.get(resource);
            view.map(|view| view.on.iter().map(|(node, role, _)| (node.clone(), *role)).collect())
        }
        How::ByPlan => rehearse::places(outcome).get(resource).map(|on| on.iter().map(own).collect()),
    };
    let concerns = |decision: &&Decision| without_instance(&decision.subject) == without_instance(resource);
    let decisions = outcome.decisions.iter().filter(concerns).cloned().collect();
    Stand { places: places.unwrap_or_default(), decisions }
}

impl Inquiry<'_> {
    /// Whether it is asked why something moves.
    fn is_moved(&self) -> bool {
        self.node.is_none() && !self.first.places.is_empty() && !self.first.decisions.is_empty()
    }

    /// The levers that change the answer by themselves: the first so many.
    fn alone(&self, levers: &[Cause], most: usize) -> Vec<Because> {
        let answer = |cause: &Cause| {
            let then = self.ask(&[cause]);
            let differs = self.differs(&then, is_activity(cause));
            differs.then(|| Because { cause: cause.clone(), otherwise: then.places })
        };
        levers.iter().filter_map(answer).take(most).collect()
    }

    /// What is found where nothing that is there drives something away: that nothing holds it, alone or together
    /// with what is there; or that it runs in several places. And whether only together.
    fn at_last(&self, levers: &[Cause], holds: &[Cause]) -> (Vec<Because>, bool) {
        let alone = self.alone(holds, 1);
        if !alone.is_empty() {
            return (alone, false);
        }
        let all: Vec<Cause> = holds.iter().chain(levers).cloned().collect();
        let together = self.together(&all);
        if !together.is_empty() {
            return (together, true);
        }
        let is_own = |lever: &&Cause| match lever {
            Cause::Active { resource, .. } => resource == without_instance(self.resource),
            _ => false,
        };
        let runs: Vec<&Cause> = levers.iter().filter(is_own).collect();
        let answer = |cause: &&Cause| {
            let then = self.ask(&[*cause]);
            let differs = self.differs(&then, false);
            differs.then(|| Because { cause: (*cause).clone(), otherwise: then.places })
        };
        (runs.iter().filter(|_| runs.len() > 1).filter_map(answer).collect(), false)
    }

    /// The fewest levers that change it together: of the levers in their order as few as it takes, and of
    /// those again as few as it takes.
    fn together(&self, levers: &[Cause]) -> Vec<Because> {
        // What gives a clone more instances would take away some that were asked about.
        let hinders = |lever: &&Cause| !is_activity(lever) && !gives_more(self.cluster, lever);
        let levers: Vec<&Cause> = levers.iter().filter(hinders).collect();
        if levers.len() < 2 || !self.differs(&self.ask(&levers), false) {
            return Vec::new();
        }
        let (mut too_few, mut enough) = (0, levers.len());
        while enough - too_few > 1 {
            let half = too_few.midpoint(enough);
            match self.differs(&self.ask(&levers[..half]), false) {
                true => enough = half,
                false => too_few = half,
            }
        }
        let taken = self.fewest(levers[..enough].to_vec());
        let otherwise = self.ask(&taken).places;
        taken
            .into_iter()
            .map(|cause| Because { cause: cause.clone(), otherwise: otherwise.clone() })
            .collect()
    }

    /// Puts back what is not needed: in halves, in quarters, and so on down to one by one, until none can be
    /// put back: what was needed beside another may not be any more when that is back.
    fn fewest<'c>(&self, mut taken: Vec<&'c Cause>) -> Vec<&'c Cause> {
        let mut size = taken.len().div_ceil(2);
        // Bounded: each turn has a smaller size, or fewer causes, than the one before.
        loop {
            let (mut from, before) = (0, taken.len());
            while from < taken.len() && taken.len() > 1 {
                let to = (from + size).min(taken.len());
                let fewer: Vec<&Cause> = taken[..from].iter().chain(&taken[to..]).copied().collect();
                match !fewer.is_empty() && self.differs(&self.ask(&fewer), false) {
                    true => taken = fewer,
                    false => from = to,
                }
            }
            if size <= 1 && taken.len() == before {
                return taken;
            }
            size = size.div_ceil(2);
        }
    }

    fn ask(&self, gone: &[&Cause]) -> Stand {
        let (cluster, state) = taken(self.cluster, self.state, gone);
        let absences = self.absences.without(&touched(self.cluster, self.state, gone));
        stand(&decide(&cluster, &state, &absences, self.how), self.resource, self.how)
    }

    /// Whether this is another answer to the question.
    fn differs(&self, then: &Stand, places_only: bool) -> bool {
        let Some(node) = self.node else {
            return match self.first.places.is_empty() {
                // Why it runs nowhere: what would make it run?
                true => !then.places.is_empty(),
                false if places_only => then.places != self.first.places,
                false => then != &self.first,
            };
        };
        let role_at = |places: &Places| -> Option<Role> {
            places.iter().filter(|(at, _)| at == node).map(|(_, role)| *role).max()
        };
        let (now, then) = (role_at(&self.first.places), role_at(&then.places));
        match now {
            None => then.is_some(),
            Some(_) => then != now,
        }
    }
}
