//! The plan of a lab: who is in it, and what everything is called.
//!
//! Pure data. Every name and number of a machine follows from its place in the list, so that the
//! holder, the nodes and the tests agree without asking each other.

use std::{
    collections::BTreeSet,
    fmt::Write,
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use anyhow::{Result, bail};
use heart_model::{NODES_MAX, NodeName};
use serde::{Deserialize, Serialize};

/// How many switches a lab has; every machine has one link to each.
pub const SWITCHES: usize = 2;
/// The machine that probes.
pub const CLIENT: &str = "client";
/// The namespace of the switches, as a place to run programs.
pub const SWITCH: &str = "switch";
/// The client's number in every network; nodes count from 1.
const CLIENT_NUMBER: u8 = 250;

/// One network: the addresses behind one switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// A /24, written with a last byte of zero.
    pub v4: Ipv4Addr,
    /// A /64, written with a last part of zero.
    pub v6: Ipv6Addr,
}

/// Who is in a lab and what everything is called.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Layout {
    pub(crate) name: String,
    pub(crate) nodes: Vec<String>,
    pub(crate) networks: [Network; SWITCHES],
    /// Commands that every node runs at every boot.
    pub(crate) on_boot: Vec<Vec<String>>,
    /// Where the lab shows itself to others, and (seen from inside) keeps its machines' files.
    pub(crate) directory: PathBuf,
    /// A file of the host that every node has as [`DISK`](crate::DISK), if there is one.
    pub(crate) disk: Option<PathBuf>,
    /// A folder of the host that every node has as [`FOLDER`](crate::FOLDER), if there is one.
    pub(crate) folder: Option<PathBuf>,
    /// The binary that answers to `hidden_main`.
    pub(crate) program: PathBuf,
}

impl Default for Layout {
    fn default() -> Layout {
        Layout {
            name: String::new(),
            nodes: Vec::new(),
            networks: [77, 78].map(|net: u8| Network {
                v4: Ipv4Addr::new(10, net, 0, 0),
                v6: Ipv6Addr::new(0xfd00 | u16::from(net / 10 * 16 + net % 10), 0, 0, 0, 0, 0, 0, 0),
            }),
            on_boot: Vec::new(),
            directory: PathBuf::new(),
            disk: None,
            folder: None,
            program: PathBuf::new(),
        }
    }
}

impl Layout {
    /// Refuses what could not work.
    pub(crate) fn check(&self) -> Result<()> {
        if self.nodes.is_empty() || self.nodes.len() > NODES_MAX {
            bail!("a lab has 1 to {NODES_MAX} nodes, not {}", self.nodes.len());
        }
        let mut seen = BTreeSet::from([CLIENT, SWITCH]);
        for node in &self.nodes {
            NodeName::new(node).map_err(|mistake| anyhow::anyhow!("`{node}`: {mistake}"))?;
            if !seen.insert(node) {
                bail!("two machines are called `{node}`: choose another name");
            }
        }
        NodeName::new(&self.name).map_err(|mistake| anyhow::anyhow!("lab `{}`: {mistake}", self.name))?;
        Ok(())
    }

    /// How many machines there are: the nodes and the client, which comes last.
    pub(crate) fn machines(&self) -> usize {
        self.nodes.len() + 1
    }

    pub(crate) fn machine_name(&self, index: usize) -> &str {
        self.nodes.get(index).map_or(CLIENT, String::as_str)
    }

    /// The place of a machine, by its name.
    pub(crate) fn find(&self, name: &str) -> Result<usize> {
        let found = (0..self.machines()).find(|&index| self.machine_name(index) == name);
        match found {
            Some(index) => Ok(index),
            None => bail!("no machine is called `{name}`; there are {} and {CLIENT}", self.nodes.join(", ")),
        }
    }

    pub(crate) fn is_client(&self, index: usize) -> bool {
        index == self.nodes.len()
    }

    /// The last byte of a machine's addresses.
    pub(crate) fn number(&self, index: usize) -> u8 {
        if self.is_client(index) {
            CLIENT_NUMBER
        } else {
            u8::try_from(index + 1).unwrap_or(CLIENT_NUMBER - 1)
        }
    }

    pub(crate) fn v4(&self, index: usize, switch: usize) -> Ipv4Addr {
        let [a, b, c, _] = self.networks[switch].v4.octets();
        Ipv4Addr::new(a, b, c, self.number(index))
    }

    pub(crate) fn v6(&self, index: usize, switch: usize) -> Ipv6Addr {
        let mut parts = self.networks[switch].v6.segments();
        parts[7] = u16::from(self.number(index));
        Ipv6Addr::from(parts)
    }

    /// The switch's side of a cable.
    pub(crate) fn port(&self, index: usize, switch: usize) -> String {
        format!("p{}.{switch}", self.number(index))
    }

    /// A locally administered address that says whose it is.
    pub(crate) fn mac(&self, index: usize, switch: usize) -> [u8; 6] {
        [0x02, 0x68, 0, 0, u8::try_from(switch).unwrap_or(u8::MAX), self.number(index)]
    }

    /// The text of `/etc/hosts` on every machine.
    pub(crate) fn hosts(&self) -> String {
        let mut text = String::from("127.0.0.1 localhost\n::1 localhost\n");
        for index in 0..self.machines() {
            let name = self.machine_name(index);
            let _ = writeln!(text, "{} {name}", self.v4(index, 0));
            for switch in 1..SWITCHES {
                let _ = writeln!(text, "{} {name}-{switch}", self.v4(index, switch));
            }
        }
        text
    }
}

/// A bridge's own address: no machine's, and known, so that answers to it end at the bridge.
pub(crate) fn bridge_mac(switch: usize) -> [u8; 6] {
    [0x02, 0x68, 0xff, 0, u8::try_from(switch).unwrap_or(u8::MAX), 0]
}

/// The name of a bridge.
pub(crate) fn bridge(switch: usize) -> String {
    format!("switch{switch}")
}

/// A node's side of its cable to a switch.
pub(crate) fn interface(switch: usize) -> String {
    format!("eth{switch}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(nodes: &[&str]) -> Layout {
        Layout { name: "t".into(), nodes: nodes.iter().map(|&n| n.into()).collect(), ..Layout::default() }
    }

    #[test]
    fn every_machine_has_its_own_addresses() {
        let layout = layout(&["ada", "bob"]);
        assert_eq!(layout.v4(0, 0).to_string(), "10.77.0.1");
        assert_eq!(layout.v4(1, 1).to_string(), "10.78.0.2");
        assert_eq!(layout.v6(0, 0).to_string(), "fd77::1");
        assert_eq!(layout.v6(1, 1).to_string(), "fd78::2");
        assert_eq!(layout.v4(2, 0).to_string(), "10.77.0.250");
        assert_eq!(layout.port(2, 1), "p250.1");
    }

    #[test]
    fn a_layout_that_cannot_work_is_refused() {
        for (nodes, message) in [
            (&[][..], "1 to 64 nodes"),
            (&["ada", "ada"][..], "two machines are called `ada`"),
            (&["client"][..], "two machines are called `client`"),
            (&["a/b"][..], "not of `/`"),
        ] {
            let mistake = layout(nodes).check().unwrap_err().to_string();
            assert!(mistake.contains(message), "{mistake}");
        }
        assert!(layout(&["ada"]).find("eve").unwrap_err().to_string().contains("there are ada and client"));
    }
}
