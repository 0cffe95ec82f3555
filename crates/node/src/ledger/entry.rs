//! What one entry of the log says, and its form.

use heart_model::{
    Activity, BootId, Ended, Epoch, FenceOutcome, Intent, NodeName, OffOrder, Reason, ResourceName, Session,
    Spec,
};
use serde::{Deserialize, Serialize};

use super::Forced;

/// Version of the entries that this code writes.
pub const VERSION: u16 = 1;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Version of its form.
    pub v: u16,
    /// When the leader wrote it, by its own wall clock, in milliseconds since 1970. For people.
    pub at: u64,
    /// What it changes.
    pub change: Change,
}

/// A grant that an entry gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewGrant {
    /// Of what.
    pub resource: ResourceName,
    /// To whom.
    pub node: NodeName,
    /// In which of its sessions.
    pub session: Session,
    /// Under which epoch: one more than the last.
    pub epoch: Epoch,
    /// Why it goes there from where it ran, where nothing else in the log says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<Reason>,
}

/// What an entry changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A history begins.
    Found {
        /// Its number, drawn by its first leader.
        era: u64,
        /// Voters that it began without, by the word of a person.
        #[serde(default)]
        without: Vec<NodeName>,
    },
    /// The configuration is this from now on.
    Configure {
        /// The digest of the file it was read from.
        digest: u64,
        /// What it says.
        spec: Box<Spec>,
    },
    /// A session of a node may be given grants. Whatever an earlier one held is over: a node
    /// begins a session only after it let everything go, and a boot only after the last one.
    Admit {
        /// Whose.
        node: NodeName,
        /// Which.
        session: Session,
    },
    /// A node has let everything go and leaves: nobody waits for it, and nobody has to switch it off.
    Leave {
        /// Which.
        node: NodeName,
        /// The session that is over.
        session: Session,
    },
    /// A node that was taken over has let go of all that it held in this session: it is heard in a later one, and may not
    /// hear the others.
    LetGo {
        /// Which.
        node: NodeName,
        /// The session that is over.
        session: Session,
    },
    /// The watchdog of a node is armed that was added to the file while this session took part: what it runs may be taken
    /// by the clock from now on.
    Watched {
        /// Which.
        node: NodeName,
        /// The session.
        session: Session,
    },
    /// A lost node loses what it held; who appends this promises nothing more to that session.
    TakeOver {
        /// The lost node.
        node: NodeName,
        /// The session that is over.
        session: Session,
        /// Who gets what it held.
        grants: Vec<NewGrant>,
    },
    /// Grants of what nobody holds.
    Grant {
        /// Which.
        grants: Vec<NewGrant>,
    },
    /// The holder stopped it, and will not start it again under this epoch.
    Close {
        /// What.
        resource: ResourceName,
        /// Which grant is over.
        epoch: Epoch,
        /// What is granted in the same breath.
        grants: Vec<NewGrant>,
    },
    /// The holder said how it is. For people, and for who leads next.
    Report {
        /// What.
        resource: ResourceName,
        /// Under which grant.
        epoch: Epoch,
        /// How it is.
        activity: Activity,
    },
    /// It failed; counts against the node.
    Failure {
        /// What.
        resource: ResourceName,
        /// Where.
        node: NodeName,
        /// Under which grant; each counts once.
        epoch: Epoch,
        /// What was said.
        message: String,
    },
    /// A node that was taken over is to be switched off; who may do it.
    Fence {
        /// The node.
        node: NodeName,
        /// Which life of it.
        boot: BootId,
        /// Who has the right to do it.
        by: NodeName,
        /// In which of its sessions.
        session: Session,
        /// Which attempt this is, from 1.
        attempt: u32,
    },
    /// An attempt to switch a node off has ended.
    Fenced {
        /// The node.
        node: NodeName,
        /// Which life of it.
        boot: BootId,
        /// Which attempt.
        attempt: u32,
        /// What came of it.
        outcome: FenceOutcome,
    },
    /// A person says that a node is off.
    ConfirmOff {
        /// The node.
        node: NodeName,
        /// Which life of it.
        boot: BootId,
        /// Who says so.
        who: String,
    },
    /// Attempts to switch a node off are counted anew.
    FenceAgain {
        /// The node.
        node: NodeName,
        /// Who asked for it; nobody, if it is done because some time has passed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who: Option<String>,
    },
    /// A node is to be switched off, whether it is heard or not.
    OrderOff {
        /// The node.
        node: NodeName,
        /// Which life of it, why, and what then.
        order: OffOrder,
    },
    /// It is not switched off after all, and may take part again.
    WithdrawOff {
        /// The node.
        node: NodeName,
        /// Which life of it.
        boot: BootId,
        /// Why not, for people.
        because: String,
    },
    /// A node that has no power is to get it.
    OrderOn {
        /// The node.
        node: NodeName,
        /// Who asked for it.
        who: String,
    },
    /// It got power, or no device gave it any.
    TurnedOn {
        /// The node.
        node: NodeName,
        /// Which attempt it was.
        attempt: u32,
        /// What went wrong, for people.
        failure: Option<String>,
    },
    /// Every voter has durably applied who votes.
    Settle {
        /// The configuration of voters.
        configuration: u64,
    },
    /// The history goes on without voters that are off, under another number.
    Force(Forced),
    /// All voters have had this configuration for so long that no promise of an earlier one still runs.
    Rest {
        /// The digest of the configuration's file.
        digest: u64,
    },
    /// Failures are forgotten.
    Forgive {
        /// Of what; of everything if not said.
        resource: Option<ResourceName>,
        /// Where; everywhere if not said.
        node: Option<NodeName>,
    },
    /// A person wants failovers again, and nodes back that were lost over and over.
    Release {
        /// These; everything, if neither resources nor a node are said.
        resources: Vec<ResourceName>,
        /// Which node.
        node: Option<NodeName>,
    },
    /// A person wants something.
    Intend(Intent),
    /// A person wants it no longer, or it is fulfilled.
    Withdraw(Intent),
    /// It was not done, and will not be.
    End {
        /// What was wanted.
        intent: Intent,
        /// Why it ends.
        because: Ended,
    },
}

/// Reads an entry.
///
/// # Errors
/// When the bytes are no entry of a version that this code understands.
pub fn read(bytes: &[u8]) -> Result<Entry, serde_json::Error> {
    serde_json::from_slice(bytes)
}

/// Writes an entry.
#[must_use]
pub fn write(entry: &Entry) -> Vec<u8> {
    serde_json::to_vec(entry).expect("an entry is plain data with text keys")
}
