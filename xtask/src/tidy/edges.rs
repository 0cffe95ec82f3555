//! Which crate may depend on which: the boundaries that make the crates worth having.

use crate::metadata::Package;

/// The crates and what of ours they may use; `docs` for people: ARCHITECTURE.md.
const EDGES: [(&str, &[&str]); 13] = [
    ("heart-model", &[]),
    ("heart-config", &["model"]),
    ("heart-scheduler", &["model"]),
    ("heart-clusters", &["model", "scheduler"]),
    ("heart-node", &["model", "scheduler"]),
    ("heart-disk", &["model"]),
    ("heart-agents", &["model", "disk"]),
    ("heart-daemon", &["model", "config", "node", "agents", "disk"]),
    ("heart", &["model", "config", "scheduler", "node", "agents", "daemon", "lab", "disk"]),
    ("heart-lab", &["model"]),
    ("heart-sim", &["model", "config", "scheduler", "node", "disk"]),
    ("heart-half-model", &["model", "node"]),
    ("xtask", &[]),
];

pub(crate) fn check(packages: &[Package]) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in packages {
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == package.name) else {
            if package.name.starts_with("heart") {
                complaints.push(format!("crate {}: not in the table of crates: add it to xtask/src/tidy/edges.rs and ARCHITECTURE.md", package.name));
            }
            continue;
        };
        let ours = package.dependencies.iter().filter_map(|name| name.strip_prefix("heart-"));
        for edge in ours.filter(|edge| !allowed.contains(edge)) {
            complaints.push(format!("crate {}: must not depend on heart-{edge}", package.name));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[&str]) -> Package {
        Package {
            name: name.into(),
            version: "0".into(),
            license: None,
            source: None,
            dependencies: dependencies.iter().map(|&d| d.into()).collect(),
            binaries: std::collections::BTreeSet::new(),
        }
    }

    #[test]
    fn an_edge_that_is_not_in_the_table_is_refused() {
        assert!(check(&[package("heart-node", &["heart-model", "serde"])]).is_empty());
        let complaints = check(&[package("heart-node", &["heart-config"]), package("heart-extra", &[])]);
        assert_eq!(complaints[0], "crate heart-node: must not depend on heart-config");
        assert!(complaints[1].starts_with("crate heart-extra: not in the table"), "{complaints:?}");
    }
}
