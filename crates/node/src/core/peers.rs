//! The streams to all other cores, and what comes in over them.

use heart_model::{BootId, Moment, NodeId, Outcome, Term, Timing};

use super::{Action, Core, LOG_MESSAGE, Message, Out, PLAIN_MESSAGE};
use crate::{
    agreement::{self, Agreement, Refused},
    board::Board,
    half,
    ownership::Sights,
    plant::{Bug, is_planted},
    stream::Stream,
};

/// One stream a slot.
#[derive(Debug)]
pub(super) struct Peers {
    streams: Vec<(Option<BootId>, Stream)>,
}

impl Peers {
    pub(super) fn new(nodes: usize, id: u64, timing: Timing) -> Peers {
        let resend_after = (timing.heartbeat / 2).clamp(RESEND_MIN, RESEND_MAX);
        // Restarting a stream counts its number up; a later core of this boot starts beyond.
        let stream = |_| (None, Stream::new(id << 20, resend_after));
        Peers { streams: (0..nodes).map(stream).collect() }
    }

    /// The node in `slot` is in another life: what was under way to the last one is gone.
    pub(super) fn forget(&mut self, slot: usize) {
        self.streams[slot].1.restart();
    }

    /// In which life the node in `slot` said something last.
    pub(super) fn boot(&self, slot: usize) -> Option<BootId> {
        self.streams[slot].0
    }

    /// Changes whenever something that was under way to the node in `slot` may be gone.
    pub(super) fn generation(&self, slot: usize) -> u64 {
        self.streams[slot].1.generation()
    }

    /// Takes a segment in; returns the messages that it completes.
    fn on_segment(&mut self, slot: usize, boot: BootId, bytes: &[u8]) -> Vec<Vec<u8>> {
        let (known, stream) = &mut self.streams[slot];
        if known.is_some_and(|known| known != boot) {
            *stream = stream.for_a_new_life();
        }
        *known = Some(boot);
        stream.on_segment(bytes)
    }

    /// Every segment begins with whom it is for: a link that reaches all at once brings it to all.
    pub(super) fn flush(&mut self, now: Moment, sights: &Sights, ids: &[NodeId], out: &mut Out) {
        for (slot, message) in out.messages.drain(..) {
            self.streams[slot].1.send(&message);
        }
        for (to, (_, stream)) in self.streams.iter_mut().enumerate() {
            if stream.is_idle() {
                continue;
            }
            let heard = sights.heard(to).is_some_and(|seen| seen.both_ways);
            let via = if heard { None } else { sights.relay_to(to) };
            if !heard && via.is_none() && sights.heard(to).is_none() {
                // Nobody to hear it; raft and conductor ask again when there is.
                stream.restart();
                continue;
            }
            let segments = stream.poll(now);
            let addressed = |segment: Vec<u8>| [&ids[to].0.to_le_bytes(), segment.as_slice()].concat();
            let send = |segment| Action::Send { to, via, bytes: addressed(segment) };
            out.actions.extend(segments.into_iter().map(send));
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.streams.iter().filter_map(|(_, stream)| stream.next_deadline()).min_by_key(|at| at.boottime)
    }
}

/// Shortest time before a segment is sent again.
const RESEND_MIN: ::core::time::Duration = ::core::time::Duration::from_millis(2);
/// Longest time before a segment is sent again for the first time.
const RESEND_MAX: ::core::time::Duration = ::core::time::Duration::from_millis(40);

impl Core {
    pub(super) fn send_all(&mut self, messages: Vec<(NodeId, Vec<u8>)>, out: &mut Out) {
        let origin = self.agreement.as_ref().and_then(Agreement::origin).map_or(0, |origin| origin.0);
        for (to, bytes) in messages {
            if let Some(slot) = self.ids.iter().position(|id| *id == to).filter(|&slot| slot != self.slot) {
                let era = self.ledger.era.to_le_bytes();
                out.messages.push((slot, [&[LOG_MESSAGE], &origin.to_le_bytes()[..], &era, &bytes].concat()));
            }
        }
    }

    pub(super) fn send(slot: usize, message: &Message, out: &mut Out) {
        let bytes = serde_json::to_vec(message).expect("a message is plain data with text keys");
        out.messages.push((slot, [&[PLAIN_MESSAGE], bytes.as_slice()].concat()));
    }

    /// Tells the leader, if there is one; a new leader asks for everything anyway.
    pub(super) fn tell_leader(&mut self, message: Message, now: Moment, out: &mut Out) {
        self.tell(self.told_leader, message, now, out);
    }

    /// Tells whoever leads by this, if anybody does.
    pub(super) fn tell(
        &mut self,
        leader: Option<(NodeId, Term, u64)>,
        message: Message,
        now: Moment,
        out: &mut Out,
    ) {
        match leader.map(|(leader, ..)| leader) {
            Some(leader) if leader == self.ids[self.slot] => {
                self.on_message(now, self.slot, message, out);
            }
            Some(leader) => {
                if let Some(slot) = self.ids.iter().position(|id| *id == leader) {
                    Core::send(slot, &message, out);
                }
            }
            None => {}
        }
    }

    pub(super) fn on_segment(
        &mut self,
        now: Moment,
        board: &Board,
        from: NodeId,
        boot: BootId,
        bytes: &[u8],
        out: &mut Out,
    ) {
        let Some(slot) = self.ids.iter().position(|id| *id == from) else { return };
        let Some((to, bytes)) = bytes.split_first_chunk::<4>() else { return };
        if u32::from_le_bytes(*to) != self.ids[self.slot].0 {
            return;
        }
        for message in self.peers.on_segment(slot, boot, bytes) {
            match message.split_first() {
                Some((&LOG_MESSAGE, bytes)) => self.on_log_message(now, board, slot, bytes, out),
                Some((&PLAIN_MESSAGE, bytes)) => match serde_json::from_slice::<Message>(bytes) {
                    Ok(Message::Half(said)) => self.on_half(now, slot, said, board, out),
                    Ok(message) => self.on_message(now, slot, message, out),
                    Err(_) => {}
                },
                Some(_) | None => {}
            }
        }
    }

    fn on_log_message(&mut self, now: Moment, board: &Board, from: usize, bytes: &[u8], out: &mut Out) {
        let Some((origin, bytes)) = bytes.split_first_chunk::<8>() else { return };
        let Some((era, bytes)) = bytes.split_first_chunk::<8>() else { return };
        let Some(envelope) = agreement::envelope(bytes).filter(|one| one.from.node() == self.ids[from])
        else {
            return;
        };
        if self.began_otherwise(u64::from_le_bytes(*origin)) {
            // What this node would count as its voters is not what the sender does.
            if self.agreement.as_ref().is_some_and(|agreement| agreement.last().1.0 == 0) {
                self.lose_log(board, out);
            }
            return;
        }
        // The history that it was sent in: what the sender says of itself may be older, or newer.
        let theirs = u64::from_le_bytes(*era);
        let ours = self.ledger.era;
        let is_foreign = half::is_foreign(ours, theirs);
        if is_foreign || self.half.is_at_work() {
            return;
        }
        // Votes are refused while a leader is heard, forced ones too (SAFETY rule 13), and by who has
        // not listened long enough to know.
        let follows = board.leader_heard(now).is_some_and(|(leader, _)| leader != envelope.from.node());
        if envelope.asks_for_vote && (follows || self.listening_until.is_some()) {
            return;
        }
        if envelope.begins && !self.may_found() {
            return;
        }
        self.adopt(board, theirs, (envelope, bytes), out);
        let Some(agreement) = &mut self.agreement else { return };
        if envelope.asks_for_vote {
            agreement.forget_leader();
        }
        match agreement.on_message(bytes) {
            Ok(()) | Err(Refused::NotForUs) => {}
            Err(Refused::LogLost) if is_planted(Bug::LostLogVotes) => {}
            Err(Refused::LogLost) => {
                self.lose_log(board, out);
            }
        }
    }

    /// Whether a log that began with this configuration (zero: with a snapshot) is not ours.
    fn began_otherwise(&self, origin: u64) -> bool {
        let ours = self.agreement.as_ref().and_then(Agreement::origin);
        origin != 0 && ours.is_some_and(|ours| ours.0 != origin)
    }

    /// A message of another core, or of this one to itself.
    pub(super) fn on_message(&mut self, now: Moment, from: usize, message: Message, out: &mut Out) {
        match message {
            Message::Order(order) => self.accept(order),
            Message::Ask { id, request } => self.on_ask(now, from, id, request, out),
            Message::Answer { id, response } => self.on_answer(id, response),
            Message::Found { without, digest } => self.on_found_without(now, without, digest),
            Message::Half(_) => {}
            Message::Report(_)
            | Message::Inventory { .. }
            | Message::Changed(_)
            | Message::Over { .. }
            | Message::Health { .. }
            | Message::Watched { .. }
            | Message::Pings { .. }
            | Message::LetIn { .. }
            | Message::Fenced(_) => {
                let Some(conductor) = &mut self.conductor else { return };
                let name = &self.names[from];
                match message {
                    Message::Report(report) => {
                        if let Outcome::Refused(why) = &report.outcome {
                            let resource = &report.resource.resource;
                            out.actions
                                .push(Action::Note(format!("{name} does not touch {resource}: {why}")));
                        }
                        conductor.on_report(now, name, report);
                    }
                    Message::Changed(inventory) => conductor.on_changed(name, inventory),
                    Message::Inventory { session, all } => conductor.on_inventory(name, session, all),
                    Message::Over { node, session } => conductor.on_over(name.id(), node, session),
                    Message::Health { session, facts } => conductor.on_health(now, name, session, facts),
                    Message::Watched { session, digest } => conductor.on_watched(name, session, digest),
                    Message::Pings { session, pings } => conductor.on_pings(now, name, session, pings),
                    Message::Fenced(report) => conductor.on_fenced(name, report),
                    Message::LetIn { session, attempts } => conductor.on_let_in(name, session, attempts),
                    Message::Order(_)
                    | Message::Ask { .. }
                    | Message::Answer { .. }
                    | Message::Half(_)
                    | Message::Found { .. } => {}
                }
            }
        }
    }
}
