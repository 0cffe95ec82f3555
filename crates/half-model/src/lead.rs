//! What a leader can do.

use heart_model::voters_left;
use heart_node::half;

use crate::{
    act::Act,
    bounds::{Node, PLACES, Rule, Setup},
    log::{Change, Ledger},
    world::{Standing, World},
};

impl World {
    pub(crate) fn acts_of_leader(&self, setup: &Setup, node: Node, acts: &mut Vec<Act>) {
        let (machine, ledger) = (&self.machines[node], self.ledger(setup, node));
        let backed = self.is_backed(setup, node);
        if !backed {
            acts.push(Act::StepDown(node));
        }
        let length = machine.log.len() as u8;
        if machine.commit < length {
            let own = machine.log.last().is_some_and(|entry| entry.term == machine.term);
            let have = ledger.voting().filter(|voter| machine.matched & 1 << voter != 0).count();
            if own && have >= ledger.quorum() {
                acts.push(Act::Commit(node));
            }
        }
        // Its authority ends before anybody counts it as lost (rules 1 and 14): what it does in between, it could have
        // done before.
        if !backed {
            return;
        }
        for other in (0..self.machines.len()).filter(|&other| other != node && self.hears(node, other)) {
            self.acts_towards(setup, node, other, acts);
        }
        // One entry at a time is under way.
        if machine.commit == length {
            self.proposals(setup, node, &ledger, acts);
        }
    }

    fn acts_towards(&self, setup: &Setup, node: Node, other: Node, acts: &mut Vec<Act>) {
        let (machine, theirs) = (&self.machines[node], &self.machines[other]);
        if theirs.lost {
            let member = self.appended(setup, node).voters[other];
            let waits = machine.commit as usize == machine.log.len();
            if setup.configured & 1 << other != 0 && waits && member <= theirs.incarnation {
                acts.push(Act::TakeIn(node, other));
            }
            return;
        }
        let follows = theirs.term <= machine.term
            && self.obeys(setup, other, node)
            && self.obeys(setup, node, other)
            && !self.is_at_work(other)
            && !(theirs.leads && theirs.term == machine.term);
        let new = theirs.log != machine.log
            || theirs.commit < machine.commit
            || machine.matched & 1 << other == 0
            || theirs.term < machine.term;
        if follows && new {
            acts.push(Act::Append(node, other));
        }
    }

    fn proposals(&self, setup: &Setup, node: Node, ledger: &Ledger, acts: &mut Vec<Act>) {
        let mut propose = |change| acts.push(Act::Propose(node, change));
        let others = || (0..self.machines.len()).filter(|&other| self.hears(node, other));
        for other in others() {
            let theirs = &self.machines[other];
            let is_new = ledger.session[other] != theirs.boot;
            let lets_in = ledger.right[other].is_none() || !setup.obeys(Rule::Right);
            let old = self.orders[node].is_some_and(|order| usize::from(order.node) == other);
            let free = lets_in && (!old || !setup.obeys(Rule::Right)) && ledger.off[other] != theirs.boot;
            // In the same boot another session begins only when it knows that the last one is over (rule 8).
            let knows = ledger.last[other] != theirs.boot || self.appended(setup, other).session[other] == 0;
            if is_new && free && knows && !theirs.lost && !theirs.runs && self.obeys(setup, other, node) {
                propose(Change::Admit(other as u8, theirs.boot));
            }
            if self.left.grants > 0
                && self.is_free(node, ledger)
                && !is_new
                && ledger.grant.is_none_or(|(holder, _)| usize::from(holder) != other)
            {
                propose(Change::Grant(other as u8, theirs.boot));
            }
        }
        if !ledger.is_settled() && self.is_known_to_all(node, ledger) {
            propose(Change::Settle(ledger.configuration));
        }
        let due = self.due_change(setup, node, ledger).filter(|_| self.left.changes > 0);
        let names_right = self.keep_standing(setup, node, ledger, due.is_some(), acts);
        if let Some(voters) = due.filter(|_| names_right) {
            acts.push(Act::Propose(node, Change::Voters(voters)));
        }
        self.rights(setup, node, ledger, acts);
    }

    /// Whether the resource may be given to somebody: nobody has it, or its holder is lost.
    fn is_free(&self, node: Node, ledger: &Ledger) -> bool {
        let Some((holder, boot)) = ledger.grant else { return true };
        let holder = usize::from(holder);
        let hear = ledger.voting().filter(|&voter| self.hears(voter, holder)).count();
        let is_over = self.machines[holder].boot != boot;
        !self.hears(node, holder) && (hear < ledger.quorum() || is_over)
    }

    /// Whether every voter has durably applied who votes, as far as the leader hears.
    fn is_known_to_all(&self, node: Node, ledger: &Ledger) -> bool {
        ledger.voting().all(|voter| {
            let theirs = &self.machines[voter];
            let same = theirs.commit >= ledger.configuration.1 && self.votes(ledger, voter);
            self.hears(node, voter) && same && self.machines[node].matched & 1 << voter != 0
        })
    }

    /// Who is to vote, if that is another set than now; one node at a time.
    fn due_change(&self, setup: &Setup, node: Node, ledger: &Ledger) -> Option<[u8; PLACES]> {
        let configured = setup.configured.count_ones() as usize;
        let is_gone = |other: Node| ledger.session[other] == 0 && ledger.off[other] > 0;
        let gone = (0..PLACES).filter(|&other| setup.configured & 1 << other != 0 && is_gone(other));
        let mut spared: Vec<Node> = gone.collect();
        spared.sort_by_key(|&other| (ledger.voters[other] > 0, other));
        spared.truncate(configured - voters_left(configured, spared.len(), setup.tie_break || setup.devices));
        for other in (0..self.machines.len()).filter(|&other| other != node) {
            let wanted = setup.configured & 1 << other != 0 && !spared.contains(&other);
            let (theirs, mut voters) = (&self.machines[other], ledger.voters);
            let caught_up = self.machines[node].matched & 1 << other != 0 && !theirs.lost;
            if !wanted {
                voters[other] = 0;
            } else if self.hears(node, other) && caught_up {
                voters[other] = theirs.incarnation;
            }
            let quorum = voters.iter().filter(|votes| **votes > 0).count() / 2 + 1;
            let heard = |voter: &Node| {
                self.hears(node, *voter) && self.machines[*voter].incarnation == voters[*voter]
            };
            if voters != ledger.voters && (0..self.machines.len()).filter(heard).count() >= quorum {
                return Some(voters);
            }
        }
        None
    }

    /// Has the tie-break follow the voters. Whether these may change now.
    fn keep_standing(
        &self,
        setup: &Setup,
        node: Node,
        ledger: &Ledger,
        changes: bool,
        acts: &mut Vec<Act>,
    ) -> bool {
        if !setup.tie_break || !(changes || ledger.is_settled()) {
            return !setup.tie_break;
        }
        let machine = &self.machines[node];
        let voters = ledger.voting().fold(0u8, |set, voter| set | 1 << voter);
        let nobody = changes && setup.obeys(Rule::NamesNobody);
        let named = if nobody || !voters.count_ones().is_multiple_of(2) { 0 } else { voters };
        let wanted = Standing {
            era: ledger.era,
            parent: self.parent_of(ledger.era),
            term: machine.term,
            configuration: ledger.configuration,
            named,
        };
        let stands = machine.known.is_some_and(|known| {
            known == wanted || (!changes && Standing { term: wanted.term, ..known } == wanted)
        });
        if !stands && self.swaps[node].is_none() && self.left.swaps > 0 {
            match machine.known {
                None => acts.push(Act::Look(node)),
                Some(known) => {
                    let eras = |set: u32| (0..32u64).filter(move |era| set & 1 << era != 0);
                    let (parents, overruled) = (eras(ledger.parents), eras(ledger.overruled));
                    let (own, theirs, parent) = (ledger.era.into(), known.era.into(), known.parent);
                    if half::may_replace(own, parents, overruled, theirs, parent.map(u64::from)) {
                        acts.push(Act::SetStanding(node, wanted));
                    }
                }
            }
        }
        stands || !setup.obeys(Rule::NamesNobody)
    }

    pub(crate) fn parent_of(&self, era: u8) -> Option<u8> {
        (era > 0).then(|| self.parents[usize::from(era)])
    }

    /// The right to have a node switched off that was taken over, and what comes of it.
    fn rights(&self, setup: &Setup, node: Node, ledger: &Ledger, acts: &mut Vec<Act>) {
        let machine = &self.machines[node];
        for other in (0..self.machines.len()).filter(|&other| other != node) {
            match ledger.right[other] {
                None => {
                    let boot = ledger.until_gone[other];
                    let may = setup.devices && self.left.fires > 0 && !self.hears(node, other);
                    if boot > 0
                        && ledger.session[other] == 0
                        && ledger.session[node] == machine.boot
                        && may
                        && self.orders[node].is_none()
                    {
                        acts.push(Act::Propose(node, Change::Right(node as u8, other as u8, boot)));
                    }
                }
                Some((by, boot)) => {
                    let by = usize::from(by);
                    let own = by == node && boot == machine.boot;
                    let may = own && self.left.fires > 0;
                    if may
                        && !machine.used_right
                        && self.orders[node].is_none()
                        && self.has_lease(setup, node)
                    {
                        acts.push(Act::Fire(node, other));
                    }
                    // Its holder's session is over, and the longest that the device can take.
                    let over = self.machines[by].boot != boot && self.orders[by].is_none();
                    if over && !own {
                        acts.push(Act::Propose(node, Change::Fenced(other as u8, false)));
                    }
                }
            }
        }
    }
}
