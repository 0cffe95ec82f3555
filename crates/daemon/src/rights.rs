//! Whose rights a process of a node has. Guardian and executor are root; the core and the gateway,
//! which read what strangers send, are not.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, chown, fchown},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags, open},
    io::Errno,
    process::{Gid, Uid},
    thread::{
        CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_keep_capabilities,
        set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    },
};

/// Entries of the state directory that are handed over at most: it has a handful.
const ENTRIES_MAX: usize = 1024;

/// What the core keeps: real-time priority for its heartbeats, and memory that is never paged out.
pub(crate) const OF_CORE: CapabilitySet = CapabilitySet::SYS_NICE.union(CapabilitySet::IPC_LOCK);
/// What the gateway keeps.
pub(crate) const OF_GATEWAY: CapabilitySet = CapabilitySet::empty();

/// A user that a process becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// Who the core is: `heart`, or a number that no distribution gives away.
    pub(crate) fn of_core() -> User {
        User::called("heart", 59_694)
    }

    /// Who the gateway is: `heart-gateway`, or a number that no distribution gives away.
    pub(crate) fn of_gateway() -> User {
        User::called("heart-gateway", 59_695)
    }

    fn called(name: &str, otherwise: u32) -> User {
        let known = fs::read_to_string("/etc/passwd").unwrap_or_default();
        User::in_passwd(&known, name).unwrap_or(User { uid: otherwise, gid: otherwise })
    }

    /// passwd(5): name, password, uid, gid, and more, with colons between them.
    fn in_passwd(text: &str, name: &str) -> Option<User> {
        let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map(str::parse);
        let (uid, gid) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        // A `heart` that is root would be no help.
        (uid != 0).then_some(User { uid, gid })
    }

    /// Gives the user a directory and the files that are directly in it.
    ///
    /// The user could write in it before, and may have been misled: what is a link, or has another name
    /// elsewhere, stays as it is. The directory may itself be behind a link: the user could not write beside it.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn own(self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)?.take(ENTRIES_MAX) {
            let entry = entry?;
            if !entry.file_type()?.is_file() {
                continue;
            }
            let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file: fs::File = match open(entry.path(), flags, Mode::empty()) {
                Ok(file) => file.into(),
                Err(Errno::LOOP | Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            };
            let found = file.metadata()?;
            if found.is_file() && found.nlink() == 1 {
                fchown(&file, Some(self.uid), Some(self.gid))?;
            }
        }
        chown(folder, Some(self.uid), Some(self.gid))
    }

    /// Has this process, which has one thread still, become the user for good: with these capabilities
    /// at most, and without a way to get others.
    ///
    /// # Errors
    /// When it is not root, or not root of users other than itself, as in a user namespace.
    pub(crate) fn become_user(self, capabilities: CapabilitySet) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        let kept = self::capabilities(None)?.permitted & capabilities;
        set_thread_groups(&[gid])?;
        set_thread_res_gid(gid, gid, gid)?;
        set_keep_capabilities(true)?;
        set_thread_res_uid(uid, uid, uid)?;
        let inheritable = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })?;
        Ok(set_no_new_privs(true)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_somebody_else_too_is_not_given_away() {
        let folder = tempfile::tempdir().unwrap();
        let (state, outside) = (folder.path().join("state"), folder.path().join("outside"));
        fs::create_dir(&state).unwrap();
        fs::write(&outside, "").unwrap();
        fs::write(state.join("journal"), "").unwrap();
        fs::hard_link(&outside, state.join("hard")).unwrap();
        std::os::unix::fs::symlink(&outside, state.join("soft")).unwrap();
        if fs::metadata(&outside).unwrap().uid() != 0 {
            eprintln!("skipped: only root gives files away");
            return;
        }
        User { uid: 59_694, gid: 59_694 }.own(&state).unwrap();
        let owner = |path: &Path| fs::metadata(path).unwrap().uid();
        assert_eq!(owner(&outside), 0);
        assert_eq!(owner(&state.join("journal")), 59_694);
        assert_eq!(owner(&state), 59_694);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&state, &link).unwrap();
        User { uid: 59_695, gid: 59_695 }.own(&link).unwrap();
        assert_eq!(owner(&state), 59_695, "a link that who runs Heart put in its place");
    }

    #[test]
    fn users_are_found_by_their_whole_name() {
        let text = "root:x:0:0::/root:/bin/sh\nheart-gateway:x:101:102:::\nheart:x:100:103:::\nbad:x:y:1\n";
        for (name, expected) in [
            ("heart", Some(User { uid: 100, gid: 103 })),
            ("heart-gateway", Some(User { uid: 101, gid: 102 })),
            ("hear", None),
            ("root", None),
            ("bad", None),
        ] {
            assert_eq!(User::in_passwd(text, name), expected, "{name}");
        }
    }
}
