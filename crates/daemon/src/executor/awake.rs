//! Keeps the machine from going to sleep while something is here (SAFETY rule 22).
//!
//! What sleeps lets go of nothing in order: others take it over when the lease has run out, and what woke lets go then.
//! That is safe, and a needless failover. Who puts a machine to sleep is the login manager, and its own program asks it
//! not to. Where there is no such program, nobody does it by itself.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use heart_agents::descriptors;

/// The programs that hold a login manager's lock as long as what they run runs.
const PROGRAMS: [&str; 2] = ["systemd-inhibit", "elogind-inhibit"];
/// Where they are.
const FOLDERS: [&str; 4] = ["/usr/bin", "/bin", "/usr/local/bin", "/run/current-system/sw/bin"];
/// Over which they ask. Without it no login manager runs here, or not yet.
const BUS: &str = "/run/dbus/system_bus_socket";
/// How long a lock that could not be had, or was lost, is not asked for again.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// How often is looked whether it is still held.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How much is read of what the program says.
const SAID_MAX: u64 = 512;

/// See the module. The program is on a disk that may have stalled just when everything is let go of: a thread of its own
/// waits for it.
#[derive(Debug)]
pub(super) struct Awake {
    changes: Sender<bool>,
    owns: bool,
}

impl Awake {
    /// With the program of the login manager that is here, if there is one.
    ///
    /// # Errors
    /// When the kernel refuses a thread.
    pub(super) fn begin() -> io::Result<Awake> {
        let (changes, told) = mpsc::channel();
        thread::Builder::new().name("heart-awake".into()).spawn(move || Keeper::find().run(&told))?;
        Ok(Awake { changes, owns: false })
    }

    /// Holds the lock while something is here, and not otherwise.
    pub(super) fn follow(&mut self, owns: bool) {
        if std::mem::replace(&mut self.owns, owns) != owns {
            self.changes.send(owns).ok();
        }
    }
}

/// What the thread does.
#[derive(Debug)]
struct Keeper {
    program: Option<PathBuf>,
    bus: PathBuf,
    lock: Option<Lock>,
    /// When it is looked at, or asked for, again.
    next_look: Option<Instant>,
    /// What was wrong when that was told last.
    told: Option<String>,
}

/// A lock that is held as long as the program runs, and that runs as long as somebody holds this end of its input.
#[derive(Debug)]
struct Lock {
    child: Child,
    input: Option<ChildStdin>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}

impl Keeper {
    fn find() -> Keeper {
        let places = PROGRAMS.iter().flat_map(|name| FOLDERS.map(|folder| Path::new(folder).join(name)));
        Keeper::with(places.into_iter().find(|place| place.exists()), BUS.into())
    }

    fn with(program: Option<PathBuf>, bus: PathBuf) -> Keeper {
        Keeper { program, bus, lock: None, next_look: None, told: None }
    }

    /// Until nobody is left who could tell of a change.
    fn run(mut self, told: &Receiver<bool>) {
        let mut owns = false;
        while self.program.is_some() {
            match told.recv_timeout(LOOK_EVERY) {
                Ok(now) => owns = now,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.follow(owns, Instant::now());
        }
    }

    fn follow(&mut self, owns: bool, now: Instant) {
        let Some(program) = self.program.clone() else { return };
        if !owns {
            (self.lock, self.next_look) = (None, None);
            return;
        }
        if self.next_look.is_some_and(|at| now < at) {
            return;
        }
        self.next_look = Some(now + LOOK_EVERY);
        let result = match self.lock.take() {
            Some(lock) => still_held(lock).map(Some),
            None if !self.bus.exists() => Ok(None),
            None => ask(&program).map(Some),
        };
        match result {
            Ok(lock) => self.lock = lock,
            Err(why) => {
                self.next_look = Some(now + AGAIN_AFTER);
                if self.told.as_ref() != Some(&why) {
                    tracing::warn!(
                        "this machine may go to sleep while something runs here, and then loses it: {} says {why}; mend \
                         that, or mask sleep.target",
                        program.display()
                    );
                }
                self.told = Some(why);
            }
        }
    }
}

fn ask(program: &Path) -> Result<Lock, String> {
    let mut command = Command::new(program);
    command.args(["--what=sleep", "--mode=block", "--who=Heart"]);
    command.args(["--why=services of the cluster run here", "cat"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    descriptors::as_before(&mut command);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let input = child.stdin.take();
    Ok(Lock { child, input })
}

/// The lock, if its program runs on; what that said otherwise.
fn still_held(mut lock: Lock) -> Result<Lock, String> {
    match lock.child.try_wait() {
        Ok(None) => Ok(lock),
        Ok(Some(status)) => {
            // What it ran ends with its input, and says no more.
            lock.input = None;
            let said = lock.child.stderr.take().map(first_words).transpose().ok().flatten();
            Err(said
                .filter(|said| !said.is_empty())
                .unwrap_or_else(|| format!("nothing, and ended: {status}")))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn first_words(from: impl Read) -> io::Result<String> {
    let mut said = Vec::new();
    from.take(SAID_MAX).read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, thread};

    use super::*;

    /// A program that writes what it was asked for, and then runs `then`.
    fn program(folder: &Path, then: &str) -> PathBuf {
        let (place, asked) = (folder.join("inhibit"), folder.join("asked"));
        let script = format!("#!/bin/sh\necho \"$@\" > {0}.new && mv {0}.new {0}\n{then}\n", asked.display());
        fs::write(&place, script).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
        place
    }

    fn eventually(what: &str, is_so: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !is_so() {
            assert!(Instant::now() < end, "waited in vain until {what}");
            thread::yield_now();
        }
    }

    #[test]
    fn the_machine_is_kept_awake_as_long_as_something_is_here() {
        let folder = tempfile::tempdir().unwrap();
        let program = program(folder.path(), "exec cat");
        let (mut awake, now) = (Keeper::with(Some(program), folder.path().into()), Instant::now());
        awake.follow(false, now);
        assert!(awake.lock.is_none());
        awake.follow(true, now);
        let id = awake.lock.as_ref().unwrap().child.id();
        let asked = folder.path().join("asked");
        eventually("the lock is asked for", || asked.exists());
        assert_eq!(
            fs::read_to_string(asked).unwrap().trim(),
            "--what=sleep --mode=block --who=Heart --why=services of the cluster run here cat"
        );
        awake.follow(true, now + LOOK_EVERY);
        assert_eq!(awake.lock.as_ref().unwrap().child.id(), id, "it is asked for once");
        awake.follow(false, now);
        assert!(!Path::new(&format!("/proc/{id}")).exists(), "the program has ended");
    }

    #[test]
    fn a_lock_that_cannot_be_had_is_told_once_and_asked_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let program = program(folder.path(), "echo 'no bus here' >&2; exit 1");
        let (mut awake, now) = (Keeper::with(Some(program), folder.path().into()), Instant::now());
        awake.follow(true, now);
        let id = awake.lock.as_ref().unwrap().child.id();
        let stat = format!("/proc/{id}/stat");
        eventually("it has ended", || fs::read_to_string(&stat).unwrap().contains(") Z "));
        awake.follow(true, now + LOOK_EVERY);
        assert_eq!((awake.lock.is_none(), awake.told.as_deref()), (true, Some("no bus here")));
        awake.follow(true, now + LOOK_EVERY + AGAIN_AFTER / 2);
        assert!(awake.lock.is_none());
        awake.follow(true, now + LOOK_EVERY + AGAIN_AFTER);
        assert!(awake.lock.is_some());
    }

    #[test]
    fn without_a_login_manager_nothing_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let check = |mut awake: Keeper| {
            awake.follow(true, Instant::now());
            assert!(awake.lock.is_none() && awake.told.is_none(), "{awake:?}");
        };
        check(Keeper::with(None, folder.path().into()));
        check(Keeper::with(Some(program(folder.path(), "exec cat")), folder.path().join("bus")));
    }
}
