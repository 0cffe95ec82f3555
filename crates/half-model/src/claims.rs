//! What must hold in every world that can come to be, and what must be possible in some.

use stateright::{Model, Property};

use crate::{
    act::Act,
    bounds::Setup,
    world::{World, Wrongs},
};

/// Never two nodes that run the resource.
pub const ONE_OWNER: &str = "one owner";
/// What is agreed on is one sequence: no two histories that went on from the same, and nothing agreed on in two ways.
pub const ONE_HISTORY: &str = "one history";
/// Who leads, or goes on, has everything that was ever agreed on.
pub const NOTHING_LOST: &str = "nothing that was agreed on is lost";
/// A boot that never took part has nobody switched off as half, and does not go on.
pub const FRESH_WAITS: &str = "a fresh boot waits for a majority";
/// Two halves do not switch each other off in the same parting.
pub const NOT_EACH_OTHER: &str = "no two halves switch each other off";
/// A device hits nobody who takes part again.
pub const NOBODY_HIT: &str = "nobody who takes part is switched off";
/// Some half goes on, and runs the resource there.
pub const GOES_ON: &str = "a half goes on and owns";
/// A node that was left out is a voter again of what went on, which everybody knows.
pub const COMES_BACK: &str = "who was left out votes again";

/// Nothing more can happen, and a half has gone on and owns: asked where nothing else may go wrong.
pub const NEVER_STUCK: &str = "whatever happens a half goes on and owns";

/// The claims that must hold in every world.
pub const ALWAYS: [&str; 6] = [ONE_OWNER, ONE_HISTORY, NOTHING_LOST, FRESH_WAITS, NOT_EACH_OTHER, NOBODY_HIT];

/// Whether one of [`ALWAYS`] holds.
#[must_use]
pub fn holds(claim: &str, world: &World) -> bool {
    let Wrongs { forked, lost_entries, fresh_fired, mutual, hit } = world.wrongs;
    match claim {
        ONE_OWNER => world.machines.iter().filter(|machine| machine.on && machine.runs).count() <= 1,
        ONE_HISTORY => !forked,
        NOTHING_LOST => !lost_entries,
        FRESH_WAITS => !fresh_fired,
        NOT_EACH_OTHER => !mutual,
        _ => !hit,
    }
}

fn goes_on(setup: &Setup, world: &World) -> bool {
    (0..world.machines.len()).any(|node| {
        let machine = &world.machines[node];
        machine.on && machine.runs && !machine.lost && world.ledger(setup, node).era > 0
    })
}

fn comes_back(setup: &Setup, world: &World) -> bool {
    (0..world.machines.len()).any(|node| {
        let ledger = world.ledger(setup, node);
        let machine = &world.machines[node];
        machine.on && !machine.lost && ledger.era > 0 && ledger.voting().count() > 1 && ledger.is_settled()
    })
}

impl Model for Setup {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        let begin = World::begin(self);
        vec![self.prelude.iter().fold(begin, |world, act| world.after(self, *act))]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        // Nothing that comes after what went wrong is of interest.
        if ALWAYS
            .iter()
            .all(|claim| self.sought.is_some_and(|sought| sought != *claim) || holds(claim, world))
        {
            world.acts(self, acts);
        }
    }

    fn next_state(&self, world: &World, act: Act) -> Option<World> {
        Some(world.after(self, act))
    }

    fn properties(&self) -> Vec<Property<Setup>> {
        vec![
            Property::always(ONE_OWNER, |_, world| holds(ONE_OWNER, world)),
            Property::always(ONE_HISTORY, |_, world| holds(ONE_HISTORY, world)),
            Property::always(NOTHING_LOST, |_, world| holds(NOTHING_LOST, world)),
            Property::always(FRESH_WAITS, |_, world| holds(FRESH_WAITS, world)),
            Property::always(NOT_EACH_OTHER, |_, world| holds(NOT_EACH_OTHER, world)),
            Property::always(NOBODY_HIT, |_, world| holds(NOBODY_HIT, world)),
            Property::always(NEVER_STUCK, |setup, world| {
                let mut acts = Vec::new();
                let asked = setup.must_go_on && !goes_on(setup, world);
                if asked {
                    world.acts(setup, &mut acts);
                }
                !(asked && acts.is_empty())
            }),
            Property::sometimes(GOES_ON, goes_on),
            Property::sometimes(COMES_BACK, comes_back),
        ]
    }
}
