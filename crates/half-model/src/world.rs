//! All that there is at one moment.

use heart_node::half::{Blocked, Knowledge, Sides, Turn, is_foreign, is_without_quorum, may_go_on};

use crate::{
    bounds::{Budget, Guard, Node, PLACES, Rule, Setup},
    log::{Change, Configuration, Entry, Ledger},
};

/// The bit of the cable between two nodes.
#[must_use]
pub const fn cable(one: Node, other: Node) -> u8 {
    let (low, high) = if one < other { (one, other) } else { (other, one) };
    // 01 02 12 03 13 23
    1 << (high * (high - 1) / 2 + low)
}

/// The cables between two sets of nodes, one bit a node.
#[must_use]
pub const fn between(one: u8, other: u8) -> u8 {
    let (mut set, mut a) = (0, 0);
    while a < PLACES {
        let mut b = 0;
        while b < PLACES {
            if one & 1 << a != 0 && other & 1 << b != 0 {
                set |= cable(a, b);
            }
            b += 1;
        }
        a += 1;
    }
    set
}

/// What lets a half go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// All others are proven off.
    Proof,
    /// A person says so.
    Word,
    /// The tie-break.
    TieBreak,
}

/// A half that goes on, as soon as its others stood back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Going {
    /// What lets it.
    pub by: By,
    /// Its history from then on.
    pub era: u8,
    /// The others of this half, with those that lost their logs.
    pub others: u8,
    /// Those of them that lost their logs.
    pub lost: u8,
    /// Who is left out.
    pub missing: u8,
    /// Who stood back.
    pub stood_back: u8,
    /// The tie-break was asked once more, after all of them did.
    pub claimed_anew: bool,
}

/// The value of a tie-break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// Which history.
    pub era: u8,
    /// The one it goes on from.
    pub parent: Option<u8>,
    /// The term of who set it.
    pub term: u8,
    /// Which configuration.
    pub configuration: Configuration,
    /// Who may go on; nobody if there are none.
    pub named: u8,
}

/// A change of the tie-break on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Swap {
    /// What has to stand there.
    pub instead_of: Standing,
    /// What is to stand there.
    pub set: Standing,
    /// The boot of who asked.
    pub boot: u8,
}

/// A device that was told, and may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// Who is to be switched off.
    pub node: u8,
    /// Which boot of it was meant.
    pub boot: u8,
    /// The boot of who told it.
    pub by_boot: u8,
    /// By a right in the log, and not as half.
    pub right: bool,
    /// If it is not the first, the device asks how the node is, and lets it go first if that has power.
    pub turn: Turn,
    /// How long the log of that node was when the device was told, or what was agreed on: what it agrees to beyond that
    /// is new.
    pub length: u8,
    /// Who knows of it and has not lost power since: who told it, and who keeps still.
    pub known_to: u8,
    /// Who did in the beginning.
    pub known: u8,
    /// It was switched off: the device only has to be asked how it is.
    pub acted: bool,
}

/// One machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    /// It has power.
    pub on: bool,
    /// Which boot this is, or the last one was.
    pub boot: u8,
    /// On the disk: the log.
    pub log: Vec<Entry>,
    /// On the disk: how much of it is agreed on.
    pub commit: u8,
    /// On the disk: the term.
    pub term: u8,
    /// On the disk: the log was lost, or given up.
    pub lost: bool,
    /// On the disk: the log that it laid down because the disk takes nothing, and how much of it is agreed on. It has
    /// none in this boot, and that one in the next.
    pub laid_down: Option<(Vec<Entry>, u8)>,
    /// On the disk: the incarnation.
    pub incarnation: u8,
    /// It leads.
    pub leads: bool,
    /// As the leader: who has its whole log.
    pub matched: u8,
    /// It runs the resource.
    pub runs: bool,
    /// For whom it keeps still.
    pub held_for: u8,
    /// Who keeps still for it.
    pub holds: u8,
    /// Who it knows to be off, as half.
    pub off: u8,
    /// Of whom its device proved nothing.
    pub refused: u8,
    /// Who gave up its vote for it, and has none since.
    pub gave: u8,
    /// It goes on.
    pub going: Option<Going>,
    /// What the tie-break said last.
    pub known: Option<Standing>,
    /// What it wants the tie-break to say.
    pub claim: Option<Standing>,
    /// What it wanted it to say in an earlier term.
    pub outdated: Vec<Standing>,
    /// It used the right that the log gives it.
    pub used_right: bool,
    /// Whose promises to each node it took on: it vouches for nothing before those are over.
    pub took_on: [u8; PLACES],
}

/// Who switched whom off: node and boot of each.
pub type Shot = (u8, u8, u8, u8);

/// What went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Wrongs {
    /// Two sequences of agreed entries, none of which begins with the other.
    pub forked: bool,
    /// Somebody leads, or goes on, without something that was agreed on.
    pub lost_entries: bool,
    /// A boot that never took part had others switched off, or went on, as half.
    pub fresh_fired: bool,
    /// Two boots switched each other off.
    pub mutual: bool,
    /// A device hit a node that something was agreed with since it was told.
    pub hit: bool,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The machines.
    pub machines: Vec<Machine>,
    /// Which cables are cut.
    pub cut: u8,
    /// The devices at work, by who told them.
    pub orders: [Option<Order>; PLACES],
    /// The value of the tie-break.
    pub standing: Option<Standing>,
    /// Changes of it on their way, by who asked.
    pub swaps: [Option<Swap>; PLACES],
    /// Whose promises to each node run, one bit for each voter.
    pub promised: [u8; PLACES],
    /// From which each history goes on that somebody meant to begin.
    pub parents: Vec<u8>,
    /// What is left of what may happen.
    pub left: Budget,
    /// The last incarnation of each node.
    pub incarnations: [u8; PLACES],
    /// All that was ever agreed on.
    pub history: Vec<Entry>,
    /// What was switched off.
    pub shots: Vec<Shot>,
    /// What went wrong.
    pub wrongs: Wrongs,
}

/// Node sets, one bit each.
pub fn members(set: u8) -> impl Iterator<Item = Node> {
    (0..PLACES).filter(move |node| set & 1 << node != 0)
}

impl World {
    /// Everybody is there, node 0 leads and runs the resource.
    #[must_use]
    pub fn begin(setup: &Setup) -> World {
        let machine = |node: Node| Machine {
            on: true,
            boot: 1,
            log: Vec::new(),
            commit: 0,
            term: 1,
            lost: false,
            laid_down: None,
            incarnation: 1,
            leads: node == setup.leader,
            matched: setup.voters,
            runs: node == 0,
            held_for: 0,
            gave: 0,
            holds: 0,
            off: 0,
            refused: 0,
            going: None,
            known: None,
            claim: None,
            outdated: Vec::new(),
            used_right: false,
            took_on: [0; PLACES],
        };
        let even = setup.voters.count_ones().is_multiple_of(2);
        let named = if even { setup.voters } else { 0 };
        let standing = Standing { era: 0, parent: None, term: 1, configuration: (1, 0), named };
        let mut world = World {
            machines: (0..setup.nodes).map(machine).collect(),
            cut: 0,
            orders: [None; PLACES],
            standing: setup.tie_break.then_some(standing),
            swaps: [None; PLACES],
            promised: [0; PLACES],
            parents: vec![0],
            left: setup.budget,
            incarnations: [1; PLACES],
            history: Vec::new(),
            shots: Vec::new(),
            wrongs: Wrongs::default(),
        };
        world.come_to_rest(setup);
        world
    }

    /// What the agreed part of a node's log leads to.
    #[must_use]
    pub fn ledger(&self, setup: &Setup, node: Node) -> Ledger {
        let machine = &self.machines[node];
        ledger_of(setup, &machine.log[..usize::from(machine.commit)])
    }

    /// What all of a node's log leads to.
    #[must_use]
    pub fn appended(&self, setup: &Setup, node: Node) -> Ledger {
        ledger_of(setup, &self.machines[node].log)
    }

    /// Whether two nodes hear each other.
    #[must_use]
    pub fn hears(&self, one: Node, other: Node) -> bool {
        let on = self.machines[one].on && self.machines[other].on;
        on && (one == other || self.cut & cable(one, other) == 0)
    }

    /// Whether what `other` says of the log counts for `one` (rule 18).
    #[must_use]
    pub fn obeys(&self, setup: &Setup, one: Node, other: Node) -> bool {
        let era = |node: Node| {
            if self.machines[node].lost { 0 } else { u64::from(self.ledger(setup, node).era) + 1 }
        };
        !setup.obeys(Rule::EraOrder) || !is_foreign(era(one), era(other))
    }

    /// Whether a device may act at any moment that this node knows of, or its log is being gone on from.
    #[must_use]
    pub fn is_at_work(&self, node: Node) -> bool {
        let machine = &self.machines[node];
        let told = self.orders[node].is_some_and(|order| order.by_boot == machine.boot && !order.right);
        told || machine.held_for != 0 || machine.going.is_some()
    }

    /// Whether a node votes in the configuration that it knows.
    #[must_use]
    pub fn votes(&self, ledger: &Ledger, node: Node) -> bool {
        let machine = &self.machines[node];
        !machine.lost && ledger.voters[node] == machine.incarnation
    }

    /// Whether a quorum of the voters that a node knows stands behind it.
    #[must_use]
    pub fn is_backed(&self, setup: &Setup, node: Node) -> bool {
        let ledger = self.ledger(setup, node);
        let stands = |other: &Node| {
            self.hears(node, *other) && self.votes(&ledger, *other) && self.obeys(setup, *other, node)
        };
        ledger.voting().filter(stands).count() >= ledger.quorum()
    }

    /// Whether a leader is heard that has a quorum behind it (rule 14).
    #[must_use]
    pub fn hears_leader(&self, setup: &Setup, node: Node) -> bool {
        let leads = |other: Node| self.machines[other].leads && self.is_backed(setup, other);
        (0..self.machines.len()).any(|other| other != node && self.hears(node, other) && leads(other))
    }

    /// The voters as a node sees them, if it knows for certain that there is no quorum with it: here, lost, missing.
    #[must_use]
    pub fn halves(&self, setup: &Setup, node: Node) -> Option<(u8, u8, u8)> {
        let (machine, ledger) = (&self.machines[node], self.ledger(setup, node));
        if !machine.on || machine.leads || self.hears_leader(setup, node) || !self.votes(&ledger, node) {
            return None;
        }
        let (mut here, mut gave, mut lost, mut missing) = (0u8, 0, 0, 0);
        for other in ledger.voting() {
            let has_none = self.machines[other].lost;
            let set = match (self.hears(node, other), has_none) {
                (true, false) => &mut here,
                (true, true) if machine.gave & 1 << other != 0 => &mut gave,
                (true, true) => &mut lost,
                (false, _) => &mut missing,
            };
            *set |= 1 << other;
        }
        let are_half = (here.count_ones() as usize) * 2 >= ledger.voting().count();
        if are_half {
            lost |= gave;
        } else {
            here |= gave;
        }
        is_without_quorum(sides(here, lost, missing)).then_some((here, lost, missing))
    }

    /// The last entry of a node's log.
    #[must_use]
    pub fn last_entry(&self, node: Node) -> (u8, usize) {
        let log = &self.machines[node].log;
        (log.last().map_or(1, |entry| entry.term), log.len())
    }

    /// Whether somebody else who is here has the better log, or as good a one and comes first.
    #[must_use]
    pub fn has_better(&self, node: Node, here: u8) -> bool {
        let own = self.last_entry(node);
        let better =
            |other: Node| self.last_entry(other) > own || (self.last_entry(other) == own && other < node);
        members(here).any(|other| other != node && better(other))
    }

    /// Whether the half of this node may go on, by the rules of the code.
    #[must_use]
    pub fn may_go_on(&self, setup: &Setup, node: Node) -> Option<Result<(), Blocked>> {
        let (here, lost, missing) = self.halves(setup, node)?;
        let (machine, ledger) = (&self.machines[node], self.ledger(setup, node));
        let rest = &machine.log[usize::from(machine.commit)..];
        let changes = rest.iter().any(|entry| matches!(entry.change, Change::Voters(_)));
        let knows = Knowledge {
            settled: (ledger.is_settled() && !changes) || !setup.obeys(Rule::Settled),
            took_part: ledger.session[node] == machine.boot || !setup.obeys(Rule::TookPart),
            best_log: !self.has_better(node, here) || !setup.obeys(Rule::BestLog),
        };
        Some(may_go_on(sides(here, lost, missing), knows))
    }

    /// Whether a node that runs the resource may do so by what was promised to it.
    #[must_use]
    pub fn has_lease(&self, setup: &Setup, node: Node) -> bool {
        if setup.guard == Guard::Fence {
            return self.is_backed(setup, node);
        }
        let ledger = self.ledger(setup, node);
        let promised = ledger.voting().filter(|voter| self.promised[node] & 1 << voter != 0).count();
        promised >= ledger.quorum()
    }

    /// Whether a voter goes on promising to a node.
    #[must_use]
    pub fn promises(&self, setup: &Setup, voter: Node, node: Node) -> bool {
        let boot = self.machines[node].boot;
        self.hears(voter, node)
            && !self.machines[voter].lost
            && !self.machines[node].lost
            && self.obeys(setup, voter, node)
            && self.appended(setup, voter).session[node] == boot
    }
}

/// Counted.
#[must_use]
pub fn sides(here: u8, lost: u8, missing: u8) -> Sides {
    let count = |set: u8| set.count_ones() as usize;
    Sides {
        here: count(here),
        lost: count(lost),
        missing: count(missing),
        size: count(here | lost | missing),
    }
}

/// What these entries lead to.
#[must_use]
pub fn ledger_of(setup: &Setup, entries: &[Entry]) -> Ledger {
    let mut ledger = setup.beginning();
    for (place, entry) in (1u8..=u8::MAX).zip(entries) {
        ledger.apply(place, entry);
    }
    ledger
}
