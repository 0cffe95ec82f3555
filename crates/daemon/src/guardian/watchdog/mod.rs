//! The guardian's watchdog: armed as long as Heart runs on this node, and fed as long as [`Feeder`] says so.
//!
//! Its spares inherit the opened device, so that a guardian that is killed does not close it. If all are killed it
//! runs on, and the next guardian opens it again. It is stopped only by a guardian that ends in order, after
//! everything was let go.

mod device;
mod sys;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use heart_agents::clock;
use heart_model::Timing;
use heart_node::{
    board::{Board, Held},
    watchdog::{Feeder, Withheld},
};

use crate::{
    disk,
    setup::{Running, Setup},
};
use device::Device;

/// How long is waited before a watchdog that could not be armed is tried again: one that another process has just
/// let go is free within that.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How long is waited before one that did not take its food is fed again.
const FEED_AGAIN: Duration = Duration::from_millis(100);
/// How often the log repeats that a watchdog is not armed.
const SAY_AGAIN: Duration = Duration::from_secs(600);

/// See the module.
pub(super) struct Watchdog {
    board: &'static Board,
    feeder: Feeder,
    /// As the file says.
    timing: Timing,
    path: Option<PathBuf>,
    /// Others take by the clock what this node runs.
    counts: bool,
    device: Option<Device>,
    /// It did not take its food the last time, which may pass.
    refuses: bool,
    is_guest: bool,
    withheld: Option<Withheld>,
    /// Where it stands whether shared disks are in the way of feeding.
    run: PathBuf,
    /// They were.
    disk_withholds: bool,
    /// When its failure to be armed was said last.
    said: Option<Instant>,
    next: Instant,
}

/// What the guardian has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Kill the core.
    pub(super) restart_core: bool,
    /// End the spares, which have another watchdog in hand than this process, or none; others follow.
    pub(super) renew_spares: bool,
    /// Stop this node in order: others count on a watchdog that it does not have any more.
    pub(super) stop: bool,
}

impl Watchdog {
    /// Arms what the file names, before anything is started that it is to watch over.
    pub(super) fn begin(running: &Running, begins: bool) -> anyhow::Result<Watchdog> {
        let setup = &running.setup;
        let board = setup.board()?.board();
        let now = clock::now();
        let feeder = Feeder::new(now, board, !board.belongs_to(setup.boot()?));
        if begins {
            Feeder::on_begin(now, board);
        }
        let mut watchdog = Watchdog {
            board,
            feeder,
            timing: setup.spec.timing,
            path: None,
            counts: false,
            device: None,
            refuses: false,
            is_guest: is_guest(),
            withheld: None,
            run: setup.places.run.clone(),
            disk_withholds: false,
            said: None,
            next: Instant::now(),
        };
        watchdog.configure(setup);
        watchdog.turn();
        Ok(watchdog)
    }

    /// A spare takes up the office.
    pub(super) fn take_over(&mut self, setup: &Setup) {
        self.configure(setup);
        self.device.iter_mut().for_each(Device::tell_again);
        self.next = Instant::now();
    }

    /// Takes up what the file says by now. Which device it is does not change while a node runs.
    pub(super) fn configure(&mut self, setup: &Setup) {
        let node = &setup.spec.nodes[&setup.me];
        self.timing = setup.spec.timing;
        self.path = node.watchdog.as_ref().map(PathBuf::from);
        self.counts = node.resets_itself();
        if node.never_paused && self.is_guest {
            tracing::error!(
                "the file says that {} is never paused, and it is a guest of a hypervisor: if that pauses it, two nodes \
                 may run what it runs",
                setup.me
            );
        }
    }

    /// When to look again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.path.is_some().then_some(self.next)
    }

    /// Looks, and feeds if that is in order.
    pub(super) fn turn(&mut self) -> Wanted {
        let now = Instant::now();
        let Some(path) = self.path.clone() else {
            self.board.set_machine(false, self.is_guest);
            return Wanted::default();
        };
        if now < self.next {
            return Wanted::default();
        }
        let feeding = self.feeder.look(clock::now(), self.board, &self.timing);
        self.next = now + feeding.again_after;
        self.tell(feeding.withheld);
        let mut wanted = Wanted { restart_core: feeding.restart_core, ..Wanted::default() };
        let had_it = self.device.is_some();
        if feeding.withheld.is_some() || self.is_withheld_by_disk() {
            return wanted;
        }
        match self.feed(&path, feeding.deadline) {
            Ok(()) => {
                self.said = None;
                if std::mem::take(&mut self.refuses) {
                    tracing::info!("the watchdog takes its food again");
                }
            }
            Err(error) if self.may_pass(now, feeding.deadline, &error) => self.next = now + FEED_AGAIN,
            Err(error) => {
                self.next = now + TRY_AGAIN;
                wanted.stop = self.lose(now, &error);
            }
        }
        wanted.renew_spares = had_it != self.device.is_some();
        self.board.set_machine(self.device.is_some(), self.is_guest);
        wanted
    }

    fn feed(&mut self, path: &Path, deadline: Duration) -> anyhow::Result<()> {
        if let Some(device) = &mut self.device {
            device.wait_for(deadline)?;
            return device.feed().context("it cannot be fed");
        }
        let device = Device::arm(path, deadline)?;
        tracing::info!(
            "{} resets this machine when Heart does not get on for {} s",
            device.name,
            deadline.as_secs()
        );
        self.device = Some(device);
        Ok(())
    }

    /// Whether the device may take its food before its time is over. Until then it is as good as fed: it is armed, and
    /// resets this machine no later than others reckon with. One that waits for longer than that does not.
    fn may_pass(&mut self, now: Instant, deadline: Duration, error: &anyhow::Error) -> bool {
        let Some(device) = &self.device else { return false };
        let left = device.left(now);
        if left.is_zero() || device.waits > deadline || !device::may_pass(error) {
            return false;
        }
        if !std::mem::replace(&mut self.refuses, true) {
            let name = &device.name;
            tracing::error!(
                "{name} resets this machine in {left:.1?} unless it is fed before: {error:#}; trying on"
            );
        }
        true
    }

    /// Others were told over a shared disk that this machine is off by a certain time, and count on it.
    fn is_withheld_by_disk(&mut self) -> bool {
        let withholds = !disk::may_feed(&self.run, clock::now(), self.board.lease_until());
        if withholds && !self.disk_withholds {
            tracing::error!(
                "the watchdog is not fed any more, and resets this machine: it was told to over a shared disk, or did \
                 not read what stands there for too long and has no lease"
            );
        }
        self.disk_withholds = withholds;
        withholds
    }

    /// Says why it is not fed, or that it is again.
    fn tell(&mut self, withheld: Option<Withheld>) {
        if self.withheld == withheld {
            return;
        }
        self.withheld = withheld;
        match withheld {
            Some(why) => tracing::error!("the watchdog is not fed any more, and resets this machine: {why}"),
            None => tracing::warn!("the watchdog is fed again"),
        }
    }

    /// It could not be armed, or is of no use any more. Whether this node has to stop: it runs what others take by the
    /// clock.
    fn lose(&mut self, now: Instant, error: &anyhow::Error) -> bool {
        self.refuses = false;
        let Some(device) = self.device.take() else {
            if self.said.is_none_or(|said| now.duration_since(said) >= SAY_AGAIN) {
                self.said = Some(now);
                tracing::error!("no watchdog is armed: {error:#}");
            }
            return false;
        };
        // What comes of opening it again is said in any case.
        self.said = None;
        // Not stopped: what could not be fed may work all the same, and others count on that.
        let (name, left) = (&device.name, device.left(now));
        if left.is_zero() {
            let waits = device.waits.as_secs();
            tracing::error!(
                "{name} was not fed for {waits} s, and did not reset this machine; nothing does: {error:#}"
            );
        } else {
            tracing::error!(
                "{name} is of no use any more; it was not stopped, and resets this machine in {left:.1?} if it runs and \
                 cannot be opened again before: {error:#}"
            );
        }
        self.counts && self.board.held() == Held::TakenByTheClock
    }

    /// Heart ends on this node. Stops the watchdog if everything was let go; no other process may have it any more.
    pub(super) fn end(&mut self) {
        let Some(mut device) = self.device.take() else { return };
        if self.board.held() > Held::Nothing {
            tracing::error!(
                "not everything was let go: the watchdog resets this machine in {} s",
                device.waits.as_secs()
            );
            return;
        }
        match device.disarm() {
            Ok(()) => tracing::info!("{} is stopped", device.name),
            Err(error) => {
                let waits = device.waits.as_secs();
                tracing::error!("{} resets this machine in {waits} s: {error:#}", device.name);
            }
        }
        self.board.set_machine(false, self.is_guest);
    }
}

/// Whether this machine is a guest of a hypervisor, as the processor says.
pub(crate) fn is_guest() -> bool {
    let facts = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut flags = facts.lines().filter(|line| line.starts_with("flags"));
    flags.any(|line| line.split_ascii_whitespace().any(|flag| flag == "hypervisor"))
}

#[cfg(test)]
mod tests {
    use heart_model::{BootId, Moment, Profile};

    use super::*;

    /// A node that runs what others take by the clock, and has this device.
    fn watchdog(run: &Path, device: Device) -> Watchdog {
        let board: &'static Board = Box::leak(Box::default());
        board.begin(BootId(7), &[], Moment::default());
        let now = clock::now();
        let feeder = Feeder::new(now, board, true);
        let timing = Timing::of(Profile::Default);
        board.set_progress(now);
        board.set_lease_until(now.after(Duration::from_secs(600)));
        board.set_held(Held::TakenByTheClock);
        Watchdog {
            board,
            feeder,
            timing,
            path: Some(run.join("missing")),
            counts: true,
            device: Some(device),
            refuses: false,
            is_guest: false,
            withheld: None,
            run: run.to_owned(),
            disk_withholds: false,
            said: None,
            next: Instant::now(),
        }
    }

    /// Its next turn, however long it would wait for that.
    fn turn(watchdog: &mut Watchdog) -> Wanted {
        watchdog.board.set_progress(clock::now());
        watchdog.next = Instant::now();
        watchdog.turn()
    }

    fn waits() -> Duration {
        Timing::of(Profile::Default).watchdog()
    }

    #[test]
    fn a_device_that_is_busy_for_a_moment_costs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut watchdog = watchdog(folder.path(), Device::stubborn(3, libc::EBUSY, waits()));
        for _ in 0..3 {
            assert_eq!(turn(&mut watchdog), Wanted::default());
            assert!(watchdog.refuses && watchdog.board.is_watched());
            assert!(watchdog.due().unwrap() <= Instant::now() + FEED_AGAIN, "it is tried soon");
        }
        assert_eq!(turn(&mut watchdog), Wanted::default());
        assert!(!watchdog.refuses && watchdog.board.is_watched());
    }

    #[test]
    fn a_device_that_was_not_fed_for_as_long_as_it_waits_resets_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut watchdog = watchdog(folder.path(), Device::stubborn(u32::MAX, libc::EBUSY, waits()));
        assert_eq!(turn(&mut watchdog), Wanted::default());
        watchdog.device.as_mut().unwrap().fed_at -= waits();
        let lost = Wanted { stop: true, renew_spares: true, ..Wanted::default() };
        assert_eq!(turn(&mut watchdog), lost, "others count on it");
        assert!(!watchdog.board.is_watched());
        assert_eq!(turn(&mut watchdog), Wanted::default(), "said once");
    }

    #[test]
    fn a_device_that_does_not_take_a_shorter_time_is_not_as_good_as_fed() {
        let folder = tempfile::tempdir().unwrap();
        let second = Duration::from_secs(1);
        let refusing = |waits| watchdog(folder.path(), Device::stubborn(1, libc::EBUSY, waits));
        let mut watchdog = refusing(waits() - second);
        assert_eq!(
            turn(&mut watchdog),
            Wanted::default(),
            "it resets this machine earlier than others reckon with"
        );
        assert!(watchdog.refuses && watchdog.board.is_watched());
        let mut watchdog = refusing(waits() + second);
        assert!(turn(&mut watchdog).stop, "and this one later");
        assert!(!watchdog.board.is_watched());
    }

    #[test]
    fn a_device_that_is_gone_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut watchdog = watchdog(folder.path(), Device::stubborn(1, libc::ENODEV, waits()));
        assert!(turn(&mut watchdog).stop);
        assert!(!watchdog.board.is_watched());
    }
}
