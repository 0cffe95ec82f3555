//! How an agent sees the lease of its node.
//!
//! The heartbeat thread of the core earns the lease; here it is only looked at. Whoever looks
//! computes what remains just before acting on it, never earlier.

use std::sync::Mutex;

use heart_model::{Duration, Moment, Session};

use crate::clock;

/// Where the end of this node's lease can be read.
pub trait LeaseView: Send + Sync {
    /// When the lease ends, on both clocks of this boot. A moment in the past: there is none.
    fn until(&self) -> Moment;

    /// The session that has the lease; none if nobody says.
    fn session(&self) -> Option<Session> {
        None
    }

    /// Until when this node may switch others off because nothing can be agreed on before they are. A moment in the
    /// past: it may not.
    fn half_until(&self) -> Moment {
        Moment::default()
    }
}

/// What may still be counted on, at this moment.
#[must_use]
pub fn remaining(lease: &dyn LeaseView) -> Duration {
    clock::remaining(lease.until())
}

/// A lease that is told, not watched: by messages of the core, or by a test.
#[derive(Debug, Default)]
pub struct ToldLease {
    until: Mutex<Moment>,
}

impl ToldLease {
    /// Takes the word of the core; an earlier end than the known one counts as well.
    pub fn tell(&self, until: Moment) {
        *self.until.lock().expect("no holder of this lock can panic") = until;
    }
}

impl LeaseView for ToldLease {
    fn until(&self) -> Moment {
        *self.until.lock().expect("no holder of this lock can panic")
    }
}
