//! What the audience sees: one screen that is drawn anew, or lines for a script.

use std::io::{IsTerminal, Write};

use super::cluster::{ADDRESS, NODES, View};
use crate::Status;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";
/// Cursor home, and erase what is below.
const AGAIN: &str = "\x1b[H\x1b[J";
/// Most lines of the story on the screen.
const STORY_MAX: usize = 14;

/// Where the demonstration is shown.
pub(crate) struct Screen {
    live: bool,
    story: Vec<String>,
}

impl Screen {
    /// One screen, drawn anew; lines if there is no terminal.
    pub(crate) fn live() -> Screen {
        Screen { live: std::io::stdout().is_terminal(), story: Vec::new() }
    }

    /// One line for everything that is told.
    pub(crate) fn lines() -> Screen {
        Screen { live: false, story: Vec::new() }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// Tells the next sentence of the story.
    pub(crate) fn tell(&mut self, sentence: &str) {
        if self.live {
            self.story.push(sentence.to_owned());
        } else {
            println!("{sentence}");
        }
    }

    /// Draws the state of everything.
    pub(crate) fn draw(&self, machines: &Status, view: Option<&View>, answering: Option<&str>) {
        if !self.live {
            return;
        }
        let mut out = std::io::stdout().lock();
        let text = page(machines, view, answering, &self.story);
        // A terminal that is gone has no audience.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

fn page(machines: &Status, view: Option<&View>, answering: Option<&str>, story: &[String]) -> String {
    let leader = view.and_then(|view| view.leader.as_deref()).unwrap_or("nobody");
    let mut text = format!("{AGAIN}{BOLD}Heart: three nodes on this machine{PLAIN}   leader: {leader}\n\n");
    for name in NODES {
        let power =
            machines.machines.iter().find(|machine| machine.name == name).map(|machine| machine.state);
        let power = power.map_or_else(String::new, |state| state.to_string());
        let state = view.and_then(|view| view.nodes.get(name)).map_or("?", |node| node.state.as_str());
        let runs: Vec<&str> = view
            .into_iter()
            .flat_map(|view| &view.resources)
            .filter(|(_, resource)| resource.node.as_deref() == Some(name))
            .map(|(resource, _)| resource.as_str())
            .collect();
        text += &format!("  {name:<6} power {power:<7} cluster says {state:<9} {}\n", runs.join(", "));
    }
    let cuts = machines.losses.len();
    text += &match cuts {
        0 => "\n  network whole\n".to_owned(),
        _ => format!("\n  network cut: {cuts} paths lose frames\n"),
    };
    text += &match answering {
        Some(node) => format!("  the client asks http://{ADDRESS}/ and {BOLD}{node}{PLAIN} answers\n\n"),
        None => format!("  the client asks http://{ADDRESS}/ and {BOLD}nobody{PLAIN} answers\n\n"),
    };
    for sentence in story.iter().skip(story.len().saturating_sub(STORY_MAX)) {
        text += &format!("  {DIM}>{PLAIN} {sentence}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_who_answers_and_only_the_latest_of_the_story() {
        let machines = Status { name: "demo".into(), machines: Vec::new(), losses: Vec::new() };
        let story: Vec<String> = (0..20).map(|n| format!("sentence {n}.")).collect();
        let text = page(&machines, None, Some("bob"), &story);
        assert!(text.contains("bob") && text.contains("network whole") && text.contains("leader: nobody"));
        assert!(text.contains("sentence 19.") && !text.contains("sentence 5."));
    }
}
