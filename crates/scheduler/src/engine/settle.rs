//! Running on: a plan is carried out in thought, and it is planned again, until nothing is left to do.

use alloc::vec::Vec;

use heart_model::policy::{Cluster, State};

use super::{Outcome, rehearse};

/// Most plans that are made. Random clusters (`heart-clusters`) that come to rest do so within eight.
pub const ROUNDS_MAX: usize = 20;

/// How it went on, plan after plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// What was decided in each round; all of it was carried out in thought, except in the last.
    pub rounds: Vec<Outcome>,
    /// How it ended.
    pub end: End,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In the last round nothing was left to do.
    Settled,
    /// There was something to do even after [`ROUNDS_MAX`] rounds.
    Unsettled {
        /// Two rounds in which the same was to be done, if there are some: then it goes round in a circle.
        /// Places in [`Course::rounds`].
        same: Option<(usize, usize)>,
    },
}

/// Plans and carries out until nothing is left to do; `now` is what the clocks of the nodes say.
#[must_use]
pub fn settle(cluster: &Cluster, state: &State, now: i64) -> Course {
    let mut rounds: Vec<Outcome> = Vec::new();
    let mut state = state.clone();
    while rounds.len() < ROUNDS_MAX {
        let outcome = super::decide(cluster, &state);
        if outcome.actions.is_empty() {
            rounds.push(outcome);
            return Course { rounds, end: End::Settled };
        }
        state = rehearse::carry_out(cluster, &state, now, &outcome);
        rounds.push(outcome);
    }
    let same = same(&rounds);
    Course { rounds, end: End::Unsettled { same } }
}

/// The last two rounds that began alike and did the same.
fn same(rounds: &[Outcome]) -> Option<(usize, usize)> {
    let (last, others) = rounds.split_last()?;
    let is_same = |other: &Outcome| other.actions == last.actions && other.before == last.before;
    others.iter().rposition(is_same).map(|place| (place, others.len()))
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String, vec::Vec};

    use super::{Course, End, settle};
    use crate::engine::{
        Outcome,
        assignment::tests::notation::cluster,
        inject::{self, Refused},
        outcome::Action,
    };

    const NOW: i64 = 1_790_000_000;

    /// Where everything is in the end, and in how many rounds.
    fn told(course: &Course) -> String {
        assert_eq!(course.end, End::Settled);
        let last = course.rounds.last().expect("there is at least one");
        let places = last.before.resources.iter().map(|(name, view)| {
            let on: Vec<&str> = view.on.iter().map(|(node, _, _)| node.as_str()).collect();
            format!("{name}@{}", on.join("+"))
        });
        format!("{}: {}", course.rounds.len() - 1, places.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_fails_is_recovered_and_then_nothing_is_left_to_do() {
        let text = "nodes n1 n2 n3\n a @n1\n b @n2\n g (c @n3, d @n3)";
        for (fails, ends) in
            [("", "1: a@n1 b@n2 c@n3 d@n3"), ("a", "1: a@n1 b@n2 c@n3 d@n3"), ("g", "1: a@n1 b@n2 c@n3 d@n3")]
        {
            let (cluster, mut state) = cluster(text);
            if !fails.is_empty() {
                inject::fail_resource(&cluster, &mut state, fails, None).expect("it is active");
            }
            assert_eq!(told(&settle(&cluster, &state, NOW)), ends, "{fails} fails");
        }
    }

    #[test]
    fn what_failed_once_too_often_goes_elsewhere_until_that_is_forgotten() {
        let (cluster, mut state) = cluster("nodes n1 n2\n a @n1 migration-threshold=1");
        inject::fail_resource(&cluster, &mut state, "a", Some("n1")).expect("it is active there");
        assert_eq!(told(&settle(&cluster, &state, NOW)), "1: a@n2");
        inject::recover_resource(&cluster, &mut state, "a", Some("n1")).expect("it has failed there");
        assert_eq!(told(&settle(&cluster, &state, NOW)), "1: a@n1");
    }

    #[test]
    fn what_cannot_fail_or_be_forgiven_is_refused_with_what_could() {
        let (cluster, mut state) = cluster("nodes n1 n2\n a @n1");
        let mut fail = |resource, node| inject::fail_resource(&cluster, &mut state, resource, node);
        assert_eq!(fail("x", None), Err(Refused::Resource));
        assert_eq!(fail("a", Some("n9")), Err(Refused::Node));
        assert_eq!(fail("a", Some("n2")), Err(Refused::Inactive(Vec::from(["n1".into()]))));
        let refused = inject::recover_resource(&cluster, &mut state, "a", None);
        assert_eq!(refused, Err(Refused::Unfailed(Vec::new())));
        inject::fail_resource(&cluster, &mut state, "a", None).expect("it is active");
        let refused = inject::recover_resource(&cluster, &mut state, "a", Some("n2"));
        assert_eq!(refused, Err(Refused::Unfailed(Vec::from(["n1".into()]))));
    }

    #[test]
    fn rounds_that_do_the_same_are_named() {
        let round = |name: &str| {
            let action = Action {
                name: name.into(),
                resource: Some("a".into()),
                node: "n1".into(),
                every_ms: 0,
                kind: None,
            };
            Outcome { actions: Vec::from([action]), ..Outcome::default() }
        };
        let rounds = ["start", "stop", "start", "stop"].map(round);
        assert_eq!(super::same(&rounds), Some((1, 3)));
        assert_eq!(super::same(&rounds[..2]), None);
    }
}
