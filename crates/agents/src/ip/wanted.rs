//! What an administrator wrote about an address, and what this machine makes of it.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use heart_model::{Guard, Outcome, ResourceSpec};

use super::route::{Connected, Interface, Route};
use crate::parameters::Parameters;

/// How long another host has to say that it has the address, unless the configuration says
/// otherwise. On the node's own network an answer takes a tenth of that.
pub(super) const DETECT: Duration = Duration::from_millis(3);
/// Longer than this nobody waits for an answer that will not come.
const DETECT_MAX: Duration = Duration::from_secs(10);
/// `IFNAMSIZ`, less the byte that ends it.
const LABEL_MAX: usize = 15;

/// The names of all parameters.
const NAMES: [&str; 6] = ["address", "prefix", "interface", "broadcast", "label", "detect"];

/// An address as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) address: IpAddr,
    pub(super) prefix: Option<u8>,
    pub(super) interface: Option<String>,
    pub(super) broadcast: Option<Ipv4Addr>,
    pub(super) label: Option<String>,
    pub(super) detect: Duration,
    pub(super) guarded: bool,
}

impl Wanted {
    /// Reads the parameters.
    ///
    /// # Errors
    /// The first mistake, with what may be written instead.
    pub(super) fn read(spec: &ResourceSpec) -> Result<Wanted, String> {
        let given = Parameters(&spec.parameters);
        given.only(&NAMES)?;
        let text = given.text("address")?.ok_or("`address` is missing: write address = \"10.0.0.100/24\"")?;
        let (address, mut prefix) = read_address(text)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if let Some(written) = given.number("prefix", most)? {
            let written = u8::try_from(written).expect("checked to be at most 128");
            if prefix.is_some_and(|other| other != written) {
                return Err(format!("`address` and `prefix` name two lengths: `{text}` and {written}"));
            }
            prefix = Some(written);
        }
        let broadcast = match given.address("broadcast")? {
            None => None,
            Some(IpAddr::V4(broadcast)) if address.is_ipv4() => Some(broadcast),
            Some(_) => return Err("`broadcast` is for IPv4 only".to_owned()),
        };
        let interface = given.text("interface")?.map(str::to_owned);
        if interface.is_none() && matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
            return Err(format!("{address} is link-local, so `interface` has to say on which link"));
        }
        let detect = match given.boolean("detect") {
            Ok(Some(false)) => Duration::ZERO,
            Ok(Some(true) | None) => DETECT,
            Err(_) => given.duration("detect")?.unwrap_or(DETECT).min(DETECT_MAX),
        };
        let label = given.text("label")?.map(str::to_owned);
        let guarded = spec.guard == Guard::Lease;
        Ok(Wanted { address, prefix, interface, broadcast, label, detect, guarded })
    }

    /// Finds interface, prefix and broadcast on this machine, as far as they were not written.
    pub(super) fn find(&self, route: &mut Route) -> Result<Placed, Outcome> {
        let cannot =
            |error: std::io::Error| Outcome::Failed(format!("cannot ask the kernel for its routes: {error}"));
        let routes = route.connected(self.address).map_err(cannot)?;
        let interface = match &self.interface {
            Some(name) => route.interface_named(name).map_err(cannot)?.ok_or_else(|| no_interface(name))?,
            None => self.derive_interface(route, &routes)?,
        };
        let near = routes.iter().find(|route| route.interface == interface.index);
        let prefix = self.prefix.or(near.map(|route| route.prefix)).ok_or_else(|| {
            Outcome::Unable(format!(
                "no subnet of {} contains {}: write the length, as in address = \"{}/24\"",
                interface.name, self.address, self.address
            ))
        })?;
        if let Some(trouble) = interface.trouble() {
            return Err(Outcome::Unable(trouble));
        }
        let broadcast = self.broadcast.or_else(|| highest(self.address, prefix));
        let label = self.label.as_ref().map(|label| full_label(&interface.name, label)).transpose()?;
        Ok(Placed { prefix, interface, broadcast, label })
    }

    fn derive_interface(&self, route: &mut Route, routes: &[Connected]) -> Result<Interface, Outcome> {
        let wanted = |candidate: &&Connected| self.prefix.is_none_or(|prefix| prefix == candidate.prefix);
        // A subnet of the written length fits best; else the narrowest that contains the address.
        let best = routes.iter().find(wanted).or_else(|| routes.first());
        let found = best.and_then(|best| route.interface(best.interface).ok().flatten());
        found.ok_or_else(|| {
            Outcome::Unable(format!(
                "no interface of this node is in the subnet of {}: write `interface`, or give one an address there",
                self.address
            ))
        })
    }
}

/// Where and how an address will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) prefix: u8,
    pub(super) interface: Interface,
    pub(super) broadcast: Option<Ipv4Addr>,
    pub(super) label: Option<String>,
}

fn read_address(text: &str) -> Result<(IpAddr, Option<u8>), String> {
    let wrong =
        || format!("`address` is `{text}`: write an address such as \"10.0.0.100/24\" or \"fd00::100/64\"");
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map(|prefix| prefix.parse::<u8>().map_err(|_| wrong())).transpose()?;
    if address.is_unspecified() || address.is_multicast() || prefix.is_some_and(|p| p == 0 || p > most) {
        return Err(wrong());
    }
    Ok((address, prefix))
}

/// The highest address of a subnet, which is where its broadcasts go; none in the smallest ones.
fn highest(address: IpAddr, prefix: u8) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) if (1..=30).contains(&prefix) => {
            Some(Ipv4Addr::from(u32::from(address) | (u32::MAX >> prefix)))
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

fn full_label(interface: &str, label: &str) -> Result<String, Outcome> {
    let full = if label.starts_with(interface) { label.to_owned() } else { format!("{interface}:{label}") };
    if full.len() > LABEL_MAX {
        return Err(Outcome::Misconfigured(format!(
            "label `{full}` is longer than {LABEL_MAX} characters, which is all that the kernel keeps"
        )));
    }
    Ok(full)
}

fn no_interface(name: &str) -> Outcome {
    Outcome::Unable(format!("this node has no interface `{name}`: `ip link` lists what it has"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_prefix_or_none() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (text, wanted) in [
            ("10.0.0.1", Some((ip("10.0.0.1"), None))),
            ("10.0.0.1/24", Some((ip("10.0.0.1"), Some(24)))),
            ("fd00::1/64", Some((ip("fd00::1"), Some(64)))),
            ("10.0.0.1/33", None),
            ("10.0.0.1/0", None),
            ("fd00::1/129", None),
            ("0.0.0.0/8", None),
            ("224.0.0.1", None),
            ("ada", None),
            ("", None),
        ] {
            assert_eq!(read_address(text).ok(), wanted, "{text}");
        }
    }

    #[test]
    fn broadcasts_go_to_the_highest_address() {
        for (address, prefix, wanted) in [
            ("10.1.2.3", 24, Some(Ipv4Addr::new(10, 1, 2, 255))),
            ("10.1.2.3", 8, Some(Ipv4Addr::new(10, 255, 255, 255))),
            ("10.1.2.3", 30, Some(Ipv4Addr::new(10, 1, 2, 3))),
            ("10.1.2.3", 31, None),
            ("10.1.2.3", 32, None),
            ("fd00::1", 64, None),
        ] {
            assert_eq!(highest(address.parse().unwrap(), prefix), wanted, "{address}/{prefix}");
        }
    }
}
