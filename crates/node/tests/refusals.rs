//! What a stranger can do with frames: repeat, reorder, change and make them up. Each is refused, each
//! is counted under its own name, and nothing else comes of it.

use heart_model::{
    BootId, Duration, Instant, LogIndex, Moment, NodeId, Profile, SessionNumber, Term, Timing,
};
use heart_node::{
    agreement::ConfigurationId,
    beat::{self, BEAT_MAX, Beat},
    board::{Board, Voters},
    frame::{ClusterKey, DATAGRAM_MAX, HEADER, Kind, Opener, Rejected, Sealer, WINDOW},
    pulse::{Action, Event, Member, Pulse, Settings},
};

const ADA: NodeId = NodeId(1);
const BOB: NodeId = NodeId(2);
/// Where both are in the list of nodes.
const ADAS: usize = 0;
const LIVES: [BootId; 6] =
    [BootId(0xa0), BootId(0xa1), BootId(0xa2), BootId(0xa3), BootId(0xa4), BootId(0xa5)];

fn key() -> ClusterKey {
    ClusterKey::new("web", [3; 32], 1)
}

/// One node, and what it last sent over each of two links.
struct Node {
    pulse: Pulse,
    board: Board,
    wake_at: Moment,
    sent: Vec<(usize, Vec<u8>)>,
    actions: Vec<Action>,
}

impl Node {
    fn new(now: Moment, me: NodeId, boot: BootId) -> Node {
        let board = Board::default();
        board.begin(boot, &[ADA, BOB], now);
        board.set_configuration(Voters { id: ConfigurationId(1), slots: 0b11, size: 2 });
        board.set_electors(board.configuration());
        let settings = Settings {
            me,
            members: [ADA, BOB].map(|id| Member { id, voter: true }).to_vec(),
            links: 2,
            timing: Timing::of(Profile::Default),
            key: key(),
            digest: 1,
        };
        let pulse = Pulse::new(now, settings, &board);
        Node { pulse, board, wake_at: now, sent: Vec::new(), actions: Vec::new() }
    }

    /// Whether the pulse took it.
    fn step(&mut self, now: Moment, event: Event<'_>) -> bool {
        self.actions.clear();
        let taken = self.pulse.step(now, &self.board, event, &mut self.actions);
        for action in &self.actions {
            match action {
                Action::WakeAt(at) => self.wake_at = *at,
                Action::Beat { link, datagram } => self.sent.push((*link, datagram.bytes().to_vec())),
                _ => {}
            }
        }
        taken
    }

    fn hear(&mut self, now: Moment, link: usize, bytes: &[u8]) -> bool {
        self.step(now, Event::Datagram { link, bytes: &mut bytes.to_vec() })
    }
}

fn at(ms: u64) -> Moment {
    Moment::both(Instant(10_000_000_000 + ms * 1_000_000))
}

/// Two nodes talk from one time to another; returns what ada sent, `between` happens every millisecond.
fn talk(
    ada: &mut Node,
    bob: &mut Node,
    times: std::ops::Range<u64>,
    mut between: impl FnMut(Moment, &mut Node),
) -> Vec<(usize, Vec<u8>)> {
    let mut adas = Vec::new();
    for now in times.map(at) {
        for node in [&mut *ada, &mut *bob] {
            if now.may_have_reached(node.wake_at) {
                node.step(now, Event::Wake);
            }
        }
        for (link, bytes) in std::mem::take(&mut ada.sent) {
            bob.hear(now, link, &bytes);
            adas.push((link, bytes));
        }
        for (link, bytes) in std::mem::take(&mut bob.sent) {
            ada.hear(now, link, &bytes);
        }
        between(now, bob);
    }
    adas
}

/// Ada and bob, who hear each other, and what ada sent last.
fn met() -> (Node, Node, Vec<(usize, Vec<u8>)>) {
    let (mut ada, mut bob) = (Node::new(at(0), ADA, LIVES[0]), Node::new(at(0), BOB, BootId(0xb0)));
    let sent = talk(&mut ada, &mut bob, 0..500, |_, _| ());
    assert!(bob.board.lease_until().boottime > at(600).boottime, "they hear each other");
    (ada, bob, sent)
}

fn counts(board: &Board) -> [u64; Rejected::KINDS] {
    board.refusals().counts
}

/// Everything that others would notice.
fn state(board: &Board) -> String {
    let leader = board.leader_heard(at(499));
    format!("{:?} {:?} {leader:?} {:?}", board.lease_until(), board.promised_until(ADAS), board.last_beat())
}

/// It is refused for this reason, once, and nothing changes.
fn refused(bob: &mut Node, what: &str, link: usize, bytes: &[u8], reason: Rejected) {
    let (before, was) = (counts(&bob.board), state(&bob.board));
    assert!(!bob.hear(at(499), link, bytes), "{what} was taken");
    let mut expected = before;
    expected[reason.place()] += 1;
    assert_eq!(counts(&bob.board), expected, "{what}: {reason:?}");
    assert_eq!(state(&bob.board), was, "{what}");
    assert!(bob.actions.is_empty(), "{what}: {:?}", bob.actions);
}

fn beat_of(sequence: u64) -> Vec<u8> {
    let beat = Beat {
        sequence,
        session: SessionNumber(1),
        link: 0,
        leads: false,
        flags: 0,
        term: Term(1),
        follows: None,
        log_term: Term(1),
        log_index: LogIndex(1),
        configuration: ConfigurationId(1),
        promise: Duration::from_millis(600),
        digest: 1,
        era: 1,
        incarnation: 1,
    };
    let mut bytes = [0; BEAT_MAX];
    let length = beat::write(&beat, std::iter::empty(), &mut bytes);
    bytes[..length].to_vec()
}

#[test]
fn each_kind_of_false_frame_has_a_count_of_its_own() {
    let (_, mut bob, sent) = met();
    let (_, frame) = sent.iter().rfind(|(link, _)| *link == 0).expect("ada spoke").clone();
    let others = |cluster: &str, secret: u8, number: u8, sender: u32| {
        let key = ClusterKey::new(cluster, [secret; 32], number);
        Sealer::new(&key, NodeId(sender), LIVES[0]).seal(Kind::Beat, 1 << 20, b"x").bytes().to_vec()
    };
    let stream =
        |boot: BootId| Sealer::new(&key(), ADA, boot).seal(Kind::Stream, 1 << 20, b"x").bytes().to_vec();
    let unreadable = Sealer::new(&key(), ADA, LIVES[0]).seal(Kind::Beat, 1 << 21, b"x").bytes().to_vec();
    let long = [frame.clone(), vec![0; DATAGRAM_MAX]].concat();
    let cases: &[(&str, usize, Vec<u8>, Rejected)] = &[
        ("as it was", 0, frame.clone(), Rejected::Replayed),
        ("as it was, over the other link", 1, frame.clone(), Rejected::Copy),
        ("as it was, over the other link again", 1, frame.clone(), Rejected::Replayed),
        ("nothing", 0, Vec::new(), Rejected::NotAFrame),
        ("only a header", 0, frame[..HEADER].to_vec(), Rejected::NotAFrame),
        ("longer than a datagram", 0, long[..DATAGRAM_MAX + 1].to_vec(), Rejected::TooLong),
        ("with another key", 0, others("web", 4, 1, 1), Rejected::Forged(ADAS)),
        ("of a key that is not there", 0, others("web", 3, 2, 1), Rejected::Unknown),
        ("of another cluster", 0, others("other", 3, 1, 1), Rejected::OtherCluster),
        ("of who is no node", 0, others("web", 3, 1, 9), Rejected::Stranger),
        ("bob's own", 0, others("web", 3, 1, 2), Rejected::Own),
        ("of a life that proved nothing", 0, stream(LIVES[5]), Rejected::OldBoot),
        ("sealed, but no beat", 0, unreadable, Rejected::Unknown),
    ];
    for (what, link, bytes, reason) in cases {
        refused(&mut bob, what, *link, bytes, *reason);
    }
    assert_eq!(bob.board.refusals().forged[ADAS], 1, "it names ada");
}

#[test]
fn no_bit_of_a_frame_can_be_turned() {
    let (_, mut bob, _) = met();
    // Newer than anything of ada's, so that only the seal is between it and bob.
    let frame = Sealer::new(&key(), ADA, LIVES[0]).seal(Kind::Beat, 1 << 40, &beat_of(1000)).bytes().to_vec();
    let before = counts(&bob.board);
    for at_byte in 0..frame.len() {
        for bit in 0..8 {
            let mut bytes = frame.clone();
            bytes[at_byte] ^= 1 << bit;
            let reason = match at_byte {
                0..=3 => Rejected::NotAFrame,
                8..=11 => Rejected::OtherCluster,
                // A beat that says it is a piece of a stream, or passed on.
                5 if matches!(bytes[5], 2 | 3) => Rejected::Forged(ADAS),
                4..=6 => Rejected::Unknown,
                12..16 if bytes[12..16] == BOB.0.to_le_bytes() => Rejected::Own,
                12..16 => Rejected::Stranger,
                // A counter that is far behind.
                32..40 if bytes[37] == 0 => Rejected::Replayed,
                _ => Rejected::Forged(ADAS),
            };
            refused(&mut bob, &format!("bit {bit} of byte {at_byte}"), 0, &bytes, reason);
        }
    }
    for length in 0..frame.len() {
        assert!(!bob.hear(at(499), 0, &frame[..length]), "{length} bytes of it");
    }
    let sum = |counts: [u64; Rejected::KINDS]| counts.iter().sum::<u64>();
    assert_eq!(sum(counts(&bob.board)), sum(before) + 9 * frame.len() as u64, "each was counted once");
    assert!(bob.hear(at(499), 0, &frame), "the true one was not used up");
}

#[test]
fn frames_in_any_order_within_the_window_are_taken_once() {
    let sealer = Sealer::new(&key(), ADA, LIVES[0]);
    let mut frames: Vec<Vec<u8>> =
        (1..=WINDOW).map(|counter| sealer.seal(Kind::Stream, counter, b"x").bytes().to_vec()).collect();
    let mut opener = Opener::new(&key(), BOB, &[ADA, BOB]);
    // The first says that the rest is to come, the last opens the whole window.
    opener.open(0, &mut frames[0].clone()).expect("the first");
    frames.remove(0);
    // Every 389th comes next: all of them do, far out of order.
    let order = (0..frames.len()).map(|place| (frames.len() - 1 + place * 389) % frames.len());
    for place in order.clone() {
        assert!(opener.open(0, &mut frames[place].clone()).is_ok(), "frame {}", place + 2);
    }
    for place in order {
        assert_eq!(opener.open(0, &mut frames[place].clone()).err(), Some(Rejected::Replayed));
    }
}

#[test]
fn recordings_of_earlier_lives_do_not_keep_a_node_out() {
    for core_is_new in [false, true] {
        let mut bob = Node::new(at(0), BOB, BootId(0xb0));
        let (mut recorded, mut now) = (Vec::new(), 0);
        for life in &LIVES[..3] {
            let mut ada = Node::new(at(now), ADA, *life);
            recorded.push(talk(&mut ada, &mut bob, now..now + 1000, |_, _| ()));
            now += 1000;
        }
        // A core that was killed knows nothing of the lives that are over.
        let mut bob = if core_is_new { Node::new(at(now), BOB, BootId(0xb0)) } else { bob };
        let mut ada = Node::new(at(now), ADA, LIVES[3]);
        let beats_before = bob.board.last_beat();
        let mut turn = 0;
        talk(&mut ada, &mut bob, now..now + 300, |now, bob| {
            for life in &recorded {
                for _ in 0..5 {
                    let (link, bytes) = &life[turn % life.len()];
                    bob.hear(now, *link, bytes);
                    turn += 1;
                }
            }
        });
        let until = bob.board.lease_until();
        assert!(until.boottime > at(now + 300).boottime, "bob does not hear the new life: {until:?}");
        let beats = bob.board.last_beat() - beats_before;
        assert!(beats < 30, "recordings made bob send {beats} beats in 300 ms");
        let refused = counts(&bob.board);
        let counted = refused[Rejected::OldBoot.place()] + refused[Rejected::Replayed.place()];
        assert!(counted > 1000, "{refused:?}");
    }
}
