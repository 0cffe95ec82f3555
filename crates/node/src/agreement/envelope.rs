//! What a node has to know of raft's messages without being raft.

use heart_model::{NodeId, Term};
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
    /// It is a snapshot in which the receiver is a learner: whoever takes it up votes with nothing
    /// that it may have forgotten.
    pub takes_in: bool,
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
        takes_in: kind == MessageType::MsgSnapshot
            && message.get_snapshot().get_metadata().get_conf_state().learners.contains(&message.to),
        term: Term(message.term),
    })
}
