//! What the system has to have: seen to before it is missed.

use std::{path::Path, process::Command};

use anyhow::{Context, Result};

/// What the tests need of the system: how to see that it is there, and the package that has it.
pub(crate) const NEEDS: [(&str, &str); 10] = [
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("arping", "iputils-arping"),
    ("/usr/lib/ocf/resource.d/heartbeat/Dummy", "resource-agents"),
    ("zstd", "zstd"),
    ("python3", "python3"),
    ("/usr/sbin/fence_ipmilan", "fence-agents"),
    ("/usr/lib/stonith/plugins/external/ipmi", "cluster-glue"),
    ("ipmitool", "ipmitool"),
    ("ipmi_sim", "openipmi"),
];
/// Where programs are, also for users whose PATH leaves out the system's.
const PLACES: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// What the demonstration needs of the system.
pub(crate) const DEMO_NEEDS: [(&str, &str); 1] = [("nft", "nftables")];
/// Whether this system has a program, or a file.
pub(crate) fn has(program: &str) -> bool {
    if program.starts_with('/') {
        return Path::new(program).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(PLACES.iter().map(Into::into));
    places.into_iter().any(|place| place.join(program).is_file())
}

/// Installs what is missing, if that is ours to do; else says what will be missed.
pub(crate) fn install(needs: &[(&str, &'static str)]) -> Result<()> {
    let missing: Vec<&str> =
        needs.iter().filter(|(sign, _)| !has(sign)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let is_root =
        std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    if !is_root || !has("apt-get") {
        println!("not installed: {}; what needs them will say so", missing.join(", "));
        return Ok(());
    }
    println!("=== installing {}", missing.join(", "));
    let apt = |words: &[&str]| {
        Command::new("apt-get")
            .args(words)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .context("cannot run apt-get")
    };
    // An outdated list of packages may still do.
    let _ = apt(&["update", "-q"])?;
    let mut words = vec!["install", "-q", "-y", "--no-install-recommends"];
    words.extend(&missing);
    if !apt(&words)?.success() {
        println!("could not install {}; what needs them will say so", missing.join(", "));
    }
    Ok(())
}
