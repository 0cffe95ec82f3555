//! What is written is read back, and the numbers on the wire are those of raft's protocol.

use prost::Message as _;
use raft_proto::prelude::*;

fn check<M: prost::Message + Default + PartialEq + std::fmt::Debug>(message: &M) {
    let bytes = message.encode_to_vec();
    assert_eq!(protobuf::Message::compute_size(message) as usize, bytes.len());
    assert_eq!(&M::decode(bytes.as_slice()).unwrap(), message);
    assert_eq!(&<M as protobuf::Message>::parse_from_bytes(&bytes).unwrap(), message);
    assert_eq!(M::decode(&[][..]).unwrap(), M::default());
}

fn entry() -> Entry {
    Entry {
        entry_type: EntryType::EntryConfChangeV2.into(),
        term: 3,
        index: 77,
        data: b"data".to_vec(),
        context: b"context".to_vec(),
        sync_log: true,
    }
}

fn conf_state() -> ConfState {
    ConfState {
        voters: vec![1, 2, 3],
        learners: vec![4],
        voters_outgoing: vec![1, 2],
        learners_next: vec![5],
        auto_leave: true,
    }
}

fn snapshot() -> Snapshot {
    let metadata = SnapshotMetadata { conf_state: Some(conf_state()), index: 70, term: 2 };
    Snapshot { data: vec![0, 255, 7], metadata: Some(metadata) }
}

#[test]
fn every_message_comes_back_as_it_was() {
    check(&entry());
    check(&conf_state());
    check(&snapshot());
    check(&snapshot().take_metadata());
    check(&HardState { term: 9, vote: 2, commit: u64::MAX });
    check(&Message {
        msg_type: MessageType::MsgRequestPreVoteResponse.into(),
        to: 1,
        from: 2,
        term: 3,
        log_term: 4,
        index: 5,
        entries: vec![entry(), Entry::default()],
        commit: 6,
        commit_term: 7,
        snapshot: Some(snapshot()),
        request_snapshot: 8,
        reject: true,
        reject_hint: 9,
        context: b"context".to_vec(),
        deprecated_priority: 10,
        priority: -11,
    });
    let single = ConfChangeSingle { change_type: ConfChangeType::RemoveNode.into(), node_id: 8 };
    check(&single);
    check(&ConfChange {
        id: 4,
        change_type: ConfChangeType::AddLearnerNode.into(),
        node_id: 6,
        context: vec![1],
    });
    check(&ConfChangeV2 {
        transition: ConfChangeTransition::Explicit.into(),
        changes: vec![single],
        context: vec![2],
    });
}

#[test]
fn the_bytes_are_those_of_the_protocol() {
    // Written down by hand from the protocol: tag = field number * 8 + wire type.
    let entry = Entry { term: 2, index: 300, data: b"a".to_vec(), ..Entry::default() };
    assert_eq!(entry.encode_to_vec(), [0x10, 2, 0x18, 0xac, 0x02, 0x22, 1, b'a']);
    let mut message = Message { to: 1, priority: 1, commit_term: 5, ..Message::default() };
    message.set_msg_type(MessageType::MsgTimeoutNow);
    assert_eq!(message.encode_to_vec(), [0x08, 14, 0x10, 1, 0x78, 5, 0x80, 0x01, 1]);
}

#[test]
fn what_a_newer_version_says_does_not_break_this_one() {
    // Field 99 is unknown here, and so is message type 1000.
    let bytes = [0x08, 0xe8, 0x07, 0x98, 0x06, 1];
    let message = Message::decode(&bytes[..]).unwrap();
    assert_eq!(message.msg_type, 1000);
    assert_eq!(message.get_msg_type(), MessageType::MsgHup);
}

#[test]
fn absent_parts_read_as_empty_and_are_made_when_changed() {
    let mut snapshot = Snapshot::default();
    assert!(!snapshot.has_metadata());
    assert_eq!(snapshot.get_metadata().get_conf_state().get_voters(), [0_u64; 0]);
    snapshot.mut_metadata().mut_conf_state().mut_voters().push(1);
    assert_eq!(snapshot.get_metadata().get_conf_state().get_voters(), [1]);
    assert_eq!(snapshot.take_metadata().take_conf_state().voters, [1]);
    assert!(!snapshot.has_metadata());
}
