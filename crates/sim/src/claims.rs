//! The standing claims, checked after every step.

use heart_model::{Epoch, Guard, LogIndex, NodeName, Order, ResourceName, Session, Term, Timing};
use heart_node::{
    core::Core,
    ledger::{Change, Happened, Ledger, TIMELINE_MAX, What, Without},
    watchdog::{Feeding, Withheld},
};
use std::collections::BTreeMap;

use crate::{Machine, Nanos, Power};

/// A claim that did not hold: the world ends here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// When, in true time.
    pub at: Nanos,
    /// What did not hold.
    pub what: String,
}

impl ::core::fmt::Display for Broken {
    fn fmt(&self, to: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        write!(to, "at {}.{:06} s: {}", self.at / 1_000_000_000, self.at / 1_000 % 1_000_000, self.what)
    }
}

/// What has to be remembered to check the claims.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// Somebody says of a node that is on that it is off.
    pub(crate) words_may_be_false: bool,
    /// How many histories the newest one went on from.
    parents: usize,
    leaders: BTreeMap<Term, NodeName>,
    history: BTreeMap<LogIndex, Happened>,
    read_up_to: BTreeMap<NodeName, LogIndex>,
    newest: BTreeMap<ResourceName, Epoch>,
    /// Who was given each epoch: nobody else ever is.
    given: BTreeMap<(ResourceName, Epoch), (NodeName, Session)>,
    /// Who started each resource last.
    last: BTreeMap<ResourceName, Started>,
}

/// A start that took effect.
#[derive(Debug)]
struct Started {
    place: usize,
    boots: u64,
    session: Session,
    epoch: Epoch,
}

impl Claims {
    /// At most one node leads in a term, and what one node has applied, all have.
    pub(crate) fn on_core(&mut self, at: Nanos, place: usize, machines: &[Machine]) -> Result<(), Broken> {
        let machine = &machines[place];
        let Some(core) = &machine.core else { return Ok(()) };
        self.parents = self.parents.max(core.ledger().parents.len());
        if let Some(term) = core.leading() {
            let leader = self.leaders.entry(term).or_insert_with(|| machine.name.clone());
            if *leader != machine.name {
                let what = format!("{leader} and {} both lead term {term}", machine.name);
                return Err(Broken { at, what });
            }
        }
        let timeline = &core.ledger().timeline;
        let last = timeline.back().map_or(LogIndex(0), |happened| happened.index);
        let read = ::core::mem::replace(self.read_up_to.entry(machine.name.clone()).or_default(), last);
        // A log that was lost, or a snapshot that is older: it is read anew.
        if read >= last {
            return Ok(());
        }
        let new: Vec<&Happened> =
            timeline.iter().rev().take_while(|happened| happened.index > read).collect();
        for happened in new.iter().rev() {
            let known = self.history.entry(happened.index).or_insert_with(|| (*happened).clone());
            if known != *happened {
                let what = format!(
                    "entry {} is {:?} on {} but was {:?}",
                    happened.index, happened.what, machine.name, known.what
                );
                return Err(Broken { at, what });
            }
        }
        let first = timeline.front().map_or(last, |happened| happened.index).max(LogIndex(read.0 + 1));
        let known = self.history.range(first..=last).count();
        let has = new.iter().filter(|happened| happened.index >= first).count();
        // Of a timeline that is full, some entries between are forgotten.
        if known != has && timeline.len() < TIMELINE_MAX {
            let what = format!("{} applied entry {last}, but not all that was before it", machine.name);
            return Err(Broken { at, what });
        }
        if !self.words_may_be_false {
            on_proofs(at, core.ledger(), machines)?;
        }
        self.on_grants(at, machine)
    }

    /// How many histories the newest one went on from.
    pub(crate) fn parents(&self) -> usize {
        self.parents
    }

    /// A voter that half of the voters went on without by itself, although it had not left in order, and nobody answers for
    /// it: nothing but being switched off would prove that it holds nothing (SAFETY rule 17 d).
    pub(crate) fn gone_on_without(&self) -> Option<&NodeName> {
        let changes = || self.history.values().map(|happened| &happened.what);
        let has_left = |of: &Without| {
            let left = |what: &What| match what {
                What::Changed(Change::Leave { node, session }) => *node == of.node && session.boot == of.boot,
                What::Changed(Change::ConfirmOff { node, boot, .. }) => *node == of.node && *boot == of.boot,
                _ => false,
            };
            changes().any(left)
        };
        let forced = changes().filter_map(|what| match what {
            What::Changed(Change::Force(forced)) if forced.who.is_none() && !forced.by_tie_break => {
                Some(forced)
            }
            _ => None,
        });
        forced.flat_map(|forced| &forced.without).find(|of| !has_left(of)).map(|of| &of.node)
    }

    /// No device is told to switch off a node whose leave in order was agreed on, before it takes part again or a person
    /// orders it (SAFETY rule 21). Who is gone and of whom that was not agreed on is lost, and may be told.
    pub(crate) fn on_told(&self, at: Nanos, by: &NodeName, node: &NodeName) -> Result<(), Broken> {
        let left = |happened: &Happened| match &happened.what {
            What::Changed(Change::Leave { node: of, .. }) if of == node => Some(true),
            What::Changed(Change::Admit { node: of, .. } | Change::OrderOff { node: of, .. })
                if of == node =>
            {
                Some(false)
            }
            _ => None,
        };
        if self.history.values().rev().find_map(left) == Some(true) {
            let what = format!("{by} has {node} switched off, which left in order");
            return Err(Broken { at, what });
        }
        Ok(())
    }

    /// An epoch is given once.
    fn on_grants(&mut self, at: Nanos, machine: &Machine) -> Result<(), Broken> {
        let Some(core) = &machine.core else { return Ok(()) };
        for (resource, ledger) in &core.ledger().resources {
            let Some(grant) = &ledger.grant else { continue };
            let holder = (grant.node.clone(), grant.session);
            let given = self.given.entry((resource.clone(), grant.epoch)).or_insert_with(|| holder.clone());
            if *given != holder {
                let what =
                    format!("epoch {} of {resource} was given to {} and {}", grant.epoch, given.0, holder.0);
                return Err(Broken { at, what });
            }
        }
        Ok(())
    }

    /// Nothing starts without a grant, nor while the lease of whoever had it last still runs.
    pub(crate) fn on_start(
        &mut self,
        at: Nanos,
        place: usize,
        order: &Order,
        machines: &[Machine],
        timing: &Timing,
    ) -> Result<(), Broken> {
        let (resource, name) = (&order.resource, &machines[place].name);
        let broken = |what: String| Err(Broken { at, what });
        let given = self.given.get(&(resource.clone(), order.epoch));
        if given.is_none_or(|(node, session)| node != name || *session != order.session) {
            return broken(format!("{name} starts {resource} in epoch {} without a grant", order.epoch));
        }
        let misled = |machine: &Machine| machine.guard(resource) == Guard::Lease && machine.may_be_misled(at);
        let older = self.last.get(resource).is_some_and(|last| last.epoch > order.epoch);
        if older && misled(&machines[place]) {
            return Ok(());
        }
        let now = Started { place, boots: machines[place].boots, session: order.session, epoch: order.epoch };
        let Some(last) = self.last.insert(resource.clone(), now) else { return Ok(()) };
        if last.epoch > order.epoch {
            return broken(format!("{name} starts {resource} in epoch {} after {}", order.epoch, last.epoch));
        }
        let holder = &machines[last.place];
        let same_boot = holder.boots == last.boots;
        let same_session = same_boot && holder.board.session() == last.session;
        let holds = same_session
            && holder.power == Power::On
            && holder.guard(resource) == Guard::Lease
            && holder.inventory(resource).closed < last.epoch;
        let still_runs = same_boot
            && holder.power == Power::On
            && holder.guard(resource) == Guard::Fence
            && !holder.shut_out
            && holder.inventory(resource).closed < last.epoch;
        if last.place != place && still_runs {
            let what = format!("{name} starts {resource} before {} is off or shut out", holder.name);
            return broken(what);
        }
        // A right that ends now still needs the time to let go.
        let until = holder.board.lease_until().after(timing.let_go);
        if last.place != place && holds && !misled(holder) && !holder.now(at).may_have_reached(until) {
            return broken(format!("{name} starts {resource} while the lease of {} still runs", holder.name));
        }
        Ok(())
    }

    /// A machine lost its memory: it reads its log anew.
    pub(crate) fn on_boot(&mut self, machine: &NodeName) {
        self.read_up_to.remove(machine);
    }

    /// At most one machine answers for a resource at this instant, and epochs never go back: but for what a lease guards
    /// on a machine that was paused with its clocks, until somebody answers it or its lease is over by them.
    pub(crate) fn on_kernel(
        &mut self,
        at: Nanos,
        resource: &ResourceName,
        machines: &[Machine],
    ) -> Result<(), Broken> {
        let owners: Vec<(&NodeName, Epoch)> = machines
            .iter()
            .filter(|machine| !(machine.guard(resource) == Guard::Lease && machine.may_be_misled(at)))
            .filter_map(|machine| Some((&machine.name, machine.owns(resource, at)?)))
            .collect();
        if owners.len() > 1 {
            let all: Vec<String> =
                owners.iter().map(|(name, epoch)| format!("{name} (epoch {epoch})")).collect();
            return Err(Broken { at, what: format!("{resource} has two owners: {}", all.join(" and ")) });
        }
        if let Some(&(name, epoch)) = owners.first() {
            let newest = self.newest.entry(resource.clone()).or_default();
            if epoch < *newest {
                let what = format!(
                    "{name} owns {resource} in epoch {epoch}, but epoch {newest} was started already"
                );
                return Err(Broken { at, what });
            }
            *newest = epoch;
        }
        Ok(())
    }
}

/// Who counts as off is off, in that life of it: whether a device says so, the time that a watchdog takes, or a person
/// (SAFETY rule 11). Who was only silent, or is shut out, may run.
fn on_proofs(at: Nanos, ledger: &Ledger, machines: &[Machine]) -> Result<(), Broken> {
    for machine in machines.iter().filter(|machine| machine.power == Power::On) {
        let Some(known) = ledger.nodes.get(&machine.name) else { continue };
        if known.fence.off == Some(machine.board.boot()) && !known.fence.is_silent {
            return Err(Broken { at, what: format!("{} counts as off, and is on", machine.name) });
        }
    }
    Ok(())
}

/// A device hits only a machine that holds nothing which was granted to the life it hits and that is still its
/// own: a right is taken from a node before anybody may switch it off, or shut it out (SAFETY rule 12).
pub(crate) fn on_shot(
    claims: &Claims,
    at: Nanos,
    target: usize,
    how: &str,
    machines: &[Machine],
) -> Result<(), Broken> {
    let shot = &machines[target];
    let ledgers = machines.iter().filter_map(|machine| machine.core.as_ref()).map(Core::ledger);
    // What a history says that was gone on from does not count.
    let ledgers = ledgers.filter(|ledger| ledger.parents.len() == claims.parents);
    let Some(newest) = ledgers.max_by_key(|ledger| ledger.timeline.back().map(|last| last.index)) else {
        return Ok(());
    };
    let session = newest.nodes.get(&shot.name).and_then(|node| node.session);
    // The one vote that knew of it may have lost power since.
    let was_taken = claims.history.values().any(|happened| {
        matches!(&happened.what, What::Changed(Change::TakeOver { node, session: taken, .. })
            if *node == shot.name && Some(*taken) == session)
    });
    match session {
        Some(_) if was_taken => Ok(()),
        Some(session) if shot.power == Power::On && session.boot == shot.board.session().boot => {
            let what = format!("{} is {how} while it takes part in session {session}", shot.name);
            Err(Broken { at, what })
        }
        _ => Ok(()),
    }
}

/// No watchdog is left alone, and no core killed, on a machine that a majority vouches for and whose core gets on: only
/// who has no lease, or gets nowhere, may be reset by its own guardian.
pub(crate) fn on_feeding(
    at: Nanos,
    machine: &Machine,
    feeding: &Feeding,
    may_feed: bool,
) -> Result<(), Broken> {
    let (name, of_file) = (&machine.name, machine.timing.lost_after);
    let lost_after = machine.board.agreed_lost_after().unwrap_or(of_file).min(of_file);
    let timing = Timing { lost_after, ..machine.timing };
    // By the machine's own clocks, of which one may be as fast as they come.
    let patience = timing.watchdog_patience().as_nanos() as Nanos / 100 * 98;
    let gets_on = at - machine.core_stepped < patience;
    let withheld = feeding.withheld;
    let what = if (withheld == Some(Withheld::NotLetGo) || !may_feed) && machine.has_lease(at) {
        format!("{name} does not feed its watchdog, although it has a lease")
    } else if withheld == Some(Withheld::NoProgress) && gets_on {
        format!("{name} does not feed its watchdog, although its core gets on")
    } else if feeding.restart_core && gets_on {
        format!("the guardian of {name} kills a core that gets on")
    } else {
        return Ok(());
    };
    Err(Broken { at, what })
}

/// A device that half of the voters had told hits nobody who takes part with a quorum: while it may act, that half
/// agrees to nothing.
pub(crate) fn on_shot_by_half(at: Nanos, target: usize, machines: &[Machine]) -> Result<(), Broken> {
    let shot = &machines[target];
    let backed = |machine: &&Machine| {
        let is_awake = machine.core_stalled_until <= at && machine.frozen_until <= at;
        let leads = machine.power == Power::On && machine.board.leading().is_some() && is_awake;
        // Who was paused believes in what it was promised before that.
        let is_over = machine.now(at).has_surely_reached(machine.board.backed_until());
        leads && !is_over && !machine.may_be_misled(at)
    };
    for leader in machines.iter().filter(backed) {
        let known = leader.core.as_ref().and_then(|core| core.ledger().nodes.get(&shot.name)?.session);
        if shot.power == Power::On && known == Some(shot.board.session()) {
            let what =
                format!("{} is switched off by half of the voters, and {} leads", shot.name, leader.name);
            return Err(Broken { at, what });
        }
    }
    Ok(())
}
