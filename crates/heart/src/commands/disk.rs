//! `heart disk`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use heart_agents::disk::{Disk, Formatted};
use heart_daemon::setup::read_config;
use heart_disk::{
    Area, Slot,
    records::{Ballot, Beat, Messages, Owner},
};
use heart_model::NodeName;

use crate::{failure::Failure, output, render::disk::Shown};

/// Prepare a disk that all nodes share, or say what stands on it
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Prepare it: once, on one node
    #[command(after_help = "\
Each node of the file gets a slot. A disk that is prepared for this cluster already keeps all that stands
there, and nodes that are new in the file get a slot that is free: that can be done while the cluster runs.")]
    Format {
        /// The disk, such as /dev/disk/by-id/wwn-0x5000c500a0b1c2d3
        device: PathBuf,
        /// The configuration, which names the cluster and its nodes
        #[arg(long, default_value = "/etc/heart/heart.toml", value_name = "FILE")]
        config: PathBuf,
        /// How many nodes can have a slot, if the disk is empty: 16 if not said
        #[arg(long)]
        slots: Option<u16>,
        /// Write over whatever is on it, with all nodes stopped
        #[arg(long)]
        overwrite: bool,
    },
    /// Say whose the slots are, how old their heartbeats are, and what the tie-break says
    Show {
        /// The disk
        device: PathBuf,
    },
}

/// Obeys; whatever is written, is written durably.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    match &options.what {
        What::Format { device, config, slots, overwrite } => format(device, config, *slots, *overwrite)?,
        What::Show { device } => show(device)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn format(device: &Path, config: &Path, slots: Option<u16>, overwrite: bool) -> Result<(), Failure> {
    let checked = read_config(config).map_err(|error| {
        Failure::problem(
            format!("{error:#}"),
            format!("`heart check {}` says what is wrong with it", config.display()),
        )
    })?;
    let nodes: Vec<NodeName> = checked.spec.nodes.keys().cloned().collect();
    let cluster = checked.spec.cluster.name.as_str();
    let done = Disk::format(device, cluster, &nodes, slots, overwrite)
        .map_err(|why| Failure::problem(why, "`heart disk show DEVICE` says what is on a disk of Heart's"))?;
    output::print(&said(device, cluster, &done))?;
    Ok(())
}

fn said(device: &Path, cluster: &str, done: &Formatted) -> String {
    let (device, names) = (device.display(), done.added.iter().map(NodeName::as_str).collect::<Vec<_>>());
    match (done.kept, names.join(", ")) {
        (true, names) if names.is_empty() => format!("{device} is prepared for `{cluster}` already\n"),
        (true, names) => format!("{device} was prepared for `{cluster}`, and has a slot for {names} now\n"),
        (false, names) => {
            format!("{device} is prepared for `{cluster}`: {} slots, one each for {names}\n", done.slots)
        }
    }
}

fn show(device: &Path) -> Result<(), Failure> {
    let failed = |why| Failure::problem(why, "`heart disk format DEVICE` prepares an empty disk");
    let disk = Disk::open(device).map_err(failed)?;
    let slots = (0..disk.geometry().slots).map(Slot);
    let shown = Shown {
        device: device.display().to_string(),
        cluster: disk.cluster().into(),
        id: disk.geometry().device.to_string(),
        // Each block for itself: what is damaged must not hide the rest.
        owners: slots.clone().map(|slot| record::<Owner>(&disk, Area::Owners, slot)).collect(),
        beats: slots.clone().map(|slot| record::<Beat>(&disk, Area::Beats, slot)).collect(),
        messages: slots.clone().map(|slot| record::<Messages>(&disk, Area::Messages, slot)).collect(),
        ballots: slots.map(|slot| record::<Ballot>(&disk, Area::Ballots, slot)).collect(),
    };
    output::print(&shown.text(output::look().now_ms))?;
    Ok(())
}

fn record<T: serde::de::DeserializeOwned>(disk: &Disk, area: Area, slot: Slot) -> Result<T, String> {
    disk.read(area, slot).map(|stands| stands.record)
}
