//! What comes from the network: frames, beats and pieces of streams.

use std::collections::BTreeMap;

use heart_model::{
    BootId, Duration, Instant, LogIndex, Moment, NodeId, Profile, SessionNumber, Term, Timing,
};
use heart_node::{
    agreement::ConfigurationId,
    beat::{self, Ack, BEAT_MAX, Beat},
    board::{Board, Voters},
    frame::{BODY_MAX, ClusterKey, Kind, Opener, Sealer},
    pulse::{Action, Event, Member, Pulse, Settings},
    stream::{MESSAGE_MAX, Stream},
};

use super::script::Script;

const ADA: NodeId = NodeId(1);
const BOB: NodeId = NodeId(2);
const CYN: NodeId = NodeId(3);
/// Whoever may speak: a node in one of its lives.
const SPEAKERS: [(NodeId, BootId); 4] =
    [(ADA, BootId(0xa1)), (ADA, BootId(0xa2)), (CYN, BootId(0xc1)), (BOB, BootId(0xb1))];
/// Most things that happen in one script.
const TURNS: usize = 400;

/// Obeys a script: any bytes as a datagram or a beat, a conversation on a bad network, or a stream.
pub(crate) fn frame(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    match script.byte() % 4 {
        0 => garbage(script.rest()),
        1 => conversation(script),
        2 => stream(script, false),
        _ => stream(script, true),
    }
}

fn key() -> ClusterKey {
    ClusterKey::new("web", [3; 32], 1)
}

fn garbage(bytes: &[u8]) {
    if let Some((_, acks)) = beat::read(bytes) {
        assert!(acks.count() <= beat::ENTRIES_MAX);
    }
    let peers = [ADA, BOB, CYN];
    let mut datagram = bytes.to_vec();
    if let Ok(opened) = Opener::new(&key(), BOB, &peers).open(0, &mut datagram) {
        // A fuzzer has seen sealed frames, and repeats one: it has to be that to the last bit.
        let counter = u64::from_le_bytes(bytes[32..40].try_into().expect("the header is longer"));
        let sealed =
            Sealer::new(&key(), peers[opened.peer], opened.boot).seal(opened.kind, counter, opened.body);
        assert_eq!(sealed.bytes(), bytes, "nobody sealed it");
    }
    let mut body = [0; BEAT_MAX];
    let beat = beat_of(&mut Script::new(bytes));
    let length = beat::write(&beat, std::iter::empty(), &mut body);
    let (again, acks) = beat::read(&body[..length]).expect("what is written is read");
    assert_eq!((again, acks.count()), (beat, 0));
}

fn number(script: &mut Script<'_>) -> u64 {
    // Small numbers meet, and the largest ones do not fit.
    match script.byte() {
        255 => u64::MAX,
        254 => u64::MAX / 2,
        253 => 1 << 32,
        small => u64::from(small),
    }
}

fn beat_of(script: &mut Script<'_>) -> Beat {
    Beat {
        sequence: number(script),
        session: SessionNumber(number(script) & u64::from(u32::MAX)),
        link: script.byte(),
        leads: script.byte() & 1 == 1,
        flags: script.byte(),
        term: Term(number(script)),
        follows: Some(u32::from(script.byte())).filter(|id| *id != 0).map(NodeId),
        log_term: Term(number(script)),
        log_index: LogIndex(number(script)),
        configuration: ConfigurationId(number(script)),
        promise: Duration::from_micros(number(script) & u64::from(u32::MAX)),
        digest: number(script),
        era: number(script),
        incarnation: number(script) as u32,
    }
}

fn ack_of(script: &mut Script<'_>, last: u64) -> Ack {
    let bits = script.byte();
    let bit = |place: u8| bits >> place & 1 == 1;
    Ack {
        node: NodeId(u32::from(script.byte() % 5)),
        boot: if bit(4) { beat::boot_tag(SPEAKERS[3].1) } else { u32::from(script.byte()) },
        session: u32::from(script.byte()),
        sequence: (last as u32).wrapping_sub(u32::from(script.byte())),
        heard: bit(0),
        both_ways: bit(1),
        deposed: bit(2),
        vouches: bit(3),
    }
}

/// What was sealed as what, and the datagram it became.
type Sealed = (Kind, Vec<u8>, Vec<u8>);

/// A node on a network on which somebody records, repeats and changes frames.
struct Scene {
    opener: Opener,
    pulse: Pulse,
    board: Board,
    now: Moment,
    /// What was sealed, by speaker and counter: no counter is used twice.
    sealed: BTreeMap<(usize, u64), Sealed>,
    /// How often each was opened while its boot was known to speak.
    opened: BTreeMap<(usize, u64), u32>,
    actions: Vec<Action>,
}

fn conversation(mut script: Script<'_>) {
    let members = [ADA, BOB, CYN].map(|id| Member { id, voter: true });
    let settings = Settings {
        me: BOB,
        members: members.to_vec(),
        links: 2,
        timing: Timing::of(Profile::Default),
        key: key(),
        digest: 1,
    };
    let now = Moment::both(Instant(1_000_000_000));
    let board = Board::default();
    board.begin(SPEAKERS[3].1, &[ADA, BOB, CYN], now);
    board.set_configuration(Voters { id: ConfigurationId(1), slots: 0b111, size: 3 });
    board.set_electors(board.configuration());
    let mut scene = Scene {
        opener: Opener::new(&key(), BOB, &[ADA, BOB, CYN]),
        pulse: Pulse::new(now, settings, &board),
        board,
        now,
        sealed: BTreeMap::new(),
        opened: BTreeMap::new(),
        actions: Vec::new(),
    };
    for _ in 0..TURNS {
        if script.is_over() {
            break;
        }
        scene.turn(&mut script);
    }
}

impl Scene {
    fn turn(&mut self, script: &mut Script<'_>) {
        let what = script.byte();
        match what % 8 {
            0 | 1 => {
                let which = self.seal(script);
                self.deliver_true(script, which);
            }
            2 => drop(self.seal(script)),
            3 | 4 => {
                if let Some(which) = self.recorded(script) {
                    self.deliver_true(script, which);
                }
            }
            5 | 6 => {
                if let Some(which) = self.recorded(script) {
                    self.deliver_changed(script, which);
                }
            }
            _ => {
                let wait = Duration::from_micros(script.below(1 << 16) as u64 * 10);
                self.now = self.now.after(wait);
                match script.byte() % 4 {
                    0 => self.opener.admit(script.below(3), SPEAKERS[script.below(4)].1),
                    1 => self.step(Event::Poke),
                    _ => self.step(Event::Wake),
                }
            }
        }
    }

    fn recorded(&self, script: &mut Script<'_>) -> Option<(usize, u64)> {
        let place = script.below(self.sealed.len().max(1));
        self.sealed.keys().nth(place).copied()
    }

    fn seal(&mut self, script: &mut Script<'_>) -> (usize, u64) {
        let speaker = script.below(SPEAKERS.len());
        let counter = if script.byte() == 0 { number(script) } else { script.below(1 << 12) as u64 };
        let (kind, body) = match script.byte() % 4 {
            0 => (Kind::Stream, script.bytes(BODY_MAX).to_vec()),
            1 => (Kind::Relay, script.bytes(BODY_MAX).to_vec()),
            2 => (Kind::Beat, script.bytes(BODY_MAX).to_vec()),
            _ => {
                let beat = beat_of(script);
                let last = self.board.last_beat();
                let acks: Vec<Ack> = (0..script.below(9)).map(|_| ack_of(script, last)).collect();
                let mut bytes = [0; BEAT_MAX];
                let length = beat::write(&beat, acks.into_iter(), &mut bytes);
                (Kind::Beat, bytes[..length].to_vec())
            }
        };
        let (node, boot) = SPEAKERS[speaker];
        self.sealed.entry((speaker, counter)).or_insert_with(|| {
            let datagram = Sealer::new(&key(), node, boot).seal(kind, counter, &body);
            (kind, body, datagram.bytes().to_vec())
        });
        (speaker, counter)
    }

    fn deliver_true(&mut self, script: &mut Script<'_>, which: (usize, u64)) {
        let (kind, body, datagram) = &self.sealed[&which];
        let (node, boot) = SPEAKERS[which.0];
        let link = script.below(2);
        if let Ok(opened) = self.opener.open(link, &mut datagram.clone()) {
            assert_eq!((opened.kind, opened.boot, opened.body), (*kind, boot, &body[..]));
            assert_eq!([ADA, BOB, CYN][opened.peer], node);
            if opened.admitted {
                let times = self.opened.entry(which).or_default();
                *times += 1;
                assert_eq!(*times, 1, "{which:?} was taken twice");
            } else {
                // It may be taken once more when its boot is known to speak: never more often.
                self.opened.remove(&which);
            }
        }
        self.step(Event::Datagram { link, bytes: &mut datagram.clone() });
    }

    fn deliver_changed(&mut self, script: &mut Script<'_>, which: (usize, u64)) {
        let datagram = &self.sealed[&which].2;
        let mut changed = datagram.clone();
        let at = script.below(changed.len());
        match script.byte() % 4 {
            0 => changed[at] ^= 1 << (script.byte() % 8),
            1 => changed.truncate(at),
            2 => changed.extend(script.bytes(64)),
            _ => {
                let bytes = script.bytes(32);
                let end = (at + bytes.len()).min(changed.len());
                changed[at..end].copy_from_slice(&bytes[..end - at]);
            }
        }
        if changed == *datagram {
            return;
        }
        assert!(self.opener.open(0, &mut changed.clone()).is_err(), "a changed frame was taken");
        let sum = |board: &Board| board.refusals().counts.iter().sum::<u64>();
        let before = sum(&self.board);
        self.step(Event::Datagram { link: script.below(2), bytes: &mut changed });
        assert_eq!(sum(&self.board), before + 1, "each refusal is counted once");
    }

    fn step(&mut self, event: Event<'_>) {
        self.actions.clear();
        self.pulse.step(self.now, &self.board, event, &mut self.actions);
        assert!(self.actions.len() <= 16, "{} actions", self.actions.len());
    }
}

/// Two cores over a network that loses, doubles and reorders; `lies` puts segments beside them that
/// nobody laid out.
fn stream(mut script: Script<'_>, lies: bool) {
    let mut ends = [1, 1].map(|id| Stream::new(id, Duration::from_millis(5)));
    let mut now = Moment::default();
    let mut wire: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut sent: [Vec<Vec<u8>>; 2] = Default::default();
    let mut got: [Vec<Vec<u8>>; 2] = Default::default();
    for _ in 0..TURNS {
        if script.is_over() {
            break;
        }
        let what = script.byte();
        let end = usize::from(what >> 7);
        match what % 8 {
            0 => {
                let message = script.bytes(64).repeat(1 + script.below(100));
                if ends[end].send(&message) {
                    sent[end].push(message);
                }
            }
            1 | 2 => {
                now = now.after(Duration::from_millis(u64::from(script.byte())));
                wire.extend(ends[end].poll(now).into_iter().map(|segment| (1 - end, segment)));
            }
            3 if lies => wire.push((end, script.bytes(200).to_vec())),
            4 if !wire.is_empty() => drop(wire.remove(script.below(wire.len()))),
            _ if wire.is_empty() => {}
            5 => {
                let (to, segment) = wire[script.below(wire.len())].clone();
                got[to].extend(ends[to].on_segment(&segment));
            }
            _ => {
                let (to, segment) = wire.swap_remove(script.below(wire.len()));
                got[to].extend(ends[to].on_segment(&segment));
            }
        }
        // What is under way is the network's, and bounded there.
        wire.truncate(1000);
    }
    for from in [0, 1] {
        let arrived = &got[1 - from];
        assert!(arrived.iter().all(|message| message.len() <= MESSAGE_MAX));
        assert!(lies || sent[from].starts_with(arrived), "in order, and each once");
    }
}
