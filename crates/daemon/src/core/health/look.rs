//! What is looked at, and how: each costs a few microseconds and waits for no disk, but for the write.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{StatVfsMountFlags, statvfs};

use super::judge::{Headroom, Place, Room, Sample};
use crate::pressure;

/// The file that is written, beside the log.
const FILE: &str = "probe";
/// What is written: as much as every disk takes at once, and aligned as the kernel wants it.
const LENGTH: usize = 4096;
/// Folders of control groups above one another at most.
const GROUPS_MAX: usize = 16;

#[repr(align(4096))]
struct Page([u8; LENGTH]);

static PAGE: Page = Page([0; LENGTH]);

/// Makes the same small write durable again and again, past the page cache where that can be.
pub(super) struct Writer {
    path: PathBuf,
    file: Option<File>,
}

impl Writer {
    pub(super) fn new(folder: &Path) -> Writer {
        Writer { path: folder.join(FILE), file: None }
    }

    /// Writes, and waits until it is durable.
    pub(super) fn write(&mut self) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.open()?,
        };
        file.write_all_at(&PAGE.0, 0)?;
        file.sync_data()?;
        self.file = Some(file);
        Ok(())
    }

    fn open(&self) -> io::Result<File> {
        let open = |flags| {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
            options.open(&self.path)
        };
        // Not every file system can be written past the cache.
        open(libc::O_DIRECT).or_else(|error| match error.kind() {
            io::ErrorKind::InvalidInput => open(0),
            _ => Err(error),
        })
    }
}

/// What is compared with earlier looks.
pub(super) struct Scene {
    /// The file systems, and whether each could be written when it was first looked at.
    places: Vec<(PathBuf, bool)>,
    /// Pairs of files: how many processes there may be, and how many there are.
    groups: Vec<(PathBuf, PathBuf)>,
    /// The limits of the whole machine, which nobody changes while it runs, and who sets each.
    limits: Vec<(u64, &'static str)>,
    /// The wall clock less the clock since boot, in nanoseconds.
    offset: i128,
}

impl Scene {
    pub(super) fn new(folder: &Path) -> Scene {
        let device = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
        let root = Path::new("/");
        let mut places = vec![(folder.to_owned(), true)];
        if device(folder) != device(root) {
            // Some roots are made to be only read; that is no illness.
            let can_be_written = statvfs(root).is_ok_and(|found| !is_read_only(&found));
            places.push((root.to_owned(), can_be_written));
        }
        Scene { places, groups: groups(), limits: limits(), offset: offset() }
    }

    /// By how much the wall clock moved away from the other since the last call.
    pub(super) fn jump_ms(&mut self) -> i64 {
        let offset = offset();
        let moved = offset - std::mem::replace(&mut self.offset, offset);
        i64::try_from(moved / 1_000_000).unwrap_or(i64::MAX)
    }

    /// Looks at all but the write and the clock.
    pub(super) fn look(&self) -> Sample {
        Sample {
            places: Some(self.places.iter().filter_map(|(path, writable)| place(path, *writable)).collect()),
            memory: pressure::read("memory").map(|pressure| pressure.full),
            processes: self.headroom(),
            ..Sample::default()
        }
    }

    /// The tightest limit of processes.
    fn headroom(&self) -> Option<Headroom> {
        let groups = self.groups.iter().filter_map(|(limit, count)| {
            // Where there is no limit, it says `max`.
            Some((number(limit)?, number(count)?, limit.display().to_string()))
        });
        // proc(5), loadavg: how many of how many tasks run.
        let load = fs::read_to_string("/proc/loadavg").ok();
        let tasks = load.as_ref().and_then(|load| load.split(' ').nth(3)?.split('/').nth(1)?.parse().ok());
        let whole = self.limits.iter().filter_map(|&(limit, by)| Some((limit, tasks?, by.to_owned())));
        let all = groups.chain(whole).map(|(limit, count, by)| Headroom {
            left: limit.saturating_sub(count),
            limit,
            by,
        });
        all.min_by_key(|room| room.left)
    }
}

fn is_read_only(found: &rustix::fs::StatVfs) -> bool {
    found.f_flag.contains(StatVfsMountFlags::RDONLY)
}

fn place(path: &Path, writable: bool) -> Option<Place> {
    let found = statvfs(path).ok()?;
    let read_only = is_read_only(&found);
    let size = Room { bytes: found.f_blocks * found.f_frsize, inodes: found.f_files };
    // Where nothing can be written, nothing is missed.
    let free = match read_only {
        true => size,
        false => Room { bytes: found.f_bavail * found.f_frsize, inodes: found.f_favail },
    };
    Some(Place { path: path.display().to_string(), free, size, read_only: read_only && writable })
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn limits() -> Vec<(u64, &'static str)> {
    let files = ["/proc/sys/kernel/threads-max", "/proc/sys/kernel/pid_max"].into_iter();
    files.filter_map(|path| Some((number(Path::new(path))?, path))).collect()
}

/// The limits that this process and its siblings have, up to the root of all groups.
fn groups() -> Vec<(PathBuf, PathBuf)> {
    // cgroups(7): the one hierarchy has the number 0 and no name.
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(own) = own.lines().find_map(|line| line.strip_prefix("0::/")) else { return Vec::new() };
    let folder = Path::new("/sys/fs/cgroup").join(own);
    let above = folder.ancestors().take(GROUPS_MAX).take_while(|path| path.starts_with("/sys/fs/cgroup"));
    let pairs = above.map(|path| (path.join("pids.max"), path.join("pids.current")));
    pairs.filter(|(limit, _)| limit.exists()).collect()
}

fn offset() -> i128 {
    let boot = heart_agents::clock::now().boottime;
    i128::from(heart_agents::clock::realtime()) - i128::from(boot.0)
}
