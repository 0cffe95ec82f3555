//! What a node has to know of raft's messages without being raft.

use heart_model::{BootId, NodeId, Term};
use prost::Message as _;
use raft::eraftpb::{Message, MessageType};

use super::{RaftId, encode, message};

/// What a node without a log answers a leader for an identity that it does not have: that it is
/// there and has nothing, so that the leader sends a snapshot. It acknowledges nothing.
#[must_use]
pub fn nothing_here(bytes: &[u8]) -> Option<(NodeId, Vec<u8>)> {
    let asked = Message::decode(bytes).ok()?;
    let mut answer = match asked.get_msg_type() {
        MessageType::MsgAppend => message(MessageType::MsgAppendResponse, asked.term),
        MessageType::MsgHeartbeat => message(MessageType::MsgHeartbeatResponse, asked.term),
        _ => return None,
    };
    answer.reject = asked.get_msg_type() == MessageType::MsgAppend;
    answer.index = asked.index;
    answer.to = asked.from;
    answer.from = asked.to;
    Some(encode(&answer))
}

/// What the core has to know of a raft message without being raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// To which identity.
    pub to: RaftId,
    /// From which.
    pub from: RaftId,
    /// It asks for a vote, or whether it would get one.
    pub asks_for_vote: bool,
    /// It asks for a vote with an empty log: a history would begin.
    pub begins: bool,
    /// It is a snapshot in which the receiver is a learner by an identity that was given to this life of it: whoever
    /// takes it up in that life votes with nothing that it may have forgotten (SAFETY rule 16).
    pub takes_in: Option<BootId>,
    /// Its term.
    pub term: Term,
}

/// Reads what the core has to know of an encoded message.
#[must_use]
pub fn envelope(bytes: &[u8]) -> Option<Envelope> {
    let message = Message::decode(bytes).ok()?;
    let kind = message.get_msg_type();
    let asks_for_vote = matches!(kind, MessageType::MsgRequestVote | MessageType::MsgRequestPreVote);
    Some(Envelope {
        to: RaftId(message.to),
        from: RaftId(message.from),
        asks_for_vote,
        begins: asks_for_vote && message.index == 0,
        takes_in: (kind == MessageType::MsgSnapshot && is_learner(&message))
            .then(|| life(&message))
            .flatten(),
        term: Term(message.term),
    })
}

fn is_learner(snapshot: &Message) -> bool {
    snapshot.get_snapshot().get_metadata().get_conf_state().learners.contains(&snapshot.to)
}

/// The life that a snapshot is to be a new beginning for: raft itself says nothing in this field of a snapshot.
fn life(snapshot: &Message) -> Option<BootId> {
    Some(BootId(u128::from_le_bytes(snapshot.context.as_slice().try_into().ok()?)))
}

/// The same snapshot, as the new beginning of this life.
pub(super) fn for_life(snapshot: &Message, boot: BootId) -> Message {
    Message { context: boot.0.to_le_bytes().to_vec(), ..snapshot.clone() }
}
