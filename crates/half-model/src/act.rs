//! What can happen next.

use heart_node::half::{self, Burden};

use crate::{
    bounds::{Guard, Node, Rule, Setup},
    log::{Change, Ledger},
    world::{By, Standing, World},
};

/// One thing that happens. Nodes by their place; the one that acts comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// A node loses power.
    PowerCut(Node),
    /// It gets it back, and begins a new boot.
    Boot(Node),
    /// Its disk is lost while it has no power.
    LoseDisk(Node),
    /// Its disk takes nothing: it lays its log down, and lets go.
    LayDown(Node),
    /// The disk of a node that laid its log down takes that it did.
    LaidDown(Node),
    /// These cables are cut from now on, and no others.
    Cables(u8),
    /// A leader without a quorum steps down.
    StepDown(Node),
    /// A node is elected by all that may vote for it.
    Elect(Node),
    /// The leader appends an entry.
    Propose(Node, Change),
    /// Another node appends what the leader has, and learns how much of it is agreed on.
    Append(Node, Node),
    /// What the leader has is agreed on.
    Commit(Node),
    /// A node without a log is taken in by the leader, under a new incarnation.
    TakeIn(Node, Node),
    /// A node hears of a history that went on from its own.
    FallBehind(Node),
    /// The resource is started.
    Start(Node),
    /// A voter's promise to a node runs out.
    PromiseOver(Node, Node),
    /// The leader uses a right of the log to fire.
    Fire(Node, Node),
    /// A half asks another one of it to keep still, which does.
    KeepStill(Node, Node),
    /// The first keeps still no longer for the second.
    HoldOver(Node, Node),
    /// A half has a node's device told.
    Tell(Node, Node),
    /// The device that a node had told switches off what it finds.
    DeviceActs(Node),
    /// It is asked how the node is, and says *off*.
    ReadBack(Node),
    /// It says *off* of a node that has power.
    Lies(Node),
    /// It proves nothing.
    Refuses(Node),
    /// It had its longest time, and nobody is there whom it could answer.
    DeviceOver(Node),
    /// A half is free to go on.
    GoOn(Node, By),
    /// A person says so who did not look.
    WrongWord(Node),
    /// Another one of its half gives up its vote.
    StandBack(Node, Node),
    /// It goes on as the only voter.
    Force(Node),
    /// The tie-break is asked what stands there.
    Look(Node),
    /// A half asks it to be set to its claim.
    Claim(Node),
    /// All others of a half gave up their votes: what it claimed before counts no more.
    ClaimOnceMore(Node),
    /// A half asks it to be set from its claim to what it was before, and uses that claim no more.
    GiveBack(Node, Standing),
    /// The leader asks it to be set to this.
    SetStanding(Node, Standing),
    /// What a node asked of the tie-break arrives there.
    Land(Node),
}

impl World {
    /// All that can happen now.
    pub fn acts(&self, setup: &Setup, acts: &mut Vec<Act>) {
        for node in 0..self.machines.len() {
            self.acts_of_power(setup, node, acts);
            self.acts_of_devices(setup, node, acts);
            if self.swaps[node].is_some() {
                acts.push(Act::Land(node));
            }
            if self.machines[node].on {
                if self.machines[node].leads {
                    self.acts_of_leader(setup, node, acts);
                }
                self.acts_of_node(setup, node, acts);
                self.acts_of_half(setup, node, acts);
            }
        }
        if self.left.cuts > 0 {
            acts.extend(setup.cuts.iter().filter(|cut| **cut != self.cut).map(|&cut| Act::Cables(cut)));
        }
    }

    fn acts_of_power(&self, setup: &Setup, node: Node, acts: &mut Vec<Act>) {
        let machine = &self.machines[node];
        if machine.on && self.left.power_cuts > 0 {
            acts.push(Act::PowerCut(node));
        }
        if !machine.on && self.left.boots > 0 {
            acts.push(Act::Boot(node));
        }
        if !machine.on && !machine.lost && self.left.disks > 0 {
            acts.push(Act::LoseDisk(node));
        }
        if machine.on && self.left.stalls > 0 && self.may_lay_down(setup, node) {
            acts.push(Act::LayDown(node));
        }
        if machine.on && machine.laid_down.is_some() {
            acts.push(Act::LaidDown(node));
        }
        if setup.guard == Guard::Lease {
            for voter in 0..self.machines.len() {
                if self.promised[node] & 1 << voter != 0 && self.may_end(setup, voter, node) {
                    acts.push(Act::PromiseOver(voter, node));
                }
            }
        }
    }

    /// Whether a node whose disk takes nothing lays its log down. Those that have a log and took part may all have disks
    /// that work, or half of the voters may not.
    fn may_lay_down(&self, setup: &Setup, node: Node) -> bool {
        let ledger = self.ledger(setup, node);
        let (heard, sound) = ledger.voting().filter(|&other| other != node && self.hears(node, other)).fold(
            (0, 0),
            |(heard, sound), other| {
                let theirs = &self.machines[other];
                (heard + 1, sound + usize::from(!theirs.lost && ledger.session[other] == theirs.boot))
            },
        );
        let size = ledger.voting().count();
        let machine = &self.machines[node];
        let rest = &machine.log[usize::from(machine.commit)..];
        let changes = rest.iter().any(|entry| matches!(entry.change, Change::Voters(_)));
        let settled = ledger.is_settled() && !changes;
        let burden = Burden { settled, heard, sound: sound.min(size / 2), size };
        self.votes(&ledger, node) && !self.is_at_work(node) && half::may_lay_down(burden)
    }

    /// Whether a promise that was given before runs out.
    fn may_end(&self, setup: &Setup, voter: Node, node: Node) -> bool {
        let before = self.machines[voter].took_on[node] & self.promised[node] & !(1 << voter);
        !self.promises(setup, voter, node) && before == 0
    }

    fn acts_of_node(&self, setup: &Setup, node: Node, acts: &mut Vec<Act>) {
        let (machine, ledger) = (&self.machines[node], self.ledger(setup, node));
        if !machine.lost && self.is_left_behind(setup, node) {
            acts.push(Act::FallBehind(node));
        }
        if !machine.leads && self.left.elections > 0 && self.may_be_elected(setup, node, &ledger) {
            acts.push(Act::Elect(node));
        }
        if !machine.runs && self.may_start(setup, node, &ledger) {
            acts.push(Act::Start(node));
        }
    }

    fn is_left_behind(&self, setup: &Setup, node: Node) -> bool {
        let own = u64::from(self.ledger(setup, node).era) + 1;
        (0..self.machines.len()).any(|other| {
            if !self.hears(node, other) || self.machines[other].lost {
                return false;
            }
            let theirs = self.ledger(setup, other);
            let parents = (0..32).filter(|era| theirs.parents & 1 << era != 0).map(|era| era + 1);
            half::is_left_behind(own, u64::from(theirs.era) + 1, parents)
        })
    }

    /// Who votes for a node, if it campaigns now.
    #[must_use]
    pub fn votes_for(&self, setup: &Setup, node: Node, ledger: &Ledger) -> u8 {
        let gives = |voter: &Node| {
            *voter == node
                || (self.hears(node, *voter)
                    && self.votes(ledger, *voter)
                    && self.obeys(setup, *voter, node)
                    && !self.is_at_work(*voter)
                    && !self.hears_leader(setup, *voter)
                    && !(self.machines[*voter].leads && self.is_backed(setup, *voter))
                    && self.last_entry(*voter) <= self.last_entry(node))
        };
        ledger.voting().filter(gives).fold(0, |set, voter| set | 1 << voter)
    }

    fn may_be_elected(&self, setup: &Setup, node: Node, ledger: &Ledger) -> bool {
        let free = self.votes(ledger, node) && !self.is_at_work(node) && !self.hears_leader(setup, node);
        free && self.votes_for(setup, node, ledger).count_ones() as usize >= ledger.quorum()
    }

    /// Whether a node may start the resource: grant, session, lease, and that who had it has let go.
    fn may_start(&self, setup: &Setup, node: Node, ledger: &Ledger) -> bool {
        let machine = &self.machines[node];
        let boot = machine.boot;
        let has_right = ledger.grant == Some((node as u8, boot)) && ledger.session[node] == boot;
        let is_told = self.appended(setup, node).session[node] != boot;
        if machine.lost
            || !has_right
            || is_told
            || !self.has_lease(setup, node)
            || !self.is_backed(setup, node)
        {
            return false;
        }
        ledger.until_gone.iter().enumerate().filter(|(_, boot)| **boot > 0).all(|(holder, _)| {
            let vouches = |voter: &Node| {
                let has = self.appended(setup, *voter).session[holder] == 0;
                has && self.hears(node, *voter)
                    && self.votes(ledger, *voter)
                    && (self.promised[holder] & 1 << voter == 0 || !setup.obeys(Rule::WaitForPromises))
            };
            setup.guard == Guard::Lease && ledger.voting().filter(vouches).count() >= ledger.quorum()
        })
    }
}
