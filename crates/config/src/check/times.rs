//! Times that come again, and dates.

use std::collections::{BTreeMap, BTreeSet};

use heart_model::{Hours, Name, SPANS_MAX, TIMES_MAX};

use super::{name, too_many, wishes};
use crate::{
    Code, Mistake, Written,
    draft::Draft,
    hours::{DAYS, MONTHS, Scale, WEEKDAYS, read_hours, read_moment},
    tree::cut,
    wishes::{Texts, TimeDraft},
};

pub(super) fn times(draft: &Draft, mistakes: &mut Vec<Mistake>) -> BTreeMap<Name, Hours> {
    if let Some(time) = draft.times.get(TIMES_MAX) {
        too_many(draft.times.len(), TIMES_MAX, "times", time.name.span, mistakes);
    }
    let resources = draft.resources.iter().map(|one| &one.wishes);
    let used: BTreeSet<&str> =
        wishes::times_named(resources.chain(draft.groups.iter().map(|group| &group.wishes)))
            .into_keys()
            .collect();
    // A name that is only written wrongly may be that of a time that seems to be unused.
    let all_known = used.iter().all(|name| draft.times.iter().any(|time| time.name.value == *name));
    let mut times = BTreeMap::new();
    for time in &draft.times {
        let before = mistakes.len();
        let hours = hours(time, mistakes);
        let named = name(&time.name, "time", Name::new, mistakes);
        if mistakes.len() == before {
            never(time, &hours, mistakes);
        }
        let shown = cut(&time.name.value, 40);
        if time.is_empty {
            mistakes.push(
                Mistake::at(
                    Code::EmptyList,
                    time.name.span,
                    format!("the time `{shown}` says nothing, and would always be"),
                )
                .label("nothing in this table")
                .hint("write `weekdays`, `days`, `months`, `hours`, `from` or `until` into it, or remove it"),
            );
        } else if all_known && named.is_some() && !used.contains(time.name.value.as_str()) {
            mistakes.push(
                Mistake::at(Code::UnusedTime, time.name.span, format!("nothing names the time `{shown}`"))
                    .label("no resource or group does")
                    .hint(format!(
                        "write `during = \"{shown}\"` or a table `[resource.NAME.at.{shown}]`, or remove it"
                    )),
            );
        }
        times.extend(named.map(|name| (name, hours)));
    }
    times
}

fn hours(time: &TimeDraft, mistakes: &mut Vec<Mistake>) -> Hours {
    let mut days = |key, scale: &Scale, written: &Option<Texts>| {
        let noun = scale.noun;
        spans(key, noun, |text| scale.read(text), written.as_ref(), mistakes)
    };
    let weekdays = days("weekdays", &WEEKDAYS, &time.weekdays);
    let month_days = days("days", &DAYS, &time.days);
    let months = days("months", &MONTHS, &time.months);
    let times = spans("hours", "hours of a day", read_hours, time.hours.as_ref(), mistakes);
    let from = moment("from", time.from.as_ref(), mistakes);
    let until = moment("until", time.until.as_ref(), mistakes);
    Hours { weekdays, days: month_days, months, times, from, until }
}

/// The spans of a list, each once.
fn spans(
    key: &str,
    noun: &str,
    read: impl Fn(&str) -> Result<(u32, u32), String>,
    written: Option<&Texts>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<(u32, u32)> {
    let Some(list) = written else { return Vec::new() };
    if list.value.is_empty() {
        mistakes.push(wishes::empty(key, list.span));
    }
    if let Some(first) = list.value.get(SPANS_MAX) {
        too_many(list.value.len(), SPANS_MAX, &format!("parts of `{key}`"), first.span, mistakes);
    }
    let mut spans = Vec::new();
    for part in list.value.iter().take(SPANS_MAX) {
        match read(&part.value) {
            Ok(span) if spans.contains(&span) => {
                let message = format!("`{}` stands in `{key}` twice", cut(&part.value, 40));
                let twice = Mistake::at(Code::ListedTwice, part.span, message).label("again here");
                mistakes.push(twice.hint("name it once"));
            }
            Ok(span) => spans.push(span),
            Err(way_out) => {
                let message = match noun.strip_prefix("hours") {
                    Some(rest) => format!("`{}` are no hours{rest}", cut(&part.value, 40)),
                    None => format!("`{}` is no {noun}", cut(&part.value, 40)),
                };
                let refused = Mistake::at(Code::InvalidTime, part.span, message);
                mistakes.push(refused.label(format!("for `{key}`")).hint(way_out));
            }
        }
    }
    spans
}

fn moment(key: &str, written: Option<&Written<String>>, mistakes: &mut Vec<Mistake>) -> Option<i64> {
    let written = written?;
    match read_moment(&written.value) {
        Ok(moment) => Some(moment),
        Err(way_out) => {
            let message = format!("`{}` is no date", cut(&written.value, 40));
            let refused = Mistake::at(Code::InvalidTime, written.span, message);
            mistakes.push(refused.label(format!("for `{key}`")).hint(way_out));
            None
        }
    }
}

/// Reports a time that never is.
fn never(time: &TimeDraft, hours: &Hours, mistakes: &mut Vec<Mistake>) {
    if hours.can_hold() {
        return;
    }
    let shown = cut(&time.name.value, 40);
    let ends = (&time.from, &time.until, hours.from, hours.until);
    if let (Some(begin), Some(end), Some(from), Some(until)) = ends
        && from >= until
    {
        mistakes.push(
            Mistake::at(Code::NeverTime, end.span, format!("the time `{shown}` ends before it begins"))
                .label("not later than `from`")
                .hint("`until` is the first moment that does not belong to it: write a later one")
                .related(begin.span, "begins here"),
        );
        return;
    }
    let never = Mistake::at(Code::NeverTime, time.name.span, format!("the time `{shown}` can never be"));
    mistakes.push(never.label("no moment is all of this").hint(match (hours.from, hours.until) {
        (Some(_), Some(_)) => "between `from` and `until` there is no such day",
        _ => "no such month has such a day",
    }));
}
