//! A specification as text: canonical, complete, and read back as the same specification.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write as _},
};

use heart_model::{
    AfterFence, AgentRef, Copies, Duration, FenceAgent, FenceDevice, Guard, Hours, Link, LinkKind, Name,
    ResourceSpec, Spec, TieBreakPlace, TieBreakSpec, Value, WhenSick, WhenStuck, Wishes,
};
use toml_writer::{TomlKeyBuilder, TomlStringBuilder};

use crate::{
    duration,
    hours::{DAYS, MONTHS, WEEKDAYS, print_hours, print_moment},
};

/// Writes a specification.
///
/// Everything is written out, also what is the default, so that a later version with other
/// defaults reads the same specification from it.
#[must_use]
pub fn print(spec: &Spec) -> String {
    let mut text = Text(String::new());
    text.table(&["cluster"]);
    text.entry("name", &quoted(spec.cluster.name.as_str()));
    text.entry("key_file", &quoted(&spec.cluster.key_file));
    text.entry("port", &spec.cluster.port.to_string());
    text.entry(
        "when_sick",
        match spec.cluster.when_sick {
            WhenSick::Move => "\"move\"",
            WhenSick::Report => "\"report\"",
        },
    );
    text.entry("failovers_max", &spec.cluster.failovers_max.to_string());
    text.entry(
        "after_fence",
        match spec.cluster.after_fence {
            AfterFence::StayOff => "\"stay_off\"",
            AfterFence::Boot => "\"boot\"",
        },
    );
    text.table(&["timing"]);
    text.duration("heartbeat", spec.timing.heartbeat);
    text.duration("lost_after", spec.timing.lost_after);
    text.duration("let_go", spec.timing.let_go);
    if let Some(tie_break) = &spec.tie_break {
        print_tie_break(&mut text, tie_break);
    }
    for (name, ping) in &spec.pings {
        text.table(&["ping", name.as_str()]);
        text.entry("hosts", &list(ping.hosts.iter().map(|host| quoted(&host.to_string()))));
        text.duration("interval", ping.interval);
        text.duration("lost_after", ping.lost_after);
    }
    for (number, link) in spec.cluster.links.iter().enumerate() {
        print_link(&mut text, number + 1, link, spec.cluster.port);
    }
    for (name, node) in &spec.nodes {
        text.table(&["node", name.as_str()]);
        let addresses = node.addresses.iter().map(|address| quoted(&address.0.to_string()));
        text.entry("addresses", &list(addresses));
        text.entry("voter", &node.voter.to_string());
        text.amounts("capacity", &node.capacity);
        print_fence(&mut text, &node.fence);
        node.watchdog.iter().for_each(|device| text.entry("watchdog", &quoted(device)));
        if node.never_paused {
            text.entry("never_paused", "true");
        }
    }
    for (name, hours) in &spec.times {
        print_time(&mut text, name.as_str(), hours);
    }
    for (name, resource) in &spec.resources {
        print_resource(&mut text, name.as_str(), resource);
    }
    for (name, group) in &spec.groups {
        text.table(&["group", name.as_str()]);
        text.entry("members", &list(group.members.iter().map(|member| quoted(member.as_str()))));
        print_wishes(&mut text, &group.wishes);
        print_instead(&mut text, &["group", name.as_str()], &group.wishes);
    }
    text.0
}

/// One device alone stands without lists around it, as most people write it.
fn print_fence(text: &mut Text, levels: &[Vec<FenceDevice>]) {
    match levels {
        [] => {}
        [level] if level.len() == 1 => text.entry("fence", &print_level(level)),
        levels => {
            let lines = levels.iter().map(|level| format!("    {},\n", print_level(level)));
            text.entry("fence", &format!("[\n{}]", lines.collect::<String>()));
        }
    }
}

fn print_level(level: &[FenceDevice]) -> String {
    match level {
        [device] => print_device(device),
        devices => list(devices.iter().map(print_device)),
    }
}

fn print_device(device: &FenceDevice) -> String {
    if device.is_watchdog() {
        return format!("{{ agent = {} }}", quoted(FenceAgent::WATCHDOG));
    }
    let mut ours =
        vec![("agent", quoted(&device.agent.to_string())), ("delay", quoted(&duration::print(device.delay)))];
    if !device.timeout_is_least {
        ours.push(("timeout", quoted(&duration::print(device.timeout))));
    }
    let ours = ours.into_iter().map(|(key, value)| format!("{key} = {value}"));
    let told =
        device.parameters.iter().map(|(key, value)| format!("{} = {}", plain_key(key), print_value(value)));
    format!("{{ {} }}", ours.chain(told).collect::<Vec<_>>().join(", "))
}

fn print_tie_break(text: &mut Text, tie_break: &TieBreakSpec) {
    text.table(&["tie_break"]);
    match &tie_break.place {
        TieBreakPlace::Witness { address } => text.entry("witness", &quoted(address)),
        TieBreakPlace::File { path } => text.entry("file", &quoted(path)),
        TieBreakPlace::Disk { device } => text.entry("disk", &quoted(device)),
        TieBreakPlace::Object { url, access_key, secret_file, region } => {
            text.entry("object", &quoted(url));
            for (key, value) in [("access_key", access_key), ("secret_file", secret_file)] {
                value.iter().for_each(|value| text.entry(key, &quoted(value)));
            }
            text.entry("region", &quoted(region));
        }
        TieBreakPlace::Etcd { endpoints, key } => {
            text.entry("etcd", &list(endpoints.iter().map(|one| quoted(one))));
            text.entry("key", &quoted(key));
        }
    }
    text.duration("timeout", tie_break.timeout);
}

fn print_link(text: &mut Text, number: usize, link: &Link, port: u16) {
    text.table(&["link", &format!("link{number}")]);
    text.entry(
        "kind",
        match link.kind {
            LinkKind::Multicast => "\"multicast\"",
            LinkKind::Broadcast => "\"broadcast\"",
            LinkKind::Unicast => "\"unicast\"",
        },
    );
    let address =
        if link.address.port() == port { link.address.ip().to_string() } else { link.address.to_string() };
    text.entry("address", &quoted(&address));
    text.entry("interface", &quoted(&link.interface));
}

fn print_resource(text: &mut Text, name: &str, resource: &ResourceSpec) {
    text.table(&["resource", name]);
    text.entry("agent", &quoted(&resource.agent.to_string()));
    text.entry(
        "guard",
        match resource.guard {
            Guard::Lease => "\"lease\"",
            Guard::Fence => "\"fence\"",
            Guard::None => "\"none\"",
        },
    );
    text.duration("start_timeout", resource.timeouts.start);
    text.duration("stop_timeout", resource.timeouts.stop);
    text.duration("status_timeout", resource.timeouts.status);
    text.duration("status_every", resource.timeouts.status_every);
    text.entry("failures_max", &resource.failures_max.to_string());
    text.entry("failovers_max", &resource.failovers_max.to_string());
    text.entry(
        "when_stuck",
        match resource.when_stuck {
            WhenStuck::Report => "\"report\"",
            WhenStuck::Fence => "\"fence\"",
        },
    );
    text.amounts("needs", &resource.needs);
    if resource.promotable {
        text.entry("promotable", "true");
    }
    print_wishes(text, &resource.wishes);
    if matches!(resource.agent, AgentRef::Ocf { .. }) && !resource.parameters.is_empty() {
        text.table(&["resource", name, "parameters"]);
    }
    for (key, value) in &resource.parameters {
        text.entry(key, &print_value(value));
    }
    print_instead(text, &["resource", name], &resource.wishes);
}

/// What stands in the table of a resource or a group.
fn print_wishes(text: &mut Text, wishes: &Wishes) {
    text.names("prefers", &wishes.prefers);
    text.names("avoids", &wishes.avoids);
    text.names("never", &wishes.never);
    text.names("with", &wishes.with);
    text.names("after", &wishes.after);
    match wishes.copies {
        Some(Copies::All) => text.entry("copies", "\"all\""),
        Some(Copies::Of(number)) => text.entry("copies", &number.to_string()),
        None => {}
    }
    text.names("during", &wishes.during);
    if let Some(ticket) = &wishes.ticket {
        text.entry("ticket", &quoted(ticket.as_str()));
    }
}

/// What stands in tables below it.
fn print_instead(text: &mut Text, owner: &[&str], wishes: &Wishes) {
    for (time, instead) in &wishes.at {
        let path: Vec<&str> = owner.iter().copied().chain(["at", time.as_str()]).collect();
        text.table(&path);
        // Here a list in which nothing is, means something.
        if let Some(prefers) = &instead.prefers {
            text.entry("prefers", &listed(prefers));
        }
        if let Some(avoids) = &instead.avoids {
            text.entry("avoids", &listed(avoids));
        }
        if let Some(never) = &instead.never {
            text.entry("never", &listed(never));
        }
    }
}

fn print_time(text: &mut Text, name: &str, hours: &Hours) {
    text.table(&["time", name]);
    text.spans("weekdays", &hours.weekdays, |span| WEEKDAYS.print(span));
    text.spans("days", &hours.days, |span| DAYS.print(span));
    text.spans("months", &hours.months, |span| MONTHS.print(span));
    text.spans("hours", &hours.times, print_hours);
    for (key, moment) in [("from", hours.from), ("until", hours.until)] {
        if let Some(moment) = moment {
            text.entry(key, &quoted(&print_moment(moment)));
        }
    }
}

fn print_value(value: &Value) -> String {
    match value {
        Value::Boolean(truth) => truth.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Text(text) => quoted(text),
        Value::List(items) => list(items.iter().map(print_value)),
        Value::Table(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{} = {}", plain_key(key), print_value(value)))
                .collect();
            if entries.is_empty() { "{}".into() } else { format!("{{ {} }}", entries.join(", ")) }
        }
    }
}

/// A text in quotes, on one line whatever is in it.
fn quoted(text: &str) -> String {
    let mut written = String::new();
    let _ = toml_writer::TomlWrite::value(&mut written, TomlStringBuilder::new(text).as_basic());
    written
}

fn plain_key(key: &str) -> String {
    let mut written = String::new();
    let _ = toml_writer::TomlWrite::key(&mut written, TomlKeyBuilder::new(key).as_default());
    written
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// Names or other plain texts.
fn listed<T: Display>(names: &[T]) -> String {
    list(names.iter().map(|name| quoted(&name.to_string())))
}

struct Text(String);

impl Text {
    fn table(&mut self, path: &[&str]) {
        let keys: Vec<String> = path.iter().map(|key| plain_key(key)).collect();
        let gap = if self.0.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.0, "{gap}[{}]", keys.join("."));
    }

    fn entry(&mut self, key: &str, value: &str) {
        let _ = writeln!(self.0, "{} = {value}", plain_key(key));
    }

    fn duration(&mut self, key: &str, length: Duration) {
        self.entry(key, &quoted(&duration::print(length)));
    }

    fn names<T: Display>(&mut self, key: &str, names: &[T]) {
        if !names.is_empty() {
            self.entry(key, &listed(names));
        }
    }

    fn spans(&mut self, key: &str, spans: &[(u32, u32)], print: impl Fn((u32, u32)) -> String) {
        self.names(key, &spans.iter().map(|span| print(*span)).collect::<Vec<_>>());
    }

    fn amounts(&mut self, key: &str, amounts: &BTreeMap<Name, u64>) {
        if !amounts.is_empty() {
            let amounts =
                amounts.iter().map(|(what, amount)| format!("{} = {amount}", plain_key(what.as_str())));
            self.entry(key, &format!("{{ {} }}", amounts.collect::<Vec<_>>().join(", ")));
        }
    }
}
