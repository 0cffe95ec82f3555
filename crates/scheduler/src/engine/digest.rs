//! Digests of what an operation was told.
//!
//! Histories do not carry the parameters of an operation, but digests of them: of all, of those that take
//! a restart when they change, of those that are no secret. They are MD5 sums of one element of XML, a
//! blank before it and a line feed behind:
//!
//! ```text
//!  <parameters ip="192.0.2.1" nic="eth0"/>
//! ```
//!
//! Names are sorted. To the parameters of the resource come those of the operation; of its options only
//! the timeout counts, and only if it recurs. What a fence device is told for the sake of the cluster, not
//! of its agent (`pcmk_…`), is part of the whole but not of what is public.
//!
//! MD5 protects nothing here: it is what these histories have.

use alloc::{collections::BTreeMap, string::String};

use heart_model::policy::Digests;
use md5::{Digest, Md5};

/// Under which name the timeout of a recurring operation counts.
const TIMEOUT: &str = "CRM_meta_timeout";

/// Room for what most operations are told.
const TEXT_BYTES: usize = 256;

const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";

/// Since this version of the executor, timeouts count in public digests, too.
const TIMEOUT_IS_PUBLIC_SINCE: (u32, u32) = (3, 16);

/// What an operation is told today.
#[derive(Clone, Copy)]
pub(crate) struct Told<'p> {
    /// The parameters of the resource, with those of the operation.
    pub(crate) parameters: &'p BTreeMap<&'p str, &'p str>,
    /// The timeout in milliseconds, if the operation recurs.
    pub(crate) timeout_ms: Option<u64>,
    /// It is told to a fence device.
    pub(crate) fence_device: bool,
}

impl Told<'_> {
    /// The digest of everything.
    pub(crate) fn all(&self) -> String {
        self.where_name(|_| true, self.timeout_ms)
    }

    /// The digest of what takes a restart when it changes, as far as the history says what that is.
    pub(crate) fn restart(&self, history: &Digests) -> Option<String> {
        history.restart.as_ref()?;
        let Some(names) = &history.restart_names else { return Some(self.all()) };
        Some(self.where_name(|name| names.iter().any(|restart| restart == name), None))
    }

    /// The digest of what is no secret, as far as the history says what that is.
    pub(crate) fn public(&self, history: &Digests) -> Option<String> {
        history.public.as_ref()?;
        let secret = |name: &str| history.secret_names.iter().any(|secret| secret == name);
        let for_the_cluster = |name: &str| self.fence_device && name.starts_with("pcmk_");
        let version = history.feature_set.as_deref().map(version);
        let timeout = self.timeout_ms.filter(|_| version >= Some(TIMEOUT_IS_PUBLIC_SINCE));
        Some(self.where_name(|name| !secret(name) && !for_the_cluster(name), timeout))
    }

    /// Whether it is told the same as in the history; with `sanitised` it is enough that what is no secret
    /// is the same, because whoever wrote the history down has taken secrets out.
    pub(crate) fn is_as_in(&self, history: &Digests, sanitised: bool) -> bool {
        let all = history.all.as_ref().is_some_and(|all| *all == self.all());
        let public = || history.public.is_some() && history.public == self.public(history);
        all || (sanitised && public())
    }

    fn where_name(&self, counts: impl Fn(&str) -> bool, timeout_ms: Option<u64>) -> String {
        let parameters = self.parameters.iter().map(|(name, value)| (*name, *value));
        digest(parameters.filter(|(name, _)| counts(name)), timeout_ms)
    }
}

/// The first two numbers of a version.
fn version(text: &str) -> (u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// The digest of sorted parameters and a timeout among them.
fn digest<'p>(parameters: impl Iterator<Item = (&'p str, &'p str)>, timeout_ms: Option<u64>) -> String {
    let mut text = String::with_capacity(TEXT_BYTES);
    text.push_str(" <parameters");
    let mut timeout = timeout_ms.map(|milliseconds| alloc::format!("{milliseconds}"));
    for (name, value) in parameters {
        if name >= TIMEOUT
            && let Some(timeout) = timeout.take()
        {
            attribute(&mut text, TIMEOUT, &timeout);
        }
        if timeout_ms.is_none() || name != TIMEOUT {
            attribute(&mut text, name, value);
        }
    }
    if let Some(timeout) = timeout {
        attribute(&mut text, TIMEOUT, &timeout);
    }
    text.push_str("/>\n");
    let sum = Md5::digest(text.as_bytes());
    let digits = sum.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(HEXADECIMAL[usize::from(digit)])).collect()
}

fn attribute(text: &mut String, name: &str, value: &str) {
    text.push(' ');
    text.push_str(name);
    text.push_str("=\"");
    for character in value.chars() {
        match character {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\n' => text.push_str("&#10;"),
            '\r' => text.push_str("&#13;"),
            '\t' => text.push_str("&#9;"),
            character => text.push(character),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString, vec::Vec};

    use super::*;

    fn parameters<'n>(named: &[(&'n str, &'n str)]) -> BTreeMap<&'n str, &'n str> {
        named.iter().copied().collect()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_has_no_parameters_has_a_well_known_digest() {
        let parameters = parameters(&[]);
        let told = Told { parameters: &parameters, timeout_ms: None, fence_device: false };
        assert_eq!(told.all(), "f2317cad3d54cec5d7d7aa7d0bf35cf8");
    }

    #[test]
    fn digests_of_real_histories_are_found_again() {
        for (told, timeout_ms, all) in [
            (
                &[("ip", "172.18.67.3"), ("nic", "eth0"), ("lvs_support", "true")][..],
                None,
                "a8861449d5a42926110c8b51ac27bd7a",
            ),
            (&[("ip", "127.0.0.23")], Some(20_000), "a46598608d2202e55725cc42d852e27a"),
            (
                &[("set_policy", r#"ha-all ^(?!amq\.).* {"ha-mode":"all"}"#)],
                None,
                "780d433233eb4f94c1a151623d002e84",
            ),
        ] {
            let told = Told { parameters: &parameters(told), timeout_ms, fence_device: false };
            assert_eq!(told.all(), all);
            let history = Digests { all: Some(all.to_string()), ..Digests::default() };
            assert!(told.is_as_in(&history, false));
        }
    }

    #[test]
    fn only_what_takes_a_restart_is_part_of_its_digest() {
        let told = parameters(&[
            ("monitor_timeout", "120"),
            ("instance_name", "NMS"),
            ("monitor_use_ssl", "no"),
            ("monitor_urls", "/tcs/health"),
            ("of_no_importance", "1"),
        ]);
        let told = Told { parameters: &told, timeout_ms: None, fence_device: false };
        let restart_names =
            names(&["state", "instance_name", "monitor_urls", "monitor_use_ssl", "monitor_timeout"]);
        let restart = Some("5d6e6347e3618ccb7842ba5d67b49a34".to_string());
        let restart_names = Some(restart_names);
        let history = Digests { restart: restart.clone(), restart_names, ..Digests::default() };
        assert_eq!(told.restart(&history), restart);
        let everything = Digests { restart, ..Digests::default() };
        assert_eq!(told.restart(&everything), Some(told.all()), "if no names are given, everything does");
        assert_eq!(told.restart(&Digests::default()), None);
    }

    #[test]
    fn secrets_and_what_the_cluster_is_told_are_no_part_of_what_is_public() {
        let told = parameters(&[
            ("ipaddr", "192.168.48.21"),
            ("login", "admin"),
            ("passwd", "****"),
            ("pcmk_host_list", "cesr104-p16"),
        ]);
        let told = Told { parameters: &told, timeout_ms: None, fence_device: true };
        let history = Digests {
            all: Some("27327e4075d439328e30c2d3f8a846b7".to_string()),
            public: Some("d14015b540c7f9c28236b218d7e48232".to_string()),
            secret_names: names(&["passwd", "password"]),
            feature_set: Some("3.0.12".to_string()),
            ..Digests::default()
        };
        assert!(told.is_as_in(&history, true));
        assert!(!told.is_as_in(&history, false), "the secret was taken out");
    }

    #[test]
    fn whether_a_timeout_is_public_depends_on_the_version() {
        let told = Told { parameters: &parameters(&[]), timeout_ms: Some(20_000), fence_device: false };
        for (feature_set, public) in
            [("3.17.4", "4811cef7f7f94e3a35a70be7916cb2fd"), ("3.6.3", "f2317cad3d54cec5d7d7aa7d0bf35cf8")]
        {
            let history = Digests {
                public: Some(public.to_string()),
                feature_set: Some(feature_set.to_string()),
                ..Digests::default()
            };
            assert_eq!(told.public(&history), history.public, "{feature_set}");
        }
    }
}
