//! The health of nodes, as they tell it in attributes that begin with `#health`.

use heart_model::policy::{Discovery, Score};

use super::add;
use crate::engine::{
    arena::{Arena, Cause, Node, NodeIx},
    rules::{self, Context},
    values::score,
};

/// What each colour is worth.
struct Worth {
    base: Score,
    red: Score,
    yellow: Score,
    green: Score,
}

/// The colours that count at all; None if health does not count.
fn worth(arena: &Arena<'_>) -> Option<Worth> {
    let context = Context { now: arena.state.now, ..Context::default() };
    let options = rules::values(&arena.spec.options, &context);
    let said =
        |name: &str, otherwise: Score| options.get(name).and_then(|text| score(text)).unwrap_or(otherwise);
    let (never, zero) = (Score::NEVER, Score::ZERO);
    match options.get("node-health-strategy").map(|word| word.to_ascii_lowercase()).as_deref() {
        Some("migrate-on-red") => Some(Worth { base: zero, red: never, yellow: zero, green: zero }),
        Some("only-green") => Some(Worth { base: zero, red: never, yellow: never, green: zero }),
        Some(word @ ("progressive" | "custom")) => Some(Worth {
            base: if word == "progressive" { said("node-health-base", zero) } else { zero },
            red: said("node-health-red", never),
            yellow: said("node-health-yellow", zero),
            green: said("node-health-green", zero),
        }),
        Some(_) | None => None,
    }
}

/// Whether the health of nodes counts.
pub(in crate::engine) fn counts(arena: &Arena<'_>) -> bool {
    worth(arena).is_some()
}

fn sum(node: &Node, worth: &Worth) -> Score {
    let told = node.attributes.iter().filter(|(name, _)| name.starts_with("#health"));
    told.fold(worth.base, |sum, (_, value)| {
        sum + match value.to_ascii_lowercase().as_str() {
            "red" => worth.red,
            "yellow" => worth.yellow,
            "green" => worth.green,
            _ => score(value).unwrap_or(Score::ZERO),
        }
    })
}

/// Adds the health of each node to what every resource thinks of it.
pub(super) fn apply(arena: &mut Arena<'_>) {
    let Some(worth) = worth(arena) else { return };
    for number in arena.node_numbers() {
        let health = sum(arena.node(number), &worth);
        arena.node_mut(number).health = health;
        if health != Score::ZERO {
            add_to_all(arena, number, health);
        }
    }
}

fn add_to_all(arena: &mut Arena<'_>, node: NodeIx, health: Score) {
    for resource in arena.top.clone() {
        if !(health.is_negative() && arena[resource].allow_unhealthy) {
            add(arena, resource, node, health, Discovery::Always, Cause::Health);
        }
    }
}
