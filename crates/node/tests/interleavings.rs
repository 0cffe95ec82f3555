//! The core and the heartbeat thread share a board without locks (SAFETY rule 4, schedule 5). Every
//! order in which the steps of both can fall is tried.

use heart_model::{BootId, Instant, Moment, NodeId, Session, SessionNumber};
use heart_node::board::Board;
use std::cell::Cell;

const NODES: [NodeId; 2] = [NodeId(1), NodeId(2)];
/// Where the other node stands in the list.
const OTHER: usize = 1;

type Step<'a> = Box<dyn FnMut() + 'a>;

fn at(millis: u64) -> Moment {
    Moment::both(Instant(millis * 1_000_000))
}

fn session(boot: u128, number: u64) -> Session {
    Session { boot: BootId(boot), number: SessionNumber(number) }
}

fn board() -> Board {
    let board = Board::default();
    board.begin(BootId(7), &NODES, at(600));
    board
}

/// All orders of the steps of two threads: true is a step of the first.
fn orders(first: usize, second: usize) -> Vec<Vec<bool>> {
    if first == 0 || second == 0 {
        return vec![[vec![true; first], vec![false; second]].concat()];
    }
    let then =
        |step: bool, rest: Vec<Vec<bool>>| rest.into_iter().map(move |rest| [vec![step], rest].concat());
    then(true, orders(first - 1, second)).chain(then(false, orders(first, second - 1))).collect()
}

/// Runs the steps of two threads in one order.
fn interleave(order: &[bool], mut first: Vec<Step<'_>>, mut second: Vec<Step<'_>>) {
    first.reverse();
    second.reverse();
    for &is_first in order {
        let step = if is_first { first.pop() } else { second.pop() };
        step.expect("as many as in the order")();
    }
}

/// What the two threads came to in one order: until when was promised, if the acknowledgement left,
/// and what the core goes by.
fn takeover(order: &[bool], careless: bool) -> (Option<Moment>, Moment) {
    let (board, holder, until) = (board(), session(9, 1), at(1600));
    let (sent, counted, refuses) = (Cell::new(None), Cell::new(Moment::default()), Cell::new(false));
    let promise: Step<'_> = Box::new(|| board.promise(OTHER, until));
    let look: Step<'_> = Box::new(|| refuses.set(board.is_revoked(OTHER, holder)));
    let send: Step<'_> = Box::new(|| sent.set(Some(until).filter(|_| !refuses.get())));
    let pulse = if careless { vec![look, promise, send] } else { vec![promise, look, send] };
    let revoke: Step<'_> = Box::new(|| _ = board.revoke(OTHER, holder));
    let count: Step<'_> = Box::new(|| counted.set(board.promised_until(OTHER)));
    interleave(order, pulse, vec![revoke, count]);
    (sent.get(), counted.get())
}

#[test]
fn no_acknowledgement_leaves_that_the_core_does_not_wait_for() {
    for order in orders(3, 2) {
        let (sent, counted) = takeover(&order, false);
        assert!(
            sent.is_none_or(|until| counted == until),
            "{order:?}: {sent:?} was sent, {counted:?} counted"
        );
    }
}

#[test]
fn a_pulse_that_looks_before_it_promises_would_be_found_out() {
    let wrong = orders(3, 2).into_iter().filter(|order| {
        let (sent, counted) = takeover(order, true);
        sent.is_some_and(|until| counted != until)
    });
    assert!(wrong.count() > 0);
}

#[test]
fn a_lease_that_is_renewed_while_its_session_is_deposed_is_over() {
    for order in orders(2, 1) {
        let (board, deposed) = (board(), Cell::new(false));
        let look: Step<'_> = Box::new(|| deposed.set(board.is_deposed()));
        let renew: Step<'_> = Box::new(|| {
            if !deposed.get() {
                board.set_lease_until(at(1600));
            }
        });
        let depose: Step<'_> = Box::new(|| board.depose(SessionNumber(1)));
        interleave(&order, vec![look, renew], vec![depose]);
        assert_eq!(board.lease_until(), Moment::default(), "{order:?}");
    }
}

#[test]
fn a_session_is_never_taken_for_one_of_another_boot() {
    let board = board();
    board.revoke(OTHER, session(9, 5));
    board.end(OTHER, session(9, 5));
    assert!((1..=5).all(|number| board.is_revoked(OTHER, session(9, number))));
    assert!(!board.is_revoked(OTHER, session(9, 6)) && !board.is_over(OTHER, session(10, 1)));
    board.revoke(OTHER, session(10, 1));
    assert!(board.is_revoked(OTHER, session(10, 1)) && !board.is_revoked(OTHER, session(10, 2)));
    assert!(board.is_over(OTHER, session(9, 5)) && !board.is_over(OTHER, session(10, 1)));
}
