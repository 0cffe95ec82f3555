//! The messages and their fields.
//!
//! Numbers and names are those of raft's protocol; texts are ours. Enumerations are kept as plain
//! numbers, as prost does, and read through their accessor.

/// Accessors in the manner raft calls them, one row for each field.
macro_rules! accessors {
    ($message:ty { $($rest:tt)* }) => {
        impl $message { accessors!(@ $($rest)*); }
    };
    (@) => {};
    // A number or truth value.
    (@ copy $field:ident: $kind:ty, $get:ident $set:ident; $($rest:tt)*) => {
        /// The value.
        #[must_use]
        pub fn $get(&self) -> $kind { self.$field }
        /// Sets the value.
        pub fn $set(&mut self, value: $kind) { self.$field = value; }
        accessors!(@ $($rest)*);
    };
    // Bytes or a list.
    (@ many $field:ident: $item:ty, $get:ident $set:ident $take:ident $edit:ident; $($rest:tt)*) => {
        /// The items.
        #[must_use]
        pub fn $get(&self) -> &[$item] { &self.$field }
        /// Sets the items.
        pub fn $set(&mut self, items: Vec<$item>) { self.$field = items; }
        /// Moves the items out and leaves none.
        pub fn $take(&mut self) -> Vec<$item> { std::mem::take(&mut self.$field) }
        /// The items, to change.
        pub fn $edit(&mut self) -> &mut Vec<$item> { &mut self.$field }
        accessors!(@ $($rest)*);
    };
    // An optional message; one that is absent reads as empty.
    (@ part $field:ident: $part:ty,
        $get:ident $set:ident $take:ident $edit:ident $has:ident $clear:ident; $($rest:tt)*) => {
        /// The part, or an empty one.
        #[must_use]
        pub fn $get(&self) -> &$part {
            static NONE: std::sync::LazyLock<$part> = std::sync::LazyLock::new(<$part>::default);
            self.$field.as_ref().unwrap_or(&NONE)
        }
        /// Sets the part.
        pub fn $set(&mut self, part: $part) { self.$field = Some(part); }
        /// Moves the part out; an empty one if there is none.
        pub fn $take(&mut self) -> $part { self.$field.take().unwrap_or_default() }
        /// The part, to change; made if there is none.
        pub fn $edit(&mut self) -> &mut $part { self.$field.get_or_insert_with(<$part>::default) }
        /// Whether there is such a part.
        #[must_use]
        pub fn $has(&self) -> bool { self.$field.is_some() }
        /// Removes the part.
        pub fn $clear(&mut self) { self.$field = None; }
        accessors!(@ $($rest)*);
    };
}

/// What an entry of the log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum EntryType {
    /// What its users proposed.
    EntryNormal = 0,
    /// A [`ConfChange`].
    EntryConfChange = 1,
    /// A [`ConfChangeV2`].
    EntryConfChangeV2 = 2,
}

/// One entry of the log.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Entry {
    /// What kind it is.
    #[prost(enumeration = "EntryType", tag = "1")]
    pub entry_type: i32,
    /// The term it was proposed in.
    #[prost(uint64, tag = "2")]
    pub term: u64,
    /// Its place in the log.
    #[prost(uint64, tag = "3")]
    pub index: u64,
    /// What was proposed.
    #[prost(bytes = "vec", tag = "4")]
    pub data: Vec<u8>,
    /// What the proposer added for itself.
    #[prost(bytes = "vec", tag = "6")]
    pub context: Vec<u8>,
    /// Of older versions; unused.
    #[prost(bool, tag = "5")]
    pub sync_log: bool,
}

accessors!(Entry {
    copy term: u64, get_term set_term;
    copy index: u64, get_index set_index;
    many data: u8, get_data set_data take_data mut_data;
    many context: u8, get_context set_context take_context mut_context;
});

impl Entry {
    /// What kind it is; a number from a newer version reads as normal.
    #[must_use]
    pub fn get_entry_type(&self) -> EntryType {
        self.entry_type()
    }
}

/// What a snapshot covers.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SnapshotMetadata {
    /// The voters and learners at its end.
    #[prost(message, optional, tag = "1")]
    pub conf_state: Option<ConfState>,
    /// The last entry it covers.
    #[prost(uint64, tag = "2")]
    pub index: u64,
    /// The term of that entry.
    #[prost(uint64, tag = "3")]
    pub term: u64,
}

accessors!(SnapshotMetadata {
    copy index: u64, get_index set_index;
    copy term: u64, get_term set_term;
    part conf_state: ConfState,
        get_conf_state set_conf_state take_conf_state mut_conf_state has_conf_state clear_conf_state;
});

/// The state that a part of the log led to, in its place.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Snapshot {
    /// The state, in whatever form its users write it.
    #[prost(bytes = "vec", tag = "1")]
    pub data: Vec<u8>,
    /// What it covers.
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<SnapshotMetadata>,
}

accessors!(Snapshot {
    many data: u8, get_data set_data take_data mut_data;
    part metadata: SnapshotMetadata,
        get_metadata set_metadata take_metadata mut_metadata has_metadata clear_metadata;
});

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum MessageType {
    /// To itself: campaign.
    MsgHup = 0,
    /// To itself: send heartbeats.
    MsgBeat = 1,
    /// To the leader: append this.
    MsgPropose = 2,
    /// To followers: entries.
    MsgAppend = 3,
    /// To the leader: entries were appended, or did not fit.
    MsgAppendResponse = 4,
    /// To voters: a candidate asks for the vote.
    MsgRequestVote = 5,
    /// To a candidate: the vote, or a refusal.
    MsgRequestVoteResponse = 6,
    /// To a follower that is too far behind: a snapshot.
    MsgSnapshot = 7,
    /// To followers: the leader is there, and so much is committed.
    MsgHeartbeat = 8,
    /// To the leader: it was heard.
    MsgHeartbeatResponse = 9,
    /// To itself: that node could not be reached.
    MsgUnreachable = 10,
    /// To itself: how the sending of a snapshot went.
    MsgSnapStatus = 11,
    /// To itself: look whether a majority still answers.
    MsgCheckQuorum = 12,
    /// To the leader: hand over to that node.
    MsgTransferLeader = 13,
    /// To a follower: campaign at once.
    MsgTimeoutNow = 14,
    /// To the leader: from which entry on is a read current?
    MsgReadIndex = 15,
    /// The answer to that.
    MsgReadIndexResp = 16,
    /// To voters: would you vote for me?
    MsgRequestPreVote = 17,
    /// The answer to that.
    MsgRequestPreVoteResponse = 18,
}

/// What nodes say to each other.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Message {
    /// What it is for.
    #[prost(enumeration = "MessageType", tag = "1")]
    pub msg_type: i32,
    /// For which node.
    #[prost(uint64, tag = "2")]
    pub to: u64,
    /// From which node.
    #[prost(uint64, tag = "3")]
    pub from: u64,
    /// The sender's term.
    #[prost(uint64, tag = "4")]
    pub term: u64,
    /// The term of the entry at `index`; in a refusal, of the entry that is there instead.
    #[prost(uint64, tag = "5")]
    pub log_term: u64,
    /// The entry before the first of `entries`; in an answer, the last that is in place.
    #[prost(uint64, tag = "6")]
    pub index: u64,
    /// Entries to append.
    #[prost(message, repeated, tag = "7")]
    pub entries: Vec<Entry>,
    /// The last entry the sender knows to be committed.
    #[prost(uint64, tag = "8")]
    pub commit: u64,
    /// The term of that entry.
    #[prost(uint64, tag = "15")]
    pub commit_term: u64,
    /// A snapshot.
    #[prost(message, optional, tag = "9")]
    pub snapshot: Option<Snapshot>,
    /// The least index a requested snapshot has to cover.
    #[prost(uint64, tag = "13")]
    pub request_snapshot: u64,
    /// Whether this answer refuses.
    #[prost(bool, tag = "10")]
    pub reject: bool,
    /// In a refusal, where the sender's log may fit.
    #[prost(uint64, tag = "11")]
    pub reject_hint: u64,
    /// What the sender added for itself.
    #[prost(bytes = "vec", tag = "12")]
    pub context: Vec<u8>,
    /// The candidate's priority, as older versions say it.
    #[prost(uint64, tag = "14")]
    pub deprecated_priority: u64,
    /// The candidate's priority.
    #[prost(int64, tag = "16")]
    pub priority: i64,
}

accessors!(Message {
    copy to: u64, get_to set_to;
    copy from: u64, get_from set_from;
    copy term: u64, get_term set_term;
    copy log_term: u64, get_log_term set_log_term;
    copy index: u64, get_index set_index;
    copy commit: u64, get_commit set_commit;
    copy commit_term: u64, get_commit_term set_commit_term;
    copy request_snapshot: u64, get_request_snapshot set_request_snapshot;
    copy reject: bool, get_reject set_reject;
    copy reject_hint: u64, get_reject_hint set_reject_hint;
    copy priority: i64, get_priority set_priority;
    many entries: Entry, get_entries set_entries take_entries mut_entries;
    many context: u8, get_context set_context take_context mut_context;
    part snapshot: Snapshot, get_snapshot set_snapshot take_snapshot mut_snapshot has_snapshot clear_snapshot;
});

impl Message {
    /// What it is for; a number from a newer version reads as [`MessageType::MsgHup`].
    #[must_use]
    pub fn get_msg_type(&self) -> MessageType {
        self.msg_type()
    }
}

/// What a node must not forget, beside its log.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct HardState {
    /// The highest term it knows.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// Whom it voted for in that term; nobody if zero.
    #[prost(uint64, tag = "2")]
    pub vote: u64,
    /// The last entry it knows to be committed.
    #[prost(uint64, tag = "3")]
    pub commit: u64,
}

accessors!(HardState {
    copy term: u64, get_term set_term;
    copy vote: u64, get_vote set_vote;
    copy commit: u64, get_commit set_commit;
});

/// Who votes and who only listens.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConfState {
    /// The voters; in a joint configuration, the incoming ones.
    #[prost(uint64, repeated, tag = "1")]
    pub voters: Vec<u64>,
    /// Who listens.
    #[prost(uint64, repeated, tag = "2")]
    pub learners: Vec<u64>,
    /// The outgoing voters of a joint configuration; none otherwise.
    #[prost(uint64, repeated, tag = "3")]
    pub voters_outgoing: Vec<u64>,
    /// Outgoing voters that will only listen once the joint configuration ends.
    #[prost(uint64, repeated, tag = "4")]
    pub learners_next: Vec<u64>,
    /// Whether raft ends the joint configuration by itself.
    #[prost(bool, tag = "5")]
    pub auto_leave: bool,
}

accessors!(ConfState {
    copy auto_leave: bool, get_auto_leave set_auto_leave;
    many voters: u64, get_voters set_voters take_voters mut_voters;
    many learners: u64, get_learners set_learners take_learners mut_learners;
    many voters_outgoing: u64,
        get_voters_outgoing set_voters_outgoing take_voters_outgoing mut_voters_outgoing;
    many learners_next: u64, get_learners_next set_learners_next take_learners_next mut_learners_next;
});

/// How a change goes through a joint configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum ConfChangeTransition {
    /// Only if it has to; raft leaves it by itself.
    Auto = 0,
    /// Always; raft leaves it by itself.
    Implicit = 1,
    /// Always; its user leaves it by an empty change.
    Explicit = 2,
}

/// What changes about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum ConfChangeType {
    /// It becomes a voter.
    AddNode = 0,
    /// It goes.
    RemoveNode = 1,
    /// It listens and does not vote.
    AddLearnerNode = 2,
}

/// The older form of a change: one node at a time.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConfChange {
    /// A number for its user.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// What changes.
    #[prost(enumeration = "ConfChangeType", tag = "2")]
    pub change_type: i32,
    /// About which node.
    #[prost(uint64, tag = "3")]
    pub node_id: u64,
    /// What the proposer added for itself.
    #[prost(bytes = "vec", tag = "4")]
    pub context: Vec<u8>,
}

accessors!(ConfChange {
    copy id: u64, get_id set_id;
    copy node_id: u64, get_node_id set_node_id;
    many context: u8, get_context set_context take_context mut_context;
});

impl ConfChange {
    /// What changes; a number from a newer version reads as [`ConfChangeType::AddNode`].
    #[must_use]
    pub fn get_change_type(&self) -> ConfChangeType {
        self.change_type()
    }
}

/// One change among several that happen together.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ConfChangeSingle {
    /// What changes.
    #[prost(enumeration = "ConfChangeType", tag = "1")]
    pub change_type: i32,
    /// About which node.
    #[prost(uint64, tag = "2")]
    pub node_id: u64,
}

accessors!(ConfChangeSingle { copy node_id: u64, get_node_id set_node_id; });

impl ConfChangeSingle {
    /// What changes; a number from a newer version reads as [`ConfChangeType::AddNode`].
    #[must_use]
    pub fn get_change_type(&self) -> ConfChangeType {
        self.change_type()
    }
}

/// The newer form of a change: several nodes together.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConfChangeV2 {
    /// How it goes through a joint configuration.
    #[prost(enumeration = "ConfChangeTransition", tag = "1")]
    pub transition: i32,
    /// What changes.
    #[prost(message, repeated, tag = "2")]
    pub changes: Vec<ConfChangeSingle>,
    /// What the proposer added for itself.
    #[prost(bytes = "vec", tag = "3")]
    pub context: Vec<u8>,
}

accessors!(ConfChangeV2 {
    many changes: ConfChangeSingle, get_changes set_changes take_changes mut_changes;
    many context: u8, get_context set_context take_context mut_context;
});

impl ConfChangeV2 {
    /// How it goes through a joint configuration; a number from a newer version reads as
    /// [`ConfChangeTransition::Auto`].
    #[must_use]
    pub fn get_transition(&self) -> ConfChangeTransition {
        self.transition()
    }
}
