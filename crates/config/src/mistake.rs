//! One thing that is wrong with a configuration, and the way out.

use std::fmt;

/// A part of the text, in bytes from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// The part from `start` up to `end`.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Span {
        Span { start, end: end.max(start) }
    }
}

/// Something and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub span: Span,
}

/// How bad a mistake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but does perhaps not do what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.pad(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident $text:literal $severity:ident;)*) => {
        /// What kind of mistake it is. The text of a code never changes, so that tools can rely on
        /// it and people can look it up.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code { $($(#[$doc])* $code,)* }

        impl Code {
            /// Every code there is.
            pub const ALL: &[Code] = &[$(Code::$code,)*];

            /// The code as text.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$code => $text,)* }
            }

            /// How bad it is.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Code::$code => Severity::$severity,)* }
            }
        }
    };
}

codes! {
    /// The file is larger than any configuration.
    TooLarge "too-large" Error;
    /// The file is no text.
    NotText "not-text" Error;
    /// Nothing is written in it.
    Empty "empty" Error;
    /// It is not TOML.
    Syntax "syntax" Error;
    /// Tables or lists in tables or lists, too many times over.
    TooDeep "too-deep" Error;
    /// A key is written twice in one table.
    DuplicateKey "duplicate-key" Error;
    /// A table is written twice.
    DuplicateTable "duplicate-table" Error;
    /// A table in double brackets, which makes a list of tables.
    ListOfTables "list-of-tables" Error;
    /// A key that means nothing there.
    UnknownKey "unknown-key" Error;
    /// A table that means nothing.
    UnknownTable "unknown-table" Error;
    /// A value of another type than its key takes.
    WrongType "wrong-type" Error;
    /// A key that has to be there is not.
    MissingKey "missing-key" Error;
    /// There is no cluster.
    MissingCluster "missing-cluster" Error;
    /// There are no nodes.
    NoNodes "no-nodes" Error;
    /// A text that cannot be a name.
    InvalidName "invalid-name" Error;
    /// One name for two things.
    NameTaken "name-taken" Error;
    /// Two node names with one number.
    NumberTaken "number-taken" Error;
    /// A word that is none of those allowed.
    UnknownWord "unknown-word" Error;
    /// A name that no node has.
    UnknownNode "unknown-node" Error;
    /// A name that no resource has.
    UnknownResource "unknown-resource" Error;
    /// An agent that does not exist.
    UnknownAgent "unknown-agent" Error;
    /// A parameter that the agent does not have.
    UnknownParameter "unknown-parameter" Error;
    /// A parameter that a plug-in does not say that it takes.
    UnlistedParameter "unlisted-parameter" Warning;
    /// An agent that does not say what it can be told.
    SilentAgent "silent-agent" Warning;
    /// A parameter that the agent needs is not there.
    MissingParameter "missing-parameter" Error;
    /// Parameters at a place where those of this agent do not belong.
    ParametersPlace "parameters-place" Error;
    /// A text that is no address.
    InvalidAddress "invalid-address" Error;
    /// An address that cannot be used for this.
    UnusableAddress "unusable-address" Error;
    /// One address for two things.
    AddressTaken "address-taken" Error;
    /// A prefix length that no address of its family has.
    InvalidPrefix "invalid-prefix" Error;
    /// An address that is in no node's network.
    AddressOutside "address-outside" Warning;
    /// Nodes have different numbers of addresses.
    UnevenAddresses "uneven-addresses" Error;
    /// The addresses of one link belong to different families.
    MixedFamilies "mixed-families" Error;
    /// A text that is no length of time.
    InvalidDuration "invalid-duration" Error;
    /// A length of time that is too short or too long for its purpose.
    DurationRange "duration-range" Error;
    /// A number that is too small or too large for its purpose.
    NumberRange "number-range" Error;
    /// A guard needs as long to let go as the node may be silent.
    NoLease "no-lease" Error;
    /// Heartbeats are too far apart for how soon a node counts as lost.
    SlowHeartbeat "slow-heartbeat" Error;
    /// A text with characters that cannot stand there.
    InvalidText "invalid-text" Error;
    /// A path that does not begin at the root.
    RelativePath "relative-path" Error;
    /// More of something than there may be.
    TooMany "too-many" Error;
    /// Nobody votes.
    NoVoters "no-voters" Error;
    /// An even number of voters.
    EvenVoters "even-voters" Error;
    /// Something that decides between two halves, where there are none.
    IdleTieBreak "idle-tie-break" Warning;
    /// A place of a tie-break that cannot be one.
    InvalidPlace "invalid-place" Error;
    /// A place of a tie-break of which each node may have one of its own.
    EachItsOwn "each-its-own" Warning;
    /// Two voters, of which neither can go on alone.
    TwoVoters "two-voters" Warning;
    /// Halves that switch each other off, and nothing to tell which one is cut off.
    NoPingTarget "no-ping-target" Warning;
    /// A group without members.
    EmptyGroup "empty-group" Error;
    /// A group within itself or in another group.
    NestedGroup "nested-group" Error;
    /// A resource in two groups, or twice in one.
    MemberTwice "member-twice" Error;
    /// A name twice in a list.
    ListedTwice "listed-twice" Error;
    /// A preference that a group overrules.
    PrefersInGroup "prefers-in-group" Error;
    /// Something that its group says for a member.
    WishInGroup "wish-in-group" Error;
    /// A name that nothing has which could be meant there.
    UnknownName "unknown-name" Error;
    /// A name that no time has.
    UnknownTime "unknown-time" Error;
    /// The name of something that cannot stand there, such as a node among resources.
    WrongKind "wrong-kind" Error;
    /// A name that could mean two things.
    AmbiguousName "ambiguous-name" Error;
    /// Something that names itself.
    NamesItself "names-itself" Error;
    /// Something that names what its own group keeps together with it.
    NamesOwnGroup "names-own-group" Error;
    /// A list or a table in which nothing is.
    EmptyList "empty-list" Error;
    /// Two wishes that cannot both come true.
    Contradiction "contradiction" Error;
    /// Things that wait for each other, or follow each other, in a circle.
    Circle "circle" Error;
    /// Nothing is left where it could run.
    Nowhere "nowhere" Error;
    /// Something is needed that no node says it has.
    UnknownCapacity "unknown-capacity" Error;
    /// More is needed than any node has.
    NoRoom "no-room" Error;
    /// More copies than there are nodes for them.
    CopiesWait "copies-wait" Warning;
    /// Copies of an address, which can be in one place only.
    CopiesOfAddress "copies-of-address" Error;
    /// Copies on several nodes are to be where one thing is, or what is promoted is to follow another.
    CopiesFollow "copies-follow" Error;
    /// Something is to be promoted and has no copies.
    NoCopies "no-copies" Error;
    /// Something is to be promoted by an agent that cannot.
    CannotPromote "cannot-promote" Error;
    /// A text that is no day, hour or date.
    InvalidTime "invalid-time" Error;
    /// A time that never is.
    NeverTime "never-time" Error;
    /// A time that nobody names.
    UnusedTime "unused-time" Warning;
    /// A guard that this agent cannot have.
    ImpossibleGuard "impossible-guard" Error;
    /// A guard that waits for proof nobody can give.
    NoFencing "no-fencing" Warning;
    /// A device of which nothing follows when it says that a node is off.
    ProvesNothing "proves-nothing" Error;
    /// A device that cannot say whether a node is off is believed when it says that it switched it off.
    NoReadBack "no-read-back" Warning;
    /// A program for tests, which switches nothing off.
    OnlyForTests "only-for-tests" Warning;
    /// A node counts on its watchdog, and has none.
    NoWatchdog "no-watchdog" Error;
    /// A node counts on its watchdog, and nobody says that it is never paused.
    MayBePaused "may-be-paused" Error;
    /// A node is said never to be paused, and is a guest of a hypervisor.
    PausedGuest "paused-guest" Warning;
    /// A watchdog together with devices that are told.
    WatchdogInLevel "watchdog-in-level" Error;
    /// A file that has to be there is not.
    MissingFile "missing-file" Error;
    /// The file of a command is not on this machine.
    MissingCommand "missing-command" Warning;
    /// Something that an agent is told by the cluster and not by the file.
    ReservedParameter "reserved-parameter" Error;
    /// A secret that stands in the configuration itself.
    ClearPassword "clear-password" Warning;
    /// The file of a secret is not on this machine.
    MissingSecret "missing-secret" Warning;
    /// A secret that others can read.
    ExposedFile "exposed-file" Warning;
}

impl Code {
    /// Whether a syntax error elsewhere may be the true cause: what seems to be absent may be
    /// there and unreadable.
    pub(crate) fn is_about_absence(self) -> bool {
        matches!(
            self,
            Code::MissingKey
                | Code::MissingCluster
                | Code::NoNodes
                | Code::NoVoters
                | Code::EvenVoters
                | Code::TwoVoters
                | Code::NoPingTarget
                | Code::IdleTieBreak
                | Code::EmptyGroup
                | Code::UnknownNode
                | Code::UnknownResource
                | Code::UnknownName
                | Code::UnknownTime
                | Code::UnknownCapacity
                | Code::UnusedTime
                | Code::CopiesWait
                | Code::NoCopies
                | Code::Nowhere
                | Code::NoRoom
                | Code::MissingParameter
                | Code::UnevenAddresses
                | Code::AddressOutside
                | Code::NoWatchdog
                | Code::MayBePaused
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.pad(self.as_str())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// What kind it is.
    pub code: Code,
    /// What is wrong, in one sentence.
    pub message: String,
    /// Where; nothing if it concerns the whole file.
    pub span: Option<Span>,
    /// What is to be seen there, in a few words.
    pub label: String,
    /// What to do.
    pub hint: Option<String>,
    /// Other places that have to do with it, and what is there.
    pub related: Vec<(Span, String)>,
}

impl Mistake {
    /// A mistake at a place.
    pub(crate) fn at(code: Code, span: Span, message: impl Into<String>) -> Mistake {
        Mistake { span: Some(span), ..Mistake::of_file(code, message) }
    }

    /// A mistake that concerns the whole file.
    pub(crate) fn of_file(code: Code, message: impl Into<String>) -> Mistake {
        let message = message.into();
        Mistake { code, message, span: None, label: String::new(), hint: None, related: Vec::new() }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Mistake {
        self.label = label.into();
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Mistake {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn maybe_hint(mut self, hint: Option<String>) -> Mistake {
        self.hint = hint.or(self.hint);
        self
    }

    pub(crate) fn related(mut self, span: Span, text: impl Into<String>) -> Mistake {
        self.related.push((span, text.into()));
        self
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }
}
