//! What the text alone cannot tell: files and agents of the machine it is read on.

use heart_model::{AgentInfo, AgentRef, FenceAgent, FenceParameter};

/// What is known of a thing outside of the text.
#[derive(Clone, Debug, PartialEq)]
pub enum Found<T> {
    /// Nobody looked; nothing is reported.
    Unknown,
    /// It is not there.
    Missing,
    /// It is there.
    Present(T),
}

/// What matters of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// It is a file, and may be executed.
    pub executable: bool,
    /// Others than its owner may read it.
    pub exposed: bool,
}

/// On which file system the folder of a path lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderFacts {
    /// It is the root of what is mounted there.
    pub mount_point: bool,
    /// It is on the file system of `/`, or on that of Heart's state.
    pub local: bool,
}

/// Answers questions about the machine on which the text is checked.
pub trait Environment {
    /// What is at this path.
    fn file(&self, path: &str) -> Found<FileFacts>;

    /// Where the folder of this path lies. Whoever must not wait for a file system that hangs does not look.
    fn folder_of(&self, _path: &str) -> Found<FolderFacts> {
        Found::Unknown
    }

    /// What is known of an agent that is not built in.
    fn agent(&self, agent: &AgentRef) -> Found<AgentInfo>;

    /// What the agent of a device says that it can be told; if it does not, why, as the end of a sentence about it.
    fn fence_agent(&self, _agent: &FenceAgent) -> Found<Result<Vec<FenceParameter>, String>> {
        Found::Unknown
    }

    /// The name of this machine, if it is a guest of a hypervisor, which may pause it.
    fn guest(&self) -> Option<String> {
        None
    }

    /// The agents that are there, beside the built-in ones; for "did you mean".
    fn agents(&self) -> Vec<AgentRef>;
}

/// Knows nothing: what is checked depends on the text alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEnvironment;

impl Environment for NoEnvironment {
    fn file(&self, _path: &str) -> Found<FileFacts> {
        Found::Unknown
    }

    fn agent(&self, _agent: &AgentRef) -> Found<AgentInfo> {
        Found::Unknown
    }

    fn agents(&self) -> Vec<AgentRef> {
        Vec::new()
    }
}
