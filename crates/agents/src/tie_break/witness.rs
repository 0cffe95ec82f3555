//! A value that a `heart witness` keeps.

use std::io::{Read as _, Write as _};

use heart_model::{TieBreakOrder, TieBreakOutcome};
use rustix::rand::{GetRandomFlags, getrandom};

use super::{
    Time,
    http::{Stream, plain},
    words::{self, Change, LENGTH, NONCE, WitnessKey},
};

/// Asks it once.
pub(super) fn carry_out(
    order: &TieBreakOrder,
    address: &str,
    key: &WitnessKey,
    time: &Time,
) -> Result<TieBreakOutcome, String> {
    let mut stream = Stream::connect(address, time)?;
    let mut nonce = [0; NONCE];
    stream.read_exact(&mut nonce).map_err(|error| {
        format!(
            "it let us in and said nothing ({}); see whether that is a `heart witness`, and its log",
            plain(&error)
        )
    })?;
    let mut own = [0; NONCE];
    let random = getrandom(&mut own, GetRandomFlags::empty());
    if random != Ok(NONCE) {
        return Err("the kernel of this node gives no random numbers; see its log".to_owned());
    }
    let change = Change { instead_of: order.instead_of.clone(), set: order.set.clone() };
    let question = words::write_question(key, &nonce, &own, &order.cluster, &change)?;
    let refused = |error: std::io::Error| {
        format!(
            "it did not answer ({}); see whether its folder of keys has the key of this cluster as {}.key, and its log",
            plain(&error),
            order.cluster
        )
    };
    stream.write_all(&question.bytes).map_err(refused)?;
    let mut length = [0; LENGTH];
    stream.read_exact(&mut length).map_err(refused)?;
    let garbled = || {
        "its answer does not prove that it knows the key of this cluster; it counts for nothing. See whether that is \
         the right machine, and who is on the way there"
            .to_owned()
    };
    let mut answer = vec![0; words::read_length(length).ok_or_else(garbled)?];
    stream.read_exact(&mut answer).map_err(refused)?;
    match words::read_answer(key, &nonce, &question.tag, &answer).ok_or_else(garbled)? {
        TieBreakOutcome::Failed { message } => Err(message),
        known => Ok(known),
    }
}
