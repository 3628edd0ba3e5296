//! A colour for every name: the same in every picture, unless two names in one picture would get the same.

use std::collections::BTreeMap;

use tiny_skia::Color;

/// Strong colours that differ from each other.
const COLOURS: [[u8; 3]; 18] = [
    [230, 25, 75],
    [60, 200, 75],
    [255, 225, 25],
    [40, 110, 255],
    [245, 130, 49],
    [165, 50, 200],
    [70, 240, 240],
    [240, 50, 230],
    [200, 245, 60],
    [250, 170, 190],
    [0, 150, 140],
    [215, 180, 255],
    [170, 100, 30],
    [255, 250, 200],
    [150, 0, 20],
    [150, 255, 195],
    [130, 130, 0],
    [255, 195, 140],
];

/// A label without the number at its end.
pub(super) fn name(label: &str) -> &str {
    match label.rsplit_once(char::is_whitespace) {
        Some((name, number)) if number.trim_end_matches('%').parse::<f32>().is_ok() => name.trim_end(),
        _ => label,
    }
}

/// A colour for each name.
pub(super) fn of(names: &[&str]) -> Vec<Color> {
    let mut taken = [false; COLOURS.len()];
    let mut places: BTreeMap<&str, usize> = names.iter().map(|name| (*name, 0)).collect();
    for (name, place) in &mut places {
        let first = hash(name) as usize % COLOURS.len();
        let mut tries = (0..COLOURS.len()).map(|step| (first + step) % COLOURS.len());
        *place = tries.find(|&one| !taken[one]).unwrap_or(first);
        taken[*place] = true;
    }
    let colour = |name: &&str| {
        let [red, green, blue] = COLOURS[places[name]];
        Color::from_rgba8(red, green, blue, 255)
    };
    names.iter().map(colour).collect()
}

/// Black or white, whichever stands out.
pub(super) fn ink_on(ground: Color) -> Color {
    let brightness = 0.299 * ground.red() + 0.587 * ground.green() + 0.114 * ground.blue();
    if brightness > 0.5 { Color::BLACK } else { Color::WHITE }
}

/// FNV-1a.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_no_names() {
        for (label, wanted) in [
            ("dog 0.93", "dog"),
            ("dog 93%", "dog"),
            ("traffic light 0.5", "traffic light"),
            ("dog", "dog"),
            ("gate B12", "gate B12"),
            ("", ""),
        ] {
            assert_eq!(name(label), wanted);
        }
    }

    #[test]
    fn same_name_same_colour() {
        let names: Vec<String> = (0..18).map(|n| format!("name {n}x")).collect();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.push(names[4]);
        let colours = of(&names);
        assert_eq!(colours[4], colours[18]);
        for a in 0..18 {
            assert!(colours[a + 1..18].iter().all(|other| *other != colours[a]), "{a}");
        }
        assert_eq!(of(&["dog"])[0], of(&["zebra", "dog"])[1], "no neighbour, no change");
    }
}
