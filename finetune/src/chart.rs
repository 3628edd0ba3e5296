//! A chart of lines as SVG: what networks cost, and how good they are.

use std::fmt::Write;

/// Points that belong together, in the order of the line between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Line<'a> {
    /// As it is called beside the chart.
    pub name: &'a str,
    /// To the right, upwards.
    pub points: Vec<[f64; 2]>,
    /// Whether the points are joined.
    pub is_joined: bool,
    /// The single runs of which the points are means, as smaller ones.
    pub runs: Vec<[f64; 2]>,
}

const SIZE: [f64; 2] = [720.0, 440.0];
/// Room on the left, above, on the right and below for numbers and names.
const ROOM: [f64; 4] = [70.0, 40.0, 150.0, 56.0];
const COLOURS: [&str; 6] = ["#1f5fa8", "#d1602a", "#2f8a4c", "#8a3fa0", "#a8861f", "#555555"];

/// A chart with a logarithmic axis to the right and an even one upwards. Nothing for lines without points.
pub fn chart(title: &str, axes: [&str; 2], lines: &[Line<'_>]) -> Option<String> {
    let all = || lines.iter().flat_map(|line| line.points.iter().chain(&line.runs));
    let across = Axis::of(all().map(|point| point[0].ln()), ROOM[0], SIZE[0] - ROOM[2])?;
    let up = Axis::of(all().map(|point| point[1]), SIZE[1] - ROOM[3], ROOM[1])?;
    let [width, height] = SIZE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let mut text = |x: f64, y: f64, anchor: &str, more: &str, text: &str| {
        let text = escaped(text);
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{more}>{text}</text>")
            .expect("a string takes everything");
    };
    let middle = (ROOM[0] + width - ROOM[2]) / 2.0;
    text(middle, 24.0, "middle", " font-size=\"15\"", title);
    text(middle, height - 12.0, "middle", "", axes[0]);
    let turned = format!(" transform=\"rotate(-90 16 {:.1})\"", height / 2.0);
    text(16.0, height / 2.0, "middle", &turned, axes[1]);
    for value in logarithmic_ticks(across.low.exp(), across.high.exp()) {
        text(across.place(value.ln()), height - ROOM[3] + 18.0, "middle", "", &short(value));
    }
    for value in even_ticks(up.low, up.high) {
        text(ROOM[0] - 8.0, up.place(value) + 4.0, "end", "", &short(value));
    }
    for (place, line) in lines.iter().enumerate().filter(|(_, line)| !line.points.is_empty()) {
        text(width - ROOM[2] + 28.0, ROOM[1] + 12.0 + 20.0 * place as f64, "start", "", line.name);
    }
    let mut shape = |shape: String| {
        svg.push_str(&shape);
        svg.push('\n');
    };
    for value in even_ticks(up.low, up.high) {
        let y = up.place(value);
        let (left, right) = (ROOM[0], width - ROOM[2]);
        shape(format!("<line x1=\"{left}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>"));
    }
    for (place, line) in lines.iter().enumerate().filter(|(_, line)| !line.points.is_empty()) {
        let colour = COLOURS[place % COLOURS.len()];
        let places: Vec<[f64; 2]> =
            line.points.iter().map(|[x, y]| [across.place(x.ln()), up.place(*y)]).collect();
        if line.is_joined {
            let path: Vec<String> = places.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
            let path = path.join(" ");
            shape(format!(
                "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            ));
        }
        for [x, y] in &line.runs {
            let (x, y) = (across.place(x.ln()), up.place(*y));
            shape(format!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\" fill=\"{colour}\" fill-opacity=\"0.5\"/>"
            ));
        }
        for [x, y] in places {
            shape(format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"));
        }
        let (x, y) = (width - ROOM[2] + 18.0, ROOM[1] + 8.0 + 20.0 * place as f64);
        shape(format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>"));
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

/// Where values stand.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// A little wider than the values; none where there are none, or one is not finite.
    fn of(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Option<Self> {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            if !value.is_finite() {
                return None;
            }
            (low, high) = (low.min(value), high.max(value));
        }
        let edge = if high > low { 0.06 * (high - low) } else { 0.5 };
        (low <= high).then_some(Self { low: low - edge, high: high + edge, from, to })
    }

    fn place(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }
}

/// About five round numbers, equally far apart.
fn even_ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    ((low / step).ceil() as i64..=(high / step).floor() as i64).map(|count| count as f64 * step).collect()
}

/// Round numbers above 0, as few sorts of them as make three; evenly far apart where even the finest are too far.
fn logarithmic_ticks(low: f64, high: f64) -> Vec<f64> {
    const DIGITS: [&[f64]; 3] = [&[1.0], &[1.0, 2.0, 5.0], &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0]];
    let of_digits = |digits: &[f64]| -> Vec<f64> {
        let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
        let values = powers.flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)));
        values.filter(|value| (low..=high).contains(value)).collect()
    };
    let enough = DIGITS.into_iter().map(of_digits).find(|ticks| ticks.len() >= 3);
    enough.unwrap_or_else(|| even_ticks(low, high))
}

/// Three digits, without zeros behind the point.
fn short(value: f64) -> String {
    let text = match value.abs() {
        large if large >= 100.0 => return format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        medium if medium >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_to_the_right_and_better_is_above() {
        let line = |name, points| Line { name, points, is_joined: true, runs: Vec::new() };
        let lines = [
            line("a < b", vec![[1.0, 0.2], [2.0, 0.4], [4.0, 0.5]]),
            line("none", vec![]),
            line("c", vec![[1.0, 0.2], [4.0, 0.3]]),
        ];
        let svg = chart("R & D", ["multiplications", "top-1"], &lines).unwrap();
        assert!(svg.contains("a &lt; b") && svg.contains("R &amp; D") && !svg.contains("none</text>"));
        assert_eq!(svg.matches("<polyline").count(), 2);
        // five points, and two in the legend
        assert_eq!(svg.matches("<circle").count(), 7);
        let path = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        let places: Vec<(f64, f64)> = path
            .split(' ')
            .map(|pair| pair.split_once(',').unwrap())
            .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
            .collect();
        assert!(places.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 > pair[1].1));
        // doublings are equally far apart
        assert!((places[1].0 - places[0].0 - (places[2].0 - places[1].0)).abs() < 0.2);
        assert!(places.iter().all(|(x, y)| (70.0..570.0).contains(x) && (40.0..384.0).contains(y)));
        assert!(chart("", ["", ""], &[line("none", vec![])]).is_none());
        assert!(chart("", ["", ""], &[line("bad", vec![[0.0, 1.0]])]).is_none());
        assert!(chart("", ["", ""], &[line("one", vec![[3.0, 1.0]])]).is_some());
        let of =
            |low, high| logarithmic_ticks(low, high).into_iter().map(short).collect::<Vec<_>>().join(" ");
        assert_eq!(of(0.95, 5.1), "1 2 5");
        assert_eq!(of(0.8, 40.0), "1 2 5 10 20");
        assert_eq!(of(0.7, 3000.0), "1 10 100 1000");
        assert_eq!(of(1.4, 4.5), "1.5 2 3 4");
        assert_eq!(of(11.8, 15.3), "12 13 14 15");
        let of = |low, high| even_ticks(low, high).into_iter().map(short).collect::<Vec<_>>().join(" ");
        assert_eq!(of(8.7, 92.0), "20 40 60 80");
        assert_eq!(of(-0.01, 0.31), "0 0.1 0.2 0.3");
        // runs count for the axes, and are not in the legend
        let runs = vec![[2.0, 0.9], [2.0, 1.1]];
        let svg = chart("", ["", ""], &[Line { runs, ..line("mean", vec![[2.0, 1.0]]) }]).unwrap();
        assert_eq!((svg.matches("r=\"2\"").count(), svg.matches("<circle").count()), (2, 4));
    }
}
