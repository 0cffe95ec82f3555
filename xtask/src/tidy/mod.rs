//! `cargo xtask tidy`: the house rules, as a test.
//!
//! Each rule looks at text or at cargo's metadata and returns what it minds. What clippy can see is
//! left to clippy; here is what it cannot.

mod edges;
mod length;
mod licences;
mod links;
mod shown;
mod source;
mod words;

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};

use crate::metadata;

/// A file of the repository.
pub(crate) struct File {
    /// Its path from the root of the repository.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// Checks all rules and prints what they mind.
pub(crate) fn run() -> Result<bool> {
    let files = files()?;
    let exceptions = files.iter().find(|file| file.path == length::EXCEPTIONS);
    let mut complaints = Vec::new();
    for file in &files {
        complaints.extend(words::check(file));
        if file.is_rust() {
            complaints.extend(source::check(file));
        }
        if file.path.ends_with(".md") {
            complaints.extend(links::check(file, |path| metadata::root().join(path).exists()));
        }
    }
    complaints.extend(source::check_no_std(&files));
    complaints.extend(length::check(&files, exceptions.map_or("", |file| &file.text)));
    complaints.extend(shown::check(&files));
    complaints.extend(edges::check(&metadata::packages(false)?));
    complaints.extend(licences::check(&metadata::packages(true)?));
    for complaint in &complaints {
        println!("{complaint}");
    }
    println!("tidy: {} files, {} complaints", files.len(), complaints.len());
    Ok(complaints.is_empty())
}

/// The texts that git knows, or would know.
fn files() -> Result<Vec<File>> {
    let root = metadata::root();
    let output = Command::new("git")
        .current_dir(&root)
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .output()
        .context("cannot run git")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    // What is no text, or was deleted but not yet from git's list, has nothing to mind.
    let read =
        |path: &str| Some(File { path: path.to_owned(), text: fs::read_to_string(root.join(path)).ok()? });
    Ok(listed.lines().filter_map(read).collect())
}
