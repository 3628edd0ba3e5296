//! The figures as one HTML page that needs nothing beside itself.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};

use super::Stats;

const TEMPLATE: &str = include_str!("page.html");

/// One self-contained page: no scripts, no outside assets, light and dark, readable on a phone.
///
/// Tags, texts and messages come from anywhere, so everything that is not markup of the template is
/// escaped, and the page forbids scripts and loading to the browser besides.
pub fn stats_page(stats: &Stats) -> String {
    let mut page = Environment::new();
    page.set_auto_escape_callback(|_| AutoEscape::Html);
    // A misspelt field is an error that the tests find, not an empty cell.
    page.set_undefined_behavior(UndefinedBehavior::Strict);
    page.add_filter("thousands", thousands);
    page.add_filter("decimal", decimal);
    page.add_filter("percent", percent);
    page.add_filter("size", size);
    page.add_filter("brief", brief);
    page.add_function("ticks", ticks);
    page.render_str(TEMPLATE, context! { stats => Serde(stats) })
        .expect("the template knows the fields of the figures; the tests render every branch of it")
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three significant digits, whole numbers whole: `36`, `10.5`, `0.0123`, `1,024`.
pub(super) fn decimal(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e15).contains(&size) {
        return format!("{number:.2e}");
    }
    if number.fract() == 0.0 || size >= 1000.0 {
        let sign = if number < 0.0 { "−" } else { "" };
        return format!("{sign}{}", thousands(size.round() as u64));
    }
    let decimals = (2 - size.log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{number:.decimals$}").replace('-', "−");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

/// `0.497` as `49.7 %`; what is not quite nothing or all is not rounded to it.
pub(crate) fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.0005 {
        return "< 0.1 %".into();
    }
    if share < 1.0 && share > 0.9995 {
        return "> 99.9 %".into();
    }
    format!("{:.1} %", share * 100.0)
}

/// Bytes in decimal units.
pub(super) fn size(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1000.0, 0);
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{} {}", decimal(value), units[unit])
}

/// A count in the room that an axis or a card has: `950`, `12.3k`, `1.2M`.
pub(super) fn brief(count: u64) -> String {
    match count {
        0..10_000 => thousands(count),
        10_000..1_000_000 => format!("{}k", decimal((count as f64 / 100.0).round() / 10.0)),
        1_000_000..1_000_000_000 => format!("{}M", decimal((count as f64 / 1e4).round() / 100.0)),
        _ => format!("{}G", decimal((count as f64 / 1e7).round() / 100.0)),
    }
}

/// Round values for an axis up to `max`: three to five of them, 0 left out.
fn ticks(max: u64) -> Vec<u64> {
    let mut decade = 1;
    loop {
        for step in [decade, 2 * decade, 5 * decade] {
            if max / step <= 4 {
                return (1..=max / step).map(|tick| tick * step).collect();
            }
        }
        decade *= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [36.0, 10.52, 0.012_345, -0.5, 1234.5, 2.0004, 1e-7].map(decimal),
            ["36", "10.5", "0.0123", "−0.5", "1,235", "2", "1.00e-7"]
        );
        assert_eq!(
            [0.0, 0.4971, 1.0, 1e-6, 0.99999].map(percent),
            ["0.0 %", "49.7 %", "100.0 %", "< 0.1 %", "> 99.9 %"]
        );
        assert_eq!([12, 1500, 999_999, 81_200_000_000].map(size), ["12 B", "1.5 kB", "1 MB", "81.2 GB"]);
        assert_eq!([9999, 12_345, 1_200_000].map(brief), ["9,999", "12.3k", "1.2M"]);
        assert_eq!(
            [0, 1, 4, 7, 480].map(ticks),
            [vec![], vec![1], vec![1, 2, 3, 4], vec![2, 4, 6], vec![100, 200, 300, 400]]
        );
    }
}
