//! What a core finds of the log of the one before it, and what it leaves to the next one. No test here can take the power
//! away: that what is written also reaches the disk is shown by nothing but that it is a new file, synced before it has
//! its name.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;

fn write(ticket: u64, term: u64) -> Write {
    let mut batch = Batch::default();
    batch.hard_state.get_or_insert_default().term = term;
    let bytes = batch.encode_framed();
    Write { ticket: Ticket(ticket), replaces: false, bytes }
}

fn term(path: &Path) -> u64 {
    match recover(path).unwrap() {
        (Log::Recovered(recovered), _) => recovered.hard_state.term,
        (other, _) => panic!("{other:?}"),
    }
}

/// Takes up what is there, and writes these behind it.
fn live(path: &Path, writes: &[Write]) -> LogFile {
    let (_, mut log) = recover(path).unwrap();
    writes.iter().for_each(|one| make_durable(&mut log, path, std::slice::from_ref(one)).unwrap());
    log
}

/// What a core finds that has lost its log: it says so by itself, and a later one finds that written down.
fn is_known_to_be_lost(path: &Path) -> bool {
    let first = recover(path).unwrap().0;
    let second = recover(path).unwrap().0;
    let lost = |log: &Log| matches!(log, Log::Recovered(recovered) if recovered.lost);
    (matches!(first, Log::Damaged) || lost(&first)) && lost(&second)
}

/// Nothing can be made in the place of the new file.
fn obstruct(path: &Path) {
    fs::create_dir(path.with_extension("new")).unwrap();
}

/// The disk was full in the middle of a batch, and did not even let the rest of it be cut off.
#[test]
fn what_a_write_that_failed_has_left_does_not_cost_what_comes_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut log = live(&path, &[write(1, 7)]);
    let torn = write(2, 8).bytes;
    log.file.as_mut().unwrap().write_all(&torn[..torn.len() - 1]).unwrap();
    make_durable(&mut log, &path, &[write(3, 9)]).unwrap();
    assert_eq!(term(&path), 9);
    let mut log = live(&path, &[Write { replaces: true, ..write(4, 10) }]);
    log.file.as_mut().unwrap().write_all(&torn[..3]).unwrap();
    make_durable(&mut log, &path, &[write(5, 11)]).unwrap();
    assert_eq!(term(&path), 11);
}

/// The core before was killed between a write and its sync, or in the middle of one, or as it put a new file in the place of
/// this. The next one writes what it found into a new file, and goes on in that one; a torn end is not in it.
#[test]
fn what_a_core_finds_is_written_anew_into_a_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    live(&path, &[write(1, 7)]);
    let good = [write(1, 7).bytes, write(2, 8).bytes].concat();
    for torn in [0, 3] {
        fs::write(&path, [&good, &good[..torn]].concat()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(path.with_extension("new"), "half").unwrap();
        let before = fs::metadata(&path).unwrap();
        let whole = Write { replaces: true, ..write(1, 8) };
        let mut log = live(&path, std::slice::from_ref(&whole));
        let after = fs::metadata(&path).unwrap();
        assert_ne!(before.ino(), after.ino(), "it is the old file");
        assert_eq!(after.mode() & 0o777, 0o600);
        assert!(!path.with_extension("new").exists());
        make_durable(&mut log, &path, &[write(3, 9)]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), [whole.bytes, write(3, 9).bytes].concat());
    }
}

/// A full disk has no room for a second file, and is no reason to be away: the same bytes go where they are.
#[test]
fn without_room_a_log_is_written_over_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let good = [write(1, 7).bytes, write(2, 8).bytes].concat();
    fs::write(&path, [&good[..], &good[..3]].concat()).unwrap();
    let before = fs::metadata(&path).unwrap();
    let file = durable::write_over(&path, &good).unwrap();
    assert_eq!(before.ino(), fs::metadata(&path).unwrap().ino());
    let mut log = LogFile { file: Some(file), length: good.len() as u64 };
    make_durable(&mut log, &path, &[write(3, 9)]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), [good, write(3, 9).bytes].concat());
}

fn damaged() -> Vec<u8> {
    let mut bytes = [write(1, 7).bytes, write(2, 8).bytes].concat();
    bytes[9] ^= 1;
    bytes
}

#[test]
fn a_damaged_log_is_kept_and_known_to_be_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, damaged()).unwrap();
    assert!(is_known_to_be_lost(&path));
    assert_eq!(fs::read(path.with_extension("damaged")).unwrap(), damaged());
}

/// There is no room for a copy, or something is in its way: that is only a pity.
#[test]
fn a_damaged_log_that_cannot_be_kept_is_known_to_be_lost_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, damaged()).unwrap();
    fs::create_dir(path.with_extension("damaged")).unwrap();
    assert!(is_known_to_be_lost(&path));
}

/// Whichever step was the last one before a kill, or the disk refuses all: there is a file, and it says that it is of no
/// use. Who finds none "has never run here".
#[test]
fn a_damaged_log_is_never_taken_for_one_that_was_never_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, damaged()).unwrap();
    obstruct(&path);
    let said = format!("{:#}", recover(&path).err().expect("it cannot be written down"));
    assert!(said.contains("it is damaged, and that cannot be written down"), "{said}");
    assert_eq!(fs::read(&path).unwrap(), damaged());
    fs::remove_dir(path.with_extension("new")).unwrap();
    // The copy was made, and nothing else.
    fs::write(path.with_extension("damaged"), damaged()).unwrap();
    assert!(is_known_to_be_lost(&path));
    // Without room it is written over, and everything behind it is still there.
    let marker = Batch { lost: true, ..Batch::default() }.encode_framed();
    let mut over = damaged();
    over[..marker.len()].copy_from_slice(&marker);
    fs::write(&path, over).unwrap();
    assert!(is_known_to_be_lost(&path));
}

/// The file comes into being with its first batch, as a whole.
#[test]
fn before_anything_is_written_there_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let (found, mut log) = recover(&path).unwrap();
    assert!(matches!(found, Log::Empty) && !path.exists());
    obstruct(&path);
    make_durable(&mut log, &path, &[write(1, 7)]).unwrap_err();
    assert!(!path.exists(), "a beginning is there of what was not written");
    fs::remove_dir(path.with_extension("new")).unwrap();
    make_durable(&mut log, &path, &[write(1, 7), write(2, 8)]).unwrap();
    make_durable(&mut log, &path, &[write(3, 9)]).unwrap();
    assert_eq!(term(&path), 9);
}

/// So what has no good batch at its beginning has lost it, be it cut short, overwritten, or nothing but zeroes.
#[test]
fn a_log_that_has_lost_its_beginning_is_no_new_one() {
    let whole = write(1, 7).bytes;
    let mut wrong = whole.clone();
    wrong[9] ^= 1;
    for left in [&whole[..1], &whole[..9], &whole[..whole.len() - 1], &wrong, &[0; 4096]] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, left).unwrap();
        assert!(matches!(recover(&path).unwrap().0, Log::Damaged), "{} bytes", left.len());
        assert!(is_known_to_be_lost(&path));
    }
}
