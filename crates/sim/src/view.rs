//! What can be asked of a world, without changing it.

use heart_model::{FenceDevice, ResourceName, Spec, Timing};
use heart_node::{
    board::flag,
    journal::{self, Recovered},
};

use crate::{Machine, Power, World};

impl World {
    /// Whether the file says at times that something else guards a resource.
    pub(crate) fn changes_guards(&self) -> bool {
        self.settings.reguards
    }

    /// Whether virtual machines are paused at times, and their clocks with them.
    pub(crate) fn is_paused_at_times(&self) -> bool {
        self.settings.pauses
    }

    /// Whether machines have devices that switch them off.
    pub(crate) fn has_devices(&self) -> bool {
        self.settings.spec.nodes.values().any(|node| !(node.fence.is_empty() || node.resets_itself()))
    }

    /// How many devices switch the machine at this place off, all levels together.
    pub(crate) fn devices_of(&self, place: usize) -> usize {
        self.settings.spec.nodes[&self.machines[place].name].fence.iter().map(Vec::len).sum()
    }

    /// Whether what machines are told of does no more than shut them out from what all share.
    pub(crate) fn has_storage_devices(&self) -> bool {
        self.settings.spec.nodes.values().any(|node| node.fence.iter().flatten().any(FenceDevice::shuts_out))
    }

    /// Whether the session of the machine at this place takes part, as the leader knows it.
    pub(crate) fn is_taken_in(&self, place: usize) -> bool {
        let machine = &self.machines[place];
        let leader = self.leader().and_then(|leader| self.machines[leader].core.as_ref());
        let known = leader.and_then(|core| core.ledger().nodes.get(&machine.name)?.session);
        machine.is_on() && known == Some(machine.board.session())
    }

    /// Whether machines are told over a shared disk to reset themselves.
    pub(crate) fn has_fences_on_disk(&self) -> bool {
        let devices = self.settings.spec.nodes.values().flat_map(|node| node.fence.iter().flatten());
        devices.into_iter().any(|device| device.disk().is_some())
    }

    /// How many events there were.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// All that happened so far, in one number: what was told, how many events there were, what all disks have kept
    /// and what would be drawn next. Two worlds that differ in anything that matters differ in this.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut sum = Sum::default();
        self.told.iter().for_each(|line| sum.add(line.as_bytes()));
        for machine in &self.machines {
            sum.add(machine.disk.durable.as_deref().unwrap_or(b"none"));
        }
        let next = self.chance.clone().draw();
        [self.now, self.events, next].iter().for_each(|number| sum.add(&number.to_le_bytes()));
        sum.0
    }

    /// The places of all machines that answer for a resource now.
    #[must_use]
    pub fn owners(&self, resource: &ResourceName) -> Vec<usize> {
        let owns = |place: &usize| self.machines[*place].owns(resource, self.now).is_some();
        (0..self.machines.len()).filter(owns).collect()
    }

    /// How the world was configured at its beginning.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.settings.spec
    }

    /// How many machines there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.machines.len()
    }

    /// The machine at a place.
    #[must_use]
    pub fn machine(&self, place: usize) -> &Machine {
        &self.machines[place]
    }

    /// Who answers for a resource now.
    #[must_use]
    pub fn owner(&self, resource: &ResourceName) -> Option<usize> {
        self.machines.iter().position(|machine| machine.owns(resource, self.now).is_some())
    }

    /// Who leads now, in the newest term.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        let leads = |place: &usize| self.machines[*place].core.as_ref().and_then(|core| core.leading());
        (0..self.machines.len()).filter(|place| leads(place).is_some()).max_by_key(leads)
    }

    /// What a machine would find on its disk if it lost power now.
    #[must_use]
    pub fn kept(&self, place: usize) -> Option<Recovered> {
        self.machines[place].disk.durable.as_ref().and_then(|bytes| journal::recover(bytes).ok())
    }

    /// How many bytes of a machine's log are durable.
    #[must_use]
    pub fn written(&self, place: usize) -> usize {
        self.machines[place].disk.durable.as_ref().map_or(0, Vec::len)
    }

    /// What the configuration file says of timing.
    #[must_use]
    pub fn timing(&self) -> Timing {
        self.settings.spec.timing
    }

    /// The places of those that vote.
    #[must_use]
    pub fn voters(&self) -> Vec<usize> {
        let votes = |place: &usize| self.settings.spec.nodes[&self.machines[*place].name].voter;
        // In the files of the others it is not there.
        (0..self.machines.len()).filter(|place| votes(place) && !self.forgotten.contains(place)).collect()
    }

    /// Remembers who votes, if this machine leads, or is the first that knows.
    pub(crate) fn note_electors(&mut self, place: usize) {
        let Some(core) = &self.machines[place].core else { return };
        let (term, since) = (core.leading().map(|term| term.0), core.configured_at());
        let known = &self.electors;
        if since < known.since || since == known.since && term.is_none_or(|term| term < known.term) {
            return;
        }
        let voters = (0..self.machines.len()).filter(|&other| core.elects(self.machines[other].id));
        let same = voters.clone().eq(known.places.iter().copied());
        let places = if same { None } else { Some(voters.collect()) };
        let known = &mut self.electors;
        (known.term, known.since) = (known.term.max(term.unwrap_or_default()), since);
        places.into_iter().for_each(|places| known.places = places);
    }

    /// The places of those that vote by now, whatever the file says.
    pub(crate) fn electors(&self) -> Vec<usize> {
        if self.electors.places.is_empty() { self.voters() } else { self.electors.places.clone() }
    }

    /// Whether the rest can go on without this machine, and those that are `away`: a majority of the
    /// voters remains that has not lost its log, and a history has begun: that takes all of them.
    #[must_use]
    pub fn may_miss(&self, place: usize, away: &[usize]) -> bool {
        let stays = |other: &&usize| **other != place && !away.contains(other);
        let voters = self.electors();
        let good = voters.iter().filter(stays).filter(|&&other| self.is_whole(other)).count();
        let has_begun = voters.iter().filter(stays).any(|&other| self.machines[other].knows_history());
        has_begun && good > voters.len() / 2
    }

    /// Whether the machine at this place votes, with a log that it has kept, in the history that counts: one that
    /// went on without some of its voters counts more than the one before.
    pub(crate) fn is_whole(&self, place: usize) -> bool {
        self.machines[place].is_whole() && self.goes_on(place)
    }

    /// Whether the machine at this place runs, in the history that went on last.
    #[must_use]
    pub fn goes_on(&self, place: usize) -> bool {
        let parents = |machine: &Machine| Some(machine.core.as_ref()?.ledger().parents.len());
        let most = self.machines.iter().filter_map(parents).max();
        self.machines[place].is_on() && parents(&self.machines[place]) == most
    }

    /// Whether those who vote and are here have kept too few logs for a quorum: who was taken out of the file is missed.
    pub(crate) fn lacks_logs(&self, away: &[usize]) -> bool {
        let electors = self.electors();
        let is_here = |place: &&usize| self.is_whole(**place) && !away.contains(place);
        electors.iter().filter(is_here).count() * 2 <= electors.len()
    }

    /// Whether an even number of nodes votes, and half of them or fewer are here and have kept their logs: who votes may
    /// have been changed in the moment in which the others went away.
    pub(crate) fn needs_a_person(&self, away: &[usize]) -> bool {
        self.electors().len().is_multiple_of(2) && self.lacks_logs(away)
    }

    /// Whether somebody knows of a history.
    pub(crate) fn has_begun(&self) -> bool {
        self.machines.iter().any(Machine::knows_history)
    }

    /// Whether the configuration file was changed.
    #[must_use]
    pub fn was_configured_anew(&self) -> bool {
        self.digest > 1
    }

    /// The machines that the files of the others do not know any more.
    pub fn forgotten(&self) -> impl Iterator<Item = usize> + '_ {
        self.forgotten.iter().copied()
    }

    /// Whether those vote, and only those, that the file says.
    #[must_use]
    pub fn votes_as_configured(&self) -> bool {
        let wanted = self.voters().into_iter().map(|place| self.machines[place].id).collect();
        let leader = self.leader().and_then(|place| self.machines[place].core.as_ref());
        leader.is_some_and(|core| core.voters() == wanted)
    }

    /// Whether people asked for something that is not fulfilled yet.
    #[must_use]
    pub fn is_asked_for_more(&self) -> bool {
        let cores = self.machines.iter().filter_map(Machine::core);
        cores.into_iter().any(|core| !core.ledger().intents.is_empty())
    }

    /// How often something ran, and then nobody ran it, be it for a millisecond.
    #[must_use]
    pub fn outages(&self) -> u64 {
        self.outages
    }

    /// How often a resource was started so far.
    #[must_use]
    pub fn starts(&self, resource: &ResourceName) -> u64 {
        self.starts.get(resource).copied().unwrap_or(0)
    }

    /// Whether the node at `place` votes, with a log that it has kept.
    #[must_use]
    pub fn votes(&self, place: usize) -> bool {
        self.is_whole(place)
    }

    /// Whether the node at `place` has a log that it may use, and was taken in by the leader if there is one.
    #[must_use]
    pub fn takes_part(&self, place: usize) -> bool {
        let has_log = self.machines[place].board.flags() & flag::LOG_LOST == 0;
        let is_known = self.forgotten().all(|gone| gone != place) && self.leader().is_some();
        self.machines[place].power == Power::On && has_log && (!is_known || self.is_taken_in(place))
    }
}

/// Fowler, Noll and Vo's sum (FNV-1a) of what was added, each piece with its end.
struct Sum(u64);

impl Default for Sum {
    fn default() -> Sum {
        Sum(0xcbf2_9ce4_8422_2325)
    }
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&[0xff]) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
