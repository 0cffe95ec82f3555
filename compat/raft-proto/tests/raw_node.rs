//! raft 0.7, unmodified, runs on these messages.

use raft::{Config, RawNode, StateRole, prelude::*, storage::MemStorage};

fn single(id: u64) -> RawNode<MemStorage> {
    let config = Config { id, election_tick: 10, heartbeat_tick: 1, ..Config::default() };
    let storage = MemStorage::new_with_conf_state((vec![id], vec![]));
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    RawNode::new(&config, storage, &logger).unwrap()
}

/// Carries out what raft has ready; gives the entries that were committed.
fn turn(node: &mut RawNode<MemStorage>) -> Vec<Entry> {
    let mut committed = Vec::new();
    while node.has_ready() {
        let mut ready = node.ready();
        let storage = node.raft.raft_log.store.clone();
        storage.wl().append(ready.entries()).unwrap();
        if let Some(state) = ready.hs() {
            storage.wl().set_hardstate(*state);
        }
        committed.append(&mut ready.take_committed_entries());
        let mut light = node.advance(ready);
        committed.append(&mut light.take_committed_entries());
        node.advance_apply();
    }
    committed
}

#[test]
fn a_single_node_elects_itself_and_commits_a_proposal() {
    let mut node = single(1);
    node.campaign().unwrap();
    turn(&mut node);
    assert_eq!(node.raft.state, StateRole::Leader);

    node.propose(b"context".to_vec(), b"start the site".to_vec()).unwrap();
    let committed = turn(&mut node);
    let last = committed.last().unwrap();
    assert_eq!(last.get_data(), b"start the site");
    assert_eq!(last.get_context(), b"context");
    assert_eq!(last.get_entry_type(), EntryType::EntryNormal);
}

#[test]
fn a_change_of_the_voters_goes_through_the_log() {
    let mut node = single(1);
    node.campaign().unwrap();
    turn(&mut node);

    let change = raft_proto::new_conf_change_single(2, ConfChangeType::AddLearnerNode);
    let mut changes = ConfChangeV2::default();
    changes.mut_changes().push(change);
    node.propose_conf_change(Vec::new(), changes.clone()).unwrap();
    let committed = turn(&mut node);
    let last = committed.last().unwrap();
    assert_eq!(last.get_entry_type(), EntryType::EntryConfChangeV2);
    let read = <ConfChangeV2 as protobuf::Message>::parse_from_bytes(last.get_data()).unwrap();
    assert_eq!(read, changes);

    let state = node.apply_conf_change(&read).unwrap();
    assert!(raft_proto::conf_state_eq(&state, &ConfState::from((vec![1], vec![2]))), "{state:?}");
}
