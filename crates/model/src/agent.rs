//! What is known of the things that run resources.

use alloc::{string::String, vec::Vec};
use core::fmt;
use serde::{Deserialize, Serialize};

use crate::Guard;

/// Which agent runs a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AgentRef {
    /// One that is part of Heart: `ip`, `process`.
    BuiltIn(String),
    /// An Open Cluster Framework agent: `ocf:PROVIDER:TYPE`.
    Ocf {
        /// Whose agent it is, the folder below `resource.d`.
        provider: String,
        /// Its name, the file in that folder.
        kind: String,
    },
}

impl fmt::Display for AgentRef {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AgentRef::BuiltIn(name) => to.write_str(name),
            AgentRef::Ocf { provider, kind } => write!(to, "ocf:{provider}:{kind}"),
        }
    }
}

impl From<AgentRef> for String {
    fn from(agent: AgentRef) -> String {
        alloc::format!("{agent}")
    }
}

impl TryFrom<String> for AgentRef {
    type Error = String;

    /// Reads `NAME` or `ocf:PROVIDER:TYPE`; whether the agent exists is not looked at.
    fn try_from(text: String) -> Result<AgentRef, String> {
        let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\0']);
        let parts: Vec<&str> = text.split(':').collect();
        match parts.as_slice() {
            [name] if plain(name) => Ok(AgentRef::BuiltIn((*name).into())),
            ["ocf", provider, kind] if plain(provider) && plain(kind) => {
                Ok(AgentRef::Ocf { provider: (*provider).into(), kind: (*kind).into() })
            }
            _ => Err(alloc::format!("`{text}` is no agent: write `ip`, `process` or `ocf:PROVIDER:TYPE`")),
        }
    }
}

/// A kind of resource, described for people and tools: the fourth member function, `info`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentInfo {
    /// The agent.
    pub agent: AgentRef,
    /// One line.
    pub summary: String,
    /// More than one line.
    pub description: String,
    /// What it can be told.
    pub parameters: Vec<ParameterInfo>,
    /// What makes taking over its resources safe, unless the configuration says otherwise.
    pub guard: Guard,
    /// Whether it can promote one of several copies.
    #[serde(default)]
    pub promotes: bool,
}

/// One parameter of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParameterInfo {
    /// Its name in the configuration.
    pub name: String,
    /// What it is for.
    pub summary: String,
    /// What may be written.
    pub kind: ParameterKind,
    /// Whether it has to be written.
    pub required: bool,
    /// What holds when it is not written, as text.
    pub default: Option<String>,
}

/// What may be written for a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterKind {
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// Any text.
    Text,
    /// A length of time, such as `"500ms"`.
    Duration,
    /// An IP address, with or without a prefix length.
    Address,
    /// A command: a text or a list of words.
    Command,
    /// Named texts.
    Environment,
    /// One of these words.
    OneOf(Vec<String>),
}

/// How an operation of an agent ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "message")]
pub enum Outcome {
    /// It did what was asked.
    Done,
    /// It says that the resource is not running.
    NotRunning,
    /// It did not do it; why, for people.
    Failed(String),
    /// It cannot work on this node: something is missing or forbidden here.
    Unable(String),
    /// It was asked for something that no node can do: the configuration is wrong.
    Misconfigured(String),
    /// It did not answer in time.
    TimedOut,
    /// The order's right had passed before it began; nothing was done.
    Refused(String),
}

impl Outcome {
    /// Whether it did what was asked.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self, Outcome::Done)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Done => to.write_str("done"),
            Outcome::NotRunning => to.write_str("not running"),
            Outcome::Failed(why) => write!(to, "failed: {why}"),
            Outcome::Unable(why) => write!(to, "not possible on this node: {why}"),
            Outcome::Misconfigured(why) => write!(to, "wrongly configured: {why}"),
            Outcome::TimedOut => to.write_str("gave no answer in time"),
            Outcome::Refused(why) => write!(to, "refused: {why}"),
        }
    }
}
