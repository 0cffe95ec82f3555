//! Losing frames on their way through the switches.
//!
//! The rules are loaded once: one map from (port in, port out) to a verdict, and one chain for
//! every percentage. After that a fault is a new content of the map, sent as one transaction, so
//! that a partition cuts all its paths in the same instant.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use rustix::net::netlink;

use super::{Message, NLM_F_CREATE, Netlink};
use crate::faults::Loss;

const TABLE: &str = "lab";
const MAP: &str = "faults";
const SUBSYSTEM: u16 = 10;
const NFPROTO_BRIDGE: u8 = 7;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_ELEMENTS: u16 = SUBSYSTEM << 8 | 12;
const DELETE_ELEMENTS: u16 = SUBSYSTEM << 8 | 14;
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const LIST_ELEMENT: u16 = 1;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;
const DROP: i32 = 0;
const JUMP: i32 = -3;
/// Interface names are padded to this length in keys.
const NAME: usize = 16;
/// Most paths in one message; an attribute's length has sixteen bits.
const ELEMENTS_IN_MESSAGE: usize = 256;

/// The rules of one network namespace.
pub(crate) struct Rules(Netlink);

impl Rules {
    /// Loads the rules, in the network namespace that this process is in.
    pub(crate) fn load() -> Result<Rules> {
        let mut child = Command::new("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start `nft`: install nftables")?;
        child.stdin.take().context("nft without standard input")?.write_all(ruleset().as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("nft refuses the lab's rules: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(Rules(Netlink::open(Some(netlink::NETFILTER))?))
    }

    /// Makes these the only losses, all at the same instant.
    pub(crate) fn set(&mut self, losses: &[Loss]) -> io::Result<()> {
        let batch = |kind| Message::unacknowledged(kind).raw(&[0, 0, 0, SUBSYSTEM as u8]);
        let mut messages = vec![batch(BATCH_BEGIN), list(DELETE_ELEMENTS, 0)];
        for part in losses.chunks(ELEMENTS_IN_MESSAGE) {
            let elements = |mut m: Message| {
                for loss in part {
                    m = m.nest(LIST_ELEMENT, |m| element(m, loss));
                }
                m
            };
            messages.push(list(NEW_ELEMENTS, NLM_F_CREATE).nest(LIST_ELEMENTS, elements));
        }
        messages.push(batch(BATCH_END));
        self.0.request(&messages)
    }
}

fn list(kind: u16, flags: u16) -> Message {
    Message::new(kind, flags).raw(&[NFPROTO_BRIDGE, 0, 0, 0]).text(LIST_TABLE, TABLE).text(LIST_SET, MAP)
}

fn element(message: Message, loss: &Loss) -> Message {
    let mut key = [0; 2 * NAME];
    key[..loss.port_in.len()].copy_from_slice(loss.port_in.as_bytes());
    key[NAME..NAME + loss.port_out.len()].copy_from_slice(loss.port_out.as_bytes());
    let verdict = |m: Message| {
        if loss.percent >= 100 {
            m.attribute(VERDICT_CODE, &DROP.to_be_bytes())
        } else {
            m.attribute(VERDICT_CODE, &JUMP.to_be_bytes()).text(VERDICT_CHAIN, &chain(loss.percent))
        }
    };
    message
        .nest(ELEMENT_KEY, |m| m.attribute(DATA_VALUE, &key))
        .nest(ELEMENT_DATA, |m| m.nest(DATA_VERDICT, verdict))
}

fn chain(percent: u8) -> String {
    format!("lose{percent}")
}

fn ruleset() -> String {
    let mut text = format!("table bridge {TABLE} {{\n");
    for percent in 1..100 {
        let _ = writeln!(text, "chain {} {{ numgen random mod 100 < {percent} drop; }}", chain(percent));
    }
    let _ = writeln!(text, "map {MAP} {{ type ifname . ifname : verdict; }}");
    text += "chain forward { type filter hook forward priority 0; iifname . oifname vmap @faults; }\n}\n";
    text
}
