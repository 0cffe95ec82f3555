//! How a service says that it serves.

use std::{
    fs, io,
    net::{SocketAddr, TcpStream},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{fs::PermissionsExt as _, net::UnixDatagram},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::parameters::Parameters;

/// How often a port or a file is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long one attempt to connect may take.
const CONNECT_WITHIN: Duration = Duration::from_millis(200);
/// Longest notification that is read.
const NOTIFICATION_MAX: usize = 4096;

/// What has to happen before a service counts as started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Readiness {
    /// Nothing: running is enough.
    None,
    /// It lives for so many milliseconds.
    After(u64),
    /// Somebody accepts connections there.
    Tcp(SocketAddr),
    /// This file is there.
    File(PathBuf),
    /// It says `READY=1` to the socket that `NOTIFY_SOCKET` names.
    Notify,
}

impl Readiness {
    pub(super) fn read(given: &Parameters<'_>) -> Result<Readiness, String> {
        let text = given.text("ready")?.unwrap_or("none");
        if let Some(address) = text.strip_prefix("tcp:") {
            let address = address.parse().map_err(|_| {
                format!("`ready` is `{text}`: write an address and a port, as in \"tcp:127.0.0.1:80\"")
            })?;
            return Ok(Readiness::Tcp(address));
        }
        if let Some(path) = text.strip_prefix("file:") {
            return Ok(Readiness::File(path.into()));
        }
        match text {
            "none" => Ok(Readiness::None),
            "notify" => Ok(Readiness::Notify),
            _ => match given.duration("ready") {
                Ok(Some(wait)) => Ok(Readiness::After(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))),
                Ok(None) | Err(_) => Err(format!(
                    "`ready` is `{text}`: write \"none\", \"500ms\", \"tcp:ADDRESS:PORT\", \"file:PATH\" or \"notify\""
                )),
            },
        }
    }
}

/// Watches for readiness.
pub(super) struct Watch {
    how: Readiness,
    begun: Instant,
    socket: Option<UnixDatagram>,
}

impl Watch {
    /// Begins to watch, before the service is started: what an earlier life left does not count.
    pub(super) fn begin(how: Readiness, notify: &Path) -> io::Result<Watch> {
        let socket = match &how {
            Readiness::Notify => {
                fs::remove_file(notify).ok();
                let socket = UnixDatagram::bind(notify)?;
                socket.set_nonblocking(true)?;
                // The service may be another user.
                fs::set_permissions(notify, fs::Permissions::from_mode(0o666))?;
                Some(socket)
            }
            Readiness::File(path) => {
                fs::remove_file(path).ok();
                None
            }
            Readiness::None | Readiness::After(_) | Readiness::Tcp(_) => None,
        };
        Ok(Watch { how, begun: Instant::now(), socket })
    }

    /// What to wait for besides time.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// When to look again.
    pub(super) fn look_at(&self) -> Option<Instant> {
        match &self.how {
            Readiness::None => Some(Instant::now()),
            Readiness::After(ms) => Some(self.begun + Duration::from_millis(*ms)),
            Readiness::Tcp(_) | Readiness::File(_) => Some(Instant::now() + LOOK_EVERY),
            Readiness::Notify => None,
        }
    }

    /// Whether the service serves.
    pub(super) fn is_ready(&self) -> bool {
        match &self.how {
            Readiness::None => true,
            Readiness::After(ms) => self.begun.elapsed() >= Duration::from_millis(*ms),
            Readiness::Tcp(address) => TcpStream::connect_timeout(address, CONNECT_WITHIN).is_ok(),
            Readiness::File(path) => path.exists(),
            Readiness::Notify => self.was_notified(),
        }
    }

    fn was_notified(&self) -> bool {
        let Some(socket) = &self.socket else { return false };
        let mut buffer = [0u8; NOTIFICATION_MAX];
        // Bounded by what the socket holds: whoever writes faster than we read keeps us ready.
        while let Ok(length) = socket.recv(&mut buffer) {
            if buffer[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return true;
            }
        }
        false
    }
}
