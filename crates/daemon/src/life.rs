//! The number of this life of the machine (SAFETY rule 8), and how it is known that the run directory was lost in it.
//!
//! The number stands in the run directory, beside all that was done under it: how far the counters of frames and of
//! sessions are, what was promised, what runs here. If that directory vanishes while what runs goes on, a new number would
//! say that the machine was booted, and the old one would be used with counters that begin again. So the number stands in
//! the state folder as well, with the run of the machine that it is about, until the node has stopped in order.

use std::{
    fmt, fs,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use heart_model::BootId;

use crate::setup::{Places, replace};

/// Most that is read of a file here.
const BYTES_MAX: u64 = 1024;

/// One run of a machine: what its kernel calls it, and when its first process was started, as a container that is
/// started again has the same kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MachineRun(String);

impl MachineRun {
    /// This one.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub(crate) fn this() -> anyhow::Result<MachineRun> {
        let read = |path: &str| {
            fs::read_to_string(path).with_context(|| {
                format!(
                    "cannot tell this run of the machine from another: cannot read {path}\nhint: mount /proc"
                )
            })
        };
        let kernel = read("/proc/sys/kernel/random/boot_id")?;
        let first = read("/proc/1/stat")?;
        // The name may hold anything; the start is the 22nd field (proc(5)).
        let started = first.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19));
        let started = started.context("/proc/1/stat does not tell when the first process was started")?;
        Ok(MachineRun(format!("{} {started}", kernel.trim())))
    }
}

/// What one of the files says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    boot: BootId,
    /// Files of earlier versions do not tell.
    run: Option<MachineRun>,
}

impl Record {
    /// What a file says; none if it is not there.
    fn read(path: &Path) -> anyhow::Result<Option<Record>> {
        // The state folder belongs to the core: nobody is to be led elsewhere by it, or to wait there.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let mut text = String::new();
        let read = OpenOptions::new().read(true).custom_flags(flags).open(path);
        let unreadable = || {
            format!(
                "cannot read the number of this boot in {0}\nhint: make it readable; only if nothing of the cluster runs \
                 on this machine, remove it: `rm {0}`",
                path.display()
            )
        };
        match read.and_then(|file: File| file.take(BYTES_MAX).read_to_string(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(unreadable),
        }
        let mut lines = text.lines();
        let boot = BootId::try_from(lines.next().unwrap_or_default().trim().to_owned());
        let boot = boot.map_err(anyhow::Error::msg).with_context(unreadable)?;
        Ok(Some(Record { boot, run: lines.next().map(|line| MachineRun(line.to_owned())) }))
    }

    fn is_of(&self, run: &MachineRun) -> bool {
        self.run.as_ref().is_none_or(|mine| mine == run)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", String::from(self.boot))?;
        self.run.as_ref().map_or(Ok(()), |run| writeln!(f, "{}", run.0))
    }
}

fn in_run(places: &Places) -> PathBuf {
    places.run.join("boot")
}

fn in_state(places: &Places) -> PathBuf {
    places.state.join("boot")
}

/// This boot's number, as the guardian has taken it.
///
/// # Errors
/// When it is not there, or cannot be read: nobody else may draw one.
pub(crate) fn known(places: &Places) -> anyhow::Result<BootId> {
    let path = in_run(places);
    let record = Record::read(&path)?;
    Ok(record
        .with_context(|| format!("the number of this boot is not in {}\n{LOST_HINT}", path.display()))?
        .boot)
}

/// What to do about a run directory that is gone.
const LOST_HINT: &str = "hint: boot this machine; or stop by hand what of the cluster runs on it, and see \"What was lost \
                         in /run\" in docs/first-cluster.md";

/// Takes this boot's number at the start of a node: the one it has, or a new one if it was booted. For the guardian.
///
/// # Errors
/// When the run directory was lost in this boot, or a file cannot be read or written.
pub(crate) fn take(places: &Places, run: &MachineRun) -> anyhow::Result<BootId> {
    let (path, copy) = (in_run(places), in_state(places));
    let kept = Record::read(&path)?.filter(|record| record.is_of(run));
    let boot = match kept {
        Some(record) => record.boot,
        None => {
            if Record::read(&copy)?.is_some_and(|record| record.is_of(run)) {
                bail!(
                    "{} was lost while this machine ran on: {} knows of this boot, and the node did not stop in order. \
                     Heart does not know any more what runs here; the others count this node as lost\n\
                     {LOST_HINT}: then `rm {1}` and start again",
                    places.run.display(),
                    copy.display()
                );
            }
            draw()?
        }
    };
    let record = Record { boot, run: Some(run.clone()) };
    replace(&path, record.to_string().as_bytes())
        .with_context(|| format!("cannot keep the number of this boot in {}", path.display()))?;
    if let Err(error) = write_copy(&copy, &record) {
        tracing::warn!(
            "cannot keep the number of this boot in {}: {error}; if {} is lost now, this node will be taken for one that \
             was booted",
            copy.display(),
            places.run.display()
        );
    }
    Ok(boot)
}

/// The node has stopped in order: if the run directory goes now, nothing is lost with it.
pub(crate) fn stopped_in_order(places: &Places) {
    let copy = in_state(places);
    match fs::remove_file(&copy) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(
                "cannot remove {}, so {} has to stay: {error}",
                copy.display(),
                places.run.display()
            );
        }
        Ok(()) | Err(_) => {}
    }
}

fn draw() -> anyhow::Result<BootId> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("the kernel gives no random numbers: {error}"))?;
    Ok(BootId(u128::from_le_bytes(bytes)))
}

/// Writes the copy, into a new file: the folder belongs to the core, which must not lead root elsewhere.
fn write_copy(path: &Path, record: &Record) -> io::Result<()> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(record.to_string().as_bytes())?;
    file.sync_data()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Machine {
        places: Places,
        _folder: tempfile::TempDir,
    }

    fn machine() -> Machine {
        let folder = tempfile::tempdir().unwrap();
        let (state, run) = (folder.path().join("state"), folder.path().join("run"));
        let machine = Machine { places: Places { state, run, ..Places::default() }, _folder: folder };
        [&machine.places.run, &machine.places.state].into_iter().for_each(|one| fs::create_dir(one).unwrap());
        machine
    }

    impl Machine {
        fn lose_run(&self) {
            fs::remove_dir_all(&self.places.run).unwrap();
            fs::create_dir(&self.places.run).unwrap();
        }

        fn starts_in(&self, run: &str) -> anyhow::Result<BootId> {
            take(&self.places, &MachineRun(run.to_owned()))
        }
    }

    #[test]
    fn a_boot_has_one_number_and_the_next_one_another() {
        let machine = machine();
        assert!(known(&machine.places).is_err(), "only the guardian draws one");
        let first = machine.starts_in("first").unwrap();
        assert_eq!(machine.starts_in("first").unwrap(), first);
        assert_eq!(known(&machine.places).unwrap(), first);
        machine.lose_run();
        let second = machine.starts_in("second").unwrap();
        assert_ne!(second, first, "the machine was booted");
        assert_ne!(
            machine.starts_in("third").unwrap(),
            second,
            "so it was, though its run directory is still there"
        );
    }

    #[test]
    fn a_node_whose_run_directory_is_lost_is_not_taken_for_one_that_was_booted() {
        let machine = machine();
        let first = machine.starts_in("first").unwrap();
        machine.lose_run();
        let why = format!("{:#}", machine.starts_in("first").unwrap_err());
        assert!(why.contains("was lost while this machine ran on"), "{why}");
        assert!(known(&machine.places).is_err(), "nobody has drawn a new one");
        assert!(machine.starts_in("first").is_err(), "it stays so");
        assert_ne!(machine.starts_in("second").unwrap(), first, "until it is booted");
        machine.lose_run();
        stopped_in_order(&machine.places);
        machine.starts_in("second").unwrap();
    }

    #[test]
    fn a_number_that_cannot_be_read_is_not_replaced() {
        let machine = machine();
        let (path, copy) = (in_run(&machine.places), in_state(&machine.places));
        fs::write(&path, "not a number").unwrap();
        let why = format!("{:#}", machine.starts_in("first").unwrap_err());
        assert!(why.contains("cannot read the number of this boot"), "{why}");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&copy).unwrap();
        assert!(machine.starts_in("first").is_err());
        assert!(!path.exists());
    }

    #[test]
    fn a_copy_that_cannot_be_written_keeps_nobody_from_starting() {
        let machine = machine();
        fs::create_dir(machine.places.state.join("boot.new")).unwrap();
        let first = machine.starts_in("first").unwrap();
        assert_eq!(machine.starts_in("first").unwrap(), first);
    }

    #[test]
    fn a_number_of_an_earlier_version_goes_on() {
        let machine = machine();
        let text = String::from(BootId(7));
        fs::write(in_run(&machine.places), text).unwrap();
        assert_eq!(machine.starts_in("first").unwrap(), BootId(7));
        machine.lose_run();
        assert!(machine.starts_in("first").is_err(), "the machine's run is known from then on");
    }

    #[test]
    fn this_run_of_the_machine_is_the_same_at_every_look() {
        assert_eq!(MachineRun::this().unwrap(), MachineRun::this().unwrap());
    }
}
