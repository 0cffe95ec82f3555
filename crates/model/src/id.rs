//! Names and numbers that must not be mistaken for one another.

use alloc::{string::String, sync::Arc};
use core::{borrow::Borrow, fmt};
use serde::{Deserialize, Serialize};

use crate::NAME_MAX;

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Nothing is there.
    Empty,
    /// Longer than [`NAME_MAX`] bytes.
    Long,
    /// The first character is not a letter or digit.
    Start(char),
    /// A character other than letters, digits, `-`, `_` and `.`.
    Character(char),
}

impl fmt::Display for NameError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty => write!(to, "a name needs at least one character"),
            NameError::Long => write!(to, "a name has at most {NAME_MAX} characters"),
            NameError::Start(found) => write!(to, "a name starts with a letter or digit, not with `{found}`"),
            NameError::Character(found) => {
                write!(to, "a name is made of ASCII letters, digits, `-`, `_` and `.`, not of `{found}`")
            }
        }
    }
}

impl core::error::Error for NameError {}

/// Checks that `text` can name a thing: 1 to [`NAME_MAX`] ASCII letters, digits, `-`, `_`, `.`,
/// the first a letter or digit.
///
/// # Errors
/// What is wrong with it, the first mistake from the left.
fn check(text: &str) -> Result<(), NameError> {
    let first = text.chars().next().ok_or(NameError::Empty)?;
    if let Some(found) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
        return Err(NameError::Character(found));
    }
    if !first.is_ascii_alphanumeric() {
        return Err(NameError::Start(first));
    }
    if text.len() > NAME_MAX { Err(NameError::Long) } else { Ok(()) }
}

/// Checks a text that can name a thing, or the copy of a thing on a node.
fn check_copy(text: &str) -> Result<(), NameError> {
    text.split('@').try_for_each(check).and_then(|()| match text.matches('@').count() {
        0 | 1 => Ok(()),
        _ => Err(NameError::Character('@')),
    })
}

// Names are given once and passed on all the time: a copy of one is a pointer.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        name!($(#[$doc])* $name, check);
    };
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Makes a name of a text.
            ///
            /// # Errors
            /// When the text cannot be a name.
            pub fn new(text: &str) -> Result<$name, NameError> {
                check(text).map(|()| $name(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<$name, NameError> {
                $check(&text).map(|()| $name(text.into()))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                String::from(&*name.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(to, "`{}`", self.0)
            }
        }
    };
}

name! {
    /// The name of anything that has no type of its own, such as the cluster.
    Name
}
name! {
    /// The name of a node.
    NodeName
}
name! {
    /// The name of a resource; of the copy of a resource on a node, `RESOURCE@NODE`.
    ResourceName, check_copy
}
name! {
    /// The name of a group of resources.
    GroupName
}

impl ResourceName {
    /// Makes a name of a text that may mean a copy: `RESOURCE` or `RESOURCE@NODE`.
    ///
    /// # Errors
    /// When the text can be neither.
    pub fn parse(text: &str) -> Result<ResourceName, NameError> {
        check_copy(text).map(|()| ResourceName(text.into()))
    }

    /// The name of the copy of this resource on a node.
    #[must_use]
    pub fn copy_on(&self, node: &NodeName) -> ResourceName {
        ResourceName(alloc::format!("{}@{node}", self.0).into())
    }

    /// If it names a copy: of which resource, and on which node.
    #[must_use]
    pub fn copy(&self) -> Option<(&str, &str)> {
        self.0.split_once('@')
    }
}

impl NodeName {
    /// The number that stands for this name on the wire and in the log.
    ///
    /// It is derived from the name alone (FNV-1a, folded to 32 bits), so that nodes that join or
    /// leave never renumber the others. The configuration refuses two names with one number.
    #[must_use]
    pub fn id(&self) -> NodeId {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in self.0.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        let folded = (hash >> 32) as u32 ^ hash as u32;
        NodeId(folded.max(1))
    }
}

/// A node, as a number; see [`NodeName::id`]. Never zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u32);

impl fmt::Display for NodeId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:08x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "node {:08x}", self.0)
    }
}

/// One life of a node: a random number drawn once per boot and kept in `/run` (SAFETY rule 8).
///
/// As text, and so in JSON: 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BootId(pub u128);

impl From<BootId> for String {
    fn from(boot: BootId) -> String {
        alloc::format!("{:032x}", boot.0)
    }
}

impl TryFrom<String> for BootId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<BootId, &'static str> {
        let number = u128::from_str_radix(&text, 16).ok().filter(|_| text.len() == 32);
        number.map(BootId).ok_or("a boot is 32 hexadecimal digits")
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:08x}", (self.0 >> 96) as u32)
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "boot {self}")
    }
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after this.
            #[must_use]
            pub fn next(self) -> $name {
                $name(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(to, "{}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(to, concat!(stringify!($name), " {}"), self.0)
            }
        }
    };
}

counter! {
    /// Counts leaders. At most one node leads in a term.
    Term
}
counter! {
    /// Counts entries of the log.
    LogIndex
}
counter! {
    /// Counts the grants of one resource: its fencing token. An agent refuses a lower one.
    Epoch
}
counter! {
    /// Counts the sessions of one boot.
    SessionNumber
}

/// A stretch of one boot during which a node has kept its right to own things. A node that was
/// taken over lets everything go and begins a new session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Session {
    /// The boot it belongs to.
    pub boot: BootId,
    /// Which one of that boot, from 1.
    pub number: SessionNumber,
}

impl fmt::Display for Session {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}.{}", self.boot, self.number)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "session {self}")
    }
}
