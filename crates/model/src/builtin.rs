//! The agents that are part of Heart, described: what they can be told, and what guards them.
//!
//! This is data, and the only place that has it: the configuration checks what is written against
//! it, so that a slip is found before anything starts, and the agents answer with it when they are
//! asked what they are. What they do is for the crate `agents`.

use alloc::{string::String, vec, vec::Vec};

use crate::{AgentInfo, AgentRef, Guard, ParameterInfo, ParameterKind};

/// Every agent that is part of Heart, in order of their names.
#[must_use]
pub fn builtin_agents() -> Vec<AgentInfo> {
    vec![ip(), process()]
}

/// The agent of that name, if it is part of Heart.
#[must_use]
pub fn builtin_agent(name: &str) -> Option<AgentInfo> {
    let wanted = |info: &AgentInfo| matches!(&info.agent, AgentRef::BuiltIn(known) if known == name);
    builtin_agents().into_iter().find(wanted)
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
    use ParameterKind::{Address, Duration, Integer, Text};
    AgentInfo {
        agent: AgentRef::BuiltIn("ip".into()),
        summary: "An IP address that is always on one of the nodes".into(),
        description: "Adds the address to an interface, announces it to the neighbours, and takes it away \
                      again. The kernel stops answering for it when the node's lease ends, even if nothing \
                      of Heart runs any more."
            .into(),
        parameters: vec![
            required(parameter("address", Address, "The address, with its prefix length: \"10.0.0.100/24\"")),
            parameter("prefix", Integer, "The prefix length, if it does not stand with the address"),
            parameter("interface", Text, "Where it is added; else the interface that is in its network"),
            parameter("broadcast", Address, "The broadcast address, if it is not the last of the network"),
            parameter("label", Text, "A label for old tools, such as \"web\""),
            or(
                "3ms",
                parameter(
                    "detect",
                    Duration,
                    "How long another host has to say that it has the address; `false` asks nobody",
                ),
            ),
        ],
        guard: Guard::Lease,
        promotes: false,
    }
}

fn process() -> AgentInfo {
    use ParameterKind::{Boolean, Command, Environment, Integer, OneOf, Text};
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
            or("none", parameter("ready", Text, READY)),
            or(
                "TERM",
                parameter("stop_signal", OneOf(SIGNALS.map(String::from).into()), "What asks it to end"),
            ),
            or("1048576", parameter("log_size", Integer, "How much of its output is kept, in bytes")),
            parameter(
                "contain",
                Boolean,
                "Whether all its processes end with it; as long as a lease guards it, they do",
            ),
        ],
        guard: Guard::Lease,
        promotes: false,
    }
}

/// When a program counts as started.
pub const READY: &str = "\"none\" for at once, a length of time such as \"500ms\", \"tcp:ADDRESS:PORT\", \
                                \"file:PATH\", or \"notify\" if it says so itself";

const SIGNALS: [&str; 8] = ["TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "WINCH", "KILL"];
