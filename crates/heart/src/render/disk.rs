//! What stands on a shared disk.

use heart_disk::{
    Slot,
    pill::told,
    records::{Ballot, Beat, Messages, Owner},
};
use heart_model::Standing;

use super::text::plain;

/// All that was read of a disk: a record for each slot, or why there is none.
pub(crate) struct Shown {
    pub(crate) device: String,
    pub(crate) cluster: String,
    pub(crate) id: String,
    pub(crate) owners: Vec<Result<Owner, String>>,
    pub(crate) beats: Vec<Result<Beat, String>>,
    pub(crate) messages: Vec<Result<Messages, String>>,
    pub(crate) ballots: Vec<Result<Ballot, String>>,
}

impl Shown {
    /// For people, at this time in milliseconds since 1970.
    pub(crate) fn text(&self, now: u64) -> String {
        let mut text = format!(
            "{}: of the cluster `{}`, {} slots, device {}\n",
            plain(&self.device),
            plain(&self.cluster),
            self.owners.len(),
            self.id
        );
        let slots = self.owners.iter().zip(&self.beats).enumerate();
        for (number, (owner, beat)) in slots {
            let name = match owner {
                Ok(Owner { node: Some(node) }) => node.as_str().to_owned(),
                Ok(Owner { node: None }) => continue,
                Err(why) => plain(why),
            };
            text += &format!("  slot {number:<2}  {name}  {}\n", self.beat(Slot(number as u16), beat, now));
        }
        let free = self.owners.iter().filter(|owner| matches!(owner, Ok(Owner { node: None }))).count();
        text += &format!("  free slots: {free}\n");
        self.damaged().for_each(|why| text += &format!("  damaged: {}\n", plain(why)));
        text + &self.tie_break()
    }

    fn beat(&self, slot: Slot, beat: &Result<Beat, String>, now: u64) -> String {
        let beat = match beat {
            Ok(beat) => beat,
            Err(why) => return plain(why),
        };
        let Some(boot) = beat.boot else { return "never wrote its heartbeat".into() };
        let age = now.saturating_sub(beat.at) / 1000;
        let mut text = format!("heartbeat {} {age} s ago by its clock, of boot {boot}", beat.round);
        if let Some(pledge) = beat.pledge {
            text += &format!(", off within {} s of the last one", pledge.off_within.as_secs());
        }
        if let Some(obeys) = beat.obeys {
            text +=
                &format!("; it obeyed message {} of {} and reset itself", obeys.number, self.name(obeys.by));
        }
        let all: Vec<(Slot, Messages)> =
            (0..).map(Slot).zip(self.messages.iter().flatten().cloned()).collect();
        for (by, number) in told(slot, &all) {
            text += &format!("; told by {} to reset itself (message {number})", self.name(by));
        }
        text
    }

    fn name(&self, slot: Slot) -> String {
        let owner = self.owners.get(usize::from(slot.0));
        match owner {
            Some(Ok(Owner { node: Some(node) })) => node.to_string(),
            _ => slot.to_string(),
        }
    }

    fn damaged(&self) -> impl Iterator<Item = &String> {
        let messages = self.messages.iter().filter_map(|one| one.as_ref().err());
        messages.chain(self.ballots.iter().filter_map(|one| one.as_ref().err()))
    }

    fn tie_break(&self) -> String {
        let newest = self.ballots.iter().flatten().max_by_key(|ballot| ballot.changes);
        let Some(newest) = newest else { return "tie-break: nothing can be read\n".into() };
        let mut text = match &newest.standing {
            None => "tie-break: never set\n".into(),
            Some(standing) => format!("tie-break: {}, after {} changes\n", words(standing), newest.changes),
        };
        for (number, ballot) in self.ballots.iter().enumerate() {
            let Ok(Ballot { changes, wanted: Some((attempt, wanted)), .. }) = ballot else { continue };
            if *changes == newest.changes {
                let by = self.name(Slot(number as u16));
                text += &format!("  {by} wants {} in attempt {attempt}\n", words(wanted));
            }
        }
        text
    }
}

fn words(standing: &Standing) -> String {
    let Standing { era, term, configuration, named, .. } = standing;
    let mut names: Vec<&str> = named.iter().map(heart_model::NodeName::as_str).collect();
    names.sort_unstable();
    let who = if names.is_empty() {
        "nobody may go on alone".into()
    } else {
        format!("any half of {}", names.join(", "))
    };
    format!("{who} (era {era:x}, term {term}, configuration {configuration})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_disk::records::{Obeyed, Pledge};
    use heart_model::{BootId, Duration, NodeName};

    #[test]
    fn everything_that_stands_there_is_said() {
        let node = |name: &str| NodeName::new(name).unwrap();
        let owner = |name: &str| Ok(Owner { node: Some(node(name)) });
        let beat = Beat {
            boot: Some(BootId(0x1234_5678 << 96)),
            round: 812,
            at: 100_000,
            pledge: Some(Pledge { off_within: Duration::from_secs(16), reset: Duration::from_secs(10) }),
            obeys: None,
        };
        let obeys = Beat { obeys: Some(Obeyed { by: Slot(0), number: 3 }), pledge: None, ..beat.clone() };
        let mut messages = Messages::default();
        messages.tell(Slot(1), vec![BootId(1)]).unwrap();
        let named = vec![node("ada"), node("bob")];
        let standing = Standing { era: 0xabc, parent: None, term: 2, configuration: 7, named };
        let wanted = Some((64, Standing { named: vec![], ..standing.clone() }));
        let shown = Shown {
            device: "/dev/sdb".into(),
            cluster: "web".into(),
            id: "00000000000000ff".into(),
            owners: vec![owner("ada"), owner("bob"), owner("cyn"), Ok(Owner::default())],
            beats: vec![Ok(beat), Ok(obeys), Ok(Beat::default()), Ok(Beat::default())],
            messages: vec![
                Ok(messages),
                Ok(Messages::default()),
                Err("x: damaged".into()),
                Ok(Messages::default()),
            ],
            ballots: vec![
                Ok(Ballot { changes: 5, standing: Some(standing), begun: 64, wanted }),
                Ok(Ballot::default()),
                Ok(Ballot::default()),
                Ok(Ballot::default()),
            ],
        };
        assert_eq!(
            shown.text(103_500),
            "/dev/sdb: of the cluster `web`, 4 slots, device 00000000000000ff\n  \
             slot 0   ada  heartbeat 812 3 s ago by its clock, of boot 12345678, off within 16 s of the last one\n  \
             slot 1   bob  heartbeat 812 3 s ago by its clock, of boot 12345678; it obeyed message 3 of ada and reset \
             itself; told by ada to reset itself (message 1)\n  \
             slot 2   cyn  never wrote its heartbeat\n  \
             free slots: 1\n  \
             damaged: x: damaged\n\
             tie-break: any half of ada, bob (era abc, term 2, configuration 7), after 5 changes\n  \
             ada wants nobody may go on alone (era abc, term 2, configuration 7) in attempt 64\n"
        );
    }
}
