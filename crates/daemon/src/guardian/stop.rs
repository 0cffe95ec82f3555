//! How a node is stopped in order, and what becomes of a stop that does not get on.
//!
//! The core hands over what runs here, and ends with success when it has left; only then the others are ended. Until then
//! whoever dies is started again: nobody else would let go of what runs here. How long that takes is for the agents to
//! say, one after the other, so there is no time for the whole: a stop gets on as long as less and less is held, and is
//! given up when it does not. Then the others count this node as lost.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use heart_model::{LogicalTimeouts, NodeName, ResourceName};
use serde::Deserialize;

/// How long a core may take to leave when nothing is held. It waits for a leader, which is to move what runs here, for
/// two thirds of that.
const LEAVING_MAX: Duration = Duration::from_secs(30);
/// How often an agent may need all of its time for one stop: what it does not stop in time is killed, and it is asked
/// once more.
const STOPS: u32 = 2;
/// How long the others may take to end, once the core has left.
const ENDING_MAX: Duration = Duration::from_secs(10);
/// How often it is looked what is still held.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Cores that may end without having left, on a node that holds nothing.
const CORES_MAX: u32 = 5;
/// Records that are looked at at most: more than resources there can be.
const RECORDS_MAX: usize = 16 * 1024;
/// What stands in the file once the core has left.
const LEFT: &[u8] = b"left";

/// Says that the node was asked to stop, and whether the core has left, should the guardian be killed meanwhile.
fn path(run: &Path) -> PathBuf {
    run.join("stopping")
}

/// Whether the node in this run directory was asked to stop.
pub(super) fn is_asked_for(run: &Path) -> bool {
    path(run).exists()
}

/// Nobody asks for a stop any more.
pub(super) fn forget(run: &Path) {
    fs::remove_file(path(run)).ok();
}

/// A stop that is under way.
#[derive(Debug)]
pub(super) struct Stop {
    run: PathBuf,
    me: NodeName,
    left: bool,
    /// Cores that ended without having left.
    cores: u32,
    /// The fewest resources that were held so far.
    least: Option<usize>,
    /// Until when that has to get less, and how long it had for that.
    until: (Instant, Duration),
    look_at: Instant,
    given_up: Option<String>,
}

/// What has to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The core is to leave.
    Leave,
    /// It has left: the others are to end.
    End,
    /// Whoever is left is killed.
    Kill,
}

impl Stop {
    /// A stop that begins, or goes on under another guardian.
    pub(super) fn begin(run: &Path, me: &NodeName, now: Instant) -> Stop {
        let left = fs::read(path(run)).is_ok_and(|text| text == LEFT);
        let patience = if left { ENDING_MAX } else { LEAVING_MAX };
        let stop = Stop {
            run: run.to_owned(),
            me: me.clone(),
            left,
            cores: 0,
            least: None,
            until: (now + patience, patience),
            look_at: now,
            given_up: None,
        };
        if !left {
            stop.write_down(b"");
        }
        stop
    }

    fn write_down(&self, what: &[u8]) {
        if let Err(error) = fs::write(path(&self.run), what) {
            tracing::warn!("a guardian that is killed now would not know how far this stop is: {error}");
        }
    }

    /// A core has ended; `left` if it did so with success.
    pub(super) fn on_core(&mut self, left: bool, now: Instant) {
        if left && !self.left {
            self.left = true;
            self.until = (now + ENDING_MAX, ENDING_MAX);
            self.write_down(LEFT);
        }
        self.cores += u32::from(!left);
        self.look_at_once(now);
    }

    /// Whether nothing is to be started any more.
    pub(super) fn is_ending(&self) -> bool {
        self.left || self.given_up.is_some()
    }

    /// A core that has just been started is to be told.
    pub(super) fn look_at_once(&mut self, now: Instant) {
        self.look_at = now;
    }

    /// When to look again.
    pub(super) fn due(&self) -> Instant {
        self.look_at
    }

    /// Looks how the stop gets on; nothing if it was looked a moment ago.
    pub(super) fn look(&mut self, now: Instant) -> Option<Next> {
        if now < self.look_at {
            return None;
        }
        self.look_at = now + LOOK_EVERY;
        if self.given_up.is_some() {
            return Some(Next::Kill);
        }
        if self.left {
            return Some(if now < self.until.0 { Next::End } else { Next::Kill });
        }
        let held = held(&self.run).inspect_err(|error| {
            tracing::warn!("what runs here cannot be found out in {}: {error}", self.run.display());
        });
        if let Ok(held) = &held
            && self.least.is_none_or(|least| held.len() < least)
        {
            self.least = Some(held.len());
            let patience = patience(held);
            self.until = (now + patience, patience);
        }
        let nothing = self.least == Some(0);
        if now < self.until.0 && !(nothing && self.cores >= CORES_MAX) {
            return Some(Next::Leave);
        }
        self.give_up(held);
        Some(Next::Kill)
    }

    fn give_up(&mut self, held: io::Result<Vec<Held>>) {
        let me = &self.me;
        let names =
            held.map(|held| held.iter().map(|held| format!("`{}`", held.resource)).collect::<Vec<_>>());
        let stop = match &names {
            Ok(names) if names.is_empty() => "",
            Ok(_) => "stop that by hand, ",
            Err(_) => "stop by hand what of the cluster runs here, ",
        };
        let said = match names.as_deref() {
            Err(error) => {
                format!("what runs here could not be found out in {}: {error}", self.run.display())
            }
            Ok([]) if self.cores >= CORES_MAX => {
                format!("nothing runs here, but the core ended {} times before it had left", self.cores)
            }
            Ok([]) => format!("nothing runs here, but the core has not left after {:?}", self.until.1),
            Ok(names) => {
                format!("{} may still run here: no stop succeeded for {:?}", names.join(", "), self.until.1)
            }
        };
        let said = format!(
            "{me} was not stopped in order: {said}. The others count {me} as lost, and what waits for a fence as running \
             here\nhint: {stop}start Heart here again and stop it again, or switch this machine off; what was wrong stands \
             above"
        );
        tracing::error!("giving up: everything of Heart is killed");
        self.given_up = Some(said);
    }

    /// Whether what ran here was handed over.
    pub(super) fn is_in_order(&self) -> bool {
        self.left && self.given_up.is_none()
    }

    /// Everything of Heart has ended.
    ///
    /// # Errors
    /// What is left, and what to do about that.
    pub(super) fn end(self) -> anyhow::Result<()> {
        self.given_up.map_or(Ok(()), |said| Err(anyhow::anyhow!(said)))
    }
}

/// How long it may take until less is held.
fn patience(held: &[Held]) -> Duration {
    let longest = held.iter().map(|held| held.stop).max().unwrap_or_default();
    LEAVING_MAX + longest * STOPS
}

/// What runs, or may run.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    resource: ResourceName,
    /// How long its stop may take.
    stop: Duration,
}

/// What of an executor's record counts here.
#[derive(Deserialize)]
struct Record {
    resource: ResourceName,
    held: Option<HeldRecord>,
}

#[derive(Deserialize)]
struct HeldRecord {
    spec: SpecRecord,
}

#[derive(Deserialize)]
struct SpecRecord {
    timeouts: LogicalTimeouts,
}

/// What is held on this node by the executor's records, whether or not an executor lives.
fn held(run: &Path) -> io::Result<Vec<Held>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(run.join("executor")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error),
    };
    for entry in entries.take(RECORDS_MAX) {
        let path = entry?.path();
        if path.extension().is_none_or(|ending| ending != "unit") {
            continue;
        }
        let text = match fs::read(&path) {
            Ok(text) => text,
            // The executor has forgotten it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let Record { resource, held } = serde_json::from_slice(&text).map_err(io::Error::other)?;
        found.extend(held.map(|held| Held { resource, stop: held.spec.timeouts.stop }));
    }
    found.sort_by(|one, other| one.resource.cmp(&other.resource));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> ResourceName {
        ResourceName::new(name).unwrap()
    }

    /// A stop on a node where these are held, each of which may take so many seconds.
    fn stop(run: &Path, all: &[(&str, u64)], now: Instant) -> Stop {
        fs::create_dir_all(run.join("executor")).unwrap();
        all.iter().for_each(|(name, seconds)| record(run, name, Some(*seconds)));
        Stop::begin(run, &NodeName::new("ada").unwrap(), now)
    }

    fn record(run: &Path, name: &str, stop: Option<u64>) {
        let spec = |seconds| {
            let timeouts = LogicalTimeouts {
                start: Duration::ZERO,
                stop: Duration::from_secs(seconds),
                status: Duration::ZERO,
                status_every: Duration::ZERO,
            };
            serde_json::json!({ "spec": { "timeouts": timeouts, "agent": "ip" }, "epoch": 1 })
        };
        let text = serde_json::json!({ "resource": name, "held": stop.map(spec), "stopping": false });
        fs::write(run.join("executor").join(format!("{name}.unit")), text.to_string()).unwrap();
    }

    #[test]
    fn a_stop_takes_as_long_as_it_gets_on_and_not_longer() {
        let folder = tempfile::tempdir().unwrap();
        let (run, began) = (folder.path(), Instant::now());
        let after = |seconds| began + Duration::from_secs(seconds);
        let mut stop = stop(run, &[("db", 60), ("web", 30), ("old", 0)], began);
        record(run, "old", None);
        assert_eq!(stop.look(began), Some(Next::Leave));
        assert_eq!(stop.look(began), None, "a moment ago");
        assert_eq!(
            held(run).unwrap().iter().map(|held| &held.resource).collect::<Vec<_>>(),
            [&name("db"), &name("web")]
        );
        // Two stops of a minute, and half a minute in which a leader could have moved it.
        assert_eq!(stop.look(after(149)), Some(Next::Leave));
        record(run, "db", None);
        assert_eq!(stop.look(after(151)), Some(Next::Leave), "it got on");
        assert_eq!(stop.look(after(151 + 89)), Some(Next::Leave));
        // What comes back is no progress, nor is that it goes again.
        record(run, "db", Some(60));
        assert_eq!(stop.look(after(151 + 91)), Some(Next::Kill));
        assert!(stop.is_ending());
        assert_eq!(stop.look(after(151 + 93)), Some(Next::Kill), "until all have ended");
        let said = stop.end().unwrap_err().to_string();
        assert!(said.contains("`db`, `web` may still run here: no stop succeeded for 90s"), "{said}");
    }

    #[test]
    fn once_the_core_has_left_the_others_end_whoever_guards_them() {
        let folder = tempfile::tempdir().unwrap();
        let (run, began) = (folder.path(), Instant::now());
        let mut stop = stop(run, &[], began);
        assert!(is_asked_for(run));
        stop.on_core(false, began);
        assert!(!stop.is_ending(), "one that was killed has not left");
        assert_eq!(stop.look(began), Some(Next::Leave));
        stop.on_core(true, began);
        assert_eq!(stop.look(began), Some(Next::End));
        let mut next = Stop::begin(run, &NodeName::new("ada").unwrap(), began);
        assert!(next.is_ending(), "the next guardian knows");
        assert_eq!(next.look(began), Some(Next::End), "and gives them their time");
        assert_eq!(stop.look(began + ENDING_MAX), Some(Next::Kill));
        stop.end().unwrap();
        forget(run);
        assert!(!is_asked_for(run));
    }

    #[test]
    fn a_stop_that_cannot_find_out_what_runs_has_patience_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let (run, began) = (folder.path(), Instant::now());
        let broken = run.join("executor/db.unit");
        let mut stop = stop(run, &[], began);
        fs::write(&broken, "{").unwrap();
        assert_eq!(stop.look(began), Some(Next::Leave));
        assert_eq!(stop.look(began + LEAVING_MAX), Some(Next::Kill));
        let said = stop.end().unwrap_err().to_string();
        assert!(said.contains("what runs here could not be found out in"), "{said}");
        assert!(said.contains("hint: stop by hand what"), "{said}");

        let mut next = Stop::begin(run, &NodeName::new("ada").unwrap(), began);
        assert_eq!(next.look(began), Some(Next::Leave));
        record(run, "db", Some(60));
        assert_eq!(next.look(began + LEAVING_MAX), Some(Next::Leave), "it has what its stops may take");
    }

    #[test]
    fn a_core_that_cannot_run_is_not_waited_for_where_nothing_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let (run, began) = (folder.path(), Instant::now());
        let mut stop = stop(run, &[("web", 30)], began);
        (0..CORES_MAX).for_each(|_| stop.on_core(false, began));
        assert_eq!(stop.look(began), Some(Next::Leave), "something has to be let go of");
        record(run, "web", None);
        stop.on_core(false, began);
        assert_eq!(stop.look(began), Some(Next::Kill));
        let said = stop.end().unwrap_err().to_string();
        assert!(said.contains("the core ended 6 times before it had left"), "{said}");
    }

    #[test]
    fn a_core_that_does_not_leave_although_nothing_is_held_is_given_half_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let (run, began) = (folder.path(), Instant::now());
        let mut stop = stop(run, &[], began);
        assert_eq!(stop.look(began), Some(Next::Leave));
        assert_eq!(stop.look(began + LEAVING_MAX), Some(Next::Kill));
        let said = stop.end().unwrap_err().to_string();
        assert!(said.contains("nothing runs here, but the core has not left after 30s"), "{said}");
    }
}
