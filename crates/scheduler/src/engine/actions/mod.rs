//! Actions: what has to be done so that everything is where it was decided to be, and what waits for
//! what.
//!
//! First everything that may have to be done is made an action: required, or optional, so that others can
//! require it later. Then relations join the actions; then what is required and what cannot be done is
//! handed on along them until nothing changes any more. What is required and can be done then is the
//! plan. An action that waits for something that is not part of the plan either does not wait, if that
//! was about order only, or is no part of it either.

mod blocked;
mod changes;
mod collective;
mod decisions;
mod draft;
mod emit;
mod fencing;
mod guests;
mod implicit;
mod interleave;
mod ladder;
mod loops;
mod migration;
mod monitors;
mod notify;
mod probe_orders;
mod probes;
mod propagate;
mod relation;
mod remote;
mod resolve;
mod sets;
mod shutdown;
mod simulate;
mod table;
#[cfg(test)]
mod tests;
mod turns;
mod unrest;
mod users;

use super::{
    arena::Arena,
    outcome::{Outcome, Picture},
};
use draft::Draft;

/// Turns what was decided into what has to be done.
pub(crate) fn act(arena: &mut Arena<'_>, before: Picture) -> Outcome {
    let mut draft = Draft::new(arena);
    users::relate(&mut draft);
    implicit::relate(&mut draft);
    changes::compare(&mut draft);
    probes::schedule(&mut draft);
    changes::clear_failures(&mut draft);
    collective::make_all(&mut draft);
    remote::relate(&mut draft);
    fencing::schedule(&mut draft);
    shutdown::schedule(&mut draft);
    resolve::join(&mut draft);
    probe_orders::join(&mut draft);
    let standing = unrest::standing(&draft);
    propagate::settle(&mut draft);
    turns::take(&mut draft);
    unrest::note(&mut draft, &standing);
    notify::tell(&mut draft);
    let plan = emit::plan(&mut draft);
    let decisions = decisions::all(&draft);
    let actions = emit::actions(&draft, &plan);
    let implied = emit::implied(&draft, &plan);
    let look_again = draft.arena.look_again;
    let standings = crate::engine::trace::standings(draft.arena);
    draft.arena.nodes_changed = standings != draft.arena.standings;
    let (after, active_after) = match draft.arena.foresees {
        true => simulate::after(&draft, &plan, &before),
        false => Default::default(),
    };
    draft.arena.active_after = active_after;
    Outcome { before, decisions, actions, implied, order: plan.order, points: plan.points, after, look_again }
}
