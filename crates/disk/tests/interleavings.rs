//! The value on a disk, under every order in which nodes can read and write, and die in between.
//!
//! A read of all blocks is one block after another, with what others write in between. A node that dies does so
//! between two of its steps; a write that is cut short leaves the block as it was before or after it (`layout` has
//! the test of that), so it is one of these. What it was told to do may be told again when it is back.

use std::{
    collections::{BTreeMap, HashSet, hash_map::DefaultHasher},
    env,
    hash::{Hash as _, Hasher as _},
};

use heart_disk::{
    Slot,
    ballot::{Change, Step},
    records::Ballot,
};
use heart_model::{Standing, TieBreakOutcome};

/// How often a node writes at most: paths on which nodes overtake each other more often are not followed further.
/// `HEART_DISK_WRITES` says otherwise: 7 are 7,271,393 states where two race, and were tried.
fn writes_max(usual: usize) -> usize {
    env::var("HEART_DISK_WRITES").ok().and_then(|writes| writes.parse().ok()).unwrap_or(usual)
}

fn standing(era: u64) -> Standing {
    Standing { era, parent: None, term: 1, configuration: 1, named: Vec::new() }
}

/// What one node is told: what has to stand there, and what shall, by number; 0 is nothing.
type Order = (u64, u64);

fn value(number: u64) -> Option<Standing> {
    (number > 0).then(|| standing(number))
}

#[derive(Clone, Debug)]
struct Node {
    orders: Vec<Order>,
    crashes: usize,
    writes: usize,
    /// How many changes there were when it began.
    since: u64,
    state: Doing,
}

#[derive(Clone, Debug)]
enum Doing {
    Reading(Change, Vec<Ballot>),
    Writing(Change, Ballot),
    Nothing,
}

#[derive(Clone, Debug)]
struct World {
    writes_max: usize,
    blocks: Vec<Ballot>,
    nodes: Vec<Node>,
    /// What the value was after each change.
    history: BTreeMap<u64, Option<Standing>>,
}

impl World {
    fn new(orders: &[&[Order]], crashes: usize, writes: usize) -> World {
        let node = |orders: &&[Order]| Node {
            orders: orders.to_vec(),
            crashes,
            writes: 0,
            since: 0,
            state: Doing::Nothing,
        };
        let mut world = World {
            writes_max: writes_max(writes),
            blocks: vec![Ballot::default(); orders.len()],
            nodes: orders.iter().map(node).collect(),
            history: [(0, None)].into(),
        };
        (0..orders.len()).for_each(|me| world.begin(me));
        world
    }

    fn begin(&mut self, me: usize) {
        let since = *self.history.keys().last().unwrap();
        let node = &mut self.nodes[me];
        node.since = since;
        node.state = match node.orders.first() {
            Some(&(from, to)) => {
                Doing::Reading(Change::new(Slot(me as u16), value(from), standing(to)), Vec::new())
            }
            None => Doing::Nothing,
        };
    }

    /// The next step of one node; none if it has nothing to do.
    fn step(&self, me: usize) -> Option<World> {
        let mut next = self.clone();
        match next.nodes[me].state.clone() {
            Doing::Nothing => return None,
            Doing::Reading(mut change, mut read) => {
                read.push(self.blocks[read.len()].clone());
                if read.len() < self.blocks.len() {
                    next.nodes[me].state = Doing::Reading(change, read);
                } else {
                    let step = change.read(&read).unwrap();
                    next.follow(me, change, step);
                }
            }
            Doing::Writing(mut change, block) => {
                if self.nodes[me].writes >= self.writes_max {
                    return None;
                }
                next.nodes[me].writes += 1;
                next.write(me, block);
                let step = change.written();
                next.follow(me, change, step);
            }
        }
        Some(next)
    }

    fn follow(&mut self, me: usize, change: Change, step: Step) {
        match step {
            Step::Read | Step::Wait(_) => self.nodes[me].state = Doing::Reading(change, Vec::new()),
            Step::Write(block) => self.nodes[me].state = Doing::Writing(change, block),
            Step::Done(outcome) => {
                self.judge(me, &outcome);
                self.nodes[me].orders.remove(0);
                self.begin(me);
            }
        }
    }

    fn write(&mut self, me: usize, block: Ballot) {
        let known = self.history.entry(block.changes).or_insert_with(|| block.standing.clone());
        assert_eq!(*known, block.standing, "two values after {} changes", block.changes);
        self.blocks[me] = block;
    }

    /// What is answered was so at some time since it was asked.
    fn judge(&self, me: usize, outcome: &TieBreakOutcome) {
        let (node, set) = (&self.nodes[me], standing(self.nodes[me].orders[0].1));
        let stood =
            |value: &Option<Standing>| self.history.range(node.since..).any(|(_, stood)| stood == value);
        match outcome {
            TieBreakOutcome::Set => assert!(stood(&Some(set)), "{self:#?}"),
            TieBreakOutcome::Other(other) => assert!(stood(other), "{other:?} in {self:#?}"),
            TieBreakOutcome::Failed { message } => panic!("{message}"),
        }
    }

    fn crash(&self, me: usize) -> Option<World> {
        let node = &self.nodes[me];
        let is_at_work = !matches!(node.state, Doing::Nothing);
        (node.crashes > 0 && is_at_work).then(|| {
            let mut next = self.clone();
            next.nodes[me].crashes -= 1;
            next.begin(me);
            next
        })
    }

    fn number(&self) -> (u64, u64) {
        let text = format!("{self:?}");
        let hash = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            (salt, &text).hash(&mut hasher);
            hasher.finish()
        };
        (hash(0), hash(1))
    }
}

/// Every change was made by somebody who was told to make it, from what stood there before.
fn follows(history: &BTreeMap<u64, Option<Standing>>, orders: &[&[Order]]) {
    for (change, value) in history.iter().skip(1) {
        let before = history.get(&(change - 1));
        let told = orders
            .iter()
            .copied()
            .flatten()
            .any(|&(from, to)| before == Some(&self::value(from)) && *value == Some(standing(to)));
        assert!(told, "nobody was told to make change {change} of {history:?}");
    }
}

/// Plays all orders of steps, and says in how many states that ended and which values there were.
fn explore(orders: &[&[Order]], crashes: usize, writes: usize) -> HashSet<Vec<u64>> {
    let mut known = HashSet::new();
    let mut ends = HashSet::new();
    let mut open = vec![World::new(orders, crashes, writes)];
    while let Some(world) = open.pop() {
        if !known.insert(world.number()) {
            continue;
        }
        follows(&world.history, orders);
        let steps = (0..orders.len()).filter_map(|me| world.step(me));
        let crashed = (0..orders.len()).filter_map(|me| world.crash(me));
        open.extend(steps.chain(crashed));
        if world.nodes.iter().all(|node| matches!(node.state, Doing::Nothing)) {
            let values = world.history.values().flatten().map(|standing| standing.era);
            ends.insert(values.collect());
        }
    }
    println!("{} states, and {} histories", known.len(), ends.len());
    ends
}

fn check(orders: &[&[Order]], crashes: usize, writes: usize, histories: &[&[u64]]) {
    let ends = explore(orders, crashes, writes);
    let expected: HashSet<Vec<u64>> = histories.iter().map(|values| values.to_vec()).collect();
    assert_eq!(ends, expected);
}

#[test]
fn of_two_that_race_one_wins_whoever_dies() {
    check(&[&[(0, 1)], &[(0, 2)]], 1, 4, &[&[1], &[2]]);
}

#[test]
fn who_goes_on_from_what_the_other_set_finds_it_or_does_not() {
    check(&[&[(0, 1), (1, 2)], &[(1, 3)]], 0, 6, &[&[1, 2], &[1, 3]]);
}

#[test]
fn who_looks_changes_nothing() {
    // 9 stands nowhere, and is never set in its own place.
    check(&[&[(0, 1)], &[(9, 9), (9, 9)]], 1, 4, &[&[1]]);
}

#[test]
fn the_same_by_two_is_set_once() {
    check(&[&[(0, 1)], &[(0, 1)]], 1, 4, &[&[1]]);
}

/// A number below a bound (xorshift64*).
fn below(state: &mut u64, bound: usize) -> usize {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
}

/// Too many orders of steps for all of them: as many as a second allows, from one seed.
#[test]
fn of_three_that_race_and_go_on_each_finds_what_stands_there() {
    let orders: &[&[Order]] = &[&[(0, 1), (1, 4), (2, 4)], &[(0, 2), (1, 5)], &[(9, 9), (0, 3), (4, 6)]];
    let mut ends = HashSet::new();
    for seed in 1..=5_000_u64 {
        let (mut chance, mut world) = (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), World::new(orders, 2, 12));
        // Bounded by the writes of each node, and by the blocks that it reads for each.
        loop {
            let me = below(&mut chance, 3);
            let crashed = if below(&mut chance, 40) == 0 { world.crash(me) } else { None };
            let Some(next) = crashed.or_else(|| (0..3).find_map(|more| world.step((me + more) % 3))) else {
                break;
            };
            world = next;
        }
        follows(&world.history, orders);
        ends.insert(world.history.values().flatten().map(|standing| standing.era).collect::<Vec<_>>());
    }
    println!("{} histories", ends.len());
    assert!(ends.len() > 5, "chance shows little: {ends:?}");
}
