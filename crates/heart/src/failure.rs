//! What went wrong, for people and for scripts.

use std::process::ExitCode;

use crate::render::text::plain;

/// Why a command did not do what it was asked to: what happened, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Who has to act.
    pub(crate) kind: Kind,
    /// What was tried, and what was found.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: String,
}

/// What scripts may want to tell apart: see [`Kind::code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The cluster refused, or something is wrong with what was asked about.
    Problem,
    /// No daemon answered, so nothing is known.
    NoDaemon,
}

impl Kind {
    /// The exit code; 2 is used for command lines that cannot be read.
    pub(crate) fn code(self) -> u8 {
        match self {
            Kind::Problem => 1,
            Kind::NoDaemon => 3,
        }
    }
}

impl Failure {
    /// Something is wrong.
    pub(crate) fn problem(message: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure { kind: Kind::Problem, message: message.into(), hint: hint.into() }
    }

    /// Nobody answered.
    pub(crate) fn no_daemon(message: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure { kind: Kind::NoDaemon, message: message.into(), hint: hint.into() }
    }

    /// Both lines.
    pub(crate) fn text(&self) -> String {
        format!("error: {}\nhint: {}\n", plain(&self.message), plain(&self.hint))
    }

    /// Says so on standard error.
    pub(crate) fn report(&self) -> ExitCode {
        eprint!("{}", self.text());
        ExitCode::from(self.kind.code())
    }
}
