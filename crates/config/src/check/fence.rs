//! What switches a node off: its devices, in levels that are tried one after another.
//!
//! Three keys of a device are ours; every other one is a word of its agent. So only what no agent could be told is
//! refused, and what this one says that it does not take, where somebody asks it (`told`).

use std::collections::BTreeMap;

use heart_model::{
    Duration, FENCE_DEVICES_MAX, FENCE_PLUGIN_FOLDER, FENCE_PROGRAM_FOLDERS, FenceAgent, FenceDevice, Guard,
    Timing, Value as Model,
};

use super::{length, missing_key, told, watchdog};
use crate::{
    Code, Environment, Found, Mistake, Span, Written,
    draft::{Draft, GroupDraft, NodeDraft, ResourceDraft, model_value},
    keys::{self, Keys},
    tree::{Entry, Kind, Table, Value, cut},
    words,
};

/// How long is waited before a device is used, unless written.
const DELAY: Duration = Duration::ZERO;
const DELAY_BOUNDS: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(600));
/// How long one action of a device may take, unless written.
const TIMEOUT: Duration = Duration::from_secs(60);
const TIMEOUT_BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));
/// What an agent is told by us, whatever the file says.
pub(super) const OURS: &[(&str, &str)] = &[
    ("action", "what is to be done is said when it is: remove it"),
    ("option", "what is to be done is said when it is: remove it"),
    ("nodename", "which node is meant is said when it is; which outlet it has is written `plug = \"3\"`"),
    ("PATH", "programs are looked for in the system's folders: remove it"),
    ("LC_ALL", "agents speak English to us: remove it"),
];
/// What others call a person who answers for it that a node is off.
const MANUAL: [&str; 2] = ["manual", "meatware"];
/// The program of fence-agents that only plays a device.
const FOR_TESTS: &str = "fence_dummy";
/// What `fence` takes.
const TAKES: &str = "a table such as { agent = \"fence_ipmilan\", ip = \"10.2.0.1\" }, or a list of levels";
/// What a parameter takes.
const TAKES_PARAMETER: &str = "a text, a whole number, or `true` or `false`";

/// The devices of one node.
pub(super) fn levels(
    node: &NodeDraft,
    timing: &Timing,
    environment: &dyn Environment,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Vec<FenceDevice>> {
    let Some(value) = &node.fence else { return Vec::new() };
    let shape = shape(value, mistakes);
    let tables: Vec<_> = shape.iter().flatten().collect();
    if let Some((_, at)) = tables.get(FENCE_DEVICES_MAX) {
        let name = cut(&node.name.value, 40);
        let message = format!(
            "`{name}` has {} devices to switch it off, and may have {FENCE_DEVICES_MAX}",
            tables.len()
        );
        mistakes.push(
            Mistake::at(Code::TooMany, *at, message)
                .label("the first one too many")
                .hint("two levels of one device each are what most nodes need"),
        );
    }
    watchdog::judge(node, &shape, mistakes);
    let mut level = |level: &Vec<(&Table, Span)>| -> Vec<FenceDevice> {
        level.iter().filter_map(|(table, at)| device(table, *at, timing, environment, mistakes)).collect()
    };
    shape.iter().map(&mut level).collect()
}

/// The tables of each level, and where they are.
pub(super) fn shape<'v>(value: &'v Value, mistakes: &mut Vec<Mistake>) -> Vec<Vec<(&'v Table, Span)>> {
    let items = match &value.kind {
        Kind::List(items) => items.as_slice(),
        _ => std::slice::from_ref(value),
    };
    if items.is_empty() {
        mistakes.push(empty("`fence` names no device", value.span));
    }
    let mut levels = Vec::new();
    for item in items {
        let devices = match &item.kind {
            Kind::List(devices) => devices.as_slice(),
            _ => std::slice::from_ref(item),
        };
        if devices.is_empty() {
            mistakes.push(empty("this level of `fence` names no device", item.span));
        }
        levels.push(devices.iter().filter_map(|device| table(device, mistakes)).collect());
    }
    levels
}

fn empty(message: &str, at: Span) -> Mistake {
    Mistake::at(Code::EmptyList, at, message)
        .label("nothing in it")
        .hint("write a device such as `{ agent = \"fence_ipmilan\", ip = \"10.2.0.1\" }`, or remove the list")
}

fn table<'v>(value: &'v Value, mistakes: &mut Vec<Mistake>) -> Option<(&'v Table, Span)> {
    match &value.kind {
        Kind::Table(table) => Some((table, value.span)),
        Kind::List(_) => {
            mistakes.push(
                Mistake::at(Code::WrongType, value.span, "a level of `fence` consists of devices")
                    .label("this is one list too deep")
                    .hint(
                        "`fence = [FIRST, SECOND]` tries one after another; `fence = [[ONE, OTHER]]` needs both, \
                         as for two power supplies",
                    ),
            );
            None
        }
        _ => {
            keys::wrong_type(mistakes, "fence", value, TAKES);
            None
        }
    }
}

/// Whether this is the node's own watchdog, which nobody tells anything.
pub(super) fn is_watchdog(table: &Table) -> bool {
    let agent = table.get("agent").map(|entry| &entry.value.kind);
    matches!(agent, Some(Kind::Text(text)) if text == FenceAgent::WATCHDOG)
}

/// Whether this only shuts a node out from storage.
fn shuts_out(table: &Table) -> bool {
    let agent = table.get("agent").map(|entry| &entry.value.kind);
    matches!(agent, Some(Kind::Text(text)) if FenceAgent::parse(text).is_ok_and(|agent| agent.shuts_out()))
}

/// Whether somebody else can have the node switched off: its own watchdog settles nothing between two nodes, as each
/// of them would wait for the other's; and one that is only shut out from storage may go on, and fire as well.
pub(super) fn can_be_switched_off(node: &NodeDraft) -> bool {
    let Some(value) = &node.fence else { return false };
    let shape = shape(value, &mut Vec::new());
    let proves = |level: &Vec<(&Table, Span)>| {
        !level.iter().any(|(table, _)| is_watchdog(table)) && !level.iter().all(|(table, _)| shuts_out(table))
    };
    shape.is_empty() || shape.iter().any(proves)
}

fn device(
    table: &Table,
    at: Span,
    timing: &Timing,
    environment: &dyn Environment,
    mistakes: &mut Vec<Mistake>,
) -> Option<FenceDevice> {
    if is_watchdog(table) {
        return Some(watchdog::as_fence(table, timing, mistakes));
    }
    let mut keys = Keys::new(table, "fence".into(), mistakes);
    let written = keys.text("agent");
    let delay = keys.duration("delay");
    let timeout = keys.duration("timeout");
    let rest: Vec<&Entry> = keys.rest().collect();
    let delay = length(delay.as_ref(), "delay", DELAY, DELAY_BOUNDS, mistakes);
    let timeout_is_least = timeout.is_none();
    let timeout = length(timeout.as_ref(), "timeout", TIMEOUT, TIMEOUT_BOUNDS, mistakes);
    if table.get("agent").is_none() {
        let meant = rest.iter().find(|entry| words::meant(&entry.key, &["agent"]).is_some());
        let way_out = match meant {
            Some(entry) => format!("did you mean `agent` where `{}` stands?", cut(&entry.key, 40)),
            None => "say what knows how to talk to the device: `agent = \"fence_ipmilan\"`".into(),
        };
        mistakes.push(missing_key("agent", "fence", at, &way_out));
    }
    let agent = written.and_then(|written| agent(&written, environment, mistakes));
    let parameters = parameters(&rest, agent.as_ref(), environment, mistakes);
    if let (Some(agent), Some(named)) = (&agent, table.get("agent")) {
        told::compare(agent, named.value.span, &rest, environment, mistakes);
    }
    let device = FenceDevice { agent: agent?, parameters, delay, timeout, timeout_is_least };
    proof(&device, table, mistakes);
    Some(device)
}

/// What an agent calls *off* need not be a proof that a node does nothing any more.
fn proof(device: &FenceDevice, table: &Table, mistakes: &mut Vec<Mistake>) {
    let Some(written) = table.get("agent") else { return };
    let name = device.agent.to_string();
    if let Some(no_proof) = device.no_proof() {
        let at = no_proof.parameter.and_then(|parameter| table.get(parameter)).unwrap_or(written);
        mistakes.push(
            Mistake::at(
                Code::ProvesNothing,
                at.value.span,
                format!("`{name}` cannot prove that a node is off"),
            )
            .label(format!("it {}", no_proof.does))
            .hint(no_proof.instead),
        );
    }
    if matches!(device.agent, FenceAgent::External(_)) && device.no_proof().is_none() {
        mistakes.push(
            Mistake::at(Code::NoReadBack, written.value.span, format!("`{name}` cannot say whether a node is off"))
                .label("is believed when it says that it has switched it off, and that its device is well")
                .hint(
                    "if it is wrong, what the node runs is started a second time elsewhere: use the `fence_…` program \
                     for this device, if there is one; else try once what it does, with `heart fence NODE --anyway`",
                ),
        );
    }
    if name == FOR_TESTS {
        mistakes.push(
            Mistake::at(Code::OnlyForTests, written.value.span, format!("`{name}` switches nothing off"))
                .label("it keeps what it is told in a file")
                .hint("two nodes may run the same thing with it: use it where nothing can be lost"),
        );
    }
}

fn agent(
    written: &Written<String>,
    environment: &dyn Environment,
    mistakes: &mut Vec<Mistake>,
) -> Option<FenceAgent> {
    let Ok(agent) = FenceAgent::parse(&written.value) else {
        let text = cut(&written.value, 60);
        let way_out = match written.value.strip_prefix("stonith:") {
            Some(name) => format!("write its name alone: \"{}\"", cut(name, 60)),
            None if MANUAL.contains(&written.value.as_str()) => "leave it out: what waits for proof that a node is off \
                 goes on as soon as a person says so, `heart confirm-off NODE`, whatever else is configured; who said it \
                 and when is in the log"
                .into(),
            None => "it is called as its program is: \"fence_ipmilan\", \"fence_apc_snmp\"; plug-ins of \
                 cluster-glue are \"external/ipmi\" and their like; a disk that all nodes share is \"disk\""
                .into(),
        };
        let refused =
            Mistake::at(Code::UnknownAgent, written.span, format!("there is no fence agent `{text}`"));
        mistakes.push(refused.label("unknown agent").hint(way_out));
        return None;
    };
    let (folders, name, package) = match &agent {
        FenceAgent::Program(name) => (&FENCE_PROGRAM_FOLDERS[..], name, "fence-agents"),
        FenceAgent::External(name) => (&[FENCE_PLUGIN_FOLDER][..], name, "cluster-glue"),
        FenceAgent::Disk | FenceAgent::Watchdog => return Some(agent),
    };
    let mut here = folders.iter().map(|folder| environment.file(&format!("{folder}/{name}")));
    if here.all(|found| matches!(found, Found::Missing)) {
        let message = format!("`{}` is not on this machine", cut(&written.value, 60));
        mistakes.push(
            Mistake::at(Code::MissingCommand, written.span, message)
                .label(format!("not in {}", words::list(folders, "or")))
                .hint(format!(
                    "every node may have to switch off this one: install {package} on all of them; what it is told \
                     here was not looked at"
                )),
        );
    }
    Some(agent)
}

fn parameters(
    written: &[&Entry],
    agent: Option<&FenceAgent>,
    environment: &dyn Environment,
    mistakes: &mut Vec<Mistake>,
) -> BTreeMap<String, Model> {
    let mut parameters = BTreeMap::new();
    for entry in written {
        if !can_be_told(entry, mistakes) {
            continue;
        }
        if matches!(agent, Some(FenceAgent::Program(_))) {
            secret(entry, environment, mistakes);
        }
        parameters
            .extend(model_value(&entry.key, &entry.value, mistakes).map(|value| (entry.key.clone(), value)));
    }
    parameters
}

/// Whether this is something that an agent can be told: a plain name, and a value on one line.
fn can_be_told(entry: &Entry, mistakes: &mut Vec<Mistake>) -> bool {
    let key = cut(&entry.key, 40);
    if let Some((_, way_out)) = OURS.iter().find(|(ours, _)| *ours == entry.key) {
        mistakes.push(
            Mistake::at(
                Code::ReservedParameter,
                entry.key_span,
                format!("`{key}` is not for the file to say"),
            )
            .label("said by the cluster")
            .hint(*way_out),
        );
        return false;
    }
    let of_names = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if entry.key.is_empty() || !entry.key.chars().all(of_names) {
        mistakes.push(
            Mistake::at(Code::InvalidText, entry.key_span, format!("no parameter can be called `{key}`"))
                .label("not a name of a parameter")
                .hint("names of parameters are made of letters, digits, `_` and `-`"),
        );
        return false;
    }
    match &entry.value.kind {
        Kind::Text(text) if text.contains(char::is_control) => {
            mistakes.push(
                Mistake::at(
                    Code::InvalidText,
                    entry.value.span,
                    format!("`{key}` has a control character in it"),
                )
                .label("an invisible character")
                .hint("write it anew without it: agents are told one thing a line"),
            );
            false
        }
        Kind::Text(_) | Kind::Integer(_) | Kind::Boolean(_) | Kind::Broken => true,
        Kind::List(_) | Kind::Table(_) | Kind::Float | Kind::Date(_) => {
            keys::wrong_type(mistakes, &entry.key, &entry.value, TAKES_PARAMETER);
            false
        }
    }
}

/// A secret had better stand in a file of its own, which is there and which nobody else can read.
fn secret(entry: &Entry, environment: &dyn Environment, mistakes: &mut Vec<Mistake>) {
    let Kind::Text(text) = &entry.value.kind else { return };
    let Some(of_file) = entry.key.strip_suffix("_file") else {
        if is_secret(&entry.key) && !text.is_empty() {
            let key = cut(&entry.key, 40);
            mistakes.push(
                Mistake::at(
                    Code::ClearPassword,
                    entry.value.span,
                    format!("`{key}` stands here for all to read"),
                )
                .label("known to whoever reads this file, and to every node's disk")
                .hint(format!("write it to a file, and here `{key}_file = \"/etc/heart/bmc\"`")),
            );
        }
        return;
    };
    let shown = cut(text, 60);
    if !text.starts_with('/') {
        let relative =
            Mistake::at(Code::RelativePath, entry.value.span, format!("`{shown}` is no whole path"));
        mistakes.push(relative.label("does not begin with `/`").hint("write the path from the root on"));
        return;
    }
    // What other files an agent takes, and who may read them, is between it and them.
    if !is_secret(of_file) {
        return;
    }
    let said = match environment.file(text) {
        Found::Missing => Mistake::at(Code::MissingSecret, entry.value.span, format!("`{shown}` is not there"))
            .label("no such file on this machine")
            .hint("every node may have to switch off this one: write the secret into its first line, on all of them"),
        Found::Present(facts) if facts.exposed => {
            Mistake::at(Code::ExposedFile, entry.value.span, format!("others than its owner can read `{shown}`"))
                .label("whoever reads it can switch this node off")
                .hint(format!("chmod 600 {shown}"))
        }
        Found::Present(_) | Found::Unknown => return,
    };
    mistakes.push(said);
}

/// Whether a parameter of this name is a secret.
fn is_secret(key: &str) -> bool {
    ["password", "passwd", "passphrase", "secret", "token"].iter().any(|ending| key.ends_with(ending))
}

/// The nodes that nothing here can switch off.
pub(super) struct Unfenced<'d> {
    names: Vec<&'d str>,
    /// That is so of every node.
    all: bool,
    /// Two nodes vote, and each can have the other switched off.
    pair: bool,
}

pub(super) fn unfenced(draft: &Draft) -> Unfenced<'_> {
    let without = draft.nodes.iter().filter(|node| node.fence.is_none());
    let names: Vec<&str> = without.map(|node| node.name.value.as_str()).collect();
    let pair = draft.tie_break.is_none() && super::nodes::is_fenced_pair(&draft.nodes);
    Unfenced { all: names.len() == draft.nodes.len(), names, pair }
}

impl Unfenced<'_> {
    /// What guards a resource if the file does not say. Of a pair neither has a lease while the other is lost: only
    /// what waits for the fence runs on (SAFETY rule 9).
    pub(super) fn default_guard(&self, of_agent: Guard) -> Guard {
        if self.pair && of_agent == Guard::Lease { Guard::Fence } else { of_agent }
    }

    /// Warns of what is to cost a node that nothing can switch off.
    pub(super) fn judge_stuck(&self, resource: &ResourceDraft, mistakes: &mut Vec<Mistake>) {
        let Some(at) = resource.when_stuck.as_ref().filter(|_| !self.names.is_empty()) else { return };
        let nodes = if self.all { "any node".into() } else { words::list(&self.names, "or") };
        let name = cut(&resource.name.value, 40);
        mistakes.push(
            Mistake::at(
                Code::NoFencing,
                at.span,
                format!("nothing can switch {nodes} off when `{name}` is stuck"),
            )
            .label("needs a device that switches the node off")
            .hint(
                "there it is only told that it is stuck. Say in `[node.NAME]` what switches it off, such as \
                     `fence = { agent = \"fence_ipmilan\", … }`",
            ),
        );
    }

    /// Warns of what waits for proof that nobody can give, on nodes where it may run.
    pub(super) fn judge(
        &self,
        resource: &ResourceDraft,
        group: Option<&GroupDraft>,
        mistakes: &mut Vec<Mistake>,
    ) {
        let name = cut(&resource.name.value, 40);
        let at = resource.guard.as_ref().or(resource.agent.as_ref());
        let at = at.map_or(resource.name.span, |at| at.span);
        let never = [Some(&resource.wishes), group.map(|group| &group.wishes)];
        let never: Vec<&str> = never
            .into_iter()
            .flatten()
            .filter_map(|wishes| wishes.never.as_ref())
            .flat_map(|list| list.value.iter().map(|name| name.value.as_str()))
            .collect();
        let left: Vec<&str> = self.names.iter().copied().filter(|node| !never.contains(node)).collect();
        if self.all {
            mistakes.push(
                Mistake::at(Code::NoFencing, at, format!("`{name}` stays down when its node is lost"))
                    .label("needs proof that the node is off, and nothing here can give it")
                    .hint(
                        "then it runs again only once that node is back, or once a person who knows that it is off says \
                         so: `heart confirm-off NODE`. Say in `[node.NAME]` what switches it off, such as \
                         `fence = { agent = \"fence_ipmilan\", … }`; if running twice does no harm, write \
                         `guard = \"none\"`",
                    ),
            );
        } else if !left.is_empty() {
            let nodes = words::list(&left, "or");
            mistakes.push(
                Mistake::at(Code::NoFencing, at, format!("`{name}` stays down when {nodes} is lost with it"))
                    .label("needs proof that the node is off, and nothing here can give it")
                    .hint(format!(
                        "then it runs again only once that node is back, or once a person who knows that it is off says \
                         so: `heart confirm-off NODE`. Write a `fence` for {nodes}, or let it never run there"
                    )),
            );
        }
    }
}
