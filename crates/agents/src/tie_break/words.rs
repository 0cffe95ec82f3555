//! What is said between a node and a `heart witness`, as bytes; nothing here reads or writes a socket.
//!
//! One connection, one question. All lengths are big-endian.
//!
//! ```text
//! witness → node   nonce:16
//! node → witness   length:u32  [ nonce:16  length:u8  cluster…  change (JSON)…  tag:32 ]
//! witness → node   length:u32  [ outcome (JSON)…  tag:32 ]
//! ```
//!
//! Tags are HMAC-SHA-256 under a key that is derived from the cluster's: of a question over the witness's nonce,
//! the word `question` and all that stands before the tag; of an answer over the same nonce, the word `answer`,
//! the tag of the question and the outcome. So a question cannot be asked again by somebody who recorded it, and
//! an answer belongs to one question: the node's own nonce is in that. Nothing is secret but the keys.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fmt;

use heart_model::{NAME_MAX, Standing, TieBreakOutcome};

/// How many bytes a nonce has.
pub const NONCE: usize = 16;
/// How many bytes a tag has.
pub const TAG: usize = 32;
/// How many bytes stand before a message and say how long it is.
pub const LENGTH: usize = 4;
/// Longest message, in bytes, without its length.
pub const MESSAGE_MAX: usize = 8 * 1024;

/// Proves to a witness that somebody belongs to a cluster; derived from the cluster's key, which it does not
/// reveal. It is never printed.
#[derive(Clone)]
pub struct WitnessKey([u8; TAG]);

impl fmt::Debug for WitnessKey {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("WitnessKey(…)")
    }
}

impl WitnessKey {
    /// Derives it from the key of a cluster.
    #[must_use]
    pub fn derive(cluster: &[u8; 32]) -> WitnessKey {
        WitnessKey(hmac_sha256(cluster, &[b"heart witness 1"]))
    }
}

/// HMAC-SHA-256 over parts, one behind the other.
pub(super) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; TAG] {
    mac(key, parts).finalize().into_bytes().into()
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of HMAC may have any length");
    parts.iter().for_each(|part| mac.update(part));
    mac
}

/// What a node wants changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// What has to stand there.
    pub instead_of: Option<Standing>,
    /// What is to stand there.
    pub set: Standing,
}

/// A question that was written: what is sent, and what its answer has to go with.
#[derive(Clone, Debug)]
pub struct Written {
    /// All of it, with its length.
    pub bytes: Vec<u8>,
    /// Its tag.
    pub tag: [u8; TAG],
}

/// Writes a question; `nonce` is the witness's, `own` one of the node that was never used before.
///
/// # Errors
/// When it would be longer than [`MESSAGE_MAX`], or the name of the cluster is none; what, for people.
pub fn write_question(
    key: &WitnessKey,
    nonce: &[u8; NONCE],
    own: &[u8; NONCE],
    cluster: &str,
    change: &Change,
) -> Result<Written, String> {
    let name = u8::try_from(cluster.len()).ok().filter(|&length| (1..=NAME_MAX).contains(&length.into()));
    let name = name.ok_or_else(|| format!("`{cluster}` is no name of a cluster"))?;
    let mut message = [own, &[name][..], cluster.as_bytes()].concat();
    serde_json::to_writer(&mut message, change)
        .map_err(|error| format!("the change cannot be written: {error}"))?;
    let tag = hmac_sha256(&key.0, &[nonce, b"question", &message]);
    message.extend_from_slice(&tag);
    Ok(Written { bytes: with_length(&message)?, tag })
}

/// A question as it came, of which nothing is proven yet.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Whose value it is about, as it says.
    pub cluster: &'a str,
    /// What stands before the tag.
    message: &'a [u8],
    change: &'a [u8],
    tag: &'a [u8; TAG],
}

impl<'a> Question<'a> {
    /// Takes a message, without its length, apart; nothing if it is no question.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Question<'a>> {
        let (message, tag) = bytes.split_last_chunk::<TAG>()?;
        let (&length, rest) = message.get(NONCE..)?.split_first()?;
        let (cluster, change) = rest.split_at_checked(length.into())?;
        Some(Question { cluster: str::from_utf8(cluster).ok()?, message, change, tag })
    }

    /// Its tag.
    #[must_use]
    pub fn tag(&self) -> [u8; TAG] {
        *self.tag
    }

    /// What it wants changed; nothing unless its writer knows the key and answered this nonce.
    #[must_use]
    pub fn open(&self, key: &WitnessKey, nonce: &[u8; NONCE]) -> Option<Change> {
        mac(&key.0, &[nonce, b"question", self.message]).verify_slice(self.tag).ok()?;
        serde_json::from_slice(self.change).ok()
    }
}

/// Writes the answer to the question with this tag, with its length.
///
/// # Errors
/// When it would be longer than [`MESSAGE_MAX`]; for people.
pub fn write_answer(
    key: &WitnessKey,
    nonce: &[u8; NONCE],
    question: &[u8; TAG],
    outcome: &TieBreakOutcome,
) -> Result<Vec<u8>, String> {
    let mut message =
        serde_json::to_vec(outcome).map_err(|error| format!("the answer cannot be written: {error}"))?;
    let tag = hmac_sha256(&key.0, &[nonce, b"answer", question, &message]);
    message.extend_from_slice(&tag);
    with_length(&message)
}

/// Reads an answer, without its length; nothing unless it is a witness's with this key, to this question.
#[must_use]
pub fn read_answer(
    key: &WitnessKey,
    nonce: &[u8; NONCE],
    question: &[u8; TAG],
    bytes: &[u8],
) -> Option<TieBreakOutcome> {
    let (outcome, tag) = bytes.split_last_chunk::<TAG>()?;
    mac(&key.0, &[nonce, b"answer", question, outcome]).verify_slice(tag).ok()?;
    serde_json::from_slice(outcome).ok()
}

/// How long the message is that these bytes stand before; nothing if it may not be that long.
#[must_use]
pub fn read_length(bytes: [u8; LENGTH]) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(bytes)).ok().filter(|&length| length <= MESSAGE_MAX)
}

fn with_length(message: &[u8]) -> Result<Vec<u8>, String> {
    let length = u32::try_from(message.len()).ok().filter(|_| message.len() <= MESSAGE_MAX);
    let length = length
        .ok_or_else(|| format!("the message has {} bytes, and may have {MESSAGE_MAX}", message.len()))?;
    Ok([&length.to_be_bytes()[..], message].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE_OF_WITNESS: [u8; NONCE] = [7; NONCE];
    const NONCE_OF_NODE: [u8; NONCE] = [9; NONCE];

    fn key(byte: u8) -> WitnessKey {
        WitnessKey::derive(&[byte; 32])
    }

    fn change() -> Change {
        let set = Standing { era: 2, parent: Some(1), term: 1, configuration: 3, named: Vec::new() };
        Change { instead_of: None, set }
    }

    fn question() -> Written {
        write_question(&key(1), &NONCE_OF_WITNESS, &NONCE_OF_NODE, "web", &change()).unwrap()
    }

    #[test]
    fn a_question_is_read_as_it_was_written() {
        let written = question();
        let (length, message) = written.bytes.split_first_chunk().unwrap();
        assert_eq!(read_length(*length), Some(message.len()));
        let read = Question::read(message).unwrap();
        assert_eq!((read.cluster, read.tag()), ("web", written.tag));
        assert_eq!(read.open(&key(1), &NONCE_OF_WITNESS), Some(change()));
        assert_eq!(read.open(&key(2), &NONCE_OF_WITNESS), None, "another key");
        assert_eq!(read.open(&key(1), &[8; NONCE]), None, "it was recorded on another connection");
    }

    #[test]
    fn no_byte_of_a_question_can_be_changed_or_left_out() {
        let written = question();
        let message = &written.bytes[LENGTH..];
        let opens = |bytes: &[u8]| Question::read(bytes)?.open(&key(1), &NONCE_OF_WITNESS);
        for at in 0..message.len() {
            let mut changed = message.to_vec();
            changed[at] ^= 1;
            assert_eq!(opens(&changed), None, "byte {at}");
            assert_eq!(opens(&message[..at]), None, "the first {at} bytes");
        }
    }

    #[test]
    fn an_answer_belongs_to_one_question() {
        let (key, nonce) = (key(1), NONCE_OF_WITNESS);
        let asked = question().tag;
        let answer = write_answer(&key, &nonce, &asked, &TieBreakOutcome::Set).unwrap();
        let message = &answer[LENGTH..];
        assert_eq!(read_answer(&key, &nonce, &asked, message), Some(TieBreakOutcome::Set));
        // The same question again, to somebody who recorded the witness: only the node's nonce is new.
        let again = write_question(&key, &nonce, &[10; NONCE], "web", &change()).unwrap().tag;
        assert_eq!(read_answer(&key, &nonce, &again, message), None);
        for at in 0..message.len() {
            let mut changed = message.to_vec();
            changed[at] ^= 1;
            assert_eq!(read_answer(&key, &nonce, &asked, &changed), None, "byte {at}");
        }
    }

    #[test]
    fn what_is_too_long_is_refused_on_both_sides() {
        let long = TieBreakOutcome::Failed { message: "x".repeat(MESSAGE_MAX) };
        assert!(write_answer(&key(1), &NONCE_OF_WITNESS, &[0; TAG], &long).is_err());
        let length = |bytes: usize| read_length(u32::try_from(bytes).unwrap().to_be_bytes());
        assert_eq!(length(MESSAGE_MAX), Some(MESSAGE_MAX));
        assert_eq!(length(MESSAGE_MAX + 1), None);
        assert!(write_question(&key(1), &[0; NONCE], &[0; NONCE], "", &change()).is_err());
    }

    #[test]
    fn the_key_is_not_printed() {
        assert_eq!(format!("{:?}", key(1)), "WitnessKey(…)");
    }
}
