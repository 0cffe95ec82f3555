//! The agents that are part of Heart, described: what they can be told, and what guards them.
//!
//! This is data. What they do is for the crate `agents`; the words are fixed here, so that a slip
//! in one of them is found before anything starts.

use heart_model::{AgentInfo, AgentRef, Guard, ParameterInfo, ParameterKind};

/// Every agent that is part of Heart, in order of their names.
#[must_use]
pub fn builtin_agents() -> Vec<AgentInfo> {
    vec![ip(), process()]
}

fn parameter(name: &str, kind: ParameterKind, summary: &str) -> ParameterInfo {
    ParameterInfo { name: name.into(), summary: summary.into(), kind, required: false, default: None }
}

fn required(parameter: ParameterInfo) -> ParameterInfo {
    ParameterInfo { required: true, ..parameter }
}

fn or(default: &str, parameter: ParameterInfo) -> ParameterInfo {
    ParameterInfo { default: Some(default.into()), ..parameter }
}

fn ip() -> AgentInfo {
    use ParameterKind::{Address, Integer, Text};
    AgentInfo {
        agent: AgentRef::BuiltIn("ip".into()),
        summary: "An IP address that is always on one of the nodes".into(),
        description: "Adds the address to an interface, announces it to the neighbours, and takes it away \
                      again. The kernel stops answering for it when the node's lease ends, even if nothing \
                      of Heart runs any more."
            .into(),
        parameters: vec![
            required(parameter("address", Address, "The address, with its prefix length: \"10.0.0.100/24\"")),
            parameter("interface", Text, "Where it is added; else the interface that is in its network"),
            parameter("broadcast", Address, "The broadcast address, if it is not the last of the network"),
            parameter("label", Text, "A label for old tools, such as \"eth0:web\""),
            or("5", parameter("announce", Integer, "How often neighbours are told, from 1 to 100")),
        ],
        guard: Guard::Lease,
    }
}

fn process() -> AgentInfo {
    use ParameterKind::{Command, Duration, Environment, Table, Text};
    let ready = vec![
        parameter("tcp", Text, "It accepts connections at this address and port: \"127.0.0.1:80\""),
        parameter("http", Text, "It answers a request for this URL with success"),
        parameter("file", Text, "This file exists"),
        parameter("after", Duration, "It has run for so long"),
    ];
    AgentInfo {
        agent: AgentRef::BuiltIn("process".into()),
        summary: "A program that runs in the foreground".into(),
        description: "Starts the program under a keeper, notices at once when it ends, and kills it when \
                      the node's lease ends, even if nothing of Heart runs any more. A program that goes \
                      into the background has to be told not to."
            .into(),
        parameters: vec![
            required(parameter("command", Command, "The program and its arguments")),
            or("root", parameter("user", Text, "Who runs it")),
            or("/", parameter("directory", Text, "Where it runs")),
            parameter("environment", Environment, "Variables it gets, beside a few usual ones"),
            or("SIGTERM", parameter("stop_signal", ParameterKind::OneOf(signals()), "What asks it to end")),
            parameter("ready", Table(ready), "When it counts as started; else at once"),
        ],
        guard: Guard::Lease,
    }
}

fn signals() -> Vec<String> {
    ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL"].map(String::from).into()
}
