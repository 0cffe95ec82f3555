//! Whatever comes from a network or a disk: nothing panics, nothing forged is believed. The same
//! functions run under the fuzzer for hours: `cargo xtask fuzz`.

mod survive;

use heart_model::{BootId, NodeId};
use heart_node::{
    beat,
    frame::{ClusterKey, Kind, Opener, Rejected, Sealer},
    journal::{self, Batch},
    ledger,
    stream::Stream,
};
use proptest::prelude::*;
use raft::eraftpb::{Entry, HardState};

const ADA: NodeId = NodeId(1);
const BOOT: BootId = BootId(0x1234_5678_9abc_def0);

fn key() -> ClusterKey {
    ClusterKey::new("web", [3; 32], 1)
}

fn opener() -> Opener {
    Opener::new(&key(), NodeId(2), &[ADA, NodeId(2)])
}

fn sealed(counter: u64) -> Vec<u8> {
    Sealer::new(&key(), ADA, BOOT).seal(Kind::Beat, counter, b"here I am").bytes().to_vec()
}

#[test]
fn a_frame_opens_once() {
    let mut opener = opener();
    let opened = opener.open(0, &mut sealed(7)).map(|opened| opened.body.to_vec());
    assert_eq!(opened, Ok(b"here I am".to_vec()));
    for (counter, expected) in [
        (7, Some(Rejected::Replayed)),
        (6, Some(Rejected::Replayed)), // from before the first that was taken
        (9, None),
        (8, None), // late, but new
        (8, Some(Rejected::Replayed)),
        (9 + 2 * heart_node::frame::WINDOW, None),
        (9, Some(Rejected::Replayed)), // too old to know
    ] {
        let refused = opener.open(0, &mut sealed(counter)).err();
        assert_eq!(refused, expected, "frame {counter}");
    }
}

#[test]
fn frames_of_others_are_not_ours() {
    let frame = |cluster: &str, secret: u8, sender: u32| {
        let key = ClusterKey::new(cluster, [secret; 32], 1);
        Sealer::new(&key, NodeId(sender), BOOT).seal(Kind::Beat, 1, b"x").bytes().to_vec()
    };
    for (mut bytes, expected) in [
        (frame("other", 3, 1), Rejected::OtherCluster),
        (frame("web", 4, 1), Rejected::Forged(0)),
        (frame("web", 3, 9), Rejected::Stranger),
    ] {
        assert_eq!(opener().open(0, &mut bytes).err(), Some(expected));
    }
}

/// What the fuzzer begins with, and what it found once, in the folder of a target.
fn kept(target: &str) -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let files = std::fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    files.map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn what_was_found_once_does_no_harm() {
    kept("frame").iter().for_each(|bytes| survive::frame::frame(bytes));
    kept("journal").iter().for_each(|bytes| survive::journal::journal(bytes));
    let messages = kept("message");
    assert!(messages.len() >= 10, "only {} seeds", messages.len());
    messages.iter().for_each(|bytes| survive::message::message(bytes));
}

#[test]
fn every_seed_is_understood() {
    use heart_node::core::Message;
    for bytes in kept("message") {
        let is_message = serde_json::from_slice::<Message>(&bytes).is_ok();
        let is_state = ledger::Ledger::restore(&bytes).is_ok();
        let is_history = bytes.split(|byte| *byte == b'\n').all(|line| ledger::read(line).is_ok());
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            is_message || is_state || is_history,
            "{text}: {:?}",
            serde_json::from_slice::<Message>(&bytes)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn no_network_does_harm(way in 0u8..4, script in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        survive::frame::frame(&[&[way], &script[..]].concat());
    }

    #[test]
    fn no_disk_does_harm(way in 0u8..3, script in proptest::collection::vec(any::<u8>(), 0..600)) {
        survive::journal::journal(&[&[way], &script[..]].concat());
    }

    #[test]
    fn no_message_does_harm(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let messages = kept("message");
        let mut bytes = messages[which.index(messages.len())].clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        survive::message::message(&bytes);
    }

    #[test]
    fn garbage_is_no_frame(mut bytes in proptest::collection::vec(any::<u8>(), 0..1600)) {
        prop_assert!(opener().open(0, &mut bytes).is_err());
    }

    #[test]
    fn a_changed_frame_is_refused(at in 0usize..65, bit in 0u8..8) {
        let mut bytes = sealed(5);
        let at = at % bytes.len();
        // Byte 7 of the header is not used yet; it is sealed all the same.
        bytes[at] ^= 1 << bit;
        prop_assert!(opener().open(0, &mut bytes).is_err());
    }

    #[test]
    fn any_bytes_are_a_beat_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..1400)) {
        if let Some((_, acks)) = beat::read(&bytes) {
            prop_assert!(acks.count() <= beat::ENTRIES_MAX);
        }
    }

    #[test]
    fn any_bytes_are_an_answer_to_a_ping_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        survive::echo::answer(&bytes);
    }

    #[test]
    fn any_bytes_are_a_journal_or_damage(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(recovered) = journal::recover(&bytes) {
            prop_assert!(recovered.length <= bytes.len());
        }
    }

    #[test]
    fn a_flipped_bit_never_changes_what_a_journal_says(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let whole: Vec<Vec<u8>> = (1..=4).map(batch).collect();
        let mut bytes = whole.concat();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // Either the damage is told, or what is left is a true beginning.
        if let Ok(recovered) = journal::recover(&bytes) {
            let entries = recovered.entries.len() as u64;
            prop_assert!(recovered.entries.iter().zip(1..).all(|(entry, index)| entry.index == index));
            prop_assert!(entries <= 4 && recovered.hard_state.commit <= entries);
        }
    }

    #[test]
    fn any_bytes_are_an_entry_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(ledger::read(&bytes).is_err());
    }

    #[test]
    fn any_segments_leave_a_stream_alive(
        segments in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..40)
    ) {
        let mut stream = Stream::new(1, std::time::Duration::from_millis(5));
        stream.send(b"hello");
        for segment in &segments {
            let _ = stream.on_segment(segment);
        }
        prop_assert!(!stream.poll(heart_model::Moment::default()).is_empty());
    }
}

fn batch(index: u64) -> Vec<u8> {
    let entry = Entry { index, term: 1, data: format!("entry {index}").into(), ..Entry::default() };
    let hard_state = HardState { term: 1, vote: 1, commit: index };
    Batch { hard_state: Some(hard_state), entries: vec![entry], ..Batch::default() }.encode_framed()
}
