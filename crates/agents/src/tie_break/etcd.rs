//! A value in etcd, through its JSON gateway: a transaction that compares the revision of the key.

use heart_model::{Standing, TieBreakOrder, TieBreakOutcome};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    ROUNDS_MAX, Time, compare,
    http::{self, Url},
    read_value,
    text::{from_base64, to_base64},
    too_many_rounds, write_value,
};

/// Asks the members one after the other, until one answers.
///
/// What a member did that did not answer in time is seen by the next: it compares anew.
pub(super) fn carry_out(
    order: &TieBreakOrder,
    endpoints: &[String],
    key: &str,
    time: &Time,
) -> Result<TieBreakOutcome, String> {
    let mut whys = Vec::new();
    for (number, endpoint) in endpoints.iter().enumerate() {
        let asked = time.share(endpoints.len() - number).and_then(|time| {
            Member { url: Url::parse(endpoint)?, key: to_base64(key.as_bytes()), time: &time }
                .carry_out(order)
        });
        match asked {
            Ok(outcome) => return Ok(outcome),
            Err(why) => whys.push(why),
        }
    }
    if whys.is_empty() {
        whys.push("no member is named; write `etcd = [\"http://HOST:2379\"]`".to_owned());
    }
    Err(whys.join("; "))
}

struct Member<'a> {
    url: Url,
    /// In base64, as the gateway wants it.
    key: String,
    time: &'a Time,
}

/// Protocol buffers as JSON: numbers of 64 bits are texts, and what is empty is left out.
#[derive(Deserialize)]
struct Range {
    #[serde(default)]
    kvs: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    mod_revision: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct Transaction {
    #[serde(default)]
    succeeded: bool,
}

impl Member<'_> {
    fn carry_out(&self, order: &TieBreakOrder) -> Result<TieBreakOutcome, String> {
        let value = to_base64(&write_value(&order.set)?);
        for _ in 0..ROUNDS_MAX {
            let (stands, unchanged) = self.read()?;
            if let Some(outcome) = compare(order, stands.as_ref()) {
                return Ok(outcome);
            }
            let put = json!([{ "request_put": { "key": self.key, "value": value } }]);
            let done: Transaction =
                self.ask("/v3/kv/txn", &json!({ "compare": [unchanged], "success": put }))?;
            if done.succeeded {
                return Ok(TieBreakOutcome::Set);
            }
        }
        Err(too_many_rounds())
    }

    /// What stands there, and what compares whether it still does.
    fn read(&self) -> Result<(Option<Standing>, Value), String> {
        let found: Range = self.ask("/v3/kv/range", &json!({ "key": self.key }))?;
        let same = |target: &str, name: &str, revision: &str| json!({ "key": self.key, "target": target, "result": "EQUAL", name: revision });
        let Some(pair) = found.kvs.first() else { return Ok((None, same("CREATE", "create_revision", "0"))) };
        let bytes = from_base64(&pair.value).ok_or_else(|| {
            format!("{} wrote the value in something else than base64; see its version", self.url.authority)
        })?;
        Ok((Some(read_value(&bytes)?), same("MOD", "mod_revision", &pair.mod_revision)))
    }

    fn ask<T: DeserializeOwned>(&self, path: &str, question: &impl Serialize) -> Result<T, String> {
        let body = serde_json::to_vec(question).map_err(|error| format!("cannot ask: {error}"))?;
        let url = self.url.at(format!("{}{path}", self.url.path.trim_end_matches('/')));
        let headers = [("Content-Type".to_owned(), "application/json".to_owned())];
        let answer = http::ask("POST", &url, &headers, &body, self.time)?;
        let member = &self.url.authority;
        if answer.status != 200 {
            let hint = match answer.status {
                404 => "this needs etcd 3.4 or newer with its JSON gateway",
                400 | 401 | 403 => "this needs an etcd without passwords, as Heart gives none",
                _ => "see the log of etcd, and whether it has a leader",
            };
            return Err(format!("{member} refused ({}); {hint}", answer.words()));
        }
        serde_json::from_slice(&answer.body).map_err(|error| {
            format!("{member} answered something that etcd does not say ({error}); see what listens there")
        })
    }
}
