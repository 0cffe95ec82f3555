//! What comes of what happens.

use heart_node::half::Turn;

use crate::{
    act::Act,
    bounds::{Guard, Node, PLACES, Rule, Setup},
    log::{Change, Entry, Forced},
    world::{By, Going, Machine, Order, Standing, Swap, World, ledger_of, members},
};

/// What a node forgets with its boot, and with its log.
fn forget(machine: &mut Machine) {
    (machine.leads, machine.matched) = (false, 0);
    (machine.held_for, machine.holds, machine.off, machine.refused) = (0, 0, 0, 0);
    (machine.gave, machine.going, machine.known) = (0, None, None);
    (machine.claim, machine.outdated) = (None, Vec::new());
}

impl World {
    /// The world after that.
    #[must_use]
    pub fn after(&self, setup: &Setup, act: Act) -> World {
        let mut world = self.clone();
        world.happen(setup, act);
        world.come_to_rest(setup);
        world
    }

    fn happen(&mut self, setup: &Setup, act: Act) {
        match act {
            Act::PowerCut(node) => {
                self.left.power_cuts = self.left.power_cuts.saturating_sub(1);
                self.switch_off(setup, node);
            }
            Act::Boot(node) => self.boot(node),
            Act::LoseDisk(node) => {
                self.left.disks -= 1;
                self.lose_log(node);
            }
            Act::LayDown(node) => self.lay_down(node),
            Act::LaidDown(node) => self.machines[node].laid_down = None,
            Act::Cables(cut) => {
                self.left.cuts = self.left.cuts.saturating_sub(1);
                self.cut = cut;
            }
            Act::StepDown(node) => (self.machines[node].leads, self.machines[node].known) = (false, None),
            Act::Elect(node) => self.elect(setup, node),
            Act::Propose(node, change) => self.propose(node, change),
            Act::Append(node, other) => self.append(node, other),
            Act::Commit(node) => {
                self.machines[node].commit = self.machines[node].log.len() as u8;
                self.agree(node);
            }
            Act::TakeIn(node, other) => self.take_in(node, other),
            Act::FallBehind(node) => self.lose_log(node),
            Act::Start(node) => self.machines[node].runs = true,
            Act::PromiseOver(voter, node) => self.promised[node] &= !(1 << voter),
            of_half => self.happen_to_half(setup, of_half),
        }
    }

    /// What half of the voters does, and devices and tie-breaks do to it.
    fn happen_to_half(&mut self, setup: &Setup, act: Act) {
        match act {
            Act::Fire(node, other) => {
                self.machines[node].used_right = true;
                self.tell(setup, node, other, true);
            }
            Act::Tell(node, other) => self.tell(setup, node, other, false),
            Act::KeepStill(node, other) => {
                self.machines[node].holds |= 1 << other;
                self.machines[other].held_for |= 1 << node;
            }
            Act::HoldOver(node, of) => {
                self.machines[node].held_for &= !(1 << of);
                self.machines[of].holds &= !(1 << node);
            }
            Act::DeviceActs(node) => self.device_acts(setup, node),
            Act::ReadBack(node) => self.read_back(node, true),
            Act::Lies(node) => {
                self.left.lies -= 1;
                self.read_back(node, true);
            }
            Act::Refuses(node) => {
                self.left.refusals -= 1;
                self.read_back(node, false);
            }
            Act::DeviceOver(node) => self.orders[node] = None,
            Act::GoOn(node, by) => self.go_on(setup, node, by),
            Act::WrongWord(node) => {
                self.left.wrong_words -= 1;
                self.go_on(setup, node, By::Word);
            }
            Act::StandBack(node, other) => {
                self.lose_log(other);
                self.take_vote(node, other);
            }
            Act::Force(node) => self.force(setup, node),
            Act::Look(node) => self.machines[node].known = self.standing,
            Act::Claim(node) => self.make_claim(setup, node),
            Act::ClaimOnceMore(node) => {
                self.outdate(node);
                let going = self.machines[node].going.as_mut();
                going.into_iter().for_each(|going| going.claimed_anew = true);
            }
            Act::GiveBack(node, standing) => {
                self.outdate(node);
                self.ask(node, standing);
            }
            Act::SetStanding(node, standing) => self.ask(node, standing),
            Act::Land(node) => self.land(setup, node),
            // These happen to single machines, and to a majority: see `happen`.
            Act::PowerCut(_)
            | Act::Boot(_)
            | Act::LoseDisk(_)
            | Act::LayDown(_)
            | Act::LaidDown(_)
            | Act::Cables(_)
            | Act::StepDown(_)
            | Act::Elect(_)
            | Act::Propose(..)
            | Act::Append(..)
            | Act::Commit(_)
            | Act::TakeIn(..)
            | Act::FallBehind(_)
            | Act::Start(_)
            | Act::PromiseOver(..) => {}
        }
    }

    /// A node gave up its vote for one that goes on.
    fn take_vote(&mut self, node: Node, other: Node) {
        let machine = &mut self.machines[node];
        if let Some(going) = &mut machine.going {
            going.stood_back |= 1 << other;
            machine.gave |= 1 << other & !going.lost;
        }
    }

    fn switch_off(&mut self, setup: &Setup, node: Node) {
        // Who still waited for the other half has told no device yet.
        let waited = self.orders[node].filter(|order| self.lets_go_first(setup, node, order));
        self.orders[node].take_if(|_| waited.is_some());
        // What it promised is forgotten, and it is soon noticed that it is gone.
        for machine in &mut self.machines {
            machine.holds &= !(1 << node);
            machine.gave &= !(1 << node);
        }
        for order in self.orders.iter_mut().flatten() {
            order.known_to &= !(1 << node);
        }
        let machine = &mut self.machines[node];
        (machine.on, machine.runs, machine.used_right) = (false, false, false);
        forget(machine);
    }

    fn boot(&mut self, node: Node) {
        self.left.boots -= 1;
        // Who was started counts as having promised everybody.
        let promised = self.promised;
        let machine = &mut self.machines[node];
        (machine.on, machine.boot, machine.took_on) = (true, machine.boot + 1, promised);
        if let Some((log, commit)) = machine.laid_down.take() {
            (machine.log, machine.commit, machine.lost) = (log, commit, false);
        }
    }

    fn lay_down(&mut self, node: Node) {
        self.left.stalls -= 1;
        let kept = (self.machines[node].log.clone(), self.machines[node].commit);
        self.lose_log(node);
        let machine = &mut self.machines[node];
        (machine.laid_down, machine.runs) = (Some(kept), false);
    }

    fn lose_log(&mut self, node: Node) {
        let machine = &mut self.machines[node];
        machine.log.clear();
        (machine.commit, machine.lost) = (0, true);
        forget(machine);
    }

    fn elect(&mut self, setup: &Setup, node: Node) {
        self.left.elections -= 1;
        let voters = self.votes_for(setup, node, &self.ledger(setup, node));
        let term = members(voters).map(|voter| self.machines[voter].term).max().unwrap_or(0) + 1;
        for voter in members(voters) {
            let machine = &mut self.machines[voter];
            (machine.term, machine.leads) = (term, false);
        }
        let machine = &mut self.machines[node];
        (machine.leads, machine.known) = (true, None);
        let own = self.machines[node].log.clone();
        self.wrongs.lost_entries |= !own.starts_with(&self.history);
        self.propose(node, Change::Elected(node as u8));
    }

    fn propose(&mut self, node: Node, change: Change) {
        match change {
            Change::Voters(_) => self.left.changes -= 1,
            Change::Grant(..) => self.left.grants -= 1,
            Change::Right(..) => self.machines[node].used_right = false,
            _ => {}
        }
        let machine = &mut self.machines[node];
        machine.log.push(Entry { term: machine.term, change });
        machine.matched = 1 << node;
    }

    fn append(&mut self, node: Node, other: Node) {
        let leader = self.machines[node].clone();
        let machine = &mut self.machines[other];
        let agreed = &machine.log[..usize::from(machine.commit)];
        self.wrongs.forked |= !leader.log.starts_with(agreed);
        machine.commit = machine.commit.max(leader.commit);
        (machine.log, machine.term, machine.leads) = (leader.log, leader.term, false);
        self.machines[node].matched |= 1 << other;
    }

    /// What this node counts as agreed on belongs to the one line of what was ever agreed on.
    fn agree(&mut self, node: Node) {
        let machine = &self.machines[node];
        let agreed = &machine.log[..usize::from(machine.commit)];
        if agreed.starts_with(&self.history) {
            self.history = agreed.to_vec();
        } else if !self.history.starts_with(agreed) {
            self.wrongs.forked = true;
        }
    }

    fn take_in(&mut self, node: Node, other: Node) {
        self.incarnations[other] += 1;
        let (leader, incarnation) = (self.machines[node].clone(), self.incarnations[other]);
        let machine = &mut self.machines[other];
        machine.log = leader.log;
        (machine.commit, machine.term) = (leader.commit, leader.term);
        (machine.lost, machine.laid_down, machine.incarnation) = (false, None, incarnation);
        self.machines[node].matched |= 1 << other;
    }

    fn tell(&mut self, setup: &Setup, node: Node, other: Node, right: bool) {
        self.left.fires -= 1;
        if !right {
            self.note_fresh(setup, node);
        }
        self.orders[node] = Some(Order {
            node: other as u8,
            boot: self.ledger(setup, node).last[other],
            by_boot: self.machines[node].boot,
            right,
            turn: if right { Turn::First } else { self.turn(setup, node) },
            length: self.machines[other].log.len().max(self.history.len()) as u8,
            known_to: 1 << node | self.machines[node].holds,
            known: 1 << node | self.machines[node].holds,
            acted: false,
        });
    }

    /// A boot that never took part neither fires nor goes on.
    fn note_fresh(&mut self, setup: &Setup, node: Node) {
        let boot = self.machines[node].boot;
        let first = boot == 1 && setup.voters & 1 << node != 0;
        let admitted = Change::Admit(node as u8, boot);
        let took_part = first || self.machines[node].log.iter().any(|entry| entry.change == admitted);
        self.wrongs.fresh_fired |= !took_part;
    }

    fn device_acts(&mut self, setup: &Setup, node: Node) {
        let Some(order) = self.orders[node] else { return };
        let other = usize::from(order.node);
        let theirs = &self.machines[other];
        let shot = (node as u8, order.by_boot, order.node, theirs.boot);
        let back = (shot.2, shot.3, shot.0, shot.1);
        self.wrongs.mutual |= !order.right && self.shots.contains(&back);
        // Who told it, or kept still for it, and lost power, knows nothing of it any more (decision 12, what remains).
        if order.known_to == order.known {
            let agreed = ledger_of(setup, &self.history);
            self.wrongs.hit |= match order.right {
                true => agreed.session[other] == theirs.boot,
                false => theirs.commit > order.length && agreed.session[other] == theirs.boot,
            };
        }
        if !order.right {
            self.shots.push(shot);
            self.shots.sort_unstable();
        }
        self.switch_off(setup, other);
        self.orders[node] = Some(Order { acted: true, ..order });
    }

    fn read_back(&mut self, node: Node, off: bool) {
        let Some(order) = self.orders[node].take() else { return };
        if order.right {
            return self.propose(node, Change::Fenced(order.node, off));
        }
        let machine = &mut self.machines[node];
        let set = if off { &mut machine.off } else { &mut machine.refused };
        *set |= 1 << order.node;
    }

    /// Takes a number for the history that this node goes on with: none is given twice.
    fn begin_era(&mut self, setup: &Setup, node: Node) -> u8 {
        self.parents.push(self.ledger(setup, node).era);
        (self.parents.len() - 1) as u8
    }

    /// What this half claimed is worth nothing any more but another claim in its place.
    fn outdate(&mut self, node: Node) {
        let machine = &mut self.machines[node];
        machine.outdated.splice(0..0, machine.claim.take());
    }

    fn go_on(&mut self, setup: &Setup, node: Node, by: By) {
        let Some((here, lost, missing)) = self.halves(setup, node) else { return };
        if by == By::Word {
            self.left.words -= 1;
        } else if missing != 0 {
            self.note_fresh(setup, node);
        }
        let claimed = self.machines[node].claim.filter(|_| by == By::TieBreak);
        let era = claimed.map_or_else(|| self.begin_era(setup, node), |claim| claim.era);
        let others = (here | lost) & !(1 << node);
        self.machines[node].going =
            Some(Going { by, era, others, lost, missing, stood_back: 0, claimed_anew: false });
    }

    fn force(&mut self, setup: &Setup, node: Node) {
        let Some(going) = self.machines[node].going.take() else { return };
        self.left.forces -= 1;
        let era = self.machines[node]
            .claim
            .filter(|_| going.by == By::TieBreak)
            .map_or(going.era, |claim| claim.era);
        let before = self.appended(setup, node);
        let of = |other: Node| if going.missing & 1 << other != 0 { before.last[other] } else { 0 };
        let forced = Forced {
            era,
            parent: before.era,
            node: node as u8,
            incarnation: self.machines[node].incarnation,
            without: core::array::from_fn::<u8, PLACES, _>(of),
            by_tie_break: going.by == By::TieBreak,
            by_word: going.by == By::Word,
        };
        let alone = before.voting().count() == 2;
        let machine = &mut self.machines[node];
        machine.term += 1;
        machine.log.push(Entry { term: machine.term, change: Change::Force(forced) });
        machine.commit = machine.log.len() as u8;
        (machine.off, machine.held_for) = (0, 0);
        if !alone && setup.obeys(Rule::TakePromisesOn) {
            machine.took_on = self.promised;
            // What it takes on, it promises itself.
            for of in &mut self.promised {
                *of |= u8::from(*of != 0) << node;
            }
        }
        match going.by {
            // What a person decides is not held against anybody.
            By::Word if before.voting().count() != 2 => self.history = self.machines[node].log.clone(),
            _ => {
                self.wrongs.lost_entries |= !self.machines[node].log.starts_with(&self.history);
                self.agree(node);
            }
        }
    }

    fn make_claim(&mut self, setup: &Setup, node: Node) {
        let claim = self.claim_of(setup, node);
        if usize::from(claim.era) == self.parents.len() {
            self.begin_era(setup, node);
        }
        self.machines[node].claim = Some(claim);
        self.ask(node, claim);
    }

    fn ask(&mut self, node: Node, set: Standing) {
        let machine = &self.machines[node];
        let Some(instead_of) = machine.known else { return };
        self.left.swaps -= 1;
        self.swaps[node] = Some(Swap { instead_of, set, boot: machine.boot });
    }

    fn land(&mut self, setup: &Setup, node: Node) {
        let Some(swap) = self.swaps[node].take() else { return };
        if self.standing == Some(swap.instead_of) || !setup.obeys(Rule::CompareAndSwap) {
            self.standing = Some(swap.set);
        }
        let machine = &mut self.machines[node];
        if machine.on && machine.boot == swap.boot {
            machine.known = self.standing;
        }
    }

    /// What follows at once, without anybody's doing.
    pub(crate) fn come_to_rest(&mut self, setup: &Setup) {
        self.promise(setup);
        for node in 0..self.machines.len() {
            if self.machines[node].runs && self.has_to_let_go(setup, node) {
                self.machines[node].runs = false;
            }
            if !matches!(self.may_go_on(setup, node), Some(Ok(()))) {
                (self.machines[node].off, self.machines[node].refused) = (0, 0);
            }
            if self.machines[node].leads || self.hears_leader(setup, node) {
                self.machines[node].gave = 0;
            }
            if self.halves(setup, node).is_none() {
                if setup.obeys(Rule::ClaimsEnd) {
                    self.outdate(node);
                }
                let machine = &mut self.machines[node];
                machine.known.take_if(|_| !machine.leads);
            }
            let is_over = |going: &mut Going| {
                let all = going.others | going.missing | 1 << node;
                let known = self.machines[node].known.filter(|_| going.claimed_anew);
                let sides =
                    |known| known == self.claim_of(setup, node) || self.may_claim(setup, node, known, all);
                if known.is_some_and(|known| !sides(known)) {
                    return true;
                }
                let heard = |set: u8| members(set).filter(|&other| self.hears(node, other)).count();
                let needed = going.others & !going.stood_back;
                self.hears_leader(setup, node)
                    || heard(needed) != needed.count_ones() as usize
                    || (going.by == By::Word && heard(going.missing) > 0)
            };
            let mut going = self.machines[node].going;
            going.take_if(is_over);
            self.machines[node].going = going;
        }
    }

    fn promise(&mut self, setup: &Setup) {
        if setup.guard == Guard::Fence {
            return;
        }
        for node in 0..self.machines.len() {
            let ledger = self.ledger(setup, node);
            let holds =
                self.machines[node].runs || ledger.grant.is_some_and(|(by, _)| usize::from(by) == node);
            if !(holds && self.machines[node].on) {
                continue;
            }
            for voter in 0..self.machines.len() {
                if self.promises(setup, voter, node) {
                    self.promised[node] |= 1 << voter;
                    // A promise that is newer than what was taken on is none of it.
                    self.machines.iter_mut().for_each(|machine| machine.took_on[node] &= !(1 << voter));
                }
            }
        }
        for machine in &mut self.machines {
            for (took_on, promised) in machine.took_on.iter_mut().zip(self.promised) {
                *took_on &= promised;
            }
        }
    }

    /// Whether who runs the resource lets it go: it knows that it was taken over, or its lease is over.
    fn has_to_let_go(&self, setup: &Setup, node: Node) -> bool {
        let boot = self.machines[node].boot;
        let tells = |other: Node| {
            let ledger = self.appended(setup, other);
            !self.machines[other].lost && ledger.session[node] == 0 && ledger.last[node] == boot
        };
        let told = (0..self.machines.len()).any(|other| self.hears(node, other) && tells(other));
        told || (setup.guard == Guard::Lease && !self.has_lease(setup, node))
    }
}
