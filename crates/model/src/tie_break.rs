//! A tie-break: one small value somewhere else, which decides which of two halves goes on.
//!
//! It says who may go on from which history, and is changed only by comparing and setting it in one step: of two
//! halves that both want to go on one finds what it expects, and the other finds what the first one left
//! (SAFETY rule 19).

use alloc::{string::String, vec::Vec};
use core::fmt;
use serde::{Deserialize, Serialize};

use crate::{Duration, NodeName};

/// Where the value is, as the file says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TieBreakSpec {
    /// What keeps it.
    pub place: TieBreakPlace,
    /// How long one look or one change may take.
    pub timeout: Duration,
}

/// What keeps the value of a tie-break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TieBreakPlace {
    /// A `heart witness`: its host and port.
    Witness {
        /// Such as `10.9.0.1:6940`.
        address: String,
    },
    /// Files on a file system that both sides reach and that has hard links, such as NFS.
    File {
        /// Their path, without the number that each has: `/mnt/nfs/heart/web` for `web.17` in that folder.
        path: String,
    },
    /// A disk that both sides reach, prepared with `heart disk format`.
    Disk {
        /// Its device file, such as `/dev/disk/by-id/wwn-0x5000c500a0b1c2d3`.
        device: String,
    },
    /// An object in a store that writes on a condition (`If-Match`), such as S3 and what is like it.
    Object {
        /// `http://HOST[:PORT]/BUCKET/KEY`.
        url: String,
        /// The name under which requests are signed, if they are.
        access_key: Option<String>,
        /// The file with the secret that belongs to it.
        secret_file: Option<String>,
        /// The region that is signed for.
        region: String,
    },
    /// A key in etcd, through its JSON gateway.
    Etcd {
        /// `http://HOST:PORT` of its members; the first that answers is asked.
        endpoints: Vec<String>,
        /// The key.
        key: String,
    },
}

impl fmt::Display for TieBreakPlace {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TieBreakPlace::Witness { address } => write!(to, "the witness at {address}"),
            TieBreakPlace::File { path } => write!(to, "the file {path}"),
            TieBreakPlace::Disk { device } => write!(to, "the disk {device}"),
            TieBreakPlace::Object { url, .. } => write!(to, "the object {url}"),
            TieBreakPlace::Etcd { endpoints, key } => {
                write!(to, "the key {key} in etcd at {}", endpoints.join(", "))
            }
        }
    }
}

/// The value of a tie-break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Which history.
    pub era: u64,
    /// The history that it goes on from, as long as nothing else was agreed on in it.
    pub parent: Option<u64>,
    /// The term of the leader that set it: what a leader before meant to set is not what a later one did.
    pub term: u64,
    /// Which configuration of its voters.
    pub configuration: u64,
    /// Its voters: any half of them may go on. Nobody may if there are none.
    pub named: Vec<NodeName>,
}

/// Compare and set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TieBreakOrder {
    /// Names the order in its report. Told again, an order is carried out again.
    pub number: u64,
    /// Where the value is.
    pub spec: TieBreakSpec,
    /// The cluster whose value it is.
    pub cluster: String,
    /// What has to stand there; nothing, if it was never set.
    pub instead_of: Option<Standing>,
    /// What is to stand there.
    pub set: Standing,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TieBreakReport {
    /// Which order.
    pub number: u64,
    /// What came of it.
    pub outcome: TieBreakOutcome,
}

/// What stands there after an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TieBreakOutcome {
    /// What was to be set: just now, or before, by the same order or one like it.
    Set,
    /// Something else than had to stand there; nothing was changed.
    Other(Option<Standing>),
    /// Nobody knows: it was not reached, or did not answer; what was tried and found.
    Failed {
        /// For people.
        message: String,
    },
}

impl TieBreakOutcome {
    /// What comparing and setting comes to if `stands` is what stands there; nothing if `set` may be put in its place.
    #[must_use]
    pub fn compared(
        instead_of: Option<&Standing>,
        set: &Standing,
        stands: Option<&Standing>,
    ) -> Option<TieBreakOutcome> {
        if stands == Some(set) {
            Some(TieBreakOutcome::Set)
        } else if stands == instead_of {
            None
        } else {
            Some(TieBreakOutcome::Other(stands.cloned()))
        }
    }
}
