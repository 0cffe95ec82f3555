//! How a node whose disk takes nothing keeps half of the voters from being stuck with it.
//!
//! While it is heard nothing can be agreed on without its disk, and what it runs cannot be given to anybody else. So it
//! lays down its log, as if that was lost: those whose disks are sound are half of the voters then, and go on.
//! It cannot write that it did, and need not. As long as this life of the machine lasts the board knows; in the next
//! one it has taken no part since its start, and neither goes on by itself (SAFETY rule 17 c; but for what the roadmap says
//! of three faults in a row) nor makes, with all that are not in that half, more than half of the voters.

use heart_model::{FenceDevice, Moment};

use crate::{
    board::{Board, flag},
    conductor::health::HESITATION,
    core::{Action, Core, Out, found::has_history},
    half::{self, Burden},
    ledger::devices,
    plant::{Bug, is_planted},
    pulse::Sighting,
};

impl Core {
    /// When this node lays down its log, if its disk goes on to take nothing, and others can go on then. As late as the
    /// leader moves things because of a disk: all may be sick in the same way, and find out one after the other.
    pub(in crate::core) fn gives_up_at(&self) -> Option<Moment> {
        self.health.disk_sick_since().map(|since| since.after(HESITATION))
    }

    /// Whether this node has no log, and its disk does not take that it gave it up.
    pub(super) fn has_given_up(&self, board: &Board) -> bool {
        let lost = self.agreement.is_none() && board.flags() & flag::LOG_LOST != 0;
        lost && self.health.disk_sick_since().is_some()
    }

    /// Lays down the log of a node whose disk takes nothing, if the others can go on then, and not before.
    pub(in crate::core) fn give_up_log(&mut self, now: Moment, board: &Board, out: &mut Out) {
        let is_due = self.gives_up_at().is_some_and(|at| now.has_surely_reached(at));
        if !is_due || !self.moves_when_sick() || self.agreement.is_none() {
            return;
        }
        self.look_since_sick(now, out);
        if !self.others_can_go_on() {
            return;
        }
        out.actions.push(Action::Note(
            "the disk of this node takes nothing, and nothing can be agreed on without it: it lets go of everything \
             and lays its log down, so that the others go on"
                .into(),
        ));
        self.lose_log(board, out);
        self.show_sick(board, out);
        // Nothing renews its lease any more: what it runs is started elsewhere the sooner.
        board.depose(board.session().number);
    }

    /// Whether the voters with sound disks are half of all, and go on by themselves as soon as this one has no log.
    fn others_can_go_on(&self) -> bool {
        let Some(agreement) = self.agreement.as_ref() else { return false };
        let takes_part = agreement.is_voter(agreement.me()) && self.leaving_since.is_none();
        if !takes_part
            || self.half.is_at_work()
            || !self.tie_break_names_all()
            || self.is_shut_out_by_others()
        {
            return false;
        }
        let voters = self.sights.voters;
        let others: Vec<&Sighting> = (0..self.ids.len())
            .filter(|slot| *slot != self.slot && voters.contains(*slot))
            .filter_map(|slot| self.sights.heard(slot).filter(|seen| seen.both_ways))
            .collect();
        let is_sound = |seen: &&&Sighting| self.is_sound(seen) || is_planted(Bug::AllLayDown);
        let (heard, sound) = (others.len(), others.iter().filter(is_sound).count());
        half::may_lay_down(Burden { settled: self.is_settled(), heard, sound, size: voters.size })
    }

    /// Whether the devices of this node shut it out from storage: it takes no part before it is let in, and says so by its
    /// log only, so what it held would stay with a session that it cannot end.
    fn is_shut_out_by_others(&self) -> bool {
        let spec = self.ledger.spec.as_ref().unwrap_or(&self.settings.spec);
        devices(spec, &self.settings.me).iter().flatten().any(FenceDevice::shuts_out)
    }

    /// Whether another voter takes what is written, has taken part in this life, hears all voters, and may be the one that
    /// goes on.
    fn is_sound(&self, seen: &Sighting) -> bool {
        let bad =
            flag::SICK | flag::UNWELL | flag::LOG_LOST | flag::LISTENING | flag::LEAVING | flag::NO_TARGET;
        let admitted = self.ledger.nodes.get(&self.names[seen.slot]).and_then(|known| known.session);
        let took_part = admitted.is_some_and(|session| session.boot == seen.boot);
        let hears_all = (seen.hears | 1 << seen.slot) & self.sights.voters.slots == self.sights.voters.slots;
        seen.flags & bad == 0 && has_history(seen) && seen.era == self.ledger.era && took_part && hears_all
    }

    /// Whether so many voters have no log that no quorum of them can agree: who leads them cannot do so any more.
    pub(in crate::core) fn lacks_logs(&self) -> bool {
        let is_without =
            |seen: &Sighting| seen.flags & flag::LOG_LOST != 0 && (seen.era, seen.incarnation) == (0, 0);
        let voters = self.sights.electors;
        let without = (0..self.ids.len()).filter(|slot| voters.contains(*slot));
        let without = without.filter_map(|slot| self.sights.heard(slot)).filter(|seen| is_without(seen));
        voters.size - without.count() < voters.quorum()
    }
}
