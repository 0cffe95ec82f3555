//! What half of the voters can do, by the rules of the code.

use heart_node::half::{self, Asked, Next, Turn};

use crate::{
    act::Act,
    bounds::{Node, Rule, Setup},
    log::{Change, Ledger},
    world::{By, Standing, World, members},
};

impl World {
    pub(crate) fn acts_of_half(&self, setup: &Setup, node: Node, acts: &mut Vec<Act>) {
        let machine = &self.machines[node];
        if machine.held_for != 0 {
            let over = |of: &Node| self.orders[*of].is_none() && self.machines[*of].going.is_none();
            acts.extend(members(machine.held_for).filter(over).map(|of| Act::HoldOver(node, of)));
        }
        if machine.going.is_some() {
            return self.acts_of_going(setup, node, acts);
        }
        let Some((here, _, missing)) = self.halves(setup, node) else { return };
        let ledger = self.ledger(setup, node);
        if self.left.words > 0 && !self.is_at_work(node) && self.may_be_told(node, here) {
            let off = members(missing).all(|other| !self.machines[other].on);
            acts.extend(off.then_some(Act::GoOn(node, By::Word)));
            acts.extend((!off && self.left.wrong_words > 0).then_some(Act::WrongWord(node)));
        }
        self.acts_of_claimer(setup, node, here, acts);
        if self.may_go_on(setup, node) != Some(Ok(())) {
            return;
        }
        let is_gone = |other: Node| ledger.session[other] == 0 && ledger.off[other] == ledger.last[other];
        let off = |other: Node| machine.off & 1 << other != 0 || is_gone(other);
        let all_off = members(missing).all(off) || !setup.obeys(Rule::Proof);
        match half::next(setup.tie_break, all_off, self.is_at_work(node)) {
            Next::AskTieBreak => self.acts_towards_tie_break(setup, node, (here | missing, acts)),
            Next::GoOn => acts.extend((self.left.forces > 0).then_some(Act::GoOn(node, By::Proof))),
            Next::Wait => {}
            Next::Fire => {
                // Who gave up its vote agrees to nothing as it is.
                let others = members(here & !(1 << node)).filter(|&other| !self.machines[other].lost);
                let others = others.fold(0, |set, other| set | 1 << other);
                let asks =
                    members(others & !machine.holds).filter(|&other| self.keeps_still(setup, other, node));
                acts.extend(asks.map(|other| Act::KeepStill(node, other)));
                let all = others & !machine.holds == 0 || !setup.obeys(Rule::KeepStill);
                let may = all && setup.devices && self.left.fires > 0 && self.orders[node].is_none();
                let targets = members(missing).filter(|&other| !off(other) && ledger.last[other] > 0);
                acts.extend(targets.filter(|_| may).map(|other| Act::Tell(node, other)));
            }
        }
    }

    /// Whether a person is listened to by this node (and not by another one with the better log).
    fn may_be_told(&self, node: Node, here: u8) -> bool {
        !self.has_better(node, here) && self.left.forces > 0
    }

    /// Whether a node agrees to nothing while another one has devices told.
    pub(crate) fn keeps_still(&self, setup: &Setup, node: Node, asker: Node) -> bool {
        let same = self.ledger(setup, node).era == self.ledger(setup, asker).era;
        self.machines[node].going.is_none() && half::may_keep_still(same, self.may_go_on(setup, node))
    }

    fn acts_of_going(&self, setup: &Setup, node: Node, acts: &mut Vec<Act>) {
        let machine = &self.machines[node];
        let Some(going) = machine.going else { return };
        let suspended = self.halves(setup, node).is_none();
        for other in members(going.others & !going.stood_back).filter(|_| !suspended) {
            let theirs = &self.machines[other];
            let era = |node| self.ledger(setup, node).era;
            let asked = Asked {
                has_log: !theirs.lost,
                as_lost: (going.lost | machine.gave) & 1 << other != 0,
                by_word: going.by == By::Word,
                asker_has_more: self.last_entry(node) >= self.last_entry(other)
                    || !setup.obeys(Rule::BestLog),
                same_era: era(node) == era(other),
                without_quorum: self.halves(setup, other).is_some(),
                keeps_still: self.keeps_still(setup, other, node),
            };
            if theirs.going.is_none() && half::may_stand_back(asked) {
                acts.push(Act::StandBack(node, other));
            }
        }
        let all = going.others & !going.stood_back == 0 || !setup.obeys(Rule::StandBack);
        let rest = &machine.log[usize::from(machine.commit)..];
        let changes = rest.iter().any(|entry| matches!(entry.change, Change::Voters(_)));
        let by_tie_break = going.by == By::TieBreak;
        let needs_claim = by_tie_break && going.others != 0 && setup.obeys(Rule::ClaimOnceMore);
        if all && needs_claim && !going.claimed_anew {
            acts.push(Act::ClaimOnceMore(node));
        } else if all && needs_claim {
            let everybody = going.others | going.missing | 1 << node;
            self.acts_towards_tie_break(setup, node, (everybody, acts));
        }
        let claimed =
            !needs_claim || (going.claimed_anew && machine.known == machine.claim && machine.claim.is_some());
        let may = half::may_force(all, by_tie_break, claimed);
        if may && (!changes || !setup.obeys(Rule::Settled)) && self.left.forces > 0 {
            acts.push(Act::Force(node));
        }
    }

    fn acts_towards_tie_break(&self, setup: &Setup, node: Node, (all, acts): (u8, &mut Vec<Act>)) {
        let machine = &self.machines[node];
        let Some(known) = machine.known else {
            acts.extend(self.swaps[node].is_none().then_some(Act::Look(node)));
            return;
        };
        let claim = self.claim_of(setup, node);
        if known == claim {
            let begins = machine.going.is_none() && self.left.forces > 0;
            return acts.extend(begins.then_some(Act::GoOn(node, By::TieBreak)));
        }
        if self.may_claim(setup, node, known, all) && self.swaps[node].is_none() && self.left.swaps > 0 {
            acts.push(Act::Claim(node));
        }
    }

    /// Who has others in its half gives its claim back when one of these turns out to have the better log; here at any
    /// time, as nobody knows at once what others have.
    fn acts_of_claimer(&self, setup: &Setup, node: Node, here: u8, acts: &mut Vec<Act>) {
        let (machine, ledger) = (&self.machines[node], self.ledger(setup, node));
        let own = |known: &Standing| machine.claim == Some(*known) || machine.outdated.contains(known);
        let stands = machine
            .known
            .filter(own)
            .filter(|known| known.parent == Some(ledger.era) && known.configuration == ledger.configuration);
        let may = self.swaps[node].is_none() && self.left.swaps > 0 && here.count_ones() > 1;
        if stands.is_some() && may {
            let named = ledger.voting().fold(0u8, |set, voter| set | 1 << voter);
            acts.push(Act::GiveBack(
                node,
                Standing {
                    era: ledger.era,
                    parent: self.parent_of(ledger.era),
                    term: machine.term,
                    configuration: ledger.configuration,
                    named,
                },
            ));
        }
    }

    /// Whether a half may ask for its claim in place of what stands there.
    pub(crate) fn may_claim(&self, setup: &Setup, node: Node, known: Standing, all: u8) -> bool {
        let ledger = self.ledger(setup, node);
        let same = known.configuration == ledger.configuration;
        let is_outdated = self.machines[node].outdated.contains(&known) && known.parent == Some(ledger.era);
        half::is_named(known.era == ledger.era, same, known.named == all) || (same && is_outdated)
    }

    /// What a half wants to stand in the tie-break; the same as long as it goes by the same history.
    pub(crate) fn claim_of(&self, setup: &Setup, node: Node) -> Standing {
        let (machine, ledger) = (&self.machines[node], self.ledger(setup, node));
        let new = Standing {
            era: self.parents.len() as u8,
            parent: Some(ledger.era),
            term: machine.term,
            configuration: ledger.configuration,
            named: 0,
        };
        machine.claim.filter(|claim| claim.parent == Some(ledger.era)).unwrap_or(new)
    }

    /// Whether another half still has its chance to go before this one, whose turn is `turn`: a voter of it may go on
    /// and its devices have not proven nothing yet, or were told already.
    pub(crate) fn goes_before(&self, setup: &Setup, turn: Turn, node: Node) -> bool {
        let halves = self.halves(setup, node);
        let (here, missing) = halves.map_or((1 << node, 0), |(here, _, missing)| (here, missing));
        let own = here | self.machines[node].holds;
        (0..self.machines.len()).filter(|&other| own & 1 << other == 0).any(|other| {
            let theirs = &self.machines[other];
            let told = self.orders[other].is_some_and(|order| {
                let at_us = own & 1 << order.node != 0;
                at_us && order.by_boot == theirs.boot && !order.acted && order.turn < turn
            });
            let may = missing & 1 << other != 0
                && theirs.on
                && own & !theirs.refused != 0
                && self.may_go_on(setup, other) == Some(Ok(()))
                && self.turn(setup, other) < turn;
            told || may
        })
    }

    /// When this half has the other one switched off.
    pub(crate) fn turn(&self, setup: &Setup, node: Node) -> Turn {
        let Some((here, _, missing)) = self.halves(setup, node) else { return Turn::Last };
        let by = |ledger: &Ledger| {
            let held = |set: u8| usize::from(ledger.grant.is_some_and(|(holder, _)| set & 1 << holder != 0));
            half::turn(held(here), held(missing), here.trailing_zeros() < missing.trailing_zeros())
        };
        let known = by(&self.ledger(setup, node));
        if setup.obeys(Rule::WholeLog) { known.max(by(&self.appended(setup, node))) } else { known }
    }
}
