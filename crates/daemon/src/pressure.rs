//! How much of the time work waits for memory, disks or processors: the kernel's pressure-stall information.

use std::fs;

/// A part of the time, in hundredths of a percent.
pub(crate) type Share = u32;

/// One percent as a [`Share`].
pub(crate) const PERCENT: Share = 100;

/// How much of the last ten seconds work waited for something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pressure {
    /// Something waited.
    pub(crate) some: Share,
    /// Everything waited: nothing was done meanwhile. Of processors the kernel knows none of that.
    pub(crate) full: Share,
}

/// What the kernel says of `memory`, `io` or `cpu`; nothing if it does not keep account of it.
pub(crate) fn read(what: &str) -> Option<Pressure> {
    parse(&fs::read_to_string(format!("/proc/pressure/{what}")).ok()?)
}

/// Documentation/accounting/psi.rst: `some avg10=0.12 avg60=… avg300=… total=…`, and likewise `full`.
fn parse(text: &str) -> Option<Pressure> {
    let of = |kind: &str| {
        let line = text.lines().find(|line| line.split(' ').next() == Some(kind))?;
        let value = line.split(' ').find_map(|word| word.strip_prefix("avg10="))?;
        let (whole, rest) = value.split_once('.')?;
        let hundredths = format!("{rest:0<2}").get(..2)?.parse::<Share>().ok()?;
        Some(whole.parse::<Share>().ok()? * PERCENT + hundredths)
    };
    Some(Pressure { some: of("some")?, full: of("full").unwrap_or(0) })
}

/// A share for people: `12.5 %`.
pub(crate) fn print(share: Share) -> String {
    format!("{}.{} %", share / PERCENT, share % PERCENT / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_understood() {
        let memory = "some avg10=12.34 avg60=1.00 avg300=0.00 total=1\nfull avg10=5.06 avg60=0.00 avg300=0.00 total=1\n";
        let table = [
            (memory, Some(Pressure { some: 1234, full: 506 })),
            ("some avg10=100.00 avg60=1.00 avg300=0.00 total=1\n", Some(Pressure { some: 10_000, full: 0 })),
            ("", None),
            ("some avg10=x avg60=1.00", None),
            ("some total=1", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(print(1234), "12.3 %");
    }
}
