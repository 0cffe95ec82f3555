//! What the agent of a device is told, against what it says that it can be told.
//!
//! Only whoever looks on a machine that has the agent knows that. Names are compared, and nothing else: what a value
//! means is between the agent and its device.

use heart_model::{FenceAgent, FenceDevice, FenceParameter};

use super::fence::OURS;
use crate::{
    Code, Environment, Found, Mistake, Span,
    tree::{Entry, cut},
    words,
};

/// How words of Pacemaker begin, in a device that was copied from there.
const OF_PACEMAKER: &str = "pcmk_";

/// Compares what is written for an agent, which is named at `at`, with what it says of itself.
pub(super) fn compare(
    agent: &FenceAgent,
    at: Span,
    written: &[&Entry],
    environment: &dyn Environment,
    mistakes: &mut Vec<Mistake>,
) {
    if !matches!(agent, FenceAgent::Program(_) | FenceAgent::External(_)) {
        return;
    }
    match environment.fence_agent(agent) {
        Found::Unknown | Found::Missing => {}
        Found::Present(Err(why)) => mistakes.push(
            Mistake::at(Code::SilentAgent, at, format!("`{agent}` does not say what it can be told"))
                .label(format!("it {}", cut(&why, 200)))
                .hint("see that its package is whole on this machine; whether it takes what is written here is not known"),
        ),
        Found::Present(Ok(known)) => {
            unknown(agent, written, &known, mistakes);
            missing(agent, at, written, &known, mistakes);
        }
    }
}

/// As agents compare names: some write `-`, some `_`, and take both.
fn same(one: &str, other: &str) -> bool {
    one.replace('-', "_") == other.replace('-', "_")
}

/// Whether a key stands for this parameter: by its name, or as the file in which its value is (of programs alone).
fn stands_for(agent: &FenceAgent, key: &str, name: &str) -> bool {
    let of_file = key.strip_suffix("_file").filter(|_| matches!(agent, FenceAgent::Program(_)));
    same(key, name) || of_file.is_some_and(|plain| same(plain, name))
}

fn unknown(agent: &FenceAgent, written: &[&Entry], known: &[FenceParameter], mistakes: &mut Vec<Mistake>) {
    let is_known = |key: &str| known.iter().any(|one| stands_for(agent, key, &one.info.name));
    let is_ours = |key: &str| OURS.iter().any(|(ours, _)| *ours == key);
    // A plug-in finds all that is written, and may read what it does not say that it reads.
    let code = match agent {
        FenceAgent::External(_) => Code::UnlistedParameter,
        _ => Code::UnknownParameter,
    };
    for entry in written.iter().filter(|entry| !is_known(&entry.key) && !is_ours(&entry.key)) {
        let key = cut(&entry.key, 40);
        let said = Mistake::at(code, entry.key_span, format!("`{agent}` has no parameter `{key}`"));
        mistakes.push(said.label("unknown parameter").hint(meant(agent, &entry.key, known)));
    }
}

/// What was perhaps meant by a key that the agent does not know.
fn meant(agent: &FenceAgent, key: &str, known: &[FenceParameter]) -> String {
    if key.starts_with(OF_PACEMAKER) {
        return "that is a word for Pacemaker, which the agent never sees: a device switches the node below which it is \
                written, and `delay` and `timeout` are said beside it"
            .into();
    }
    let mut names: Vec<&str> =
        known.iter().filter(|one| !one.outdated).map(|one| one.info.name.as_str()).collect();
    names.retain(|name| !OURS.iter().any(|(ours, _)| ours == name));
    let of_file = key.strip_suffix("_file").filter(|_| matches!(agent, FenceAgent::Program(_)));
    let of_file = of_file.and_then(|plain| words::meant(plain, &names));
    match (of_file, words::meant(key, &names), names.as_slice()) {
        (Some(word), _, _) => format!("did you mean `{word}_file`?"),
        (None, Some(word), _) => format!("did you mean `{word}`?"),
        (None, None, []) => "it says that it can be told nothing: remove it".into(),
        (None, None, names) => format!("it can be told {}", words::list(names, "and")),
    }
}

fn missing(
    agent: &FenceAgent,
    at: Span,
    written: &[&Entry],
    known: &[FenceParameter],
    mistakes: &mut Vec<Mistake>,
) {
    for one in known.iter().filter(|one| one.info.required && !one.outdated) {
        let name = one.info.name.as_str();
        let has_default = one.info.default.as_ref().is_some_and(|text| !text.is_empty());
        // An outlet that is not written has the name of the node.
        let is_told = OURS.iter().any(|(ours, _)| *ours == name) || FenceDevice::OUTLET.contains(&name);
        let names = [Some(name), one.former.as_deref()];
        let is_written = |entry: &&Entry| {
            let of = |name: &str| {
                stands_for(agent, &entry.key, name) || words::meant(&entry.key, &[name]).is_some()
            };
            names.iter().flatten().any(|name| of(name))
        };
        if has_default || is_told || written.iter().any(is_written) {
            continue;
        }
        let missing = Mistake::at(Code::MissingParameter, at, format!("`{agent}` needs `{name}`"))
            .label(format!("`{name}` is missing"));
        let summary = cut(&one.info.summary, 200);
        mistakes.push(match summary.is_empty() {
            true => missing.hint(format!("write `{name} = …` beside `agent`")),
            false => missing.hint(format!("`{name}`: {summary}")),
        });
    }
}
