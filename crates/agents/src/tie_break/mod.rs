//! Changing the value of a tie-break: compare and set, in whatever keeps it.
//!
//! Each kind leaves the comparison to the side that keeps the value, so that it holds however late a request
//! arrives there: what was given up here can still be on its way. Whatever is not certain is
//! [`TieBreakOutcome::Failed`]; the same order may be carried out again, as often as need be.

mod disk;
mod etcd;
mod file;
mod http;
mod object;
mod signature;
mod text;
mod witness;
pub mod words;

use std::{
    io,
    os::fd::AsFd as _,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use heart_model::{
    AGENT_MESSAGE_MAX, NodeName, Standing, TieBreakOrder, TieBreakOutcome, TieBreakPlace, TieBreakReport,
};

use crate::{hanging::Hanging, wait, wait::Bell};
use words::WitnessKey;

/// Most attempts at one place that go on after nobody waits for them any more: a file system that hangs lets nobody go.
const LEFT_BEHIND_MAX: usize = 4;
/// Most of them at all places that the file has named since this process began.
const LEFT_BEHIND_ALL: usize = 32;
/// How often others may be faster before an attempt gives up: each time one of them got on.
const ROUNDS_MAX: usize = 8;
/// Longest value, in bytes.
const VALUE_MAX: usize = 8 * 1024;
/// Of the timeout, the tenth that is kept for an attempt to say itself what took so long.
const RESERVE: u32 = 10;
/// Enough for resolving a name, and for reading a value.
const STACK: usize = 512 * 1024;

/// The attempts of this process that have been given up and have not ended.
static LEFT_BEHIND: Hanging = Hanging::new(LEFT_BEHIND_MAX, LEFT_BEHIND_ALL);

/// Carries out one order; blocks no longer than its timeout, and ends soon after `cancel` was rung.
///
/// `me` is the node that asks, and is used for a disk only; `key` for a witness only. What does not answer in time is left behind on a thread, which ends when the
/// kernel lets it, and changes nothing if it finds that it comes too late.
#[must_use]
pub fn carry_out(order: &TieBreakOrder, me: &NodeName, key: &WitnessKey, cancel: &Bell) -> TieBreakReport {
    let outcome = attempt(order, me, key, cancel).unwrap_or_else(|why| {
        let message = format!("the tie-break gave no answer that counts: {why}");
        TieBreakOutcome::Failed { message: message.chars().take(AGENT_MESSAGE_MAX / 4).collect() }
    });
    TieBreakReport { number: order.number, outcome }
}

fn attempt(
    order: &TieBreakOrder,
    me: &NodeName,
    key: &WitnessKey,
    cancel: &Bell,
) -> Result<TieBreakOutcome, String> {
    let (place, begun) = (&order.spec.place, Instant::now());
    LEFT_BEHIND.may_begin(&place.to_string()).map_err(|hang| {
        format!(
            "{place} was not asked, as {hang}; see whether the file system there or the name server answers, and start \
             Heart on this node anew if what hangs is of no use any more"
        )
    })?;
    let until = begun + order.spec.timeout - order.spec.timeout / RESERVE;
    let time = Arc::new(Time::new(until, place.to_string().into()));
    let no_room = |error: io::Error| {
        format!("{place} was not asked: {error}; see what takes up the threads and files of this node")
    };
    let done = Arc::new(Bell::new().map_err(no_room)?);
    // One outcome, of one thread.
    let (says, said) = mpsc::sync_channel(1);
    let work = {
        let (order, me, key) = (order.clone(), me.clone(), key.clone());
        let (time, done) = (Arc::clone(&time), Arc::clone(&done));
        move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| dispatch(&order, &me, &key, &time)))
                .unwrap_or_else(|_| Err("what asks it broke down; the log says where".to_owned()));
            let (outcome, leavings) = match outcome {
                Ok((outcome, leavings)) => (Ok(outcome), leavings),
                Err(why) => (Err(why), None),
            };
            says.send(outcome).ok();
            done.ring();
            time.end();
            // Nobody waits for this, so it is not left behind however long it takes.
            leavings.iter().for_each(file::Leavings::clear);
        }
    };
    thread::Builder::new().name("heart-tiebreak".into()).stack_size(STACK).spawn(work).map_err(no_room)?;
    let waited = wait::any(&[done.as_fd(), cancel.as_fd()], Some(begun + order.spec.timeout));
    if let Ok(outcome) = said.try_recv() {
        return outcome.map_err(|why| format!("{place}: {why}"));
    }
    time.give_up();
    waited.map_err(no_room)?;
    if cancel.is_rung() {
        return Err(format!("{place} had not answered when nobody wanted to know any more; ask again"));
    }
    let timeout = order.spec.timeout;
    Err(format!(
        "{place} did not answer within {timeout:?}; see whether it can be reached from this node, or give it a longer \
         `timeout`"
    ))
}

/// What came of it, and what is to be tidied up once that was said.
fn dispatch(
    order: &TieBreakOrder,
    me: &NodeName,
    key: &WitnessKey,
    time: &Time,
) -> Result<(TieBreakOutcome, Option<file::Leavings>), String> {
    let outcome = match &order.spec.place {
        TieBreakPlace::Witness { address } => witness::carry_out(order, address, key, time),
        TieBreakPlace::File { path } => return file::carry_out(order, path.as_ref(), time),
        TieBreakPlace::Disk { device } => disk::carry_out(order, device.as_ref(), me, time),
        TieBreakPlace::Object { url, access_key, secret_file, region } => {
            let names = (access_key.as_deref(), secret_file.as_deref());
            object::Object::new(url, names, region)?.carry_out(order, time)
        }
        TieBreakPlace::Etcd { endpoints, key } => etcd::carry_out(order, endpoints, key, time),
    };
    outcome.map(|outcome| (outcome, None))
}

/// The time of one attempt, and whether anybody still waits for it.
struct Time {
    until: Instant,
    /// What is asked.
    place: Arc<str>,
    given_up: AtomicBool,
}

impl Time {
    fn new(until: Instant, place: Arc<str>) -> Time {
        Time { until, place, given_up: AtomicBool::new(false) }
    }

    /// What is left of it.
    ///
    /// # Errors
    /// When it is over: then nothing may be begun.
    fn left(&self) -> Result<Duration, String> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() || self.given_up.load(Ordering::SeqCst) {
            return Err("there was no time left; give it a longer `timeout`".to_owned());
        }
        Ok(left)
    }

    /// The same attempt with no more than its share of what is left, if so many are to come.
    fn share(&self, of: usize) -> Result<Time, String> {
        let parts = u32::try_from(of.max(1)).unwrap_or(u32::MAX);
        Ok(Time::new(Instant::now() + self.left()? / parts, Arc::clone(&self.place)))
    }

    /// Nobody waits any more.
    fn give_up(&self) {
        if !self.given_up.swap(true, Ordering::SeqCst) {
            LEFT_BEHIND.begin(&self.place);
        }
    }

    /// The attempt has ended; nobody can give it up from now on.
    fn end(&self) {
        if self.given_up.swap(true, Ordering::SeqCst) {
            LEFT_BEHIND.end(&self.place);
        }
    }
}

/// What an order comes to if this stands there; nothing if it may be set.
fn compare(order: &TieBreakOrder, stands: Option<&Standing>) -> Option<TieBreakOutcome> {
    TieBreakOutcome::compared(order.instead_of.as_ref(), &order.set, stands)
}

/// Reads a value.
fn read_value(bytes: &[u8]) -> Result<Standing, String> {
    serde_json::from_slice(bytes).map_err(|error| {
        let begin: String = text::printable(bytes, 60);
        format!(
            "what stands there (`{begin}`) was not written by Heart: {error}; it is left as it is. See who else writes \
             there; remove it only if you know which nodes go on, as Heart then takes it that nobody was ever named"
        )
    })
}

/// Writes a value.
fn write_value(value: &Standing) -> Result<Vec<u8>, String> {
    let bytes = serde_json::to_vec(value).map_err(|error| format!("the value cannot be written: {error}"))?;
    if bytes.len() > VALUE_MAX {
        return Err(format!("the value has {} bytes, and may have {VALUE_MAX}", bytes.len()));
    }
    Ok(bytes)
}

fn too_many_rounds() -> String {
    format!("others changed it {ROUNDS_MAX} times meanwhile; ask again, and see who else writes there")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(era: u64) -> Standing {
        Standing { era, parent: None, term: 1, configuration: 1, named: Vec::new() }
    }

    #[test]
    fn what_stands_there_decides() {
        let (old, new, other) = (standing(1), standing(2), standing(3));
        let after = |instead_of: Option<&Standing>, stands: Option<&Standing>| {
            TieBreakOutcome::compared(instead_of, &new, stands)
        };
        assert_eq!(after(None, None), None);
        assert_eq!(after(Some(&old), Some(&old)), None);
        assert_eq!(after(None, Some(&new)), Some(TieBreakOutcome::Set), "it was carried out before");
        assert_eq!(after(Some(&old), Some(&new)), Some(TieBreakOutcome::Set));
        assert_eq!(after(Some(&old), None), Some(TieBreakOutcome::Other(None)));
        assert_eq!(after(None, Some(&other)), Some(TieBreakOutcome::Other(Some(other.clone()))));
        assert_eq!(after(Some(&old), Some(&other)), Some(TieBreakOutcome::Other(Some(other))));
    }

    #[test]
    fn what_nobody_waits_for_is_counted_at_its_place_until_it_ends() {
        let dead = "the file /mnt/dead/web, which only this test names";
        let time = || Time::new(Instant::now(), dead.into());
        let (in_time, late) = (time(), [(); LEFT_BEHIND_MAX].map(|()| time()));
        in_time.end();
        in_time.give_up();
        assert_eq!(LEFT_BEHIND.may_begin(dead), Ok(()));
        late.iter().for_each(Time::give_up);
        assert!(LEFT_BEHIND.may_begin(dead).is_err());
        assert_eq!(LEFT_BEHIND.may_begin("what the file names now"), Ok(()));
        late[0].end();
        assert_eq!(LEFT_BEHIND.may_begin(dead), Ok(()));
        late[1..].iter().for_each(Time::end);
    }
}
