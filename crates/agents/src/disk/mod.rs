//! Reading and writing a disk that all nodes share; what stands where is for [`heart_disk`] to say.
//!
//! Nothing is kept in memory of this machine: it is opened anew for each use, past the page cache, and a write is over
//! when the disk says so. A disk that stalls lets nobody go, so all of this is called on threads that can be given up
//! ([`bounded`]). A thread that was given up keeps its claim on the block that it was about to write: nobody else
//! writes there before it has ended.

mod bounded;
mod claim;

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use heart_disk::{
    Area, BLOCK, DeviceId, Geometry, PAIR, SLOTS_MAX, Slot,
    layout::{self, Stands},
    records::{Ballot, Beat, Header, Messages, Owner},
};
use heart_model::NodeName;
use rustix::{
    fs::OFlags,
    rand::{GetRandomFlags, getrandom},
};
use serde::{Serialize, de::DeserializeOwned};

pub use bounded::bounded;
pub use claim::Claim;

/// Slots of a device, if nobody says how many.
pub const SLOTS: u16 = 16;

/// A device that was opened, and is one of Heart's.
#[derive(Debug)]
pub struct Disk {
    file: File,
    path: PathBuf,
    geometry: Geometry,
    header: Header,
}

/// What became of a device that was to be formatted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formatted {
    /// How many slots it has.
    pub slots: u16,
    /// Nodes that have a slot from now on.
    pub added: Vec<NodeName>,
    /// It was one of this cluster already, and keeps all that stands there.
    pub kept: bool,
}

impl Disk {
    /// Opens a device of any cluster.
    ///
    /// # Errors
    /// When it is not there, cannot be read, or was not formatted; what was tried and found, and what to do.
    pub fn open(path: &Path) -> Result<Disk, String> {
        let file = open(path)?;
        let mut header = Buffer::new(PAIR);
        read_at(&file, path, 0, header.bytes())?;
        if layout::is_blank(header.bytes()) {
            return Err(format!("{} is empty: `heart disk format {0}` prepares it", path.display()));
        }
        let (device, stands) = layout::read_header::<Header>(header.bytes()).map_err(|why| {
            format!("{} is no disk of Heart's: {why}; see whether it is the right one", path.display())
        })?;
        let header = stands.record;
        if !(1..=SLOTS_MAX).contains(&header.slots) {
            return Err(format!("{} names {} slots, and may have {SLOTS_MAX}", path.display(), header.slots));
        }
        let geometry = Geometry { device, slots: header.slots };
        Ok(Disk { file, path: path.into(), geometry, header })
    }

    /// Opens the device of a cluster, and says which slot a node has.
    ///
    /// # Errors
    /// As [`Disk::open`], and when it belongs to another cluster or the node has no slot.
    pub fn open_as(path: &Path, cluster: &str, me: &NodeName) -> Result<(Disk, Slot), String> {
        let disk = Disk::open(path)?;
        if disk.header.cluster != cluster {
            return Err(format!(
                "{} belongs to the cluster `{}`, and this is `{cluster}`: see whether it is the right one",
                path.display(),
                disk.header.cluster
            ));
        }
        let slot = disk.slot_of(me)?;
        Ok((disk, slot))
    }

    /// Whose cluster it is.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.header.cluster
    }

    /// Which device it is, and how many slots it has.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Which slot a node has.
    ///
    /// # Errors
    /// When it has none, or the names cannot be read.
    pub fn slot_of(&self, node: &NodeName) -> Result<Slot, String> {
        let owners = self.read_all::<Owner>(Area::Owners)?;
        let at = owners.iter().position(|owner| owner.record.node.as_ref() == Some(node));
        at.and_then(|at| u16::try_from(at).ok()).map(Slot).ok_or_else(|| {
            let path = self.path.display();
            format!(
                "{node} has no slot on {path}: `heart disk format {path}` gives one to every node of the file"
            )
        })
    }

    /// Reads an area whole: what each slot's block says.
    ///
    /// # Errors
    /// When it cannot be read, or one of the blocks is damaged; for people.
    pub fn read_all<T: DeserializeOwned>(&self, area: Area) -> Result<Vec<Stands<T>>, String> {
        let mut bytes = Buffer::new(self.geometry.length(area));
        read_at(&self.file, &self.path, self.geometry.start(area), bytes.bytes())?;
        let pairs = bytes.bytes().chunks(PAIR).enumerate();
        pairs.map(|(slot, pair)| self.take_apart(area, Slot(slot as u16), pair)).collect()
    }

    /// Reads the block of one slot.
    ///
    /// # Errors
    /// As [`Disk::read_all`].
    pub fn read<T: DeserializeOwned>(&self, area: Area, slot: Slot) -> Result<Stands<T>, String> {
        let mut bytes = Buffer::new(PAIR);
        read_at(&self.file, &self.path, self.geometry.offset(area, slot), bytes.bytes())?;
        self.take_apart(area, slot, bytes.bytes())
    }

    fn take_apart<T: DeserializeOwned>(
        &self,
        area: Area,
        slot: Slot,
        pair: &[u8],
    ) -> Result<Stands<T>, String> {
        layout::read(self.geometry.device, area, slot, pair).map_err(|why| self.wrong(&why))
    }

    /// Writes the block of a slot, both copies, one after the other; `before` is what stood there. Only the owner of the
    /// slot may, who has a [`Claim`] on it.
    ///
    /// # Errors
    /// When it is not certain that it stands there now; for people.
    pub fn write<T: Serialize>(
        &self,
        area: Area,
        slot: Slot,
        before: &mut Stands<T>,
        record: T,
    ) -> Result<(), String> {
        let sequence = before.sequence.checked_add(1).ok_or_else(|| self.wrong("its numbers are used up"))?;
        let block = layout::write(self.geometry.device, area, slot, sequence, &record);
        let block = block.map_err(|why| self.wrong(&why))?;
        let mut bytes = Buffer::new(BLOCK);
        bytes.bytes().copy_from_slice(&block);
        for copy in [before.next, 1 - before.next] {
            let offset = self.geometry.offset(area, slot) + (copy * BLOCK) as u64;
            write_at(&self.file, &self.path, offset, bytes.bytes())?;
        }
        *before = Stands { sequence, next: before.next, record };
        Ok(())
    }

    fn wrong(&self, why: &str) -> String {
        format!("{}: {why}", self.path.display())
    }

    /// Prepares a device for a cluster, with a slot for each of these nodes. One that is prepared for it already keeps
    /// all that stands there; nodes that have no slot get a free one.
    ///
    /// # Errors
    /// When something else is on it and `overwrite` is not said, or there is no room.
    pub fn format(
        path: &Path,
        cluster: &str,
        nodes: &[NodeName],
        slots: Option<u16>,
        overwrite: bool,
    ) -> Result<Formatted, String> {
        let file = open(path)?;
        let mut first = Buffer::new(PAIR);
        read_at(&file, path, 0, first.bytes())?;
        if layout::is_blank(first.bytes()) || overwrite {
            return write_anew(&file, path, cluster, nodes, slots.unwrap_or(SLOTS));
        }
        let disk = Disk::open(path).map_err(|why| format!("{why}. With `--overwrite` it is written over"))?;
        if disk.cluster() != cluster {
            return Err(format!(
                "{} belongs to the cluster `{}`, and the file is of `{cluster}`; with `--overwrite` it is written over",
                path.display(),
                disk.cluster()
            ));
        }
        if slots.is_some_and(|slots| slots != disk.geometry.slots) {
            let has = disk.geometry.slots;
            return Err(disk.wrong(&format!("it has {has} slots, which only `--overwrite` changes")));
        }
        let added = disk.add(nodes)?;
        Ok(Formatted { slots: disk.geometry.slots, added, kept: true })
    }

    /// Gives a slot to those of the nodes that have none.
    fn add(&self, nodes: &[NodeName]) -> Result<Vec<NodeName>, String> {
        let mut owners = self.read_all::<Owner>(Area::Owners)?;
        let has = |node: &NodeName| owners.iter().any(|owner| owner.record.node.as_ref() == Some(node));
        let new: Vec<NodeName> = nodes.iter().filter(|node| !has(node)).cloned().collect();
        let free: Vec<usize> = (0..owners.len()).filter(|&at| owners[at].record.node.is_none()).collect();
        if free.len() < new.len() {
            return Err(self.wrong(&format!(
                "{} of its {} slots are free, and {} nodes need one; with more `--slots` and `--overwrite`, on all nodes \
                 stopped, there are more",
                free.len(),
                owners.len(),
                new.len()
            )));
        }
        for (node, at) in new.iter().zip(free) {
            let owner = Owner { node: Some(node.clone()) };
            self.write(Area::Owners, Slot(at as u16), &mut owners[at], owner)?;
        }
        Ok(new)
    }
}

fn write_anew(
    file: &File,
    path: &Path,
    cluster: &str,
    nodes: &[NodeName],
    slots: u16,
) -> Result<Formatted, String> {
    let wrong = |why: &str| format!("{}: {why}", path.display());
    if !(1..=SLOTS_MAX).contains(&slots) || usize::from(slots) < nodes.len() {
        return Err(wrong(&format!(
            "{slots} slots: it takes 1 to {SLOTS_MAX}, and one for each of {} nodes",
            nodes.len()
        )));
    }
    let mut random = [0; 8];
    if getrandom(&mut random, GetRandomFlags::empty()) != Ok(random.len()) {
        return Err("the kernel of this node gives no random numbers; see its log".into());
    }
    let geometry = Geometry { device: DeviceId(u64::from_le_bytes(random)), slots };
    let mut bytes = Buffer::new(PAIR);
    // Last of all the header: without it this is no device of Heart's.
    bytes.bytes().fill(0);
    write_at(file, path, 0, bytes.bytes())?;
    for number in 0..slots {
        let slot = Slot(number);
        let owner = Owner { node: nodes.get(usize::from(number)).cloned() };
        for (area, block) in [
            (Area::Owners, layout::write(geometry.device, Area::Owners, slot, 1, &owner)),
            (Area::Beats, layout::write(geometry.device, Area::Beats, slot, 1, &Beat::default())),
            (Area::Messages, layout::write(geometry.device, Area::Messages, slot, 1, &Messages::default())),
            (Area::Ballots, layout::write(geometry.device, Area::Ballots, slot, 1, &Ballot::default())),
        ] {
            twice(bytes.bytes(), &block.map_err(|why| wrong(&why))?);
            write_at(file, path, geometry.offset(area, slot), bytes.bytes())?;
        }
    }
    let header = Header { cluster: cluster.into(), slots };
    let block =
        layout::write(geometry.device, Area::Header, Slot(0), 1, &header).map_err(|why| wrong(&why))?;
    twice(bytes.bytes(), &block);
    write_at(file, path, 0, bytes.bytes())?;
    Ok(Formatted { slots, added: nodes.to_vec(), kept: false })
}

fn twice(pair: &mut [u8], block: &[u8]) {
    pair[..BLOCK].copy_from_slice(block);
    pair[BLOCK..].copy_from_slice(block);
}

/// Opens it past the page cache. A file on a file system that does not know how (tmpfs of old kernels) is opened
/// without that: all who share it have one kernel.
fn open(path: &Path) -> Result<File, String> {
    let flags = |more: OFlags| (OFlags::DSYNC | more).bits();
    let open = |more: OFlags| {
        OpenOptions::new().read(true).write(true).custom_flags(flags(more).cast_signed()).open(path)
    };
    let wrong = |error: io::Error| {
        format!(
            "{} cannot be opened: {error}; see whether the disk is there and this node may write to it",
            path.display()
        )
    };
    let file = match open(OFlags::DIRECT) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => open(OFlags::empty()),
        opened => opened,
    };
    let file = file.map_err(wrong)?;
    let kind = file.metadata().map_err(wrong)?.file_type();
    if !(kind.is_block_device() || kind.is_file()) {
        return Err(format!("{} is neither a disk nor a file", path.display()));
    }
    Ok(file)
}

fn read_at(file: &File, path: &Path, offset: u64, bytes: &mut [u8]) -> Result<(), String> {
    file.read_exact_at(bytes, offset).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                format!("it is too small; a device with {SLOTS} slots has {} bytes", Geometry::bytes(SLOTS))
            }
            _ => "see the kernel's log about this disk".into(),
        };
        format!("{} bytes at {offset} of {} cannot be read: {error}; {hint}", bytes.len(), path.display())
    })
}

fn write_at(file: &File, path: &Path, offset: u64, bytes: &[u8]) -> Result<(), String> {
    file.write_all_at(bytes, offset).map_err(|error| {
        format!(
            "{} bytes at {offset} of {} cannot be written: {error}; see the kernel's log about this disk, and whether it \
             is large enough",
            bytes.len(),
            path.display()
        )
    })
}

/// Bytes where a disk takes them from and puts them: at a multiple of the block.
struct Buffer {
    room: Vec<u8>,
    start: usize,
    length: usize,
}

impl Buffer {
    fn new(length: usize) -> Buffer {
        let room = vec![0; length + BLOCK];
        let start = room.as_ptr().align_offset(BLOCK);
        Buffer { room, start, length }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.room[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_begin_at_a_block() {
        for length in [BLOCK, PAIR, 64 * PAIR] {
            let mut buffer = Buffer::new(length);
            let bytes = buffer.bytes();
            assert_eq!((bytes.as_ptr().addr() % BLOCK, bytes.len()), (0, length));
        }
    }
}
