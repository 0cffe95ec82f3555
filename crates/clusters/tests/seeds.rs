//! A few clusters of each tier. `cargo xtask clusters` tries more.

use heart_clusters::{claims, grow::Tier, show};

/// How many clusters of each tier are tried with all tests.
const SEEDS: u64 = 500;

fn check(tier: Tier) {
    for seed in 1..=SEEDS {
        if let Err(found) = claims::of_seed(seed, tier, claims::ASKED_EACH) {
            let (situation, broken) = *found;
            panic!("cluster {seed}, {tier:?}: {broken}\n{}", show::situation(&situation));
        }
    }
}

#[test]
fn all_claims_hold_in_plain_clusters() {
    check(Tier::Plain);
}

#[test]
fn all_claims_hold_with_groups_and_clones() {
    check(Tier::Clones);
}

#[test]
fn all_claims_hold_with_everything_but_remote_nodes() {
    check(Tier::Everything);
}
