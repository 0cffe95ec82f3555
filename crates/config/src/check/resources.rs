//! What is kept running.

use std::collections::{BTreeMap, BTreeSet};

use heart_model::{
    AgentInfo, AgentRef, Duration, FAILOVERS, Guard, LogicalTimeouts, RESOURCES_MAX, ResourceName,
    ResourceSpec, WhenStuck, builtin_agents,
};

use super::{
    at_least_once, copies,
    fence::{self, Unfenced},
    length, missing_key, name,
    names::Names,
    parameters, room, too_many, wishes, word,
};
use crate::{
    Code, Environment, Found, Mistake, Written,
    draft::{Draft, GroupDraft, ResourceDraft},
    tree::cut,
    words,
};

/// How long a start or a stop may take, unless written.
const OPERATION: Duration = Duration::from_secs(30);
/// How long an answer may take, and how often is asked, unless written.
const STATUS: Duration = Duration::from_secs(10);
/// How often something may fail on one node, unless written.
const FAILURES_MAX: u32 = 3;
/// What is said of too small a number of failures.
const AFTER_FAILURES: &str =
    "with 1 it moves after the first failure; the default is 3; for never, write 4294967295";
/// What is said of too small a number of failovers.
const AFTER_FAILOVERS: &str = "so often it is taken over within an hour, and then not for a while; the default is 10; \
     without an end, write 4294967295";
const TIMEOUT_BOUNDS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(86_400));

/// The agents that can be asked about.
pub(super) struct Agents<'e> {
    built_in: Vec<AgentInfo>,
    environment: &'e dyn Environment,
}

impl<'e> Agents<'e> {
    pub(super) fn new(environment: &'e dyn Environment) -> Agents<'e> {
        Agents { built_in: builtin_agents(), environment }
    }

    fn info(&self, agent: &AgentRef) -> Found<AgentInfo> {
        match agent {
            AgentRef::BuiltIn(_) => match self.built_in.iter().find(|info| info.agent == *agent) {
                Some(info) => Found::Present(info.clone()),
                None => Found::Missing,
            },
            AgentRef::Ocf { .. } => self.environment.agent(agent),
        }
    }

    /// What there is, by name, for "did you mean".
    fn names(&self) -> Vec<String> {
        let built_in = self.built_in.iter().map(|info| info.agent.to_string());
        built_in.chain(self.environment.agents().iter().map(ToString::to_string)).collect()
    }
}

pub(super) fn resources(
    draft: &Draft,
    names: &Names<'_>,
    agents: &Agents<'_>,
    mistakes: &mut Vec<Mistake>,
) -> BTreeMap<ResourceName, ResourceSpec> {
    if let Some(resource) = draft.resources.get(RESOURCES_MAX) {
        too_many(draft.resources.len(), RESOURCES_MAX, "resources", resource.name.span, mistakes);
    }
    let grouped: BTreeMap<&str, &GroupDraft> = draft
        .groups
        .iter()
        .flat_map(|group| {
            group.members.iter().flat_map(|list| &list.value).map(move |name| (name.value.as_str(), group))
        })
        .collect();
    let unfenced = fence::unfenced(draft);
    let mut resources = BTreeMap::new();
    for resource in &draft.resources {
        let group = grouped.get(resource.name.value.as_str()).copied();
        let spec = spec(resource, group, names, agents, &unfenced, mistakes);
        let named = name(&resource.name, "resource", ResourceName::new, mistakes);
        if let (Some(name), Some(spec)) = (named, spec) {
            resources.insert(name, spec);
        }
    }
    resources
}

fn spec(
    resource: &ResourceDraft,
    group: Option<&GroupDraft>,
    names: &Names<'_>,
    agents: &Agents<'_>,
    unfenced: &Unfenced<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Option<ResourceSpec> {
    let timeouts = timeouts(resource, mistakes);
    let failures = resource.failures_max.as_ref();
    let failures_max = at_least_once(failures, "failures_max", FAILURES_MAX, AFTER_FAILURES, mistakes);
    let failovers = resource.failovers_max.as_ref();
    let failovers_max = at_least_once(failovers, "failovers_max", FAILOVERS, AFTER_FAILOVERS, mistakes);
    let choices = [("report", WhenStuck::Report), ("fence", WhenStuck::Fence)];
    let when_stuck = word(resource.when_stuck.as_ref(), "when_stuck", &choices, mistakes).unwrap_or_default();
    if when_stuck == WhenStuck::Fence {
        unfenced.judge_stuck(resource, mistakes);
    }
    let needs = room::amounts("needs", resource.needs.as_ref(), mistakes);
    let wishes = wishes::wishes(&resource.name.value, &resource.wishes, names, mistakes);
    if let Some(group) = group {
        wishes::member(resource, &group.name.value, mistakes);
    }
    let choices = [("lease", Guard::Lease), ("fence", Guard::Fence), ("none", Guard::None)];
    let wanted = word(resource.guard.as_ref(), "guard", &choices, mistakes);
    // A key that is only written wrongly counts as absent here: without an agent nobody knows which
    // keys it takes, so nothing is said of that key elsewhere.
    if !resource.present.iter().any(|key| key.as_str() == "agent") {
        let place = format!("[resource.{}]", cut(&resource.name.value, 40));
        let meant = resource.present.iter().find(|key| words::meant(key, &["agent"]).is_some());
        let way_out = match meant {
            Some(key) => format!("did you mean `agent` where `{}` stands?", cut(key, 40)),
            None => "say what runs it: `agent = \"ip\"`, `agent = \"process\"` or `agent = \"ocf:heartbeat:NAME\"`"
                .into(),
        };
        mistakes.push(missing_key("agent", &place, resource.name.span, &way_out));
    }
    let written = resource.agent.as_ref()?;
    let agent = agent(written, agents, mistakes)?;
    let info = match agents.info(&agent) {
        Found::Present(info) => Some(info),
        Found::Unknown => None,
        Found::Missing => {
            mistakes.push(no_agent(written, &agents.names()));
            return None;
        }
    };
    let parameters = parameters::parameters(resource, &agent, info.as_ref(), agents.environment, mistakes);
    let default = info.as_ref().map_or(Guard::Fence, |info| info.guard);
    let promotable = copies::promotable(resource, &agent, info.as_ref(), group.is_some(), mistakes);
    let has_copies = wishes.copies.is_some() || group.is_some_and(|group| group.wishes.copies.is_some());
    let stays = has_copies && !promotable;
    let guard = guard(resource, &agent, wanted.unwrap_or_else(|| unfenced.default_guard(default)), mistakes);
    // Each copy stays on its node, and nobody takes it over.
    if guard == Guard::Fence && !stays {
        unfenced.judge(resource, group, mistakes);
    }
    Some(ResourceSpec {
        agent,
        parameters,
        guard,
        timeouts,
        failures_max,
        failovers_max,
        when_stuck,
        needs,
        promotable,
        wishes,
    })
}

fn agent(written: &Written<String>, agents: &Agents<'_>, mistakes: &mut Vec<Mistake>) -> Option<AgentRef> {
    let Ok(agent) = AgentRef::try_from(written.value.clone()) else {
        mistakes.push(no_agent(written, &agents.names()));
        return None;
    };
    Some(agent)
}

fn no_agent(written: &Written<String>, names: &[String]) -> Mistake {
    let text = cut(&written.value, 60);
    let refused = Mistake::at(Code::UnknownAgent, written.span, format!("there is no agent `{text}`"));
    let hint = match words::meant(&written.value, names) {
        Some(word) => format!("did you mean \"{word}\"?"),
        None if written.value.starts_with("ocf:") => {
            "agents of the Open Cluster Framework are files in /usr/lib/ocf/resource.d/PROVIDER/: \
             write `ocf:PROVIDER:FILE`, and install them on every node"
                .into()
        }
        None if written.value.starts_with("systemd:") || written.value.starts_with("lsb:") => {
            "services of the init system cannot be run yet: give their program to `process`".into()
        }
        None => "it can be \"ip\", \"process\" or \"ocf:PROVIDER:TYPE\"".into(),
    };
    refused.label("unknown agent").hint(hint)
}

/// What guards it.
fn guard(resource: &ResourceDraft, agent: &AgentRef, guard: Guard, mistakes: &mut Vec<Mistake>) -> Guard {
    if let (AgentRef::Ocf { .. }, Guard::Lease, Some(at)) = (agent, guard, &resource.guard) {
        mistakes.push(
            Mistake::at(Code::ImpossibleGuard, at.span, format!("`{agent}` cannot be guarded by a lease"))
                .label("the kernel cannot take away what this agent does")
                .hint(
                    "leave `guard` away, and it is taken over only once its node is proven off; or write \
                     `guard = \"none\"` if running twice does no harm",
                ),
        );
    }
    guard
}

fn timeouts(resource: &ResourceDraft, mistakes: &mut Vec<Mistake>) -> LogicalTimeouts {
    let mut read = |written: &Option<Written<String>>, key: &str, default| {
        length(written.as_ref(), key, default, TIMEOUT_BOUNDS, mistakes)
    };
    LogicalTimeouts {
        start: read(&resource.start_timeout, "start_timeout", OPERATION),
        stop: read(&resource.stop_timeout, "stop_timeout", OPERATION),
        status: read(&resource.status_timeout, "status_timeout", STATUS),
        status_every: read(&resource.status_every, "status_every", STATUS),
    }
}

/// The names of all resources that are written down.
pub(super) fn names(draft: &Draft) -> BTreeSet<&str> {
    draft.resources.iter().map(|resource| resource.name.value.as_str()).collect()
}
