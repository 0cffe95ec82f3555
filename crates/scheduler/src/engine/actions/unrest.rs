//! Which clones are at rest: nothing has to be done with them, and nobody around them changes that.

use alloc::vec::Vec;

use super::{
    draft::Draft,
    table::{Action, ActionIx},
};
use crate::engine::arena::Kind;

/// How an action stands.
pub(super) type Standing = [bool; 5];

fn of(action: &Action) -> Standing {
    [action.required, action.cancelled, action.runnable, action.migratable, action.shown]
}

/// How all actions stand.
pub(super) fn standing(draft: &Draft<'_, '_>) -> Vec<Standing> {
    draft.table.numbers().map(|action| of(&draft.table[action])).collect()
}

/// Notes the clones that are not at rest: something of them is required or shown, or stands otherwise than it
/// did before everything was handed on.
pub(super) fn note(draft: &mut Draft<'_, '_>, before: &[Standing]) {
    let is_restless = |number: ActionIx| {
        let action = &draft.table[number];
        let known = before.get(number.0 as usize);
        action.required || action.shown || known.is_none_or(|known| *known != of(action))
    };
    let restless = draft.table.numbers().filter(|action| is_restless(*action));
    let tops = restless.filter_map(|action| draft.table[action].resource).map(|of| draft.arena.outermost(of));
    let mut tops: Vec<_> = tops.filter(|top| draft.arena[*top].kind == Kind::Clone).collect();
    tops.sort_unstable();
    tops.dedup();
    let names = tops.into_iter().map(|top| draft.arena[top].id.clone()).collect();
    draft.arena.restless = names;
}
