//! What the containers of a bundle, and their addresses, are told: nobody writes it, so it is made of what was
//! written of the bundle.
//!
//! Histories carry digests of it, so it has to be the same to the letter as what Pacemaker tells them.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use core::{fmt::Write, net::IpAddr};

use heart_model::policy::Bundle;

use crate::engine::values::flag;

/// The port of the connection to what runs inside, if none is written.
const PORT: &str = "3121";

/// What those who talk to the node inside share with it.
const KEY: &str = "/etc/pacemaker/authkey";

/// Where what runs inside logs to; and where that lies outside, for all bundles.
const LOGS: (&str, &str) = ("/var/log/pacemaker/bundles", "/var/log");

/// What runs in a container if nobody says so: whoever is asked through the connection.
const COMMAND: &str = "/usr/sbin/pacemaker-remoted";

/// A bundle, as far as its containers are told of it.
pub(super) struct Launch<'b> {
    /// The bundle's id.
    pub(super) id: &'b str,
    pub(super) written: &'b Bundle,
    /// Something of ours runs inside.
    pub(super) is_inhabited: bool,
    /// The addresses of all containers, if they have any.
    pub(super) addresses: Vec<IpAddr>,
}

/// A directory that a container sees.
struct Mount<'b> {
    source: &'b str,
    target: &'b str,
    options: Option<&'b str>,
    /// Each container has its own directory there.
    is_own: bool,
}

impl Launch<'_> {
    fn network(&self, name: &str) -> Option<&str> {
        self.written.network.as_ref()?.values.get(name).map(String::as_str)
    }

    fn container(&self, name: &str) -> Option<&str> {
        self.written.container.values.get(name).map(String::as_str)
    }

    /// What the agent of an address is told.
    pub(super) fn of_address(&self, address: IpAddr) -> BTreeMap<String, String> {
        let mut told = BTreeMap::new();
        told.insert("ip".into(), format!("{address}"));
        told.insert("cidr_netmask".into(), self.network("host-netmask").unwrap_or("32").into());
        if let Some(interface) = self.network("host-interface") {
            told.insert("nic".into(), interface.into());
        }
        told
    }

    /// What the agent of a container is told; None if nobody knows its words.
    pub(super) fn of_container(&self, number: u32) -> Option<BTreeMap<String, String>> {
        let restarts = match self.written.technology.as_str() {
            "docker" => " --restart=no",
            "podman" => "",
            _ => return None,
        };
        let mut told: BTreeMap<String, String> = BTreeMap::new();
        let mut tell = |name: &str, value: &str| told.insert(name.into(), value.into());
        for (name, value) in [
            ("allow_pull", "true"),
            ("force_kill", "false"),
            ("reuse", "false"),
            ("monitor_cmd", "/bin/true"),
        ] {
            tell(name, value);
        }
        tell("image", self.container("image").unwrap_or_default());
        let command = self.container("run-command").or(self.is_inhabited.then_some(COMMAND));
        if let Some(command) = command {
            tell("run_cmd", command);
        }
        let (options, own) = self.options(number, restarts);
        tell("run_opts", &options);
        tell("mount_points", &own);
        Some(told)
    }

    /// The options of a container, and the directories of its own.
    fn options(&self, number: u32, restarts: &str) -> (String, String) {
        let address = self.addresses.get(number as usize);
        let (mut all, mut own) = (String::from(restarts), Vec::new());
        // Writing to a text cannot fail.
        let mut add = |text: core::fmt::Arguments<'_>| {
            let _ = all.write_fmt(text);
        };
        if address.is_some() {
            add(format_args!(" -h {}-{number}", self.id));
        }
        add(format_args!(" -e PCMK_stderr=1"));
        let network = self.container("network");
        if let Some(network) = network {
            add(format_args!(" --net={network}"));
        }
        add(format_args!(" -e PCMK_remote_port={}", self.network("control-port").unwrap_or(PORT)));
        for mount in self.mounts() {
            let source = match mount.is_own {
                true => format!("{}/{}-{number}", mount.source, self.id),
                false => mount.source.into(),
            };
            add(format_args!(" -v {source}:{}", mount.target));
            if let Some(options) = mount.options {
                add(format_args!(":{options}"));
            }
            if mount.is_own {
                own.push(source);
            }
        }
        for (outside, inside) in self.ports() {
            match address {
                Some(address) => add(format_args!(" -p {address}:{outside}:{inside}")),
                None if network != Some("host") => add(format_args!(" -p {outside}:{inside}")),
                None => {}
            }
        }
        if let Some(options) = self.container("options") {
            add(format_args!(" {options}"));
        }
        add(format_args!(" "));
        let names = self.written.network.as_ref().map(|network| &network.values);
        if names.is_none_or(|names| flag(names, "add-host", true)) {
            for (number, address) in self.addresses.iter().enumerate() {
                add(format_args!(" --add-host={}-{number}:{address}", self.id));
            }
        }
        (all, own.join(","))
    }

    fn mounts(&self) -> Vec<Mount<'_>> {
        let mut mounts = Vec::new();
        for set in &self.written.storage {
            let plain = set.values.get("source-dir");
            let Some(source) = plain.or_else(|| set.values.get("source-dir-root")) else { continue };
            let Some(target) = set.values.get("target-dir") else { continue };
            let options = set.values.get("options").map(String::as_str);
            mounts.push(Mount { source, target, options, is_own: plain.is_none() });
        }
        if self.is_inhabited {
            mounts.push(Mount { source: KEY, target: KEY, options: None, is_own: false });
            mounts.push(Mount { source: LOGS.0, target: LOGS.1, options: None, is_own: true });
        }
        mounts
    }

    /// Ports that lead into a container: outside and inside.
    fn ports(&self) -> Vec<(&str, &str)> {
        let mut ports = Vec::new();
        for set in &self.written.ports {
            let said = |name: &str| set.values.get(name).map(String::as_str);
            if let Some(outside) = said("port") {
                ports.push((outside, said("internal-port").unwrap_or(outside)));
            } else if let Some(range) = said("range") {
                ports.push((range, range));
            }
        }
        if self.is_inhabited {
            let port = self.network("control-port").unwrap_or(PORT);
            ports.push((port, port));
        }
        ports
    }
}

#[cfg(test)]
mod tests {
    use heart_model::policy::AttributeSet;

    use super::*;

    fn set(values: &[(&str, &str)]) -> AttributeSet {
        let values = values.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        AttributeSet { values, ..AttributeSet::default() }
    }

    fn bundle(technology: &str, container: &[(&str, &str)], network: Option<&[(&str, &str)]>) -> Bundle {
        Bundle {
            technology: technology.into(),
            container: set(container),
            network: network.map(set),
            ports: alloc::vec![set(&[("port", "80"), ("internal-port", "8080")])],
            storage: alloc::vec![
                set(&[("source-dir", "/srv"), ("target-dir", "/var/www"), ("options", "ro")]),
                set(&[("source-dir-root", "/var/log/w"), ("target-dir", "/var/log/h")]),
            ],
            inner: None,
        }
    }

    #[test]
    fn containers_with_addresses_know_one_another() {
        let written = bundle("docker", &[("image", "web")], Some(&[("host-interface", "eth0")]));
        let addresses = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap()).to_vec();
        let launch = Launch { id: "web", written: &written, is_inhabited: true, addresses };
        let told = launch.of_container(1).unwrap();
        assert_eq!(
            told["run_opts"],
            " --restart=no -h web-1 -e PCMK_stderr=1 -e PCMK_remote_port=3121 -v /srv:/var/www:ro \
             -v /var/log/w/web-1:/var/log/h -v /etc/pacemaker/authkey:/etc/pacemaker/authkey \
             -v /var/log/pacemaker/bundles/web-1:/var/log -p 192.0.2.2:80:8080 -p 192.0.2.2:3121:3121  \
             --add-host=web-0:192.0.2.1 --add-host=web-1:192.0.2.2"
        );
        assert_eq!(told["mount_points"], "/var/log/w/web-1,/var/log/pacemaker/bundles/web-1");
        assert_eq!(told["run_cmd"], "/usr/sbin/pacemaker-remoted");
        let address = launch.of_address(launch.addresses[0]);
        assert_eq!(
            (&*address["ip"], &*address["cidr_netmask"], &*address["nic"]),
            ("192.0.2.1", "32", "eth0")
        );
    }

    #[test]
    fn containers_in_the_network_of_their_host_need_no_ports() {
        let written =
            bundle("podman", &[("network", "host"), ("run-command", "/run"), ("options", "-x")], None);
        let launch = Launch { id: "web", written: &written, is_inhabited: false, addresses: Vec::new() };
        let told = launch.of_container(0).unwrap();
        assert_eq!(
            told["run_opts"],
            " -e PCMK_stderr=1 --net=host -e PCMK_remote_port=3121 -v /srv:/var/www:ro \
             -v /var/log/w/web-0:/var/log/h -x "
        );
        assert_eq!(told["run_cmd"], "/run");
    }

    #[test]
    fn of_what_nobody_knows_nothing_is_said() {
        let written = bundle("rkt", &[], None);
        let launch = Launch { id: "web", written: &written, is_inhabited: false, addresses: Vec::new() };
        assert_eq!(launch.of_container(0), None);
    }
}
