//! Networks that differ from a named one by a rule: wider, deeper, or without shortcuts.

use std::fmt;

/// How a network differs from the one it is called by. Written behind its name: `efficientnet_b0+w1.2+d1.4`,
/// `resnext50_32x4d+noshortcut`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Change {
    /// Factor of channels.
    pub(super) width: f64,
    /// Factor of the blocks of each stage.
    pub(super) depth: f64,
    pub(super) has_shortcuts: bool,
}

/// What can be computed in any time.
const FACTORS: std::ops::RangeInclusive<f64> = 0.1..=16.0;
const NO_SHORTCUT: &str = "noshortcut";

impl Change {
    pub(super) const NONE: Self = Self { width: 1.0, depth: 1.0, has_shortcuts: true };

    /// From what stands behind the name, without the first plus; what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut change = Self::NONE;
        let mut rest: Vec<&str> = text.split('+').collect();
        let mut take = |letter: char| -> Result<f64, String> {
            let Some(number) = rest.first().and_then(|part| part.strip_prefix(letter)) else {
                return Ok(1.0);
            };
            let factor = number.parse::<f64>().ok().filter(|factor| FACTORS.contains(factor));
            let (least, most) = (FACTORS.start(), FACTORS.end());
            let factor =
                factor.ok_or_else(|| format!("{letter}{number} is no factor from {least} to {most}"))?;
            rest.remove(0);
            Ok(factor)
        };
        (change.width, change.depth) = (take('w')?, take('d')?);
        if rest.first() == Some(&NO_SHORTCUT) {
            change.has_shortcuts = false;
            rest.remove(0);
        }
        match rest.first() {
            None => Ok(change),
            Some(other) => Err(format!(
                "+{other} says nothing; behind a name may stand +wFACTOR, +dFACTOR, +{NO_SHORTCUT}, in this order"
            )),
        }
    }

    /// Both changes, one after the other; `None` where a factor goes beyond what can be written.
    pub(super) fn scaled(self, width: f64, depth: f64) -> Option<Self> {
        // in ten-thousandths, so that names stay short
        let rounded = |factor: f64| (factor * 1e4).round() / 1e4;
        let (width, depth) = (rounded(self.width * width), rounded(self.depth * depth));
        (FACTORS.contains(&width) && FACTORS.contains(&depth)).then_some(Self { width, depth, ..self })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (letter, factor) in [('w', self.width), ('d', self.depth)] {
            if factor != 1.0 {
                write!(f, "+{letter}{factor}")?;
            }
        }
        if !self.has_shortcuts {
            write!(f, "+{NO_SHORTCUT}")?;
        }
        Ok(())
    }
}
