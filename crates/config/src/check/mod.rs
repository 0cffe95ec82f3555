//! What was written becomes what is meant: the second of two stages.
//!
//! Each part of the draft is checked by itself and turned into its part of the specification;
//! then the parts are checked against each other. Checking goes on after a mistake. A
//! specification comes out only if there was no error; then every default is filled in and every
//! name resolved.

mod addresses;
mod circles;
mod cluster;
mod company;
mod copies;
mod disk;
mod fence;
mod groups;
mod guards;
mod names;
mod nodes;
mod pair;
mod parameters;
mod parties;
mod pings;
mod resources;
mod room;
mod tie_break;
mod times;
mod told;
mod watchdog;
mod wishes;

pub use guards::GuardChosen;
pub(crate) use guards::chosen;
use heart_model::{Duration, NameError, Profile, Spec, Timing};

use crate::{Code, Environment, Mistake, Severity, Span, Written, draft::Draft, duration, tree::cut, words};

/// Checks a draft.
pub(crate) fn check(
    draft: &Draft,
    environment: &dyn Environment,
    mistakes: &mut Vec<Mistake>,
) -> Option<Spec> {
    let cluster = cluster::cluster(draft, environment, mistakes);
    let timing = cluster::timing(&draft.timing, mistakes);
    // What follows from a timing that is wrong is not what is wrong.
    let derived = timing.unwrap_or(Timing::of(Profile::Default));
    let mut nodes = nodes::nodes(draft, &derived, environment, mistakes);
    disk::fences(draft, &derived, &mut nodes, mistakes);
    let agents = resources::Agents::new(environment);
    let names = names::Names::of(draft);
    let resources = resources::resources(draft, &names, &agents, mistakes);
    let groups = groups::groups(draft, &names, mistakes);
    let times = times::times(draft, mistakes);
    let voters = nodes.values().filter(|node| node.voter).count();
    let tie_break = tie_break::tie_break(draft, voters, environment, mistakes);
    let pings = pings::pings(draft, mistakes);
    pair::cut_off(draft, &nodes, mistakes);
    addresses::compare(draft, mistakes);
    let parties = parties::Parties::of(draft, &names);
    company::contradictions(&parties, mistakes);
    circles::circles(&parties, mistakes);
    room::room(draft, &parties, mistakes);
    copies::of_addresses(&parties, mistakes);
    copies::of_company(&parties, mistakes);
    if mistakes.iter().any(|mistake| mistake.severity() == Severity::Error) {
        return None;
    }
    Some(Spec { cluster: cluster?, timing: timing?, nodes, resources, groups, times, tie_break, pings })
}

/// Makes a name, or says why it is none.
fn name<T>(
    written: &Written<String>,
    what: &str,
    make: fn(&str) -> Result<T, NameError>,
    mistakes: &mut Vec<Mistake>,
) -> Option<T> {
    let refused = match make(&written.value) {
        Ok(name) => return Some(name),
        Err(refused) => refused,
    };
    let message = match written.value.as_str() {
        "" => format!("the name of this {what} is empty"),
        text => format!("`{}` cannot be the name of a {what}", cut(text, 40)),
    };
    let place = match refused {
        NameError::Character(' ') => "a space cannot be in a name".into(),
        NameError::Character(found) => format!("`{}` cannot be in a name", cut(&found.to_string(), 1)),
        NameError::Start(found) => format!("begins with `{found}`"),
        NameError::Long => format!("{} characters", written.value.chars().count()),
        NameError::Empty => "no name".into(),
    };
    let hint = match refused {
        NameError::Character(_) => "names are made of letters from a to z, digits, `-`, `_` and `.`".into(),
        NameError::Start(_) => "a name begins with a letter or a digit".into(),
        NameError::Long | NameError::Empty => refused.to_string(),
    };
    mistakes.push(Mistake::at(Code::InvalidName, written.span, message).label(place).hint(hint));
    None
}

/// A length of time within bounds; `default` if none is written or it is wrong.
fn length(
    written: Option<&Written<String>>,
    key: &str,
    default: Duration,
    (least, most): (Duration, Duration),
    mistakes: &mut Vec<Mistake>,
) -> Duration {
    let Some(written) = written else { return default };
    let length = match duration::read(&written.value) {
        Ok(length) => length,
        Err(way_out) => {
            let message = format!("`{}` is no length of time", cut(&written.value, 40));
            let refused = Mistake::at(Code::InvalidDuration, written.span, message);
            mistakes.push(refused.label(format!("for `{key}`")).hint(way_out));
            return default;
        }
    };
    if length >= least && length <= most {
        return length;
    }
    let (least, most) = (duration::print(least), duration::print(most));
    let message = format!("`{key}` may be from {least} to {most}");
    let label = if length.is_zero() {
        "zero is no length of time".into()
    } else {
        format!("{} is out of bounds", duration::print(length))
    };
    mistakes.push(
        Mistake::at(Code::DurationRange, written.span, message)
            .label(label)
            .hint(format!("the default is {}", duration::print(default))),
    );
    default
}

/// A number of times that cannot be zero; `usual` if none is written.
fn at_least_once(
    written: Option<&Written<i64>>,
    key: &str,
    usual: u32,
    hint: &str,
    mistakes: &mut Vec<Mistake>,
) -> u32 {
    let Some(written) = written else { return usual };
    match u32::try_from(written.value) {
        Ok(most) if most > 0 => most,
        _ => {
            let message = format!("`{key}` cannot be {}", written.value);
            let mistake = Mistake::at(Code::NumberRange, written.span, message);
            mistakes.push(mistake.label("out of bounds").hint(hint));
            usual
        }
    }
}

/// One of `choices`; nothing if none is written or it is none of them.
fn word<T: Copy>(
    written: Option<&Written<String>>,
    key: &str,
    choices: &[(&str, T)],
    mistakes: &mut Vec<Mistake>,
) -> Option<T> {
    let written = written?;
    if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == written.value) {
        return Some(*choice);
    }
    let known: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    mistakes.push(unknown_word(written, key, &known));
    None
}

fn unknown_word(written: &Written<String>, key: &str, known: &[&str]) -> Mistake {
    let message = format!("`{key}` cannot be `{}`", cut(&written.value, 40));
    let hint = match words::meant(&written.value, known) {
        Some(word) => format!("did you mean \"{word}\"?"),
        None => format!("it can be {}", words::list(known, "or")),
    };
    Mistake::at(Code::UnknownWord, written.span, message).label("unknown word").hint(hint)
}

/// Reports more of something than there may be, at the first one too many.
fn too_many(count: usize, most: usize, what: &str, at: Span, mistakes: &mut Vec<Mistake>) {
    if count > most {
        let message = format!("there are {count} {what}, and there may be {most}");
        mistakes.push(Mistake::at(Code::TooMany, at, message).label("the first one too many"));
    }
}

/// Whether `key` is not there. A key that is only written wrongly is; what is wrong with it is
/// said where it stands.
fn absent<T: AsRef<str>>(key: &str, present: &[T]) -> bool {
    let is_meant = |word: &T| word.as_ref() == key || words::meant(word.as_ref(), &[key]).is_some();
    !present.iter().any(is_meant)
}

fn missing_key(key: &str, place: &str, at: Span, way_out: &str) -> Mistake {
    Mistake::at(Code::MissingKey, at, format!("`{place}` needs the key `{key}`"))
        .label(format!("`{key}` is missing"))
        .hint(way_out)
}
