//! The drawing as a picture.

use std::fmt::Write as _;

use heart_scheduler::engine::Outcome;

use super::{
    Drawing,
    layers::{Layers, Spot},
};

/// Sizes, in the units of the picture.
const LETTER: usize = 7;
const PADDING: usize = 10;
const BOX_HEIGHT: usize = 26;
const BEND_HEIGHT: usize = 8;
const ROW_GAP: usize = 14;
const COLUMN_GAP: usize = 70;
const MARGIN: usize = 20;

/// A place in the picture.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Place {
    fn middle(self) -> usize {
        self.top + self.height / 2
    }

    fn right(self) -> usize {
        self.left + self.width
    }
}

/// The drawing as a picture for browsers.
pub(crate) fn svg(outcome: &Outcome) -> String {
    let drawing = Drawing::of(outcome);
    let layers = Layers::of(drawing.boxes.len(), &drawing.arrows);
    let places = places(&drawing, &layers);
    let width = places.iter().map(|place| place.right()).max().unwrap_or(0) + MARGIN;
    let height = places.iter().map(|place| place.top + place.height).max().unwrap_or(0) + MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"ui-monospace, monospace\" font-size=\"12\">\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
         <path d=\"M0 0 L8 4 L0 8 z\" fill=\"#777777\"/></marker></defs>\n"
    );
    for arrow in &layers.arrows {
        arrow_path(&mut out, arrow, &places);
    }
    for (drawn, place) in drawing.boxes.iter().zip(&places) {
        let (inside, around) = drawn.look.colors();
        let Place { left, top, width, height } = *place;
        // Writing to a text cannot fail.
        let _ = writeln!(
            out,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" rx=\"5\" fill=\"{inside}\" \
             stroke=\"{around}\"/><text x=\"{}\" y=\"{}\">{}</text>",
            left + PADDING,
            top + BOX_HEIGHT - 9,
            escaped(&drawn.text)
        );
    }
    out.push_str("</svg>\n");
    out
}

/// Where everything stands: columns beside one another, each in the middle of the height.
fn places(drawing: &Drawing, layers: &Layers) -> Vec<Place> {
    let height_of = |spot: &usize| match layers.spots[*spot] {
        Spot::Box(_) => BOX_HEIGHT,
        Spot::Bend => BEND_HEIGHT,
    };
    let column_height =
        |column: &Vec<usize>| column.iter().map(|spot| height_of(spot) + ROW_GAP).sum::<usize>();
    let tallest = layers.columns.iter().map(column_height).max().unwrap_or(0);
    let mut places = vec![Place::default(); layers.spots.len()];
    let mut left = MARGIN;
    for column in &layers.columns {
        let width_of = |spot: &usize| match layers.spots[*spot] {
            Spot::Box(number) => drawing.boxes[number].text.chars().count() * LETTER + 2 * PADDING + LETTER,
            Spot::Bend => 0,
        };
        let width = column.iter().map(width_of).max().unwrap_or(0);
        let mut top = MARGIN + (tallest - column_height(column)) / 2;
        for spot in column {
            let height = height_of(spot);
            places[*spot] = Place { left, top, width, height };
            top += height + ROW_GAP;
        }
        left += width + COLUMN_GAP;
    }
    places
}

/// An arrow: curves between columns, and straight through them.
fn arrow_path(out: &mut String, arrow: &[usize], places: &[Place]) {
    let Some((first, rest)) = arrow.split_first() else { return };
    let mut from = (places[*first].right(), places[*first].middle());
    let _ = write!(out, "<path d=\"M{} {}", from.0, from.1);
    for spot in rest {
        let to = (places[*spot].left, places[*spot].middle());
        let half = to.0.saturating_sub(from.0) / 2;
        let _ = write!(
            out,
            " C{} {} {} {} {} {}",
            from.0 + half,
            from.1,
            to.0.saturating_sub(half),
            to.1,
            to.0,
            to.1
        );
        from = (places[*spot].right(), to.1);
        if Some(spot) != rest.last() {
            let _ = write!(out, " L{} {}", from.0, from.1);
        }
    }
    let _ = writeln!(out, "\" fill=\"none\" stroke=\"#777777\" marker-end=\"url(#tip)\"/>");
}

/// A text that is nothing but text in XML.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            character if character.is_control() => safe.push('\u{fffd}'),
            character => safe.push(character),
        }
    }
    safe
}
