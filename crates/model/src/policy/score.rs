//! How much is wanted.

use core::{fmt, ops};

/// How much something is wanted, or not wanted. [`Score::INFINITY`] and beyond is a must,
/// [`Score::NEVER`] a must not; a must not wins over a must.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(i32);

impl Score {
    /// What must be.
    pub const INFINITY: Score = Score(1_000_000);
    /// What must not be.
    pub const NEVER: Score = Score(-1_000_000);
    /// What does not matter.
    pub const ZERO: Score = Score(0);
    /// The least that can be wanted.
    pub const ONE: Score = Score(1);

    /// A score of this size, cut to what can be said.
    #[must_use]
    #[inline]
    pub fn new(value: i64) -> Score {
        let most = i64::from(Score::INFINITY.0);
        Score(value.clamp(-most, most) as i32)
    }

    /// Its size.
    #[must_use]
    #[inline]
    pub const fn value(self) -> i32 {
        self.0
    }

    /// Whether it forbids: any score below zero does.
    #[must_use]
    #[inline]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Whether it is a must or a must not.
    #[must_use]
    #[inline]
    pub const fn is_mandatory(self) -> bool {
        self.0 >= Score::INFINITY.0 || self.0 <= Score::NEVER.0
    }

    /// The part of `self` that a constraint of strength `factor` hands on: `self · factor / ∞`, rounded
    /// half away from zero, and never to nothing where there was something.
    #[must_use]
    #[inline]
    pub fn times(self, factor: Score) -> Score {
        let product = i64::from(self.0) * i64::from(factor.0);
        let most = i64::from(Score::INFINITY.0);
        let half = most / 2;
        let rounded = if product >= 0 { (product + half) / most } else { (product - half) / most };
        match rounded {
            0 => Score(product.signum() as i32),
            rounded => Score::new(rounded),
        }
    }
}

impl ops::Add for Score {
    type Output = Score;

    #[inline]
    fn add(self, other: Score) -> Score {
        if self <= Score::NEVER || other <= Score::NEVER {
            return Score::NEVER;
        }
        if self >= Score::INFINITY || other >= Score::INFINITY {
            return Score::INFINITY;
        }
        Score::new(i64::from(self.0) + i64::from(other.0))
    }
}

impl ops::AddAssign for Score {
    #[inline]
    fn add_assign(&mut self, other: Score) {
        *self = *self + other;
    }
}

impl ops::Neg for Score {
    type Output = Score;

    #[inline]
    fn neg(self) -> Score {
        Score(-self.0)
    }
}

impl PartialEq<i32> for Score {
    #[inline]
    fn eq(&self, other: &i32) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            score if score >= Score::INFINITY => f.write_str("INFINITY"),
            score if score <= Score::NEVER => f.write_str("-INFINITY"),
            Score(value) => write!(f, "{value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_must_not_wins_over_a_must_and_sums_stay_in_bounds() {
        let (must, never) = (Score::INFINITY, Score::NEVER);
        for (one, other, sum) in [
            (Score::new(1), Score::new(2), Score::new(3)),
            (must, Score::new(-5), must),
            (never, Score::new(5), never),
            (must, never, never),
            (Score::new(999_999), Score::new(999_999), must),
            (Score::new(-999_999), Score::new(-999_999), never),
        ] {
            assert_eq!(one + other, sum, "{one} + {other}");
            assert_eq!(other + one, sum, "{other} + {one}");
        }
    }

    #[test]
    fn what_is_handed_on_is_rounded_and_never_lost() {
        for (score, factor, part) in
            [(100, 500_000, 50), (3, 500_000, 2), (-3, 500_000, -2), (1, 1, 1), (-1, 1, -1), (0, 7, 0)]
        {
            assert_eq!(Score::new(score).times(Score::new(factor)), Score::new(part), "{score} · {factor}");
        }
        assert_eq!(Score::INFINITY.times(Score::INFINITY), Score::INFINITY);
    }
}
