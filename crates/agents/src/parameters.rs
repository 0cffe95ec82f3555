//! Reading the parameters of a resource.
//!
//! The configuration was checked before, on another node perhaps with another version. So agents
//! check again, and answer `Misconfigured` with a sentence that says what may be written.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use heart_model::Value;

/// The parameters of one resource, as written.
pub(crate) struct Parameters<'a>(pub(crate) &'a BTreeMap<String, Value>);

impl<'a> Parameters<'a> {
    /// Refuses names that are not in `known`.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), String> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(format!("there is no parameter `{name}`: there are {}", known.join(", "))),
            None => Ok(()),
        }
    }

    /// A text, if it is written.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(format!("`{name}` has to be a text in quotes")),
        }
    }

    /// A whole number within bounds, if it is written.
    pub(crate) fn number(&self, name: &str, most: u32) -> Result<Option<u32>, String> {
        let wrong = || format!("`{name}` has to be a whole number from 0 to {most}");
        let number = match self.0.get(name) {
            None => return Ok(None),
            Some(Value::Integer(number)) => u32::try_from(*number).map_err(|_| wrong())?,
            Some(Value::Text(text)) => text.parse().map_err(|_| wrong())?,
            Some(_) => return Err(wrong()),
        };
        if number > most { Err(wrong()) } else { Ok(Some(number)) }
    }

    /// `true` or `false`, if it is written.
    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>, String> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Boolean(value)) => Ok(Some(*value)),
            Some(_) => Err(format!("`{name}` has to be true or false")),
        }
    }

    /// A length of time such as `"500ms"`, if it is written.
    pub(crate) fn duration(&self, name: &str) -> Result<Option<Duration>, String> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        duration(text).map(Some).ok_or_else(|| {
            format!("`{name}` is `{text}`: write a length of time such as \"500ms\" or \"10s\"")
        })
    }

    /// An address, if it is written.
    pub(crate) fn address(&self, name: &str) -> Result<Option<IpAddr>, String> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("`{name}` is `{text}`, which is no IP address"))
    }

    /// A command: a list of words, or a text that is split at white space.
    pub(crate) fn words(&self, name: &str) -> Result<Option<Vec<String>>, String> {
        let wrong = || format!("`{name}` has to be a text or a list of texts, with at least one word");
        let words: Vec<String> = match self.0.get(name) {
            None => return Ok(None),
            Some(Value::Text(text)) => text.split_whitespace().map(str::to_owned).collect(),
            Some(Value::List(list)) => list
                .iter()
                .map(|word| word.as_text().map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or_else(wrong)?,
            Some(_) => return Err(wrong()),
        };
        if words.is_empty() { Err(wrong()) } else { Ok(Some(words)) }
    }

    /// Named texts, empty if not written.
    pub(crate) fn table(&self, name: &str) -> Result<BTreeMap<String, String>, String> {
        match self.0.get(name) {
            None => Ok(BTreeMap::new()),
            Some(Value::Table(table)) => {
                Ok(table.iter().map(|(key, value)| (key.clone(), value.to_string())).collect())
            }
            Some(_) => Err(format!("`{name}` has to be a table such as {{ KEY = \"value\" }}")),
        }
    }
}

/// Reads a number with a unit: `ms`, `s`, `m` or `h`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    match text[digits..].trim_start() {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" | "min" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3600)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_with_a_unit() {
        for (text, wanted) in [
            ("500ms", Some(Duration::from_millis(500))),
            ("10s", Some(Duration::from_secs(10))),
            ("2 m", Some(Duration::from_secs(120))),
            ("1h", Some(Duration::from_secs(3600))),
            ("10", None),
            ("s", None),
            ("-1s", None),
            ("1 day", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(duration(text), wanted, "{text}");
        }
    }
}
