//! A process that outlives being killed, as one does that waits for a device that does not answer.
#![allow(dead_code, clippy::allow_attributes, reason = "every test uses another part of this")]

use std::{
    fs,
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use rustix::process::{Pid, WaitOptions, set_child_subreaper, waitpid};

/// What a shell has to run: a process that writes its number to `FOLDER/first`. It is the first one of a namespace, so
/// the kernel lets it go only when everybody in there is buried.
pub(crate) fn script(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "unshare -p -f sh -c 'read pid rest </proc/self/stat; echo $pid >{folder}/new; mv {folder}/new {folder}/first; \
         while :; do sleep 71.05; done'"
    )
}

/// Somebody who does not bury a process of that namespace.
pub(crate) struct Holder {
    holder: Child,
    dead: Pid,
    /// What cannot end.
    pub(crate) first: i32,
}

/// Waits until that file is there; what is in it.
pub(crate) fn told(file: &Path) -> String {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match fs::read_to_string(file) {
            Ok(text) => return text.trim().to_owned(),
            Err(_) => assert!(Instant::now() < end, "{} does not come", file.display()),
        }
        std::thread::yield_now();
    }
}

impl Holder {
    /// Holds what [`script`] ran.
    pub(crate) fn hold(folder: &Path) -> Holder {
        Holder::hold_process(told(&folder.join("first")).parse().unwrap())
    }

    /// Holds the first process of a namespace.
    pub(crate) fn hold_process(first: i32) -> Holder {
        // Whose parent dies is ours then, so that we can bury it.
        set_child_subreaper(Some(rustix::process::getpid())).unwrap();
        // Whoever is killed in there is buried by nobody: its parent is out here, and waits for nothing but time.
        let target = first.to_string();
        let arguments = ["-t", &target, "-p", "-F", "sh", "-c", "sleep 71.06 & exec sleep 71.06"];
        let holder = Command::new("nsenter").args(arguments).spawn().unwrap();
        let process = format!("/proc/{}", holder.id());
        let end = Instant::now() + Duration::from_secs(20);
        while !fs::read_to_string(format!("{process}/cmdline")).unwrap().starts_with("sleep") {
            assert!(Instant::now() < end, "it does not begin");
            std::thread::yield_now();
        }
        let dead = fs::read_to_string(format!("{process}/task/{}/children", holder.id())).unwrap();
        let dead = Pid::from_raw(dead.trim().parse().unwrap()).unwrap();
        Holder { holder, dead, first }
    }

    /// Whether it has not ended.
    pub(crate) fn is_there(&self) -> bool {
        fs::read_to_string(format!("/proc/{}/stat", self.first)).is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// Lets it end, and waits until it has.
    pub(crate) fn release(mut self) {
        self.holder.kill().unwrap();
        self.holder.wait().unwrap();
        waitpid(Some(self.dead), WaitOptions::empty()).unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while self.is_there() {
            assert!(Instant::now() < end, "it does not end");
            std::thread::yield_now();
        }
    }
}
