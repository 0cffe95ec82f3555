//! What cargo knows of the workspace.

use std::{collections::BTreeSet, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// One package, of ours or of others.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// Where it comes from; nothing for a path in this repository.
    pub(crate) source: Option<String>,
    /// What it is built from, tests and build scripts aside.
    pub(crate) dependencies: BTreeSet<String>,
    /// Its programs.
    pub(crate) binaries: BTreeSet<String>,
}

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().map(PathBuf::from).unwrap_or_default()
}

/// The packages of the workspace, or of everything it depends on.
pub(crate) fn packages(everything: bool) -> Result<Vec<Package>> {
    let mut command = Command::new("cargo");
    command.current_dir(root()).args(["metadata", "--format-version=1", "--locked"]);
    if everything {
        command.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
    } else {
        command.arg("--no-deps");
    }
    let output = command.output().context("cannot run `cargo metadata`")?;
    ensure!(
        output.status.success(),
        "`cargo metadata --locked` failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let whole: Value = serde_json::from_slice(&output.stdout)?;
    let used: Option<BTreeSet<&str>> = whole["resolve"]["nodes"]
        .as_array()
        .map(|nodes| nodes.iter().filter_map(|node| node["id"].as_str()).collect());
    let listed = whole["packages"].as_array().context("no packages in cargo's answer")?;
    let is_used = |package: &&Value| {
        used.as_ref().is_none_or(|used| package["id"].as_str().is_some_and(|id| used.contains(id)))
    };
    Ok(listed.iter().filter(is_used).map(package).collect())
}

fn package(value: &Value) -> Package {
    let text = |field: &Value| field.as_str().map(ToOwned::to_owned);
    let items = |field: &str| value[field].as_array().cloned().unwrap_or_default();
    let normal = items("dependencies").into_iter().filter(|dependency| dependency["kind"].is_null());
    let is_binary = |target: &Value| {
        target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "bin"))
    };
    Package {
        name: text(&value["name"]).unwrap_or_default(),
        version: text(&value["version"]).unwrap_or_default(),
        license: text(&value["license"]),
        source: text(&value["source"]),
        dependencies: normal.filter_map(|dependency| text(&dependency["name"])).collect(),
        binaries: items("targets")
            .iter()
            .filter(|target| is_binary(target))
            .filter_map(|target| text(&target["name"]))
            .collect(),
    }
}
