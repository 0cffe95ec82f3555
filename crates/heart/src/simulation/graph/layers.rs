//! Where boxes go: in columns, so that every arrow points to the right, and so that few of them cross.
//!
//! A box stands one column behind the last of those that it waits for. An arrow over several columns gets a
//! place of its own in each between, as if it were a box, so that it runs between the others. Then each
//! column is sorted a few times by where the neighbours of its boxes stand.

/// How often columns are sorted.
const SWEEPS: usize = 8;
/// Most places for long arrows; beyond that they are drawn straight.
const BENDS_MAX: usize = 20_000;

/// Something that has a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    /// A box.
    Box(usize),
    /// Where an arrow passes by.
    Bend,
}

/// Boxes in columns.
pub(super) struct Layers {
    /// What has a place.
    pub(super) spots: Vec<Spot>,
    /// Columns, each from top to bottom: numbers of spots.
    pub(super) columns: Vec<Vec<usize>>,
    /// Arrows, each as the spots that it leads through.
    pub(super) arrows: Vec<Vec<usize>>,
}

impl Layers {
    /// Finds places for so many boxes with these arrows between them.
    pub(super) fn of(boxes: usize, arrows: &[(usize, usize)]) -> Layers {
        let column_of = columns(boxes, arrows);
        let count = column_of.iter().max().map_or(0, |last| last + 1);
        let mut layers = Layers {
            spots: (0..boxes).map(Spot::Box).collect(),
            columns: vec![Vec::new(); count],
            arrows: Vec::new(),
        };
        for (number, &column) in column_of.iter().enumerate() {
            layers.columns[column].push(number);
        }
        let length = |&(first, then): &(usize, usize)| column_of[then].saturating_sub(column_of[first]);
        let bends: usize = arrows.iter().map(length).sum();
        for &(first, then) in arrows.iter().filter(|arrow| length(arrow) > 0) {
            let mut through = vec![first];
            let between = column_of[first] + 1..column_of[then];
            for column in between.filter(|_| bends <= BENDS_MAX) {
                layers.columns[column].push(layers.spots.len());
                through.push(layers.spots.len());
                layers.spots.push(Spot::Bend);
            }
            through.push(then);
            layers.arrows.push(through);
        }
        layers.uncross();
        layers
    }

    fn uncross(&mut self) {
        let mut before: Vec<Vec<usize>> = vec![Vec::new(); self.spots.len()];
        let mut behind = before.clone();
        for pair in self.arrows.iter().flat_map(|arrow| arrow.windows(2)) {
            behind[pair[0]].push(pair[1]);
            before[pair[1]].push(pair[0]);
        }
        let mut height = vec![0_usize; self.spots.len()];
        let note = |column: &[usize], height: &mut Vec<usize>| {
            column.iter().enumerate().for_each(|(place, &spot)| height[spot] = place);
        };
        self.columns.iter().for_each(|column| note(column, &mut height));
        for sweep in 0..SWEEPS {
            let rightwards = sweep % 2 == 0;
            let neighbours = if rightwards { &before } else { &behind };
            let count = self.columns.len();
            for step in 0..count {
                let column = &mut self.columns[if rightwards { step } else { count - 1 - step }];
                // The mean height of the neighbours, in thousandths; without any, where it is.
                column.sort_by_cached_key(|&spot| match neighbours[spot].len() {
                    0 => height[spot] * 1000,
                    some => neighbours[spot].iter().map(|&other| height[other] * 1000).sum::<usize>() / some,
                });
                note(column, &mut height);
            }
        }
    }
}

/// The column of each box: one behind the last of those that it waits for. What waits in a circle stands
/// where the circle was entered.
fn columns(boxes: usize, arrows: &[(usize, usize)]) -> Vec<usize> {
    let mut waits = vec![0_usize; boxes];
    let mut next = vec![Vec::new(); boxes];
    for &(first, then) in arrows {
        waits[then] += 1;
        next[first].push(then);
    }
    let mut column = vec![0_usize; boxes];
    let mut ready: Vec<usize> = (0..boxes).filter(|&number| waits[number] == 0).collect();
    // Each box is ready once.
    while let Some(first) = ready.pop() {
        for &then in &next[first] {
            column[then] = column[then].max(column[first] + 1);
            waits[then] -= 1;
            if waits[then] == 0 {
                ready.push(then);
            }
        }
    }
    column
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_to_the_right_and_pass_by_what_stands_between() {
        let layers = Layers::of(4, &[(0, 1), (1, 2), (0, 2)]);
        assert_eq!(layers.columns.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
        assert_eq!(layers.arrows.iter().map(Vec::len).max(), Some(3), "the long one bends once");
        let column = |spot| layers.columns.iter().position(|column| column.contains(&spot));
        for pair in layers.arrows.iter().flat_map(|arrow| arrow.windows(2)) {
            assert!(column(pair[0]) < column(pair[1]));
        }
    }

    #[test]
    fn what_crosses_and_need_not_is_swapped() {
        let layers = Layers::of(4, &[(0, 3), (1, 2)]);
        assert_eq!(layers.columns, [vec![0, 1], vec![3, 2]]);
    }

    #[test]
    fn circles_end() {
        let layers = Layers::of(3, &[(0, 1), (1, 2), (2, 1)]);
        assert_eq!(layers.spots.iter().filter(|spot| **spot != Spot::Bend).count(), 3);
    }
}
