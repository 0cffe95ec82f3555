//! Exactly what was written: the first of two stages.
//!
//! Here it is decided which tables and keys there are and of which type their values have to be.
//! What the values mean, and whether they fit together, is for `check` to say.

use crate::{
    Code, Mistake, Span, Written,
    keys::{Amounts, Keys},
    tree::{Entry, Kind, Table, Value, cut},
    wishes::{self, Texts, TimeDraft, WishesDraft},
    words,
};

/// A configuration as written.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// The tables that are there, whether readable or not.
    pub(crate) present: Vec<String>,
    pub(crate) cluster: Option<ClusterDraft>,
    pub(crate) timing: TimingDraft,
    pub(crate) tie_break: Option<TieBreakDraft>,
    pub(crate) links: Vec<LinkDraft>,
    pub(crate) nodes: Vec<NodeDraft>,
    pub(crate) resources: Vec<ResourceDraft>,
    pub(crate) groups: Vec<GroupDraft>,
    pub(crate) times: Vec<TimeDraft>,
    pub(crate) pings: Vec<PingDraft>,
}

/// The table `[cluster]`.
#[derive(Debug)]
pub(crate) struct ClusterDraft {
    pub(crate) span: Span,
    pub(crate) name: Option<Written<String>>,
    pub(crate) key_file: Option<Written<String>>,
    pub(crate) port: Option<Written<i64>>,
    pub(crate) when_sick: Option<Written<String>>,
    pub(crate) after_fence: Option<Written<String>>,
    pub(crate) failovers_max: Option<Written<i64>>,
    /// Keys that are there, whether readable or not.
    pub(crate) present: Vec<String>,
}

/// The table `[timing]`.
#[derive(Debug, Default)]
pub(crate) struct TimingDraft {
    pub(crate) profile: Option<Written<String>>,
    pub(crate) heartbeat: Option<Written<String>>,
    pub(crate) lost_after: Option<Written<String>>,
    pub(crate) let_go: Option<Written<String>>,
}

/// The table `[tie_break]`.
#[derive(Debug)]
pub(crate) struct TieBreakDraft {
    pub(crate) span: Span,
    pub(crate) witness: Option<Written<String>>,
    pub(crate) file: Option<Written<String>>,
    pub(crate) disk: Option<Written<String>>,
    pub(crate) object: Option<Written<String>>,
    pub(crate) access_key: Option<Written<String>>,
    pub(crate) secret_file: Option<Written<String>>,
    pub(crate) region: Option<Written<String>>,
    pub(crate) etcd: Option<Written<Vec<Written<String>>>>,
    pub(crate) key: Option<Written<String>>,
    pub(crate) timeout: Option<Written<String>>,
    pub(crate) present: Vec<String>,
}

/// A table `[ping.NAME]`.
#[derive(Debug)]
pub(crate) struct PingDraft {
    pub(crate) name: Written<String>,
    pub(crate) hosts: Option<Written<Vec<Written<String>>>>,
    pub(crate) interval: Option<Written<String>>,
    pub(crate) lost_after: Option<Written<String>>,
    pub(crate) present: Vec<String>,
}

/// A table `[link.NAME]`.
#[derive(Debug)]
pub(crate) struct LinkDraft {
    pub(crate) name: Written<String>,
    pub(crate) kind: Option<Written<String>>,
    pub(crate) address: Option<Written<String>>,
    pub(crate) interface: Option<Written<String>>,
    pub(crate) present: Vec<String>,
}

/// A table `[node.NAME]`.
#[derive(Debug)]
pub(crate) struct NodeDraft {
    pub(crate) name: Written<String>,
    pub(crate) addresses: Option<Written<Vec<Written<String>>>>,
    pub(crate) voter: Option<Written<bool>>,
    pub(crate) capacity: Option<Written<Amounts>>,
    /// What switches it off, whatever it is: devices, lists of them, lists of lists.
    pub(crate) fence: Option<Value>,
    pub(crate) watchdog: Option<Written<String>>,
    pub(crate) never_paused: Option<Written<bool>>,
    pub(crate) present: Vec<String>,
}

/// A table `[resource.NAME]`.
#[derive(Debug)]
pub(crate) struct ResourceDraft {
    pub(crate) name: Written<String>,
    pub(crate) agent: Option<Written<String>>,
    pub(crate) start_timeout: Option<Written<String>>,
    pub(crate) stop_timeout: Option<Written<String>>,
    pub(crate) status_timeout: Option<Written<String>>,
    pub(crate) status_every: Option<Written<String>>,
    pub(crate) failures_max: Option<Written<i64>>,
    pub(crate) failovers_max: Option<Written<i64>>,
    pub(crate) when_stuck: Option<Written<String>>,
    pub(crate) guard: Option<Written<String>>,
    pub(crate) needs: Option<Written<Amounts>>,
    pub(crate) promotable: Option<Written<bool>>,
    pub(crate) wishes: WishesDraft,
    /// The table `parameters`, for agents that are not built in.
    pub(crate) parameters: Option<Table>,
    /// Every other key: parameters of a built-in agent.
    pub(crate) beside: Vec<Entry>,
    pub(crate) present: Vec<String>,
}

/// The keys that every resource may have, whatever its agent.
pub(crate) const RESOURCE_KEYS: &[&str] = &[
    "agent",
    "start_timeout",
    "stop_timeout",
    "status_timeout",
    "status_every",
    "failures_max",
    "failovers_max",
    "when_stuck",
    "guard",
    "prefers",
    "avoids",
    "never",
    "with",
    "after",
    "needs",
    "copies",
    "promotable",
    "during",
    "ticket",
    "at",
    "parameters",
];

/// A table `[group.NAME]`.
#[derive(Debug)]
pub(crate) struct GroupDraft {
    pub(crate) name: Written<String>,
    pub(crate) members: Option<Texts>,
    pub(crate) wishes: WishesDraft,
    pub(crate) present: Vec<String>,
}

const TABLES: &[&str] =
    &["cluster", "timing", "tie_break", "ping", "link", "node", "resource", "group", "time"];

impl Draft {
    /// Takes a document apart.
    pub(crate) fn read(root: &Table, mistakes: &mut Vec<Mistake>) -> Draft {
        let mut draft = Draft { present: present(root), ..Draft::default() };
        for entry in &root.entries {
            match entry.key.as_str() {
                "cluster" => {
                    draft.cluster = table(entry, "[cluster]", mistakes).map(|table| cluster(table, mistakes));
                }
                "timing" => {
                    let read = table(entry, "[timing]", mistakes).map(|table| timing(table, mistakes));
                    draft.timing = read.unwrap_or_default();
                }
                "tie_break" => {
                    draft.tie_break =
                        table(entry, "[tie_break]", mistakes).map(|table| tie_break(table, mistakes));
                }
                "ping" => each(entry, &mut draft.pings, ping, mistakes),
                "link" => each(entry, &mut draft.links, link, mistakes),
                "node" => each(entry, &mut draft.nodes, node, mistakes),
                "resource" => each(entry, &mut draft.resources, resource, mistakes),
                "group" => each(entry, &mut draft.groups, group, mistakes),
                "time" => each(entry, &mut draft.times, wishes::time, mistakes),
                _ => mistakes.push(unknown_table(entry)),
            }
        }
        draft
    }
}

fn unknown_table(entry: &Entry) -> Mistake {
    let key = cut(&entry.key, 40);
    match &entry.value.kind {
        Kind::Table(_) => Mistake::at(
            Code::UnknownTable,
            entry.key_span,
            format!("there is no table `[{key}]`"),
        )
        .label("unknown table")
        .hint(match words::meant(&entry.key, TABLES) {
            Some(word) => format!("did you mean `{word}`?"),
            None => "the tables are `[cluster]`, `[timing]`, `[tie_break]`, `[node.NAME]`, `[link.NAME]`, \
                         `[ping.NAME]`, `[resource.NAME]`, `[group.NAME]` and `[time.NAME]`"
                .into(),
        }),
        _ => Mistake::at(Code::UnknownKey, entry.key_span, format!("`{key}` stands outside of any table"))
            .label("belongs to no table")
            .hint("put it below a header such as `[cluster]`"),
    }
}

fn table<'t>(entry: &'t Entry, place: &str, mistakes: &mut Vec<Mistake>) -> Option<&'t Table> {
    match &entry.value.kind {
        Kind::Table(table) => Some(table),
        Kind::Broken => None,
        other => {
            let message = format!("`{}` is a table", entry.key);
            let found = Mistake::at(Code::WrongType, entry.value.span, message)
                .label(format!("this is {}", other.noun()))
                .hint(format!("write it as a header, `{place}`, with its keys below"));
            mistakes.push(found);
            None
        }
    }
}

/// Reads the tables of one kind: `[node.ada]`, `[node.bob]`.
fn each<T>(
    entry: &Entry,
    into: &mut Vec<T>,
    read: fn(Written<String>, &Table, &mut Vec<Mistake>) -> T,
    mistakes: &mut Vec<Mistake>,
) {
    let Some(kind) = table(entry, &format!("[{}.NAME]", entry.key), mistakes) else { return };
    for named in &kind.entries {
        match &named.value.kind {
            Kind::Table(table) => {
                let name = Written { value: named.key.clone(), span: named.key_span };
                into.push(read(name, table, mistakes));
            }
            Kind::Broken => {}
            _ => {
                let (kind, key) = (&entry.key, cut(&named.key, 40));
                let message = format!("`[{kind}]` has no keys, only tables with a name");
                let found = Mistake::at(Code::UnknownKey, named.key_span, message)
                    .label(format!("to which {kind} does `{key}` belong?"))
                    .hint(format!("write a header with a name, such as `[{kind}.NAME]`"));
                mistakes.push(found);
            }
        }
    }
}

fn present(table: &Table) -> Vec<String> {
    table.entries.iter().map(|entry| entry.key.clone()).collect()
}

/// The name of a table, for messages: `[node.ada]`.
pub(crate) fn place(kind: &str, name: &Written<String>) -> String {
    format!("[{kind}.{}]", cut(&name.value, 40))
}

/// The same without brackets, for tables within it.
fn owner(kind: &str, name: &Written<String>) -> String {
    format!("{kind}.{}", cut(&name.value, 40))
}

fn cluster(table: &Table, mistakes: &mut Vec<Mistake>) -> ClusterDraft {
    let mut keys = Keys::new(table, "[cluster]".into(), mistakes);
    let draft = ClusterDraft {
        span: table.span,
        name: keys.text("name"),
        key_file: keys.text("key_file"),
        port: keys.integer("port"),
        when_sick: keys.text("when_sick"),
        after_fence: keys.text("after_fence"),
        failovers_max: keys.integer("failovers_max"),
        present: present(table),
    };
    keys.finish();
    draft
}

fn timing(table: &Table, mistakes: &mut Vec<Mistake>) -> TimingDraft {
    let mut keys = Keys::new(table, "[timing]".into(), mistakes);
    let draft = TimingDraft {
        profile: keys.text("profile"),
        heartbeat: keys.duration("heartbeat"),
        lost_after: keys.duration("lost_after"),
        let_go: keys.duration("let_go"),
    };
    keys.finish();
    draft
}

fn ping(name: Written<String>, table: &Table, mistakes: &mut Vec<Mistake>) -> PingDraft {
    let mut keys = Keys::new(table, place("ping", &name), mistakes);
    let draft = PingDraft {
        hosts: keys.texts("hosts"),
        interval: keys.duration("interval"),
        lost_after: keys.duration("lost_after"),
        present: present(table),
        name,
    };
    keys.finish();
    draft
}

fn tie_break(table: &Table, mistakes: &mut Vec<Mistake>) -> TieBreakDraft {
    let mut keys = Keys::new(table, "[tie_break]".into(), mistakes);
    let draft = TieBreakDraft {
        span: table.span,
        witness: keys.text("witness"),
        file: keys.text("file"),
        disk: keys.text("disk"),
        object: keys.text("object"),
        access_key: keys.text("access_key"),
        secret_file: keys.text("secret_file"),
        region: keys.text("region"),
        etcd: keys.texts("etcd"),
        key: keys.text("key"),
        timeout: keys.duration("timeout"),
        present: present(table),
    };
    keys.finish();
    draft
}

fn link(name: Written<String>, table: &Table, mistakes: &mut Vec<Mistake>) -> LinkDraft {
    let mut keys = Keys::new(table, place("link", &name), mistakes);
    let draft = LinkDraft {
        kind: keys.text("kind"),
        address: keys.text("address"),
        interface: keys.text("interface"),
        present: present(table),
        name,
    };
    keys.finish();
    draft
}

fn node(name: Written<String>, table: &Table, mistakes: &mut Vec<Mistake>) -> NodeDraft {
    let mut present = present(table);
    let is_unknown = |entry: &&Entry| words::meant(&entry.key, &["capacity", "fence"]).is_none();
    if table.entries.iter().filter(is_unknown).any(|entry| matches!(entry.value.kind, Kind::Table(_))) {
        // Its name is cut short by a point; whatever it needs is further down.
        present.push("addresses".into());
    }
    let mut keys = Keys::new(table, place("node", &name), mistakes);
    let draft = NodeDraft {
        addresses: keys.texts("addresses"),
        voter: keys.boolean("voter"),
        capacity: keys.amounts("capacity"),
        fence: keys.value("fence").cloned(),
        watchdog: keys.text("watchdog"),
        never_paused: keys.boolean("never_paused"),
        present,
        name,
    };
    keys.finish();
    draft
}

fn resource(name: Written<String>, table: &Table, mistakes: &mut Vec<Mistake>) -> ResourceDraft {
    let mut keys = Keys::new(table, place("resource", &name), mistakes);
    let agent = keys.text("agent");
    let start_timeout = keys.duration("start_timeout");
    let stop_timeout = keys.duration("stop_timeout");
    let status_timeout = keys.duration("status_timeout");
    let status_every = keys.duration("status_every");
    let failures_max = keys.integer("failures_max");
    let failovers_max = keys.integer("failovers_max");
    let when_stuck = keys.text("when_stuck");
    let guard = keys.text("guard");
    let needs = keys.amounts("needs");
    let promotable = keys.boolean("promotable");
    let wishes = wishes::read(&mut keys, table, &owner("resource", &name));
    let parameters = keys.table("parameters").cloned();
    let beside = keys.rest().cloned().collect();
    ResourceDraft {
        name,
        agent,
        start_timeout,
        stop_timeout,
        status_timeout,
        status_every,
        failures_max,
        failovers_max,
        when_stuck,
        guard,
        needs,
        promotable,
        wishes,
        parameters,
        beside,
        present: present(table),
    }
}

/// What only resources have, and somebody may look for in a group.
const OF_MEMBERS: [(&str, &str); 2] = [
    ("needs", "say of each member what it needs: a group needs what its members do"),
    ("promotable", "members of a group are all alike: promote a resource that is in no group"),
];

fn group(name: Written<String>, table: &Table, mistakes: &mut Vec<Mistake>) -> GroupDraft {
    let mut keys = Keys::new(table, place("group", &name), mistakes);
    let draft = GroupDraft {
        members: keys.texts("members"),
        wishes: wishes::read(&mut keys, table, &owner("group", &name)),
        present: present(table),
        name,
    };
    for (key, way_out) in OF_MEMBERS {
        if keys.value(key).is_some()
            && let Some(entry) = table.get(key)
        {
            let (place, name) = (place("group", &draft.name), cut(&draft.name.value, 40));
            let message = format!("`{place}` has no key `{key}`");
            let misplaced = Mistake::at(Code::UnknownKey, entry.key_span, message);
            keys.report(misplaced.label(format!("not for the group `{name}` as a whole")).hint(way_out));
        }
    }
    keys.finish();
    draft
}

/// The value of a parameter as the model knows it; nothing, and a mistake, for what it has no word
/// for.
pub(crate) fn model_value(
    key: &str,
    value: &Value,
    mistakes: &mut Vec<Mistake>,
) -> Option<heart_model::Value> {
    use heart_model::Value as Model;
    match &value.kind {
        Kind::Text(text) => Some(Model::Text(text.clone())),
        Kind::Integer(number) => Some(Model::Integer(*number)),
        Kind::Boolean(truth) => Some(Model::Boolean(*truth)),
        Kind::List(items) => {
            let items: Vec<Option<Model>> =
                items.iter().map(|item| model_value(key, item, mistakes)).collect();
            items.into_iter().collect::<Option<_>>().map(Model::List)
        }
        Kind::Table(table) => {
            let entries = table.entries.iter().map(|entry| {
                model_value(key, &entry.value, mistakes).map(|value| (entry.key.clone(), value))
            });
            entries.collect::<Vec<_>>().into_iter().collect::<Option<_>>().map(Model::Table)
        }
        Kind::Float | Kind::Date(_) => {
            crate::keys::wrong_type(mistakes, key, value, "a text, a whole number, or `true` or `false`");
            None
        }
        Kind::Broken => None,
    }
}
