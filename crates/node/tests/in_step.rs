//! Nodes beat together: whoever hears a beat shortly before its own is due sends its own with it.
//!
//! A node is woken less often while nothing happens. What it must not do: beat rarer than
//! the timing says, or more than twice as often.

use heart_model::{BootId, Duration, Instant, Moment, NodeId, Profile, Timing};
use heart_node::{
    agreement::ConfigurationId,
    board::{Board, Voters},
    frame::ClusterKey,
    pulse::{Action, Event, Member, Pulse, Settings},
};

/// How long a datagram takes.
const DELAY: Duration = Duration::from_micros(100);
/// The grain of the time here.
const TICK: Duration = Duration::from_micros(50);

fn timing() -> Timing {
    Timing::of(Profile::Default)
}

struct Node {
    pulse: Pulse,
    board: Board,
    wake_at: Moment,
    beats: Vec<Moment>,
}

/// Runs nodes that start at these times, in milliseconds, for a second; when each of them sent beats.
fn beats(starts: &[u64]) -> Vec<Vec<Moment>> {
    let ids: Vec<NodeId> = (1..=starts.len() as u32).map(NodeId).collect();
    let epoch = Moment::both(Instant(10_000_000_000));
    let slots = (1 << ids.len()) - 1;
    let mut nodes: Vec<Node> = ids
        .iter()
        .zip(starts)
        .map(|(&me, &start)| {
            let begin = epoch.after(Duration::from_millis(start));
            let board = Board::default();
            board.begin(BootId(u128::from(me.0)), &ids, begin);
            board.set_configuration(Voters { id: ConfigurationId(1), slots, size: ids.len() });
            board.set_electors(board.configuration());
            let settings = Settings {
                me,
                members: ids.iter().map(|&id| Member { id, voter: true }).collect(),
                links: 1,
                timing: timing(),
                key: ClusterKey::new("web", [3; 32], 1),
                digest: 1,
            };
            Node { pulse: Pulse::new(begin, settings, &board), board, wake_at: begin, beats: Vec::new() }
        })
        .collect();
    let mut flying: Vec<(Moment, usize, Vec<u8>)> = Vec::new();
    for tick in 0..20_000 {
        let now = epoch.after(TICK * tick);
        let (landed, later): (Vec<_>, Vec<_>) =
            flying.into_iter().partition(|(at, ..)| now.has_surely_reached(*at));
        flying = later;
        for place in 0..nodes.len() {
            let mut actions = Vec::new();
            let node = &mut nodes[place];
            if !now.has_surely_reached(epoch.after(Duration::from_millis(starts[place]))) {
                continue;
            }
            for (_, from, bytes) in landed.iter().filter(|(_, from, _)| *from != place) {
                let event = Event::Datagram { link: 0, bytes: &mut bytes.clone() };
                assert!(node.pulse.step(now, &node.board, event, &mut actions), "a beat of {from} is taken");
            }
            if now.may_have_reached(node.wake_at) {
                node.pulse.step(now, &node.board, Event::Wake, &mut actions);
            }
            for action in actions {
                match action {
                    Action::Beat { datagram, .. } => {
                        node.beats.push(now);
                        flying.push((now.after(DELAY), place, datagram.bytes().to_vec()));
                    }
                    Action::WakeAt(at) => node.wake_at = at,
                    _ => {}
                }
            }
        }
    }
    nodes.into_iter().map(|node| node.beats).collect()
}

#[test]
fn wherever_they_start_nodes_are_soon_in_step() {
    let heartbeat = timing().heartbeat;
    let end = Moment::both(Instant(11_000_000_000));
    for starts in
        [&[0, 30][..], &[0, 70], &[0, 33, 66], &[0, 50, 99], &[0, 10, 20, 30, 40], &[0, 20, 40, 60, 80]]
    {
        let all = beats(starts);
        for (place, beats) in all.iter().enumerate() {
            let gaps = beats.windows(2).map(|pair| pair[1].shortest_since(pair[0]));
            assert!(
                gaps.clone().all(|gap| gap <= heartbeat + TICK),
                "started at {starts:?}, node {place} never beats late: {:?}",
                gaps.collect::<Vec<_>>()
            );
            let last = beats.last().expect("it beats");
            let nearest = all[0].iter().map(|at| at.longest_since(*last).max(last.longest_since(*at))).min();
            assert!(
                nearest.is_some_and(|gap| gap <= DELAY * 3),
                "started at {starts:?}, node {place} beats with the first: {nearest:?} apart"
            );
            let late = beats.iter().filter(|at| end.longest_since(**at) <= heartbeat * 5).count();
            assert!(
                (4..=6).contains(&late),
                "started at {starts:?}, node {place} beats {late} times in 5 heartbeats"
            );
        }
    }
}
