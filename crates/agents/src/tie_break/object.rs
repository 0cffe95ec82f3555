//! A value in an object store that writes on a condition.
//!
//! A store that does not know conditions writes anyway, and then both halves are told that they were faster. Such a
//! store cannot be told from its answers to requests that it should obey, so it is first asked something that it
//! has to refuse, of an object beside the value.

use std::fs;

use heart_model::{Standing, TieBreakOrder, TieBreakOutcome};

use super::{
    ROUNDS_MAX, Time, compare,
    http::{self, Answer, Url},
    read_value,
    signature::{Signed, Signer, encoded},
    too_many_rounds, write_value,
};
use crate::clock;

/// What the name of the object that is refused on purpose ends with.
const PROBE: &str = ".heart-probe";
/// An ETag that no object has.
const NO_ETAG: &str = "\"heart-never-wrote-this\"";
/// Most of a secret's file that is looked at, in bytes.
const SECRET_MAX: usize = 4096;

/// Where the value is, and under which name it is asked for.
pub(super) struct Object<'a> {
    url: Url,
    /// Access key and secret.
    signed: Option<(&'a str, String)>,
    region: &'a str,
}

/// What a write demands of what stands there.
enum Condition {
    Nothing,
    This(String),
}

impl Condition {
    fn header(&self) -> (String, String) {
        match self {
            Condition::Nothing => ("If-None-Match".to_owned(), "*".to_owned()),
            Condition::This(etag) => ("If-Match".to_owned(), etag.clone()),
        }
    }
}

impl<'a> Object<'a> {
    /// Takes it as the file says; the secret is read now. `names`: access key and file of the secret.
    pub(super) fn new(
        url: &str,
        names: (Option<&'a str>, Option<&str>),
        region: &'a str,
    ) -> Result<Object<'a>, String> {
        let mut url = Url::parse(url)?;
        url.path = encoded(&url.path);
        let signed = match names {
            (Some(access_key), Some(file)) => Some((access_key, secret(file)?)),
            (None, None) => None,
            (Some(_), None) => return Err("`access_key` needs a `secret_file`; add one".to_owned()),
            (None, Some(_)) => return Err("`secret_file` needs an `access_key`; add one".to_owned()),
        };
        Ok(Object { url, signed, region })
    }

    pub(super) fn carry_out(&self, order: &TieBreakOrder, time: &Time) -> Result<TieBreakOutcome, String> {
        let value = write_value(&order.set)?;
        let mut proven = [false; 2];
        for _ in 0..ROUNDS_MAX {
            let (stands, condition) = self.read(time)?;
            if let Some(outcome) = compare(order, stands.as_ref()) {
                return Ok(outcome);
            }
            let proven = &mut proven[usize::from(matches!(condition, Condition::This(_)))];
            if !*proven {
                self.prove(&condition, time)?;
                *proven = true;
            }
            let answer = self.write(&self.url, &condition, &value, time)?;
            match (answer.status, condition) {
                (200..=299, _) => return Ok(TieBreakOutcome::Set),
                // Somebody was faster, or is writing now, or has just removed it.
                (409 | 412, _) | (404, Condition::This(_)) => {}
                _ => return Err(refused("to be written", &answer)),
            }
        }
        Err(too_many_rounds())
    }

    /// What stands there, and what a write in its place has to demand.
    fn read(&self, time: &Time) -> Result<(Option<Standing>, Condition), String> {
        let answer = self.ask("GET", &self.url, Vec::new(), b"", time)?;
        match answer.status {
            200 => {}
            404 if !answer.words().contains("NoSuchBucket") => return Ok((None, Condition::Nothing)),
            _ => return Err(refused("to be read", &answer)),
        }
        let etag = answer.header("etag").filter(|etag| etag.starts_with('"')).ok_or_else(|| {
            "the store gave no strong ETag with it, so it cannot write on a condition; use another kind of store"
                .to_owned()
        })?;
        let stands = read_value(&answer.body)?;
        Ok((Some(stands), Condition::This(etag.to_owned())))
    }

    /// Finds out whether the store refuses a write whose condition does not hold.
    fn prove(&self, condition: &Condition, time: &Time) -> Result<(), String> {
        let beside = self.url.at(format!("{}{PROBE}", self.url.path));
        // The first may find nothing there; then the second has to be refused.
        let (impossible, times) = match condition {
            Condition::Nothing => (Condition::Nothing, 2),
            Condition::This(_) => (Condition::This(NO_ETAG.to_owned()), 1),
        };
        for _ in 0..times {
            let answer = self.write(&beside, &impossible, b"refused on purpose", time)?;
            match answer.status {
                404 | 409 | 412 => return Ok(()),
                200..=299 => {}
                _ => return Err(refused(&format!("to be tried at {}", beside.path), &answer)),
            }
        }
        let (name, value) = impossible.header();
        Err(format!(
            "the store did not refuse to write {} with `{name}: {value}`, so two nodes could both be told that they \
             were first; use a store that obeys conditions",
            beside.path
        ))
    }

    fn write(&self, url: &Url, condition: &Condition, body: &[u8], time: &Time) -> Result<Answer, String> {
        self.ask("PUT", url, vec![condition.header()], body, time)
    }

    fn ask(
        &self,
        method: &str,
        url: &Url,
        mut headers: Vec<(String, String)>,
        body: &[u8],
        time: &Time,
    ) -> Result<Answer, String> {
        if let Some((access_key, secret)) = &self.signed {
            let signer = Signer { access_key, secret, region: self.region };
            let at = clock::realtime() / 1_000_000_000;
            let request = Signed { method, host: &url.authority, path: &url.path, body, at };
            headers.extend(signer.headers(&request, &headers));
        }
        http::ask(method, url, &headers, body, time)
    }
}

fn secret(file: &str) -> Result<String, String> {
    let bytes = fs::read(file)
        .map_err(|error| format!("the secret {file} cannot be read: {error}; see `secret_file`"))?;
    let text = str::from_utf8(&bytes).unwrap_or_default().lines().next().unwrap_or_default().trim();
    if text.is_empty() || bytes.len() > SECRET_MAX {
        return Err(format!("{file} has no secret in its first line; write it there, and nothing else"));
    }
    Ok(text.to_owned())
}

fn refused(what: &str, answer: &Answer) -> String {
    let hint = match answer.status {
        401 | 403 => {
            "see `access_key`, `secret_file`, `region`, the clock of this node and the rights in the store"
        }
        404 => "see whether the bucket is there",
        _ => "see the log of the store",
    };
    format!("the store refused it {what} ({}); {hint}", answer.words())
}
