//! A machine's own view of the file system.
//!
//! Every directory of the host's root is laid under a writable layer of the machine's, so that it
//! finds all programs and can change everything, and nothing of that is seen outside. The layers
//! live in the lab's work directory and so outlast a power cut. `/run`, `/tmp` and `/dev` are made
//! anew at every boot.

use std::{
    ffi::CString,
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use anyhow::{Context, Result};
use rustix::{
    mount::{
        MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive,
        mount_change, unmount,
    },
    process::pivot_root,
};

use crate::layout::Layout;

/// Where a machine finds the binary of the lab, as `heart`.
pub(crate) const PROGRAMS: &str = "/run/lab/bin";
/// Where a node finds the disk that all nodes share, if the lab has one.
pub const DISK: &str = "/dev/shared";
/// Where a node finds the folder that all nodes share, if the lab has one.
pub const FOLDER: &str = "/run/shared";
/// Directories of the root that are not laid under a layer.
const SPECIAL: [&str; 6] = ["proc", "sys", "dev", "run", "tmp", "lost+found"];
/// Directories that belong to the machine, also in a user namespace, where the host's belong to
/// nobody and nothing can be made in them.
const OWN: [&str; 4] = ["/var/lib", "/var/log", "/var/tmp", "/var/cache"];
/// What a machine gets of the host's devices.
const DEVICES: [&str; 8] = ["null", "zero", "full", "random", "urandom", "tty", "fuse", "net/tun"];

/// Gives the calling process (alone in its mount namespace) the file system of a machine.
pub(crate) fn enter(layout: &Layout, index: usize) -> Result<()> {
    let name = layout.machine_name(index);
    let home = layout.directory.join(name);
    let root = home.join("root");
    fs::create_dir_all(&root)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("cannot make the mounts private")?;
    mount_bind(&root, &root).context("cannot bind the machine's root")?;
    layers(&home, &root)?;
    for (kind, place, options) in [
        ("proc", "proc", ""),
        ("sysfs", "sys", ""),
        ("tmpfs", "run", "mode=755"),
        ("tmpfs", "tmp", "mode=1777"),
    ] {
        mount_fresh(kind, &root.join(place), options)?;
    }
    devices(&root)?;
    if layout.nodes.iter().any(|node| node == name) {
        if let Some(disk) = &layout.disk {
            bind_file(disk, &root.join(&DISK[1..]))?;
        }
        if let Some(folder) = &layout.folder {
            bind_folder(folder, &root.join(&FOLDER[1..]))?;
        }
    }
    bind_file(&layout.program, &root.join(&PROGRAMS[1..]).join("heart"))?;
    // Of use to what manages groups of processes; a machine does without where it is not allowed.
    let _ = mount_fresh("cgroup2", &root.join("sys/fs/cgroup"), "");
    change_root(&root)?;
    identity(layout, name)
}

/// One layer for every top-level directory, one link for every link.
fn layers(home: &Path, root: &Path) -> Result<()> {
    for entry in fs::read_dir("/").context("cannot read /")? {
        let entry = entry?;
        let name = entry.file_name();
        let target = root.join(&name);
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            if target.symlink_metadata().is_err() {
                symlink(fs::read_link(entry.path())?, &target)?;
            }
        } else if kind.is_dir() && !SPECIAL.iter().any(|&special| name == special) {
            let layer = home.join("layers").join(&name);
            layer_over(&entry.path(), &layer, &target)
                .with_context(|| format!("cannot give the machine its own {}", entry.path().display()))?;
        }
    }
    Ok(())
}

fn layer_over(lower: &Path, layer: &Path, target: &Path) -> Result<()> {
    let (upper, work) = (layer.join("upper"), layer.join("work"));
    for directory in [&upper, &work, &target.to_path_buf()] {
        fs::create_dir_all(directory)?;
    }
    own_directory(lower, &upper)?;
    for directory in OWN.iter().filter_map(|own| Path::new(own).strip_prefix(lower).ok()) {
        if lower.join(directory).is_dir() {
            own_directory(&lower.join(directory), &upper.join(directory))?;
        }
    }
    let options =
        format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    match mount("overlay", target, "overlay", MountFlags::empty(), CString::new(options)?.as_c_str()) {
        Ok(()) => Ok(()),
        // In a user namespace the kernel refuses layers over a directory that has mounts inside;
        // such a directory is shared with the host.
        Err(_) => Ok(mount_bind_recursive(lower, target)?),
    }
}

/// Makes a directory in the machine's layer, with the mode of the host's.
fn own_directory(lower: &Path, upper: &Path) -> io::Result<()> {
    fs::create_dir_all(upper)?;
    fs::set_permissions(upper, fs::metadata(lower)?.permissions())
}

fn mount_fresh(kind: &str, target: &Path, options: &str) -> Result<()> {
    fs::create_dir_all(target)?;
    mount(kind, target, kind, MountFlags::empty(), CString::new(options)?.as_c_str())
        .with_context(|| format!("cannot mount {kind} at {}", target.display()))
}

/// A `/dev` of the machine's own: `/dev/log` and the like must not be shared.
fn devices(root: &Path) -> Result<()> {
    let dev = root.join("dev");
    mount_fresh("tmpfs", &dev, "mode=755")?;
    for device in DEVICES {
        let source = Path::new("/dev").join(device);
        if source.exists() {
            bind_file(&source, &dev.join(device))?;
        }
    }
    for (link, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(target, dev.join(link))?;
    }
    mount_fresh("tmpfs", &dev.join("shm"), "mode=1777")?;
    mount_fresh("devpts", &dev.join("pts"), "newinstance,ptmxmode=0666,mode=620")?;
    let _ = mount_fresh("mqueue", &dev.join("mqueue"), "");
    Ok(())
}

fn bind_file(source: &Path, target: &Path) -> Result<()> {
    fs::create_dir_all(target.parent().context("a file at the root")?)?;
    fs::File::create(target)?;
    mount_bind(source, target).with_context(|| format!("cannot bind {}", source.display()))
}

fn bind_folder(source: &Path, target: &Path) -> Result<()> {
    fs::create_dir_all(target)?;
    mount_bind(source, target).with_context(|| format!("cannot bind {}", source.display()))
}

fn change_root(root: &Path) -> Result<()> {
    std::env::set_current_dir(root)?;
    pivot_root(".", ".").context("cannot change the root")?;
    unmount(".", UnmountFlags::DETACH).context("cannot leave the old root")?;
    Ok(std::env::set_current_dir("/")?)
}

/// The files that say who a machine is.
fn identity(layout: &Layout, name: &str) -> Result<()> {
    // Replaced, not rewritten: in a user namespace the host's own file belongs to nobody.
    let write = |path: &str, text: &str| -> Result<()> {
        let fresh = format!("{path}.heart-lab");
        fs::write(&fresh, text)
            .and_then(|()| fs::rename(&fresh, path))
            .with_context(|| format!("cannot write {path}"))
    };
    write("/etc/hostname", &format!("{name}\n"))?;
    write("/etc/hosts", &layout.hosts())?;
    write("/etc/machine-id", &format!("{:032x}\n", machine_id(&layout.name, name)))?;
    fs::create_dir_all("/run/lock")?;
    Ok(fs::set_permissions("/run/lock", fs::Permissions::from_mode(0o1777))?)
}

/// The same at every boot, another for every machine and lab (FNV-1a over both names).
fn machine_id(lab: &str, machine: &str) -> u128 {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in lab.bytes().chain([0]).chain(machine.bytes()) {
        hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    hash
}

/// Prepares the holder's mount namespace: layers go to a file system that ends with the lab, seen
/// by nobody else.
pub(crate) fn prepare_work(directory: &Path) -> Result<()> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("cannot make the mounts private")?;
    mount("proc", "/proc", "proc", MountFlags::empty(), None).context("cannot mount the lab's /proc")?;
    let options = CString::new("mode=755")?;
    mount("tmpfs", directory, "tmpfs", MountFlags::empty(), options.as_c_str())
        .context("cannot mount the work directory")?;
    Ok(())
}
