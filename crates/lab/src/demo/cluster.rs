//! The cluster of the demonstration: its files, its daemons, and what it says of itself.

use std::{collections::BTreeMap, fs::File, io::Read, net::Ipv4Addr};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::{Builder, Lab, MachineState};

pub(crate) const NODES: [&str; 3] = ["ada", "bob", "cyn"];
/// The address that the cluster keeps.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
/// Where the web server answers.
pub(crate) const WEB_PORT: u16 = 80;
/// The resource that is the address.
pub(crate) const ADDRESS_RESOURCE: &str = "site-ip";
const CONFIGURATION: &str = "/etc/heart/heart.toml";
const KEY: &str = "/etc/heart/key";
const LOG: &str = "/var/log/heart.log";
/// Starts the daemon where it is configured: at every boot but the very first.
const START: &str = "test -e /etc/heart/heart.toml || exit 0; \
                     exec heart daemon --config /etc/heart/heart.toml >> /var/log/heart.log 2>&1";
/// How many lines of a log are repeated when something went wrong.
const LAST_WORDS: &str = "8";

/// The machines, before they start.
pub(crate) fn builder(name: &str, keep: bool) -> Builder {
    let builder = Lab::builder().names(&NODES).on_boot(&["sh", "-c", START]).keep(keep);
    if keep { builder.name(name) } else { builder }
}

/// Configures all nodes alike and starts their daemons.
pub(crate) fn start(lab: &Lab) -> Result<()> {
    let mut secret = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut secret)?;
    let key: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    for name in NODES {
        let node = lab.node(name);
        node.shell("mkdir -p /etc/heart && umask 077 && : > /etc/heart/key")?;
        node.write(KEY, &format!("{key}\n"))?;
        node.write(CONFIGURATION, &configuration())?;
    }
    for name in NODES {
        lab.node(name).spawn(&["sh", "-c", START])?;
    }
    Ok(())
}

/// What an administrator would write.
fn configuration() -> String {
    let mut text = String::from("[cluster]\nname = \"demo\"\n");
    for (place, name) in NODES.iter().enumerate() {
        let number = place + 1;
        text += &format!("\n[node.{name}]\naddresses = [\"10.77.0.{number}\", \"10.78.0.{number}\"]\n");
    }
    text + &format!(
        r#"
[resource.{ADDRESS_RESOURCE}]
agent = "ip"
address = "{ADDRESS}/24"

[resource.site]
agent = "process"
command = ["/run/lab/bin/heart", "lab-http", "{WEB_PORT}"]

[group.web]
members = ["{ADDRESS_RESOURCE}", "site"]
"#
    )
}

/// What a cluster says of itself: `heart status --json`, as far as the demonstration looks.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct View {
    #[serde(default)]
    pub(crate) leader: Option<String>,
    pub(crate) nodes: BTreeMap<String, NodeView>,
    pub(crate) resources: BTreeMap<String, ResourceView>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct NodeView {
    pub(crate) state: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct ResourceView {
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) node: Option<String>,
    /// Compared, never read: another value means another start.
    #[serde(default)]
    pub(crate) since: serde_json::Value,
}

impl View {
    /// Who runs the address, and when each resource was started.
    pub(crate) fn placement(&self) -> BTreeMap<&str, (Option<&str>, &serde_json::Value)> {
        let resources = self.resources.iter();
        resources.map(|(name, it)| (name.as_str(), (it.node.as_deref(), &it.since))).collect()
    }

    pub(crate) fn all_online(&self) -> bool {
        NODES.iter().all(|&name| self.nodes.get(name).is_some_and(|node| node.state == "online"))
    }
}

/// Asks the nodes that are up until one answers that knows the leader.
pub(crate) fn view(lab: &Lab) -> Result<View> {
    let up = lab.status()?.machines.into_iter().filter(|machine| machine.state == MachineState::Up);
    let mut best = Err(anyhow::anyhow!("no node is up"));
    for machine in up.filter(|machine| NODES.contains(&machine.name.as_str())) {
        let answer = ask(lab, &machine.name);
        let knows = answer.as_ref().is_ok_and(|view| view.leader.is_some());
        if knows || best.is_err() {
            best = answer;
        }
        if knows {
            break;
        }
    }
    best
}

fn ask(lab: &Lab, name: &str) -> Result<View> {
    let output = lab.node(name).exec(&["timeout", "2", "heart", "status", "--json"])?;
    ensure!(output.exit.is_success(), "`heart status --json` on {name}: {}", output.stderr.trim());
    serde_json::from_str(&output.stdout).with_context(|| format!("what `heart status --json` says on {name}"))
}

/// The ends of all logs, when something went wrong.
pub(crate) fn last_words(lab: &Lab) -> Vec<String> {
    let said = |name: &&str| {
        let output = lab.node(name).exec(&["tail", "-n", LAST_WORDS, LOG]).ok()?;
        let words = output.stdout.trim().to_owned();
        (!words.is_empty()).then(|| format!("the log of {name} ends with:\n{words}"))
    };
    NODES.iter().filter_map(said).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_and_what_is_new_in_it_ignored() {
        let text = r#"{"leader":"ada","more":1,"nodes":{"ada":{"state":"online","x":2},"bob":{"state":"lost"}},
            "resources":{"site-ip":{"state":"running","node":"ada","since":12.5},"site":{"state":"stopped"}}}"#;
        let view: View = serde_json::from_str(text).unwrap();
        assert_eq!(view.placement()["site-ip"], (Some("ada"), &serde_json::json!(12.5)));
        assert_eq!(view.placement()["site"], (None, &serde_json::Value::Null));
        assert!(!view.all_online());
    }

    #[test]
    fn the_configuration_names_every_node_and_the_service() {
        let text = configuration();
        for wanted in
            ["[node.cyn]", "10.78.0.3", "address = \"10.77.0.100/24\"", "members = [\"site-ip\", \"site\"]"]
        {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
    }
}
