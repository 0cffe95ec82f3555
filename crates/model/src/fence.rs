//! Fencing: what can switch a node off for certain, what is ordered of it, and what came of that.
//!
//! A node that is lost may still run what it ran. What is guarded by [`Guard::Fence`](crate::Guard::Fence) is taken
//! from it only when its boot is proven to be over: a device was told to switch it off, and said, when it was asked
//! again, that it is off (SAFETY rule 11).

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::{fmt, net::IpAddr};
use serde::{Deserialize, Serialize};

use crate::{BootId, Duration, Epoch, NodeName, ParameterInfo, ResourceName, Session, Value};

/// Where distributions put the programs of fence-agents: the first that has one is taken.
pub const FENCE_PROGRAM_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];
/// Where they put the plug-ins of cluster-glue.
pub const FENCE_PLUGIN_FOLDER: &str = "/usr/lib/stonith/plugins/external";
/// Most devices that one node can have, all levels together.
pub const FENCE_DEVICES_MAX: usize = 16;

/// What can switch one node off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FenceDevice {
    /// What knows how to talk to it.
    pub agent: FenceAgent,
    /// What the agent is told, as written: its own words.
    pub parameters: BTreeMap<String, Value>,
    /// How long is waited before it is used, so that two halves of a cluster do not shoot each other at once.
    pub delay: Duration,
    /// How long one action of it may take.
    pub timeout: Duration,
    /// Nobody wrote that timeout: an agent that says of itself that it takes longer is given longer, up to
    /// [`FenceDevice::longest`].
    #[serde(default)]
    pub timeout_is_least: bool,
}

impl FenceDevice {
    /// Parameters by which agents are told an outlet: today's name, and the former one.
    pub const OUTLET: [&str; 2] = ["plug", "port"];
    /// The parameter that names a disk.
    pub const DISK: &str = "device";

    /// How long it may be told and asked, all together: whatever its agent says, as who closes the right to fire
    /// does not know that.
    #[must_use]
    pub fn longest(&self) -> Duration {
        match self.agent {
            // It is told and waited for in one.
            FenceAgent::Disk => self.timeout,
            FenceAgent::Program(_) | FenceAgent::External(_) | FenceAgent::Watchdog => self.timeout * 2,
        }
    }

    /// The device file of the disk over which the node is told to reset itself, if this is one.
    #[must_use]
    pub fn disk(&self) -> Option<&str> {
        match (&self.agent, self.parameters.get(FenceDevice::DISK)) {
            (FenceAgent::Disk, Some(Value::Text(path))) => Some(path),
            _ => None,
        }
    }

    /// Whether it is the node's own watchdog, which nobody tells anything.
    #[must_use]
    pub fn is_watchdog(&self) -> bool {
        self.agent == FenceAgent::Watchdog
    }

    /// Whether a node that it switched off gets power back only from somebody who tells it so.
    #[must_use]
    pub fn has_power(&self) -> bool {
        matches!(self.agent, FenceAgent::Program(_) | FenceAgent::External(_)) && !self.shuts_out()
    }

    /// Whether these devices together, a level, prove that a node is off: power, not fabric (SAFETY rule 17 d). A
    /// watchdog of its own tells nobody.
    #[must_use]
    pub fn prove_off(level: &[FenceDevice]) -> bool {
        !level.iter().any(|device| device.is_watchdog() || device.no_proof().is_some())
            && !level.iter().all(FenceDevice::shuts_out)
    }

    /// Its agent, with the outlet if one is written, for people.
    #[must_use]
    pub fn name(&self) -> String {
        if let Some(path) = self.disk() {
            return alloc::format!("{} {path}", self.agent);
        }
        match FenceDevice::OUTLET.iter().find_map(|name| self.parameters.get(*name)) {
            Some(outlet) => alloc::format!("{} (outlet {outlet})", self.agent),
            None => alloc::format!("{}", self.agent),
        }
    }
}

/// What knows how to talk to a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FenceAgent {
    /// A program of fence-agents, such as `fence_ipmilan`: told on its standard input what to do.
    Program(String),
    /// A plug-in of cluster-glue, such as `external/ipmi`: told by its environment and one word.
    External(String),
    /// A disk that all nodes share: the node is told there to reset itself.
    Disk,
    /// Nothing that can be told: the node resets itself when Heart does not get on there, or is cut off.
    Watchdog,
}

/// What a fence agent says that it can be told.
#[derive(Clone, Debug, PartialEq)]
pub struct FenceParameter {
    /// In the words that all agents use.
    pub info: ParameterInfo,
    /// What it was called before: that is taken as well.
    pub former: Option<String>,
    /// It is such a former name, or something that is not to be written any more.
    pub outdated: bool,
}

/// Why a text names no agent of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoFenceAgent(String);

impl fmt::Display for NoFenceAgent {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "`{}` is no fence agent: it is called as its program is, such as `fence_ipmilan`, or `external/ipmi`, or \
             `watchdog`, or `disk`",
            self.0
        )
    }
}

impl core::error::Error for NoFenceAgent {}

impl FenceAgent {
    /// What a file says for [`FenceAgent::Watchdog`].
    pub const WATCHDOG: &str = "watchdog";

    /// Reads a name as it is written in a configuration.
    ///
    /// # Errors
    /// When it is neither `disk` nor `watchdog` nor `fence_NAME` nor `external/NAME`, with
    /// letters, digits, `_`, `-` and `.` in `NAME`.
    pub fn parse(text: &str) -> Result<FenceAgent, NoFenceAgent> {
        let is_name = |name: &str| {
            let of_names = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
            !name.is_empty() && !name.starts_with('.') && name.bytes().all(of_names)
        };
        match (text.strip_prefix("fence_"), text.strip_prefix("external/")) {
            (Some(name), _) if is_name(name) => Ok(FenceAgent::Program(text.into())),
            (_, Some(name)) if is_name(name) => Ok(FenceAgent::External(name.into())),
            _ if text == "disk" => Ok(FenceAgent::Disk),
            _ if text == FenceAgent::WATCHDOG => Ok(FenceAgent::Watchdog),
            _ => Err(NoFenceAgent(text.into())),
        }
    }
}

impl fmt::Display for FenceAgent {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FenceAgent::Program(name) => to.write_str(name),
            FenceAgent::External(name) => write!(to, "external/{name}"),
            FenceAgent::Disk => to.write_str("disk"),
            FenceAgent::Watchdog => to.write_str(FenceAgent::WATCHDOG),
        }
    }
}

impl TryFrom<String> for FenceAgent {
    type Error = NoFenceAgent;

    fn try_from(text: String) -> Result<FenceAgent, NoFenceAgent> {
        FenceAgent::parse(&text)
    }
}

impl From<FenceAgent> for String {
    fn from(agent: FenceAgent) -> String {
        alloc::format!("{agent}")
    }
}

/// How many nodes vote of those that the configuration names, when so many of these are proven off.
///
/// Who is off would only be missed, and of those that are left fewer could be. An odd number is left: an even one can
/// lose no more than the odd one below it, and needs one more log that is whole. Only where `halves_go_on`, see
/// [`Spec::halves_go_on`](crate::Spec::halves_go_on), it can lose one more (SAFETY rule 20).
#[must_use]
pub fn voters_left(configured: usize, off: usize, halves_go_on: bool) -> usize {
    let left = configured.saturating_sub(off);
    if off > 0 && left.is_multiple_of(2) && !halves_go_on { left + 1 } else { left }
}

/// How long it takes at most to end a program that does not end by itself.
const KILL_PROGRAM_MAX: Duration = Duration::from_secs(2);

/// How long an attempt with these devices may take: each is waited for, told, and asked, and its program killed.
#[must_use]
pub fn longest_fence(level: &[FenceDevice]) -> Duration {
    level.iter().map(|device| device.delay + device.longest() + KILL_PROGRAM_MAX).sum()
}

/// A node is to be switched off, whether it is heard or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffOrder {
    /// Which life of it is to end.
    pub boot: BootId,
    /// Who wants it, or why.
    pub why: WhyOff,
    /// Also if it is heard: otherwise only as long as it is lost.
    pub if_heard: bool,
    /// It is to get power again once it is proven off.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub reboot: bool,
}

/// Why a node is switched off that need not be lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyOff {
    /// A person asked for it.
    Asked {
        /// Who, as far as that is known.
        who: String,
    },
    /// Something could not be stopped there by any gentler means, and the file says that it is worth a node.
    Stuck {
        /// What.
        resource: ResourceName,
        /// Under which of its grants.
        epoch: Epoch,
    },
}

/// What becomes of a node that a device has switched off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterFence {
    /// It has no power until a person gives it some.
    #[default]
    StayOff,
    /// It gets power again once it is proven off.
    Boot,
}

/// What a device is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FenceAct {
    /// To switch the node off.
    #[default]
    Off,
    /// To give it power.
    On {
        /// The levels after the one that the order names: each is tried when the one before was of no use.
        other_levels: Vec<Vec<FenceDevice>>,
    },
}

/// The number of the first attempt that half of the voters makes without anybody's agreement.
pub const ATTEMPTS_OF_HALF: u32 = 1 << 30;
/// The number of the first attempt of a node to have itself let in to its storage.
pub const ATTEMPTS_TO_BE_LET_IN: u32 = 1 << 31;

/// Which series of attempts a number belongs to: those of the log, of half of the voters, and to be let in count each
/// by themselves, and say nothing of the age of each other.
#[must_use]
pub fn series(attempt: u32) -> u32 {
    (attempt / ATTEMPTS_OF_HALF).min(ATTEMPTS_TO_BE_LET_IN / ATTEMPTS_OF_HALF)
}

/// One attempt to switch a node off, the right to make which was agreed on before (SAFETY rule 12), or to give it power,
/// which needs no right: what boots holds nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FenceOrder {
    /// Which node.
    pub node: NodeName,
    /// Which life of it is to end.
    pub boot: BootId,
    /// Which attempt this is, from 1; see [`series`].
    pub attempt: u32,
    /// The devices: all of them have to say that it is off.
    pub devices: Vec<FenceDevice>,
    /// What they are told.
    #[serde(default)]
    pub act: FenceAct,
    /// By which right.
    #[serde(default)]
    pub right: FenceRight,
    /// The session of this node that a right of the log was given to: the next one has a lease of its own, and not this
    /// right. None where the log has no part in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
    /// How long is waited before a node is switched off that has power: it may be about to switch this one off, and
    /// should not be hit by both.
    #[serde(default)]
    pub hesitation: Duration,
    /// Its own addresses, which do not answer any more once it is off (SAFETY rule 11); none where it may have booted
    /// again by the time that this can be asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
}

impl FenceOrder {
    /// Whether a session of the node that makes this attempt may make it.
    #[must_use]
    pub fn is_of(&self, session: Session) -> bool {
        self.session.is_none_or(|right| right == session)
    }
}

/// By which right a node is switched off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FenceRight {
    /// It stands in the log; whoever uses it has a lease.
    #[default]
    Agreed,
    /// Half of the voters are here, the others are not heard: nothing can be agreed on before they are off
    /// (SAFETY rules 17 and 18).
    Half,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceReport {
    /// Which node.
    pub node: NodeName,
    /// Which life of it was to end.
    pub boot: BootId,
    /// Which attempt it was.
    pub attempt: u32,
    /// What came of it.
    pub outcome: FenceOutcome,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FenceOutcome {
    /// Every device was told to switch it off and said afterwards that it is off.
    Off,
    /// Nothing was heard of it for as long as a node takes at most that resets itself: it is off, or has let go of
    /// everything. It may have power.
    Silent,
    /// It can no longer use the storage that the devices guard, as they said when they were asked again. It may have
    /// power, and run what needs no storage until its lease ends.
    ShutOut,
    /// All devices of a level were told to give it power and said afterwards that it has it.
    On,
    /// Nothing is proven.
    Failed {
        /// What was tried, what was found, for people.
        message: String,
    },
}

/// One device to be tried on one node, without doing anything to it: whether it could be used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FenceProof {
    /// Which node it could switch off.
    pub node: NodeName,
    /// What is tried.
    pub device: FenceDevice,
}

/// What a device was found to be, when it was tried without doing anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It answers, lets us in and knows the node.
    Ready(Power),
    /// It answers and lets us in, but does not know the node: what was tried, what was found and what to do.
    WithoutNode(String),
    /// It is of no use: not there, not reachable, or it does not let us in: what was tried, what was found and what
    /// to do.
    Unusable(String),
}

/// Whether a node has power, as a device says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// It is on.
    On,
    /// It is off.
    Off,
    /// This kind of device cannot say.
    Unsaid,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    /// The executor stood still while the session ended that had the right: the next one has a lease, too.
    #[test]
    fn a_right_is_of_the_session_that_it_was_given_to() {
        let session = |number| Session { boot: BootId(7), number: crate::SessionNumber(number) };
        let order = |session| FenceOrder {
            node: NodeName::new("ada").unwrap(),
            boot: BootId(9),
            attempt: 1,
            devices: Vec::new(),
            act: FenceAct::Off,
            right: FenceRight::Agreed,
            session,
            hesitation: Duration::ZERO,
            addresses: Vec::new(),
        };
        let first = order(Some(session(1)));
        assert!(first.is_of(session(1)) && !first.is_of(session(2)));
        assert!(order(None).is_of(session(2)), "half of the voters has no right of the log");
    }

    #[test]
    fn an_odd_number_of_voters_is_left_unless_halves_go_on() {
        for (configured, off, odd, any) in [
            (3, 0, 3, 3),
            (3, 1, 3, 2),
            (3, 2, 1, 1),
            (5, 1, 5, 4),
            (5, 2, 3, 3),
            (4, 1, 3, 3),
            (4, 0, 4, 4),
            (7, 4, 3, 3),
        ] {
            let left = [false, true].map(|halves_go_on| voters_left(configured, off, halves_go_on));
            assert_eq!(left, [odd, any], "{configured}, {off} of them off");
        }
    }

    #[test]
    fn an_agent_is_called_as_its_program_is() {
        for text in ["fence_ipmilan", "fence_apc_snmp", "external/ipmi", "watchdog", "disk"] {
            assert_eq!(FenceAgent::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "fence_", "ipmilan", "external/", "external/../sh", "fence_a/b", "fence_ x"] {
            assert!(FenceAgent::parse(text).is_err(), "{text}");
        }
    }
}
