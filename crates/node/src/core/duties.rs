//! What every node owes, whoever leads: to let go as a holder, to vouch as a voter, to campaign when
//! a quorum says so, to tell a new leader what it has, and to obey orders that it has a right to.

use heart_model::{
    FromExecutor, Guard, Inventory, LogIndex, Moment, NodeId, Order, Outcome, Report, ResourceName, Term,
    ToExecutor,
};

use super::{Action, Core, LEAVE_PATIENCE, Message, Out, is_held};
use crate::{
    agreement::Agreement,
    board::Board,
    conductor::Conductor,
    ledger::NodeLedger,
    ownership::{Holds, LetGo, candidates},
};

/// After how many lost-afters below half of the voters a node can be sure that everybody has given it up, and has had the
/// time to take it in again and to give it up once more.
const GIVEN_UP_AFTER: u32 = 3;

impl Core {
    /// The holder's duty: let go at the end of the lease (SAFETY rules 8 and 9).
    pub(super) fn hold(&mut self, now: Moment, board: &Board, out: &mut Out) {
        let holds = self.holds();
        let below_half = self.sights.voters_heard() * 2 < self.sights.voters.size;
        let alone = below_half || self.is_overdue(now, board);
        let holds = Holds { anything: holds.anything || self.is_unheard(now, board, below_half), ..holds };
        let again = self.holder.is_letting_go();
        match self.holder.on_lease(now, board, holds, alone, self.timing.lost_after) {
            LetGo::Nothing => {}
            LetGo::Now { session, everything } => {
                let why = if board.is_deposed() { "it has ended" } else { "its lease is over" };
                let note = (!again).then(|| format!("session {session}: {why}; letting go"));
                out.actions.extend(note.map(Action::Note));
                out.actions.push(Action::Execute(ToExecutor::LetGo { session, everything }));
            }
        }
    }

    /// Whether this node is below half of the voters for so long that everybody has given it up. It may speak all the same,
    /// and may have been taken in again meanwhile without hearing of it: it says once, by another session, that nothing of
    /// this one is left.
    fn is_unheard(&mut self, now: Moment, board: &Board, below_half: bool) -> bool {
        let own = self.ledger.nodes.get(&self.settings.me).and_then(NodeLedger::last_session);
        let took_part = own.is_some_and(|own| own.boot == board.boot());
        if !(below_half && took_part && now.may_have_reached(board.lease_until())) {
            self.unheard = None;
            return false;
        }
        let session = board.session().number;
        let (since, ended) = self.unheard.get_or_insert((now, None));
        let is_due = now.has_surely_reached(since.after(self.timing.lost_after * GIVEN_UP_AFTER));
        is_due && *ended.get_or_insert(session) == session
    }

    pub(super) fn holds(&self) -> Holds {
        let spec = self.ledger.spec.as_ref().unwrap_or(&self.settings.spec);
        let by_lease = |inventory: &Inventory| {
            let now = || spec.granted(&inventory.resource).map_or(Guard::Lease, |resource| resource.guard);
            inventory.guard.unwrap_or_else(now) == Guard::Lease
        };
        let held = || self.inventory.values().filter(|inventory| is_held(inventory));
        Holds { by_lease: held().any(by_lease), anything: held().next().is_some() }
    }

    /// Goes on leaving: the leader moves what runs here; without one, or if that takes too long, it is
    /// stopped. Who left before the log says that it holds nothing would be waited for as if lost
    /// (SAFETY rule 21).
    pub(super) fn leave(&mut self, now: Moment, board: &Board, out: &mut Out) {
        let Some(since) = self.leaving_since else { return self.come_back(board, out) };
        let patience =
            if self.leader(now, board).is_none() { self.timing.lost_after } else { LEAVE_PATIENCE };
        let lone = now.has_surely_reached(since.after(patience));
        let me = (&self.settings.me, board.session());
        let granted = self.ledger.resources.values().filter_map(|resource| resource.grant.as_ref());
        let is_granted = granted.into_iter().any(|grant| (&grant.node, grant.session) == me);
        let own = self.ledger.nodes.get(me.0);
        let leads = self.agreement.as_ref().is_some_and(Agreement::leads);
        let takes_part = own.is_some_and(|own| own.session == Some(me.1)) && !leads;
        let has_left = own.is_some_and(|own| own.left == Some(me.1));
        let free = !is_granted && !takes_part && !self.is_handing_over(now, board);
        if !self.holds().anything && (lone || free) {
            if let Some(agreement) = &mut self.agreement {
                agreement.step_down();
            }
            board.set_leading(None);
            if has_left {
                // A later life of the daemon in this boot begins another one.
                self.begin_session(board, out);
            }
            out.actions.push(Action::Poke);
            out.left = true;
        } else if lone && !self.holder.is_letting_go() {
            board.depose(board.session().number);
            self.hold(now, board, out);
        }
    }

    /// A node that left in order, and did not end after all, begins another session: nothing is given to the old one.
    fn come_back(&mut self, board: &Board, out: &mut Out) {
        let own = self.ledger.nodes.get(&self.settings.me);
        if own.is_some_and(|own| own.left == Some(board.session())) && !self.holds().anything {
            self.begin_session(board, out);
        }
    }

    pub(super) fn begin_session(&mut self, board: &Board, out: &mut Out) {
        board.begin_session(board.session().number.next());
        out.actions.push(Action::Note(format!("session {} begins", board.session())));
        out.actions.push(Action::Poke);
        self.told_leader = None;
    }

    /// The voter's duty: say when its promise to a session that was taken over has run out.
    pub(super) fn vouch(&mut self, now: Moment, out: &mut Out) {
        for (node, session) in self.revoked.newly_over(now) {
            self.tell(self.vouched_to, Message::Over { node, session }, now, out);
        }
    }

    /// Says to a new leader which promises of this voter are over: whoever cannot let go of something may hold up what it
    /// has itself, and nothing that others wait for.
    fn vouch_anew(&mut self, leader: Option<(NodeId, Term, u64)>, now: Moment, out: &mut Out) {
        if ::core::mem::replace(&mut self.vouched_to, leader) == leader || leader.is_none() {
            return;
        }
        for (node, session) in self.revoked.all_over() {
            self.tell(leader, Message::Over { node, session }, now, out);
        }
    }

    /// Campaigns when a quorum says that there is no leader; steps down without a quorum.
    pub(super) fn elect(&mut self, now: Moment, board: &Board, out: &mut Out) {
        self.hand_over(now, board, out);
        let backed = !now.may_have_reached(board.backed_until());
        let may_begin = self.may_begin() && !self.half.is_at_work();
        let lacks_logs = self.lacks_logs();
        let Some(agreement) = &mut self.agreement else { return };
        if agreement.leads() {
            let works = self.disk_works || agreement.size() == 1;
            let established = self.conductor.is_some();
            // Who stood still did not notice it if the others were gone for a while (SAFETY rules 6 and 14).
            let stood = self.stood_still && established && agreement.members().0.len() > 1;
            if (established && (!backed || lacks_logs)) || stood || !works {
                agreement.step_down();
                let why = match stood {
                    true => "this leader stood still for too long",
                    false if lacks_logs => "too few voters have their logs",
                    false => "no quorum stands behind this leader any more",
                };
                out.actions.push(Action::Note(format!("{why}: stepping down")));
            }
        } else {
            let order = candidates(&self.sights, board, now).filter(|_| backed && may_begin);
            if order.is_some() {
                agreement.forget_leader();
            }
            // With writes under way it would be in vain; the disk's answer comes with the next step. Its
            // patience is not forgotten meanwhile.
            let ready = order.is_none() || agreement.writes_under_way() == 0;
            let (me, order, term) = (self.slot, order.as_deref(), agreement.term());
            if ready && self.campaigns.is_due(now, me, order, term, &self.timing) {
                agreement.campaign();
                self.campaigns.on_campaigned(agreement.term());
                out.actions.push(Action::Note(format!("campaigning for term {}", agreement.term())));
            }
        }
        self.pump(now, board, out);
    }

    /// Takes up or lays down leadership; tells a new leader what this node has.
    pub(super) fn follow(&mut self, now: Moment, board: &Board, out: &mut Out) {
        let leads = self.agreement.as_ref().filter(|agreement| agreement.leads()).map(Agreement::term);
        if board.leading() != leads {
            board.set_leading(leads);
            out.actions.push(Action::Poke);
            self.conductor = leads.map(|term| Conductor::new(now, term, self.timing.lost_after));
            // What the leader of an earlier term began to wait for, nobody has looked after since.
            (self.shorter_since, self.switching) = (None, super::switching::Switching::default());
            board.set_doubted(0);
            if let Some(term) = leads {
                self.members.on_altered(now);
                self.half.on_leading();
                out.actions.push(Action::Note(format!("leading term {term}")));
            }
        }
        let over = |leader: NodeId| {
            self.ids.iter().position(|id| *id == leader).map_or(0, |slot| self.peers.generation(slot))
        };
        let leader = self.leader(now, board).map(|(leader, term)| (leader, term, over(leader)));
        // Another life of it may lead in the same term: a single voter whose disk had not written the term
        // when it lost power. Until it says that it leads, it listens to nobody.
        let leader = leader.filter(|(leader, ..)| !self.denies_to_lead(*leader));
        self.vouch_anew(leader, now, out);
        if leader.is_none() {
            self.told_leader = None;
        }
        if leader.is_some()
            && leader != self.told_leader
            && self.executor_told
            && (!self.holder.is_letting_go() || self.inventory.values().any(|one| one.given_up))
        {
            self.told_leader = leader;
            // First, also that it is well: whoever has told what it has is planned with.
            let facts = self.health.facts();
            self.tell_leader(Message::Health { session: board.session(), facts }, now, out);
            let all = self.inventory.values().cloned().collect();
            self.tell_leader(Message::Inventory { session: board.session(), all }, now, out);
            self.tell_pings(now, board, out);
            self.tell_let_in(now, out);
        }
    }

    /// Whether a node is heard, and says itself that it does not lead.
    fn denies_to_lead(&self, leader: NodeId) -> bool {
        let slot = self.ids.iter().position(|id| *id == leader).filter(|&slot| slot != self.slot);
        slot.and_then(|slot| self.sights.heard(slot)).is_some_and(|seen| !seen.leads)
    }

    /// The leader this node goes by, and its term.
    pub(super) fn leader(&self, now: Moment, board: &Board) -> Option<(NodeId, Term)> {
        let agreement = self.agreement.as_ref()?;
        if agreement.leads() {
            return Some((self.ids[self.slot], agreement.term()));
        }
        let known = agreement.leader().map(|leader| (leader, agreement.term()));
        known.or_else(|| board.leader_heard(now).filter(|(leader, _)| *leader != self.ids[self.slot]))
    }

    /// Carries out orders whose time has come: grant applied, lease valid (SAFETY rule 10).
    pub(super) fn obey(&mut self, now: Moment, board: &Board, out: &mut Out) {
        let asked = self.executor_asked.map(|at| at.after(self.timing.lost_after));
        if !self.executor_told
            && asked.is_none_or(|again| now.has_surely_reached(again))
            && let Some(spec) = &self.ledger.spec
        {
            self.executor_asked = Some(now);
            let own = self.names[self.slot].as_str();
            let here = |name: &ResourceName| name.copy().is_none_or(|(_, node)| node == own);
            let all = spec.grantable().into_iter().filter(|(name, _)| here(name));
            let resources = all.map(|(name, spec)| (name, spec.clone())).collect();
            out.actions.push(Action::Execute(ToExecutor::Configure { resources }));
            out.actions.push(Action::Execute(ToExecutor::Inventory));
        }
        let applied = self.agreement.as_ref().map_or(LogIndex(0), Agreement::applied);
        // A node whose disk has stalled applies nothing more. What it runs by a grant that it knows, it may stop all
        // the same: a stop needs no right.
        let is_known = |order: &Order| {
            order.act == heart_model::Act::Stop
                && self.ledger.holds(&self.settings.me, order.session, &order.resource, order.epoch)
        };
        let (ready, wait): (Vec<Order>, Vec<Order>) = ::core::mem::take(&mut self.orders)
            .into_iter()
            .partition(|order| order.commit <= applied || is_known(order));
        self.orders = wait.into();
        for order in ready {
            match self.refusal(now, board, &order) {
                None => {
                    self.watched.on_told(&order);
                    out.actions.push(Action::Execute(ToExecutor::Obey(order)));
                }
                Some(why) => self.refuse(now, &order, why, out),
            }
        }
    }

    pub(super) fn refusal(&self, now: Moment, board: &Board, order: &Order) -> Option<&'static str> {
        if self.agreement.as_ref().is_some_and(|agreement| order.id.term < agreement.term()) {
            return Some("its leader has been replaced");
        }
        if order.session != board.session() || self.holder.is_letting_go() {
            return Some("the session it was given in is over");
        }
        if !self.ledger.holds(&self.settings.me, order.session, &order.resource, order.epoch) {
            return Some("this node holds no such grant");
        }
        let is_start = order.act == heart_model::Act::Start;
        if is_start && (board.is_deposed() || now.may_have_reached(board.lease_until())) {
            return Some("this node has no lease");
        }
        self.unwatched(board, &order.resource).filter(|_| is_start)
    }

    pub(super) fn refuse(&mut self, now: Moment, order: &Order, why: &str, out: &mut Out) {
        let known = self.inventory.get(&order.resource).cloned();
        let resource = known.unwrap_or_else(|| Inventory {
            resource: order.resource.clone(),
            epoch: order.epoch,
            session: order.session,
            activity: heart_model::Activity::Stopped,
            closed: heart_model::Epoch(0),
            slow: None,
            given_up: false,
            guard: None,
        });
        let report = Report { id: order.id, outcome: Outcome::Refused(why.into()), resource };
        self.tell_leader(Message::Report(report), now, out);
    }

    pub(super) fn on_executor(&mut self, now: Moment, board: &Board, said: FromExecutor, out: &mut Out) {
        match said {
            FromExecutor::Report(report) => {
                self.watched.on_report(&report.resource.resource);
                self.inventory.insert(report.resource.resource.clone(), report.resource.clone());
                self.tell_leader(Message::Report(report), now, out);
            }
            FromExecutor::Changed(inventory) => {
                self.inventory.insert(inventory.resource.clone(), inventory.clone());
                self.tell_leader(Message::Changed(inventory), now, out);
            }
            FromExecutor::Inventory(all) => {
                self.inventory = all.into_iter().map(|one| (one.resource.clone(), one)).collect();
                self.executor_told = true;
                self.told_leader = None;
                if self.holder.on_inventory(self.holds().anything) {
                    self.begin_session(board, out);
                }
            }
            FromExecutor::TieBroken(report) => self.on_tie_broken(now, report),
            FromExecutor::Fenced(report) if self.shut_out.on_report(now, &self.settings.me, &report, out) => {
                self.tell_let_in(now, out);
            }
            FromExecutor::Fenced(report) if self.on_fenced_by_half(now, board, &report, out) => {}
            // It is for who looks after the machine, and comes back as a change of its health.
            FromExecutor::NoProcess(_) => {}
            FromExecutor::Fenced(report) => self.on_fenced(report, out),
            FromExecutor::Proved { proof, finding } => self.on_proved(now, &proof, finding, out),
            FromExecutor::LetGo { session } => {
                self.holder.on_let_go(session);
                out.actions.push(Action::Execute(ToExecutor::Inventory));
            }
        }
    }
}
