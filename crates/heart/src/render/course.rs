//! How it goes on, plan after plan, in words.

use heart_config::cib::{Note, date_text};
use heart_scheduler::engine::{
    Outcome, rehearse,
    settle::{Course, End, ROUNDS_MAX},
};

use super::{
    Look,
    simulation::{decisions, head, not_understood, picture, words},
    text::{Tone, count, paint, paragraph},
};
use crate::simulation::result::ending;

/// Most steps that are written out of a round in which nothing is decided that people see.
const STEPS_MAX: usize = 6;

/// What is, what would be done in each round, what would be then, and whether that is the end.
pub(crate) fn course(course: &Course, notes: &[Note], look: &Look) -> String {
    let (Some(first), Some(last)) = (course.rounds.first(), course.rounds.last()) else {
        return String::new();
    };
    let mut out = head(look, "Now");
    out += &picture(&first.before, look);
    let acting = course.rounds.iter().filter(|outcome| !outcome.actions.is_empty());
    for (number, outcome) in acting.enumerate() {
        out += &format!("\n{}", head(look, &format!("Round {}", number + 1)));
        out += &round(outcome, look);
    }
    if !first.actions.is_empty() {
        out += &format!("\n{}", head(look, "Then"));
        out += &picture(ending(last), look);
    }
    out.push('\n');
    out += &end(course, last, look);
    if let Some(at) = last.look_again {
        out += &format!("\nIt depends on the time, and has to be looked again at {} UTC.\n", date_text(at));
    }
    out + &not_understood(notes, look)
}

/// What people see of a round; or its first steps, if that is nothing.
fn round(outcome: &Outcome, look: &Look) -> String {
    let mut out = decisions(outcome, look);
    let is_seen = !out.is_empty();
    let steps = rehearse::sequence(outcome).into_iter().filter_map(|place| outcome.actions.get(place));
    let mut texts = Vec::new();
    for action in steps {
        texts.push(words(action));
    }
    let many = count(texts.len(), "step");
    if is_seen {
        return out + &format!("  {}\n", paint(look, Tone::Faint, &many));
    }
    for text in texts.iter().take(STEPS_MAX) {
        out += &paragraph(look, 2, Tone::Normal, text);
    }
    if texts.len() > STEPS_MAX {
        let more = format!("and {} more: `--json` has them all", texts.len() - STEPS_MAX);
        out += &paragraph(look, 2, Tone::Faint, &more);
    }
    out
}

fn end(course: &Course, last: &Outcome, look: &Look) -> String {
    match course.end {
        End::Settled if course.rounds.len() == 1 && last.decisions.is_empty() => {
            format!("{}\n", paint(look, Tone::Good, "Nothing has to be done."))
        }
        End::Settled => {
            let rounds = count(course.rounds.len() - 1, "round");
            let text = format!("It settles: after {rounds} nothing is left that could be done.");
            let mut out = paragraph(look, 0, Tone::Good, &text);
            if !last.decisions.is_empty() {
                out += &format!("\n{}", head(look, "Wanted, and cannot be done"));
                out += &decisions(last, look);
            }
            out
        }
        End::Unsettled { same } => {
            let text =
                format!("It does not settle: after {ROUNDS_MAX} rounds there is still something to do.");
            let mut out = paragraph(look, 0, Tone::Bad, &text);
            if let Some((one, other)) = same {
                let text = format!(
                    "Round {} does the same as round {}, from the same state: it goes round in a circle. This \
                     may be a fault of Heart: please report it with the file.",
                    other + 1,
                    one + 1
                );
                out += &paragraph(look, 0, Tone::Bad, &text);
            }
            out
        }
    }
}
