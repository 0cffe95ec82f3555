//! Sealed datagrams.
//!
//! Every frame is sealed with AES-256-GCM under a key that belongs to one boot of one sender:
//! HKDF-SHA-256 (RFC 5869) of the cluster's key, the key's number, the sender and the boot. The
//! nonce is a counter that is used once in that boot, so no nonce is ever used twice.
//!
//! Layout, integers little-endian: magic `HRT1`, version, kind, key number, zero (4+1+1+1+1);
//! cluster tag (4); sender (4); boot (16); counter (8); then the sealed body and its tag (16). The
//! header is authenticated with the body.
//!
//! A frame that does not open changes nothing but a count. Freshness of a *boot* is not decided
//! here: a boot is a candidate until the pulse has proof that it speaks now; see [`Opener::admit`].

use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce, Tag,
    aead::{AeadInOut, inout::InOutBuf},
};
use heart_model::{BootId, LINKS_MAX, NodeId};
use hkdf::Hkdf;
use sha2::Sha256;

/// Longest datagram, in bytes: fits an Ethernet frame under IPv6 and UDP with room for tunnels.
pub const DATAGRAM_MAX: usize = 1400;
/// Length of the header, in bytes.
pub const HEADER: usize = 40;
/// Length of the seal, in bytes.
pub const SEAL: usize = 16;
/// Longest body, in bytes.
pub const BODY_MAX: usize = DATAGRAM_MAX - HEADER - SEAL;
/// Version of the frame's layout.
pub const VERSION: u8 = 1;
/// The first bytes of every frame.
pub const MAGIC: [u8; 4] = *b"HRT1";
/// How far behind the newest counter a frame may be, in frames (RFC 4303, 3.4.3, sliding window).
pub const WINDOW: u64 = 1024;

/// Boots of one peer that may claim to speak at a time; beyond, the one is forgotten that was silent
/// for longest.
pub const CANDIDATES_MAX: usize = 4;
/// Boots of one peer that are remembered as over.
const OVER_MAX: usize = 8;
const WORDS: usize = (WINDOW / 64) as usize;

/// A datagram with its room, so that nothing is allocated on the way.
#[derive(Clone)]
pub struct Datagram {
    bytes: [u8; DATAGRAM_MAX],
    length: usize,
}

impl Default for Datagram {
    fn default() -> Datagram {
        Datagram { bytes: [0; DATAGRAM_MAX], length: 0 }
    }
}

impl ::core::fmt::Debug for Datagram {
    fn fmt(&self, to: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        write!(to, "{} bytes", self.length)
    }
}

impl Datagram {
    /// A copy of `bytes`; `None` if they are more than a datagram holds.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Option<Datagram> {
        let mut datagram = Datagram::default();
        datagram.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        datagram.length = bytes.len();
        Some(datagram)
    }

    /// The bytes that count.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The bytes that count, to change them.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A heartbeat; see [`crate::beat`].
    Beat,
    /// A piece of the ordered stream between two cores; see [`crate::stream`].
    Stream,
    /// A whole frame for somebody else, passed on one hop (SAFETY rule 14).
    Relay,
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Kind::Beat => 1,
            Kind::Stream => 2,
            Kind::Relay => 3,
        }
    }

    fn of(number: u8) -> Option<Kind> {
        [Kind::Beat, Kind::Stream, Kind::Relay].into_iter().find(|kind| kind.number() == number)
    }
}

/// Why a datagram was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// Too short for a frame, or something else.
    NotAFrame,
    /// Longer than any frame.
    TooLong,
    /// Of another cluster.
    OtherCluster,
    /// Of a version, kind or content that we do not speak.
    Unknown,
    /// From somebody who is no node of this cluster.
    Stranger,
    /// Our own, come back: a broadcast does that, and so may a stranger.
    Own,
    /// The counter was seen before, or is too old to know.
    Replayed,
    /// The same frame came over another link before: what is sent over all links is taken once.
    Copy,
    /// The seal does not fit: another key, or changed on the way. It names the peer in this place.
    Forged(usize),
    /// The boot it speaks for is over, or did not prove yet that it speaks now.
    OldBoot,
}

impl Rejected {
    /// How many kinds there are, whoever a forgery names.
    pub const KINDS: usize = 10;

    /// The place of this kind in a list of counts.
    #[must_use]
    pub fn place(self) -> usize {
        match self {
            Rejected::NotAFrame => 0,
            Rejected::TooLong => 1,
            Rejected::OtherCluster => 2,
            Rejected::Unknown => 3,
            Rejected::Stranger => 4,
            Rejected::Replayed => 5,
            Rejected::Copy => 6,
            Rejected::Forged(_) => 7,
            Rejected::OldBoot => 8,
            Rejected::Own => 9,
        }
    }
}

/// The cluster's secret, and the tag that its frames carry in the clear.
#[derive(Clone)]
pub struct ClusterKey {
    secret: [u8; 32],
    number: u8,
    cluster: u32,
}

impl ::core::fmt::Debug for ClusterKey {
    fn fmt(&self, to: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        write!(to, "key {} of cluster {:08x}", self.number, self.cluster)
    }
}

impl ClusterKey {
    /// The key number `number` of the cluster called `name`.
    #[must_use]
    pub fn new(name: &str, secret: [u8; 32], number: u8) -> ClusterKey {
        ClusterKey { secret, number, cluster: cluster_tag(name) }
    }

    fn cipher(&self, sender: NodeId, boot: BootId) -> Aes256Gcm {
        let mut info = [0; 32];
        info[..11].copy_from_slice(b"heart frame");
        info[11] = self.number;
        info[12..16].copy_from_slice(&sender.0.to_le_bytes());
        info[16..].copy_from_slice(&boot.0.to_le_bytes());
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(None, &self.secret)
            .expand(&info, &mut key)
            .expect("32 bytes are less than 255 blocks of SHA-256");
        Aes256Gcm::new(&key.into())
    }
}

/// The tag that frames of the cluster called `name` carry, so that clusters on one network do not
/// count each other's frames as forged.
#[must_use]
pub fn cluster_tag(name: &str) -> u32 {
    crc32fast::hash(name.as_bytes())
}

/// Seals the frames of one boot of this node.
pub struct Sealer {
    key: ClusterKey,
    sender: NodeId,
    boot: BootId,
    cipher: Aes256Gcm,
}

impl ::core::fmt::Debug for Sealer {
    fn fmt(&self, to: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        write!(to, "seals for {:?}, {:?}", self.sender, self.boot)
    }
}

impl Sealer {
    /// Seals for `boot` of `sender`.
    #[must_use]
    pub fn new(key: &ClusterKey, sender: NodeId, boot: BootId) -> Sealer {
        Sealer { key: key.clone(), sender, boot, cipher: key.cipher(sender, boot) }
    }

    /// Seals `body` as frame number `counter`, which no other frame of this boot has.
    ///
    /// # Panics
    /// When the body is longer than [`BODY_MAX`].
    #[must_use]
    pub fn seal(&self, kind: Kind, counter: u64, body: &[u8]) -> Datagram {
        assert!(body.len() <= BODY_MAX, "a body of {} bytes does not fit a frame", body.len());
        let mut datagram = Datagram { bytes: [0; DATAGRAM_MAX], length: HEADER + body.len() + SEAL };
        let (header, rest) = datagram.bytes[..HEADER + body.len() + SEAL].split_at_mut(HEADER);
        header[..4].copy_from_slice(&MAGIC);
        header[4] = VERSION;
        header[5] = kind.number();
        header[6] = self.key.number;
        header[8..12].copy_from_slice(&self.key.cluster.to_le_bytes());
        header[12..16].copy_from_slice(&self.sender.0.to_le_bytes());
        header[16..32].copy_from_slice(&self.boot.0.to_le_bytes());
        header[32..40].copy_from_slice(&counter.to_le_bytes());
        let (text, seal) = rest.split_at_mut(body.len());
        text.copy_from_slice(body);
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce(counter), header, InOutBuf::from(text))
            .expect("a frame is far shorter than what AES-GCM can seal");
        seal.copy_from_slice(&tag);
        datagram
    }
}

fn nonce(counter: u64) -> Nonce<aes_gcm::aead::consts::U12> {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&counter.to_le_bytes());
    nonce.into()
}

/// Which counters of one boot were seen.
#[derive(Clone, Debug)]
struct Window {
    newest: u64,
    /// Counters at or below it were never taken and never will be.
    floor: u64,
    seen: [u64; WORDS],
    /// Over which links each was seen.
    over: [[u64; WORDS]; LINKS_MAX],
}

impl Window {
    fn new(floor: u64) -> Window {
        Window { newest: floor, floor, seen: [0; WORDS], over: [[0; WORDS]; LINKS_MAX] }
    }

    fn bit(counter: u64) -> (usize, u64) {
        let place = counter % WINDOW;
        ((place / 64) as usize, 1 << (place % 64))
    }

    fn is_fresh(&self, counter: u64) -> bool {
        let (word, bit) = Window::bit(counter);
        counter > self.newest
            || (counter > self.floor
                && counter.saturating_add(WINDOW) > self.newest
                && self.seen[word] & bit == 0)
    }

    fn mark(&mut self, counter: u64, link: usize) {
        if counter > self.newest {
            let passed = (counter - self.newest).min(WINDOW);
            for step in 1..=passed {
                let (word, bit) = Window::bit(self.newest + step);
                self.seen[word] &= !bit;
                self.over.iter_mut().for_each(|over| over[word] &= !bit);
            }
            self.newest = counter;
        }
        let (word, bit) = Window::bit(counter);
        self.seen[word] |= bit;
        self.over[link][word] |= bit;
    }

    /// What a frame is that is not fresh: the first over its link is the copy that every link carries,
    /// unless it is too old to know.
    fn stale(&mut self, counter: u64, link: usize) -> Rejected {
        let (word, bit) = Window::bit(counter);
        let known = counter.saturating_add(WINDOW) > self.newest && self.seen[word] & bit != 0;
        if !known || self.over[link][word] & bit != 0 {
            return Rejected::Replayed;
        }
        self.over[link][word] |= bit;
        Rejected::Copy
    }
}

struct Speaker {
    boot: BootId,
    cipher: Aes256Gcm,
    window: Window,
}

struct Peer {
    id: NodeId,
    /// The boot that is known to speak now.
    current: Option<Speaker>,
    /// Boots that claim to speak, without proof yet, the one that spoke last first. There is room for
    /// several, so that recordings of old boots do not push out the one that is about to prove itself.
    candidates: [Option<Speaker>; CANDIDATES_MAX],
    /// Boots that were known to speak and are over: nothing of theirs is looked at again.
    over: [Option<BootId>; OVER_MAX],
}

impl Peer {
    fn speaker(&mut self, boot: BootId) -> Option<&mut Speaker> {
        if self.current.as_ref().is_some_and(|speaker| speaker.boot == boot) {
            return self.current.as_mut();
        }
        self.candidates.iter_mut().flatten().find(|speaker| speaker.boot == boot)
    }

    /// Puts the candidate `boot` first.
    fn spoke(&mut self, boot: BootId) {
        let is_it = |speaker: &Option<Speaker>| speaker.as_ref().is_some_and(|speaker| speaker.boot == boot);
        if let Some(place) = self.candidates.iter().position(is_it) {
            self.candidates[..=place].rotate_right(1);
        }
    }
}

/// A frame that was sealed with the cluster's key.
#[derive(Debug)]
pub struct Opened<'a> {
    /// What it carries.
    pub kind: Kind,
    /// Who sealed it: a place in the list of peers that the opener was made with.
    pub peer: usize,
    /// The life of the sender.
    pub boot: BootId,
    /// Whether that boot is known to speak now.
    pub admitted: bool,
    /// What it carries.
    pub body: &'a [u8],
}

/// What the header of a frame says, before anybody believes it.
struct Claimed {
    place: usize,
    boot: BootId,
    counter: u64,
    link: usize,
}

/// Opens the frames of all peers.
pub struct Opener {
    key: ClusterKey,
    me: NodeId,
    peers: Vec<Peer>,
}

impl ::core::fmt::Debug for Opener {
    fn fmt(&self, to: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        write!(to, "opens for {} peers", self.peers.len())
    }
}

impl Opener {
    /// Opens frames of these peers for `me`, who may be among them; nobody of them was heard yet.
    #[must_use]
    pub fn new(key: &ClusterKey, me: NodeId, peers: &[NodeId]) -> Opener {
        let peer = |&id| Peer {
            id,
            current: None,
            candidates: [const { None }; CANDIDATES_MAX],
            over: [None; OVER_MAX],
        };
        Opener { key: key.clone(), me, peers: peers.iter().map(peer).collect() }
    }

    /// Opens a datagram in place, which came in over `link`. What is cheap is looked at first: most
    /// of what strangers send costs no more than that.
    ///
    /// # Errors
    /// Why it is not taken. Nothing that counts changed then.
    ///
    /// # Panics
    /// When there is no such link.
    pub fn open<'a>(&mut self, link: usize, bytes: &'a mut [u8]) -> Result<Opened<'a>, Rejected> {
        assert!(link < LINKS_MAX, "links are counted up to {LINKS_MAX}");
        if bytes.len() < HEADER + SEAL || bytes[..4] != MAGIC {
            return Err(Rejected::NotAFrame);
        }
        if bytes.len() > DATAGRAM_MAX {
            return Err(Rejected::TooLong);
        }
        let (header, rest) = bytes.split_at_mut(HEADER);
        if header[8..12] != self.key.cluster.to_le_bytes() {
            return Err(Rejected::OtherCluster);
        }
        let kind = Kind::of(header[5]).filter(|_| header[4] == VERSION && header[6] == self.key.number);
        let kind = kind.ok_or(Rejected::Unknown)?;
        let sender = NodeId(u32::from_le_bytes(field(header, 12)));
        if sender == self.me {
            return Err(Rejected::Own);
        }
        let boot = BootId(u128::from_le_bytes(field(header, 16)));
        let counter = u64::from_le_bytes(field(header, 32));
        let place = self.peers.iter().position(|peer| peer.id == sender).ok_or(Rejected::Stranger)?;
        let (body, seal) = rest.split_at_mut(rest.len() - SEAL);
        let claimed = Claimed { place, boot, counter, link };
        let admitted = self.unseal(&claimed, header, body, field(seal, 0))?;
        Ok(Opened { kind, peer: place, boot, admitted, body })
    }

    fn unseal(
        &mut self,
        claimed: &Claimed,
        header: &[u8],
        body: &mut [u8],
        seal: [u8; SEAL],
    ) -> Result<bool, Rejected> {
        let &Claimed { place, boot, counter, link } = claimed;
        let peer = &mut self.peers[place];
        let check = |cipher: &Aes256Gcm, body: &mut [u8]| {
            cipher
                .decrypt_inout_detached(&nonce(counter), header, InOutBuf::from(body), &Tag::from(seal))
                .map_err(|_| Rejected::Forged(place))
        };
        if let Some(speaker) = peer.speaker(boot) {
            if !speaker.window.is_fresh(counter) {
                return Err(speaker.window.stale(counter, link));
            }
            check(&speaker.cipher, body)?;
            speaker.window.mark(counter, link);
        } else {
            if peer.over.contains(&Some(boot)) {
                return Err(Rejected::OldBoot);
            }
            let cipher = self.key.cipher(peer.id, boot);
            check(&cipher, body)?;
            let mut window = Window::new(counter.saturating_sub(1));
            window.mark(counter, link);
            peer.candidates[CANDIDATES_MAX - 1] = Some(Speaker { boot, cipher, window });
        }
        peer.spoke(boot);
        Ok(peer.current.as_ref().is_some_and(|speaker| speaker.boot == boot))
    }

    /// The boot of this peer that is known to speak now.
    #[must_use]
    pub fn admitted(&self, peer: usize) -> Option<BootId> {
        self.peers[peer].current.as_ref().map(|speaker| speaker.boot)
    }

    /// Takes the candidate `boot` of this peer for the one that speaks now. What counts is a proof
    /// that it speaks now: it answered something that we said after it first spoke.
    pub fn admit(&mut self, peer: usize, boot: BootId) {
        let peer = &mut self.peers[peer];
        let is_it = |speaker: &Option<Speaker>| speaker.as_ref().is_some_and(|speaker| speaker.boot == boot);
        let Some(place) = peer.candidates.iter().position(is_it) else { return };
        if let Some(before) = &peer.current {
            peer.over.rotate_right(1);
            peer.over[0] = Some(before.boot);
        }
        peer.current = peer.candidates[place].take();
        peer.candidates[place..].rotate_left(1);
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the length was checked")
}
