//! Drawings of what waits for what.

mod layers;
mod svg;

use std::fmt::Write as _;

use heart_scheduler::engine::Outcome;

use super::{Order, action_text};

pub(crate) use svg::svg;

/// What is drawn: boxes, and arrows between them.
struct Drawing {
    boxes: Vec<Card>,
    /// From what comes first to what comes then; what follows from others is left out.
    arrows: Vec<(usize, usize)>,
}

/// An action as it is drawn.
struct Card {
    text: String,
    look: Look,
}

/// How an action looks, by what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// It lets something begin.
    Begins,
    /// It ends something.
    Ends,
    /// It cuts a node off.
    Fences,
    /// It only looks, or tells.
    Looks,
    /// Anything else.
    Other,
}

impl Look {
    fn of(name: &str) -> Look {
        match name {
            "start" | "promote" | "migrate_from" => Look::Begins,
            "stop" | "demote" | "migrate_to" | "shutdown" => Look::Ends,
            "fence" | "fence-guest" => Look::Fences,
            "probe" | "monitor" | "cancel" | "notify" => Look::Looks,
            _ => Look::Other,
        }
    }

    /// The colour inside, and that of the line around.
    fn colors(self) -> (&'static str, &'static str) {
        match self {
            Look::Begins => ("#e6f4ea", "#2e7d32"),
            Look::Ends => ("#fff4e0", "#b26a00"),
            Look::Fences => ("#fde7e7", "#b71c1c"),
            Look::Looks => ("#f4f4f4", "#8a8a8a"),
            Look::Other => ("#ffffff", "#555555"),
        }
    }
}

impl Drawing {
    fn of(outcome: &Outcome) -> Drawing {
        let order = Order::of(outcome);
        let boxes = outcome.actions.iter();
        Drawing {
            boxes: boxes
                .map(|action| Card { text: action_text(action), look: Look::of(&action.name) })
                .collect(),
            arrows: order.reduced(|_| true, |_| true),
        }
    }
}

/// The drawing in words that Graphviz understands.
pub(crate) fn dot(outcome: &Outcome) -> String {
    let drawing = Drawing::of(outcome);
    let mut out =
        String::from("digraph actions {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\"];\n");
    for (number, drawn) in drawing.boxes.iter().enumerate() {
        let (inside, around) = drawn.look.colors();
        // Writing to a text cannot fail.
        let _ = writeln!(
            out,
            "  a{number} [label={}, fillcolor=\"{inside}\", color=\"{around}\"];",
            quoted(&drawn.text)
        );
    }
    for (first, then) in &drawing.arrows {
        let _ = writeln!(out, "  a{first} -> a{then};");
    }
    out.push_str("}\n");
    out
}

/// A text in quotes, with nothing in it that ends them.
fn quoted(text: &str) -> String {
    let safe: String = text
        .chars()
        .filter(|character| !character.is_control())
        .flat_map(|character| {
            let escape = matches!(character, '"' | '\\').then_some('\\');
            escape.into_iter().chain([character])
        })
        .collect();
    format!("\"{safe}\"")
}
