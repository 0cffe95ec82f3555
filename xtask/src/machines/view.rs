//! What `heart status --json` says, as far as stories ask for it.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// What a node says of the cluster.
pub(super) struct View(Value);

impl View {
    pub(super) fn read(text: &str) -> Result<View> {
        Ok(View(serde_json::from_str(text).context("`heart status --json` says something else")?))
    }

    pub(super) fn has_leader(&self) -> bool {
        self.0["leader"].is_string() && self.0["quorum"] == true
    }

    /// How a node is.
    pub(super) fn state(&self, node: &str) -> &str {
        self.0["nodes"][node]["state"].as_str().unwrap_or("unknown")
    }

    /// Who runs everything.
    pub(super) fn owner_of_all(&self) -> Result<String> {
        let resources = self.0["resources"].as_object().context("no resources")?;
        let mut owner = None;
        for (name, resource) in resources {
            ensure!(resource["state"] == "running", "{name} is {}", resource["state"]);
            let node = resource["node"].as_str().context("it runs nowhere")?;
            ensure!(owner.is_none_or(|known| known == node), "not everything is on one node");
            owner = Some(node);
        }
        owner.map(str::to_owned).context("nothing runs")
    }

    /// What is wrong.
    pub(super) fn problems(&self) -> String {
        let problems = self.0["problems"].as_array().map(Vec::as_slice).unwrap_or_default();
        problems.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; ")
    }
}
