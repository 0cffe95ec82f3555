//! A drawing of curves, with both axes as powers: what grows in proportion is a line of slope one.

use std::fmt::Write as _;

/// One curve.
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    /// Sizes, and milliseconds.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Curves over the same sizes.
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) curves: Vec<Curve>,
}

const COLORS: [&str; 3] = ["#1565c0", "#b71c1c", "#2e7d32"];
/// Width and height of a panel's field, and what is around it.
const FIELD: (f64, f64) = (360.0, 300.0);
const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;
const STEP: f64 = FIELD.0 + LEFT + 40.0;

/// All panels beside each other.
pub(crate) fn svg(panels: &[Panel]) -> String {
    let (width, height) = (STEP * panels.len() as f64 + 20.0, FIELD.1 + TOP + 60.0);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (place, panel) in panels.iter().enumerate() {
        draw(&mut text, panel, place as f64 * STEP + LEFT);
    }
    text.push_str("</svg>\n");
    text
}

/// The least and the greatest of some numbers.
fn range(numbers: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    (numbers.clone().fold(f64::MAX, f64::min), numbers.fold(f64::MIN_POSITIVE, f64::max))
}

fn draw(text: &mut String, panel: &Panel, left: f64) {
    let points = panel.curves.iter().flat_map(|curve| &curve.points);
    let sizes = range(points.clone().map(|point| point.0));
    let (least, most) = range(points.map(|point| point.1.max(0.1)));
    // Whole powers of ten, so that their lines are the ends of the field.
    let times = (10_f64.powf(least.log10().floor()), 10_f64.powf(most.log10().ceil()));
    let share = |number: f64, (least, most): (f64, f64)| (number / least).ln() / (most / least).ln();
    let x = |size: f64| left + share(size, sizes) * FIELD.0;
    let y = |time: f64| TOP + (1.0 - share(time.max(0.1), times)) * FIELD.1;
    let (right, bottom) = (left + FIELD.0, TOP + FIELD.1);
    let _ = writeln!(text, "<text x=\"{left}\" y=\"20\" font-weight=\"bold\">ms, by {}</text>", panel.title);
    let mut time = times.0;
    while time <= times.1 * 1.01 {
        let at = y(time);
        let _ = writeln!(text, "<path d=\"M{left} {at:.1}H{right}\" stroke=\"#dddddd\"/>");
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{time}</text>",
            left - 6.0,
            at + 4.0
        );
        time *= 10.0;
    }
    for (size, _) in panel.curves.first().map_or(&[][..], |curve| &curve.points) {
        let at = x(*size);
        let _ = writeln!(text, "<path d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"#eeeeee\"/>");
        let _ = writeln!(
            text,
            "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{size}</text>",
            bottom + 16.0
        );
    }
    for (place, curve) in panel.curves.iter().enumerate() {
        let color = COLORS[place % COLORS.len()];
        let points: Vec<String> =
            curve.points.iter().map(|(size, time)| format!("{:.1},{:.1}", x(*size), y(*time))).collect();
        let _ = writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{}\" fill=\"{color}\">{}</text>",
            left + 8.0,
            TOP + 16.0 * (place as f64 + 1.0),
            curve.name
        );
    }
    // What growth in proportion looks like, through the middle of the first curve.
    if let Some((size, time)) = panel.curves.first().and_then(|curve| curve.points.last()) {
        let start = time * sizes.0 / size;
        if start >= times.0 {
            let _ = writeln!(
                text,
                "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"#999999\" stroke-dasharray=\"4\"/>",
                x(sizes.0),
                y(start),
                x(*size),
                y(*time)
            );
        }
    }
}
