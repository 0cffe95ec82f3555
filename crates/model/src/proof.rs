//! What it is worth when the program of a device says that a node is off.
//!
//! Most cut a node's power. Some cut it off from something else, or only look, and what they call *off* is then no
//! proof that the node does nothing any more (SAFETY rules 11 and 17 d). Programs do not say so in a way that can be
//! read; what is known of those that distributions ship stands here.

use alloc::string::String;

use crate::{FenceAgent, FenceDevice};

/// Programs of fence-agents that take a node's reservation of a disk, or its port of a storage network, and not its power.
const SHUTTING_OUT: [&str; 6] =
    ["fence_scsi", "fence_mpath", "fence_brocade", "fence_sanbox2", "fence_cisco_mds", "fence_ifmib"];

/// Agents of which nothing follows, each with why, and with what serves instead.
const PROVING_NOTHING: [(&str, &str, &str); 10] = [
    (
        "fence_ack_manual",
        "asks a person to confirm, in a file of its own",
        "leave it out: `heart confirm-off NODE` is how a person says that a node is off",
    ),
    (
        "fence_crosslink",
        "calls a node off that does not answer a ping: a cut cable looks the same, from both sides",
        "give the cluster a `[tie_break]`, or the node a device that cuts its power",
    ),
    (
        "fence_heuristics_ping",
        "only pings something, and leaves the node as it is",
        "name what is to be reached under `[ping]`: half of the voters goes on only where that answers",
    ),
    (
        "fence_kdump",
        "waits for a node that dumps its memory, and cannot say afterwards whether it is off",
        "leave it out, and give the device that cuts the power a `delay` that is long enough for the dump",
    ),
    ("fence_compute", "tells a cloud to start guests elsewhere, and leaves the node as it is", POWER),
    ("fence_evacuate", "tells a cloud to start guests elsewhere, and leaves the node as it is", POWER),
    ("fence_ovh", "cannot say afterwards whether a node is off", POWER),
    ("fence_rcd_serial", "cannot switch off, only reset, and cannot say whether it did", POWER),
    ("external/ssh", "asks the node itself to switch off, which one that is lost does not hear", POWER),
    ("external/kdumpcheck", "only looks whether a node dumps its memory", POWER),
];
const POWER: &str =
    "use a device that cuts the node's power and says afterwards that it is off, or `watchdog`";
/// A parameter by which `fence_azure_arm` cuts a machine's network instead of its power.
const NETWORK_ONLY: [&str; 2] = ["network-fencing", "network_fencing"];

/// Why it proves nothing that a device says *off*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoProof {
    /// What it does, after its name.
    pub does: &'static str,
    /// What to do instead.
    pub instead: &'static str,
    /// Which of its parameters makes it do that; `None` if it never does anything else.
    pub parameter: Option<&'static str>,
}

impl FenceAgent {
    /// Whether it leaves a node its power, and only shuts it out from a storage that all share.
    #[must_use]
    pub fn shuts_out(&self) -> bool {
        matches!(self, FenceAgent::Program(name) if SHUTTING_OUT.contains(&name.as_str()))
    }
}

impl FenceDevice {
    /// Whether it leaves a node its power, and only shuts it out from a storage that all share. The node has to be let
    /// in again when it boots.
    #[must_use]
    pub fn shuts_out(&self) -> bool {
        self.agent.shuts_out()
    }

    /// Why nothing follows when it says that a node is off; `None` if that is a proof as far as is known.
    #[must_use]
    pub fn no_proof(&self) -> Option<NoProof> {
        let told = |name: &&'static str| self.parameters.contains_key(*name);
        no_proof(&self.agent, NETWORK_ONLY.iter().copied().find(told))
    }
}

/// Why nothing follows when an agent says that a node is off that is told this parameter.
fn no_proof(agent: &FenceAgent, parameter: Option<&'static str>) -> Option<NoProof> {
    let name: String = alloc::format!("{agent}");
    if let Some((_, does, instead)) = PROVING_NOTHING.iter().find(|(known, ..)| *known == name) {
        return Some(NoProof { does, instead, parameter: None });
    }
    parameter.filter(|_| matches!(agent, FenceAgent::Program(_))).map(|parameter| NoProof {
        does: "cuts a machine's network with that, and leaves it its power",
        instead: "remove it: without it the machine is switched off",
        parameter: Some(parameter),
    })
}
