//! What an agent is told, against what it says that it can be told.

use std::collections::BTreeMap;

use heart_model::{AgentInfo, AgentRef, ParameterInfo, ParameterKind, READY, Value as Model};

use super::{absent, addresses, unknown_word};
use crate::{
    Code, Environment, Found, Mistake, Span, Written,
    draft::{RESOURCE_KEYS, ResourceDraft, model_value},
    duration, keys,
    tree::{Entry, Kind, Value, cut},
    words,
};

/// The parameters of a resource. Those of a built-in agent stand beside the common keys; those of
/// any other agent in a table of their own, since an agent of somebody else may have a parameter
/// called `guard`.
pub(super) fn parameters(
    resource: &ResourceDraft,
    agent: &AgentRef,
    info: Option<&AgentInfo>,
    environment: &dyn Environment,
    mistakes: &mut Vec<Mistake>,
) -> BTreeMap<String, Model> {
    let built_in = matches!(agent, AgentRef::BuiltIn(_));
    let inside = resource.parameters.as_ref().map(|table| table.entries.as_slice()).unwrap_or_default();
    let (right, wrong) =
        if built_in { (&resource.beside[..], inside) } else { (inside, &resource.beside[..]) };
    let known = info.map(|info| info.parameters.as_slice()).unwrap_or_default();
    for entry in wrong {
        mistakes.push(misplaced(entry, resource, agent, known));
    }
    if let Some(info) = info {
        let at = resource.agent.as_ref().map_or(resource.name.span, |agent| agent.span);
        let present: Vec<&str> =
            resource.beside.iter().chain(inside).map(|entry| entry.key.as_str()).collect();
        entries(right, info, built_in, mistakes);
        needed(info, &present, at, mistakes);
    }
    if built_in {
        command_file(right, environment, mistakes);
    } else {
        for entry in right {
            if matches!(entry.value.kind, Kind::List(_) | Kind::Table(_)) {
                keys::wrong_type(
                    mistakes,
                    &entry.key,
                    &entry.value,
                    "a text, a whole number, or `true` or `false`",
                );
            }
        }
    }
    let model = |entry: &Entry| {
        let value = model_value(&entry.key, &entry.value, mistakes)?;
        let kind = known.iter().find(|one| one.name == entry.key).map(|one| &one.kind);
        Some((entry.key.clone(), if built_in { settled(&entry.key, value, kind) } else { value }))
    };
    let is_known = |entry: &&Entry| info.is_none() || known.iter().any(|one| one.name == entry.key);
    right.iter().filter(is_known).filter_map(model).collect()
}

/// Lengths of time are passed on in one unit, so that nobody else has to know all of them.
fn settled(key: &str, value: Model, kind: Option<&ParameterKind>) -> Model {
    let is_length = matches!(kind, Some(ParameterKind::Duration)) || key == "ready";
    match value.as_text().and_then(|text| duration::read(text).ok()).filter(|_| is_length) {
        Some(length) => Model::Text(format!("{}ms", length.as_micros().div_ceil(1000))),
        None => value,
    }
}

fn misplaced(entry: &Entry, resource: &ResourceDraft, agent: &AgentRef, known: &[ParameterInfo]) -> Mistake {
    let key = cut(&entry.key, 40);
    let name = cut(&resource.name.value, 40);
    if matches!(agent, AgentRef::BuiltIn(_)) {
        return Mistake::at(
            Code::ParametersPlace,
            entry.key_span,
            format!("`{key}` stands in a table of its own"),
        )
        .label("does not belong in here")
        .hint(format!("parameters of `{agent}` stand beside `agent`, in `[resource.{name}]`"));
    }
    let is_parameter = known.iter().any(|parameter| parameter.name == entry.key);
    let hint = match words::meant(&entry.key, RESOURCE_KEYS) {
        Some(word) if !is_parameter => format!("did you mean `{word}`?"),
        _ => format!("parameters of `{agent}` stand in the table `[resource.{name}.parameters]`"),
    };
    Mistake::at(Code::ParametersPlace, entry.key_span, format!("`[resource.{name}]` has no key `{key}`"))
        .label("does not belong here")
        .hint(hint)
}

/// Compares what is written with what there is. What an agent of somebody else takes is text in
/// the end, so that only names are compared there.
fn entries(written: &[Entry], info: &AgentInfo, strict: bool, mistakes: &mut Vec<Mistake>) {
    let names: Vec<&str> = info.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    for entry in written {
        match info.parameters.iter().find(|parameter| parameter.name == entry.key) {
            Some(parameter) if strict => value(&entry.key, &entry.value, &parameter.kind, mistakes),
            Some(_) => {}
            None => mistakes.push(unknown(entry, &format!("`{}`", info.agent), &names, strict)),
        }
    }
}

/// Reports what the agent needs and nobody wrote, at either place.
fn needed(info: &AgentInfo, present: &[&str], at: Span, mistakes: &mut Vec<Mistake>) {
    for parameter in info.parameters.iter().filter(|parameter| parameter.required) {
        if absent(&parameter.name, present) {
            let message = format!("`{}` needs `{}`", info.agent, parameter.name);
            let missing = Mistake::at(Code::MissingParameter, at, message)
                .label(format!("`{}` is missing", parameter.name));
            let hint = format!("`{}`: {}", parameter.name, parameter.summary);
            mistakes.push(if parameter.summary.is_empty() { missing } else { missing.hint(hint) });
        }
    }
}

fn unknown(entry: &Entry, whose: &str, names: &[&str], with_common: bool) -> Mistake {
    let key = cut(&entry.key, 40);
    let common = if with_common { RESOURCE_KEYS } else { &[] };
    let all: Vec<&str> = names.iter().chain(common).copied().filter(|key| *key != "parameters").collect();
    let hint = match words::meant(&entry.key, &all) {
        Some(word) => format!("did you mean `{word}`?"),
        None if with_common => {
            let common = &RESOURCE_KEYS[..RESOURCE_KEYS.len() - 1];
            format!(
                "it can be told {}; every resource has {}",
                words::list(names, "and"),
                words::list(common, "and")
            )
        }
        None => format!("it can be told {}", words::list(names, "and")),
    };
    Mistake::at(Code::UnknownParameter, entry.key_span, format!("{whose} has no parameter `{key}`"))
        .label("unknown parameter")
        .hint(hint)
}

/// Checks a value of a built-in agent.
fn value(key: &str, value: &Value, kind: &ParameterKind, mistakes: &mut Vec<Mistake>) {
    match (kind, &value.kind) {
        (_, Kind::Broken) | (ParameterKind::Boolean, Kind::Boolean(_)) => {}
        (ParameterKind::Integer, Kind::Integer(number)) => {
            let (least, most) = bounds(key);
            if !(least..=most).contains(number) {
                let message = format!("`{key}` may be from {least} to {most}");
                let out = Mistake::at(Code::NumberRange, value.span, message).label("out of bounds");
                mistakes.push(out.hint("leave it away for the usual number"));
            }
        }
        (ParameterKind::Duration, Kind::Boolean(_)) if key == "detect" => {}
        (ParameterKind::Text, Kind::Text(text)) if key == "ready" => ready(text, value.span, mistakes),
        (ParameterKind::Text, Kind::Text(text)) => plain(key, text, value.span, mistakes),
        (ParameterKind::Duration, Kind::Text(text)) => {
            if let Err(way_out) = duration::read(text) {
                let message = format!("`{}` is no length of time", cut(text, 40));
                let refused = Mistake::at(Code::InvalidDuration, value.span, message);
                mistakes.push(refused.label(format!("for `{key}`")).hint(way_out));
            }
        }
        (ParameterKind::Address, Kind::Text(text)) if key == "address" => {
            addresses::of_resource(&Written { value: text.clone(), span: value.span }, mistakes);
        }
        (ParameterKind::Address, Kind::Text(text)) => {
            if text.parse::<std::net::IpAddr>().is_err() {
                let written = Written { value: text.clone(), span: value.span };
                mistakes.push(addresses::no_address(&written, "write an address such as \"10.0.0.255\""));
            }
        }
        (ParameterKind::Command, Kind::Text(_) | Kind::List(_)) => command(key, value, mistakes),
        (ParameterKind::Environment, Kind::Table(table)) => {
            for entry in &table.entries {
                variable(entry, mistakes);
            }
        }
        (ParameterKind::OneOf(choices), Kind::Text(text)) => {
            let short = text.strip_prefix("SIG").filter(|_| key == "stop_signal").unwrap_or(text);
            if !choices.iter().any(|choice| choice == short) {
                let known: Vec<&str> = choices.iter().map(String::as_str).collect();
                let written = Written { value: text.clone(), span: value.span };
                mistakes.push(unknown_word(&written, key, &known));
            }
        }
        _ => keys::wrong_type(mistakes, key, value, takes(kind)),
    }
}

fn takes(kind: &ParameterKind) -> &'static str {
    match kind {
        ParameterKind::Boolean => "`true` or `false`, without quotes",
        ParameterKind::Integer => "a whole number",
        ParameterKind::Text | ParameterKind::Address | ParameterKind::OneOf(_) => "a text in quotes",
        ParameterKind::Duration => keys::TAKES_DURATION,
        ParameterKind::Command => "a list of texts: the program and its arguments",
        ParameterKind::Environment => "a table of texts, such as { LANG = \"C\" }",
    }
}

/// From where to where a number of a built-in agent may go.
fn bounds(key: &str) -> (i64, i64) {
    match key {
        "prefix" => (1, 128),
        "log_size" => (0, 1024 * 1024 * 1024),
        _ => (0, i64::from(u32::MAX)),
    }
}

/// When a program counts as started.
fn ready(text: &str, at: Span, mistakes: &mut Vec<Mistake>) {
    let fits = match text.split_once(':') {
        Some(("tcp", address)) => address.parse::<std::net::SocketAddr>().is_ok(),
        Some(("file", path)) => path.starts_with('/'),
        Some(_) => false,
        None => matches!(text, "none" | "notify") || duration::read(text).is_ok(),
    };
    if !fits {
        let message = format!("`ready` cannot be `{}`", cut(text, 40));
        let refused = Mistake::at(Code::UnknownWord, at, message).label("cannot be waited for");
        mistakes.push(refused.hint(format!("write {READY}")));
    }
}

fn plain(key: &str, text: &str, at: Span, mistakes: &mut Vec<Mistake>) {
    if text.is_empty() {
        mistakes.push(
            Mistake::at(Code::InvalidText, at, format!("`{key}` is empty"))
                .label("nothing in it")
                .hint("write a text, or remove the key"),
        );
    } else if text.contains(char::is_control) {
        let message = format!("`{key}` has a control character in it");
        mistakes.push(
            Mistake::at(Code::InvalidText, at, message)
                .label("an invisible character")
                .hint("write it anew without it"),
        );
    }
}

fn variable(entry: &Entry, mistakes: &mut Vec<Mistake>) {
    if !matches!(entry.value.kind, Kind::Text(_)) {
        keys::wrong_type(mistakes, &entry.key, &entry.value, "a text in quotes");
    }
    if entry.key.is_empty() || entry.key.contains(|c: char| c == '=' || c.is_control()) {
        let message = format!("no variable can be called `{}`", cut(&entry.key, 40));
        mistakes.push(
            Mistake::at(Code::InvalidText, entry.key_span, message)
                .label("not a name of a variable")
                .hint("write `NAME = \"value\"`"),
        );
    }
}

/// The program of a command, and where it is written.
fn program(value: &Value) -> Option<(&str, Span)> {
    match &value.kind {
        Kind::Text(text) => text.split_whitespace().next().map(|word| (word, value.span)),
        Kind::List(items) => match &items.first()?.kind {
            Kind::Text(text) => Some((text, items.first()?.span)),
            _ => None,
        },
        _ => None,
    }
}

fn command(key: &str, value: &Value, mistakes: &mut Vec<Mistake>) {
    if let Kind::List(items) = &value.kind {
        for item in items {
            match &item.kind {
                Kind::Text(text) if text.contains('\0') => {
                    let message = format!("`{key}` has a zero byte in it");
                    mistakes.push(
                        Mistake::at(Code::InvalidText, item.span, message).label("cannot be passed on"),
                    );
                }
                Kind::Text(_) => {}
                _ => keys::wrong_type(mistakes, key, item, "a list of texts: the program and its arguments"),
            }
        }
        if items.first().is_some_and(|item| !matches!(item.kind, Kind::Text(_))) {
            return;
        }
    }
    match program(value) {
        None | Some(("", _)) => mistakes.push(
            Mistake::at(Code::InvalidText, value.span, format!("`{key}` names no program"))
                .label("nothing in it")
                .hint("write `command = [\"/usr/bin/program\", \"--argument\"]`"),
        ),
        Some((program, at)) if !program.starts_with('/') => mistakes.push(
            Mistake::at(Code::RelativePath, at, format!("`{}` is no whole path", cut(program, 60)))
                .label("does not begin with `/`")
                .hint(format!(
                    "write the path from the root on, such as \"/usr/bin/{}\": what is searched differs between \
                     machines",
                    cut(program.trim_start_matches(['.', '/']), 60)
                )),
        ),
        Some(_) => {}
    }
}

fn command_file(written: &[Entry], environment: &dyn Environment, mistakes: &mut Vec<Mistake>) {
    let Some(entry) = written.iter().find(|entry| entry.key == "command") else { return };
    let Some((program, at)) = program(&entry.value).filter(|(program, _)| program.starts_with('/')) else {
        return;
    };
    let shown = cut(program, 60);
    let warn = |message: String, label: &str, hint: String| {
        Mistake::at(Code::MissingCommand, at, message).label(label).hint(hint)
    };
    match environment.file(program) {
        Found::Missing => mistakes.push(warn(
            format!("`{shown}` is not on this machine"),
            "no such file here",
            "install it on every node, or make sure that a member before it in its group brings it".into(),
        )),
        Found::Present(facts) if !facts.executable => mistakes.push(warn(
            format!("`{shown}` cannot be executed"),
            "no permission to execute, or no file",
            format!("chmod +x {shown}"),
        )),
        Found::Present(_) | Found::Unknown => {}
    }
}
