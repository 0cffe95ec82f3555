//! Looks after the machine: is its disk still a disk, is there room, can it start processes, is its clock one?
//!
//! It is here, in the core's process, because that is never paged out and writes the log to the same folder; the
//! executor, which has more rights than this needs, must be able to end and begin anew while a disk hangs. Two
//! threads of its own, so that nobody waits for it: one writes, and may hang; the other looks at how long it
//! has been at it, and at everything else, which never waits for a disk. What they find comes as an event, and
//! `judge` says what is worth one.

mod judge;
mod look;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel},
    },
    thread,
    time::Duration,
};

use anyhow::Context;
use heart_agents::{clock, wait::Bell};
use heart_model::{HealthChange, Moment};

use judge::{Judge, Probe, Sample};
use look::{Scene, Writer};

/// How often is looked how long a write takes, and at the clock.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So many looks before the next write is made: it wakes a disk.
const WRITE_EVERY: u32 = 3;
/// So many looks before everything else is looked at, which changes more slowly.
const ALL_EVERY: u32 = 5;
/// A look that comes later than that says of the machine that it stood still, and nothing of its disk or clock.
const LATE: Duration = Duration::from_secs(1);
/// Processes that were refused, and were not looked at yet; more are as good as these.
const REFUSALS_MAX: usize = 8;

/// The near end.
pub(super) struct Health {
    /// What was found out.
    pub(super) changes: Receiver<HealthChange>,
    refusals: SyncSender<String>,
}

impl Health {
    /// The kernel refused to make a process.
    pub(super) fn on_refused(&self, why: String) {
        self.refusals.try_send(why).ok();
    }
}

/// Starts both threads; `bell` rings when something was found out.
///
/// # Errors
/// When the kernel makes no thread.
pub(super) fn start(folder: &Path, bell: Arc<Bell>) -> anyhow::Result<Health> {
    // One write is under way at a time, and says how it went: no queue is longer than that.
    let (write, wanted) = channel();
    let (written, results) = channel();
    let (say, changes) = channel();
    let (refusals, refused) = sync_channel(REFUSALS_MAX);
    let writer = Writer::new(folder);
    let begin = |name: &str| thread::Builder::new().name(name.into());
    let cannot = "cannot start a thread that looks after the machine";
    begin("disk probe").spawn(move || probe(writer, &wanted, &written)).context(cannot)?;
    let watch = Watch { folder: folder.to_owned(), write, results, begun: None, refused };
    begin("health").spawn(move || watch.run(&say, &bell)).context(cannot)?;
    Ok(Health { changes, refusals })
}

/// Writes when it is told to.
fn probe(mut writer: Writer, wanted: &Receiver<()>, written: &Sender<Probe>) {
    while wanted.recv().is_ok() {
        let begun = clock::now();
        let result = writer.write();
        let took = clock::now().longest_since(begun);
        let said = match result {
            Ok(()) => Probe::Took(took),
            Err(error) => match error.kind() {
                // What is full is seen without writing, and called that.
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Probe::Unknown,
                io::ErrorKind::ReadOnlyFilesystem => Probe::ReadOnly,
                _ => Probe::Refused(error.to_string()),
            },
        };
        if written.send(said).is_err() {
            return;
        }
    }
}

struct Watch {
    folder: PathBuf,
    write: Sender<()>,
    results: Receiver<Probe>,
    /// When the write that is under way began.
    begun: Option<Moment>,
    refused: Receiver<String>,
}

impl Watch {
    fn run(mut self, say: &Sender<HealthChange>, bell: &Bell) {
        let (mut judge, mut scene) = (Judge::default(), Scene::new(&self.folder));
        let began = clock::now();
        let mut last = began;
        // Ends with the core, which hears nothing more then.
        for look in 0_u32.. {
            let now = clock::now();
            let stood_still = now.longest_since(last) > LOOK_EVERY + LATE;
            last = now;
            let sample = Sample {
                folder: self.folder.display().to_string(),
                probe: self.look_at_write(now, stood_still, look % WRITE_EVERY == 0),
                jump_ms: Some(scene.jump_ms()).filter(|_| !stood_still),
                refused: self.refused.try_iter().take(REFUSALS_MAX).last(),
                ..if look % ALL_EVERY == 0 { scene.look() } else { Sample::default() }
            };
            let changes = judge.look(now.longest_since(began), &sample);
            let any = !changes.is_empty();
            if changes.into_iter().any(|change| say.send(change).is_err()) {
                return;
            }
            if any {
                bell.ring();
            }
            #[expect(clippy::disallowed_methods, reason = "this thread does nothing else")]
            thread::sleep(LOOK_EVERY);
        }
    }

    /// How the write fares; begins the next if it is time.
    fn look_at_write(&mut self, now: Moment, stood_still: bool, again: bool) -> Probe {
        let done = match self.results.try_recv() {
            Ok(probe) => {
                self.begun = None;
                Some(probe)
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        };
        match (&mut self.begun, done) {
            (_, Some(Probe::Took(_))) if stood_still => Probe::Unknown,
            (Some(begun), None) if stood_still => {
                *begun = now;
                Probe::Unknown
            }
            (Some(begun), None) => Probe::Hangs(now.longest_since(*begun)),
            (_, done) => {
                if again && self.write.send(()).is_ok() {
                    self.begun = Some(now);
                }
                done.unwrap_or_default()
            }
        }
    }
}
