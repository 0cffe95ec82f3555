//! Values that hold under conditions.

use alloc::{boxed::Box, collections::BTreeMap, string::String, vec::Vec};

use super::{Role, Score};

/// Named values that count together, while their rule holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttributeSet {
    /// What it is called where it was written.
    pub id: String,
    /// Sets with a higher score are asked first.
    pub score: Score,
    /// When it counts; always if not said.
    pub rule: Option<Rule>,
    /// The values, by name.
    pub values: BTreeMap<String, String>,
}

/// A condition made of conditions.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What it is called where it was written.
    pub id: String,
    /// How its parts make the whole.
    pub combine: Combine,
    /// Its parts; one without parts holds with [`Combine::All`] only.
    pub tests: Vec<Test>,
}

/// How parts make a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Combine {
    /// All must hold.
    #[default]
    All,
    /// One is enough.
    Any,
}

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// A condition made of conditions.
    Rule(Box<Rule>),
    /// What a node says of itself.
    Attribute {
        /// The attribute's name; `#uname`, `#id`, `#kind`, `#is_dc`, `#cluster-name`, `#site-name` are
        /// those that every node has.
        name: String,
        /// How it is compared.
        compare: Compare,
        /// With what, if the comparison takes something.
        value: Option<String>,
        /// Where what it is compared with comes from.
        source: ValueSource,
        /// As what both are read.
        value_type: ValueType,
    },
    /// The time lies in this span.
    Date(Span),
    /// The time has these parts.
    DateParts(DateSpec),
    /// The resource has this agent; for defaults.
    Agent {
        /// Its class, if it matters.
        class: Option<String>,
        /// Its provider, if it matters.
        provider: Option<String>,
        /// Its type, if it matters.
        agent_type: Option<String>,
    },
    /// The operation is this one; for defaults of operations.
    Operation {
        /// Its name.
        name: String,
        /// How often it recurs, if it matters: milliseconds.
        every_ms: Option<u64>,
    },
    /// What was read and cannot be understood: it never holds.
    Never,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Less.
    Less,
    /// Less or the same.
    AtMost,
    /// More.
    More,
    /// More or the same.
    AtLeast,
    /// The same.
    Equal,
    /// Not the same.
    NotEqual,
    /// There is one.
    Defined,
    /// There is none.
    NotDefined,
}

/// As what values are read before they are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueType {
    /// As numbers if the operator orders and both are numbers, else as text.
    #[default]
    Any,
    /// As text, capitals or not.
    Text,
    /// As whole numbers.
    Integer,
    /// As numbers.
    Number,
    /// As versions: numbers with dots between them.
    Version,
}

/// Where the value comes from that an attribute is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueSource {
    /// It is written in the rule.
    #[default]
    Literal,
    /// It is the parameter of the resource that has this name.
    Parameter,
    /// It is the option of the resource that has this name.
    Meta,
}

/// A span of time, in seconds since 1970 (UTC), ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// When it begins; always if not said.
    pub from: Option<i64>,
    /// When it ends; never if not said.
    pub until: Option<i64>,
    /// Whether the ends themselves are left out, as *before* and *after* do.
    pub open: bool,
}

/// Parts of a date, each a list of ranges; one that is empty does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DateSpec {
    /// By the name of the part (`years`, `months`, `monthdays`, `hours`, `minutes`, `seconds`, `yeardays`,
    /// `weekyears`, `weeks`, `weekdays`): first and last value, either of which may be open.
    pub parts: BTreeMap<String, (Option<u32>, Option<u32>)>,
}

/// A rule that gives a score, for a location.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredRule {
    /// When it counts.
    pub rule: Rule,
    /// How much.
    pub score: Score,
    /// The node's attribute that says how much, instead of `score`.
    pub score_attribute: Option<String>,
    /// For which role.
    pub role: Option<Role>,
}
