//! The gate: the kernel keeps owned addresses silent unless our lease holds.
//!
//! An address that is *managed* is closed: neither IP nor ARP nor neighbour discovery gets in or
//! out with it. It passes only after it was *opened*, and only while the kernel has heard from us
//! that the lease goes on. What we tell the kernel is an end, twice: a timeout that counts from
//! the moment it is told, and a time of day. The first defeats a clock that is set back, the
//! second a message that was computed before we were stopped and delivered after (SAFETY 22).
//!
//! One thread owns the gate's sockets and asks for real-time priority: nobody who wants something
//! from the gate can keep it from refreshing. It refreshes only while something is open.
//!
//! If somebody else removes our tables (`nft flush ruleset`, a firewall reload), the thread hears
//! of it and puts them back. Until then the address is as open as without Heart; the lifetime of
//! the address itself, [`crate::ip`], is the line behind this one.

mod nft;
#[cfg(test)]
mod tests;
mod warden;

use std::{
    io,
    net::IpAddr,
    os::fd::OwnedFd,
    sync::{Arc, mpsc},
    thread,
};

pub(crate) use nft::MARK;

use crate::{lease::LeaseView, wait::Bell};

/// Most requests that wait for the gate's thread; beyond, the asker waits.
const REQUESTS_MAX: usize = 64;

/// What can be asked of the gate's thread.
#[derive(Clone, Debug)]
enum Wish {
    /// Close these from now on.
    Manage(Vec<IpAddr>),
    /// Close these, then open them if there is a lease, in one transaction.
    Reclaim(Vec<IpAddr>),
    /// Let these pass while the lease holds.
    Open(Vec<IpAddr>),
    /// Close these again.
    Close(Vec<IpAddr>),
    /// Have nothing to do with these any more.
    Forget(Vec<IpAddr>),
    /// Allow our own announcements on this interface while the lease holds.
    Announce(String),
    /// Take everything away.
    Uninstall,
}

struct Request {
    wish: Wish,
    answer: mpsc::SyncSender<io::Result<()>>,
}

/// The gate of one node. Dropping it leaves the tables in the kernel as they are: what is open
/// closes by itself.
pub struct Gate {
    requests: Option<mpsc::SyncSender<Request>>,
    bell: Arc<Bell>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Gate {
    /// Starts the gate's thread. Nothing is installed before the first address is managed.
    ///
    /// `wake` is polled besides: whoever extends the lease after it was over can signal it, so
    /// that the gate opens again at once. Reading it must not block.
    ///
    /// # Errors
    /// When the kernel has no nftables, or does not let this process use them.
    pub fn start(lease: Arc<dyn LeaseView>, wake: Option<OwnedFd>) -> io::Result<Gate> {
        let bell = Arc::new(Bell::new()?);
        let (requests, inbox) = mpsc::sync_channel(REQUESTS_MAX);
        let mut warden = warden::Warden::new(lease, wake, Arc::clone(&bell))?;
        let thread = thread::Builder::new().name("heart-gate".into()).spawn(move || warden.run(&inbox))?;
        Ok(Gate { requests: Some(requests), bell, thread: Some(thread) })
    }

    fn ask(&self, wish: Wish) -> io::Result<()> {
        let (answer, answered) = mpsc::sync_channel(1);
        let gone = || io::Error::other("the gate's thread has ended");
        let requests = self.requests.as_ref().ok_or_else(gone)?;
        requests.send(Request { wish, answer }).map_err(|_| gone())?;
        self.bell.ring();
        answered.recv().map_err(|_| gone())?
    }

    /// Closes these addresses, and keeps them closed until they are opened. Harmless twice.
    ///
    /// # Errors
    /// When the kernel refuses; then nothing has changed.
    pub fn manage(&self, addresses: &[IpAddr]) -> io::Result<()> {
        self.ask(Wish::Manage(addresses.to_vec()))
    }

    /// Manages addresses that an earlier process had opened, without a gap if there is a lease.
    ///
    /// # Errors
    /// When the kernel refuses; then nothing has changed.
    pub fn reclaim(&self, addresses: &[IpAddr]) -> io::Result<()> {
        self.ask(Wish::Reclaim(addresses.to_vec()))
    }

    /// Lets these managed addresses pass as long as the lease goes on.
    ///
    /// # Errors
    /// When there is no lease, an address is not managed, or the kernel refuses.
    pub fn open(&self, addresses: &[IpAddr]) -> io::Result<()> {
        self.ask(Wish::Open(addresses.to_vec()))
    }

    /// Closes these addresses at once, all in one transaction; they stay managed.
    ///
    /// # Errors
    /// When the kernel refuses. They still close when the lease that was last told ends.
    pub fn close(&self, addresses: &[IpAddr]) -> io::Result<()> {
        self.ask(Wish::Close(addresses.to_vec()))
    }

    /// Stops managing these addresses: to be called only after they were removed from here.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn forget(&self, addresses: &[IpAddr]) -> io::Result<()> {
        self.ask(Wish::Forget(addresses.to_vec()))
    }

    /// Lets packets with our mark leave by `interface` until the lease ends, and not later even if
    /// this process is stopped before it sends them. To be called before every announcement.
    ///
    /// # Errors
    /// When there is no lease, or the kernel cannot filter what leaves (before 5.16).
    pub fn announce(&self, interface: &str) -> io::Result<()> {
        self.ask(Wish::Announce(interface.to_owned()))
    }

    /// Takes all tables away, for an orderly end. Every address must be gone before.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn uninstall(&self) -> io::Result<()> {
        self.ask(Wish::Uninstall)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.requests = None;
        self.bell.ring();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
