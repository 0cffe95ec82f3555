//! A service that writes down when it runs: what may never run twice.
//!
//! `lab-ledger FILE` appends a line when it starts, one every [`BEAT_EVERY`] while it runs, and one when it is asked
//! to end. Each has the lab's one clock and the epoch of the grant by which it runs, so that the files of all nodes
//! together tell whether two ever ran at an instant, and whether a later one ever had a lower number. What is killed
//! has written its last line at most one beat before that.

use std::{env, fs::File, io::Write as _, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{Stamp, probe::ask::PRIORITY, sys, wire};

/// How often it says that it runs.
const BEAT_EVERY: Duration = Duration::from_millis(2);
const START: &str = "start";
const BEAT: &str = "beat";
const STOP: &str = "stop";

/// One stretch in which the service ran on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// Where.
    pub node: String,
    /// By which grant: later ones have higher numbers.
    pub epoch: u64,
    /// Its first line.
    pub from: Stamp,
    /// Its last line.
    pub to: Stamp,
}

/// What must never be in a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Two ran at an instant, for so long.
    Both(Tenure, Tenure, Duration),
    /// The second began later, and had not the higher number.
    Backwards(Tenure, Tenure),
}

/// `lab-ledger FILE`, until SIGTERM.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let [path] = arguments else { bail!("usage: lab-ledger FILE") };
    let epoch = env::var("HEART_EPOCH").context("HEART_EPOCH is not set: a cluster starts this")?;
    let file = File::options().create(true).append(true).open(path);
    let mut file = file.with_context(|| format!("cannot append to {path}"))?;
    let ends = sys::end_signals().context("cannot wait for the end")?;
    // Refused to ordinary users; then beats may be missing on a busy machine.
    let _ = sys::run_real_time(PRIORITY);
    let mut write = |what: &str| writeln!(file, "{} {epoch} {what}", Stamp::now().0);
    write(START)?;
    while !wire::readable_within(&ends, BEAT_EVERY)? {
        write(BEAT)?;
    }
    write(STOP)?;
    Ok(())
}

/// Reads what the service wrote on one node.
///
/// # Errors
/// When a line is none of the service's. The last one may be cut short by a power cut.
pub fn tenures(node: &str, text: &str) -> Result<Vec<Tenure>> {
    let mut found: Vec<Tenure> = Vec::new();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    for (number, line) in whole.lines().enumerate() {
        let mut words = line.split(' ');
        let mut next = || words.next().with_context(|| format!("line {} on {node}: `{line}`", number + 1));
        let (at, epoch, what) = (Stamp(next()?.parse()?), next()?.parse()?, next()?);
        match (what, found.last_mut()) {
            (START, _) => found.push(Tenure { node: node.into(), epoch, from: at, to: at }),
            (BEAT | STOP, Some(tenure)) if tenure.epoch == epoch => tenure.to = at,
            _ => bail!("line {} on {node} is out of place: `{line}`", number + 1),
        }
    }
    Ok(found)
}

/// What is wrong with all of them together.
#[must_use]
pub fn conflicts(mut all: Vec<Tenure>) -> Vec<Conflict> {
    all.sort_by_key(|tenure| tenure.from);
    let mut found = Vec::new();
    for (place, one) in all.iter().enumerate() {
        for other in &all[place + 1..] {
            if other.from <= one.to {
                let both = one.to.min(other.to).since(other.from);
                found.push(Conflict::Both(one.clone(), other.clone(), both));
            }
            // The same grant may start again what failed, on the same node.
            if other.epoch < one.epoch || other.epoch == one.epoch && other.node != one.node {
                found.push(Conflict::Backwards(one.clone(), other.clone()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_tells_who_ran_when() {
        let text = "10 1 start\n12 1 beat\n13 1 stop\n20 3 start\n22 3 be";
        let tenure = |epoch, from, to| Tenure { node: "n1".into(), epoch, from: Stamp(from), to: Stamp(to) };
        assert_eq!(tenures("n1", text).unwrap(), [tenure(1, 10, 13), tenure(3, 20, 20)]);
        for wrong in ["10 1 beat\n", "10 1 start\n12 2 beat\n", "10 1 start\nx\n"] {
            assert!(tenures("n1", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_at_an_instant_and_a_lower_number_are_conflicts() {
        let tenure = |node: &str, epoch, from, to| Tenure {
            node: node.into(),
            epoch,
            from: Stamp(from),
            to: Stamp(to),
        };
        let (first, second) = (tenure("n1", 1, 10, 20), tenure("n2", 2, 21, 30));
        assert_eq!(conflicts(vec![second.clone(), first.clone()]), []);
        let early = tenure("n2", 2, 15, 30);
        let both = Conflict::Both(first.clone(), early.clone(), Duration::from_nanos(5));
        assert_eq!(conflicts(vec![early, first.clone()]), [both]);
        let (same, again) = (tenure("n2", 1, 21, 30), tenure("n1", 1, 21, 30));
        assert_eq!(conflicts(vec![first.clone(), same.clone()]), [Conflict::Backwards(first.clone(), same)]);
        assert_eq!(conflicts(vec![first, again]), [], "it was started again in place");
    }
}
