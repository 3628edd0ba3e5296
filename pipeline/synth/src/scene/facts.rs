//! What is true of a scene, what is false, and what a careful person would leave open.

use super::{Object, Scene};
use crate::world::Rule;

/// Pixels within which two objects may be said to touch.
const NEAR: i64 = 8;

impl Scene {
    pub(crate) fn count(&self, holds: impl Fn(&Object) -> bool) -> usize {
        self.objects.iter().filter(|object| holds(object)).count()
    }

    /// Indices of the objects of a kind.
    pub(crate) fn of_kind(&self, kind: usize) -> Vec<usize> {
        (0..self.objects.len()).filter(|&at| self.objects[at].kind == kind).collect()
    }

    /// The only object that satisfies `holds`.
    pub(crate) fn only(&self, holds: impl Fn(&Object) -> bool) -> Option<usize> {
        let mut found = (0..self.objects.len()).filter(|&at| holds(&self.objects[at]));
        found.next().filter(|_| found.next().is_none())
    }

    /// Whether `rule` holds between two objects, where the picture makes that plain.
    ///
    /// Directions want boxes that lie clear of each other and more to the side than up or down (or the other
    /// way round). What is not drawn as on, inside or held is so only where the two lie apart.
    pub(crate) fn holds(&self, subject: usize, rule: Rule, object: usize) -> Option<bool> {
        if subject == object {
            return None;
        }
        let (a, b) = (&self.objects[subject], &self.objects[object]);
        if let Some(turned) = rule.turned() {
            // Who is on or in something is not looked for to its left.
            if a.belongs_to(object) || b.belongs_to(subject) {
                return None;
            }
            return match direction(a, b)? {
                found if found == rule => Some(true),
                found if found == turned => Some(false),
                _ => None,
            };
        }
        // The holder is the subject of holding.
        let (lower, upper) = if rule == Rule::Holding { (subject, b) } else { (object, a) };
        match upper.base {
            Some((drawn, base)) if base == lower => Some(drawn == rule),
            _ => apart(a, b).then_some(false),
        }
    }

    /// Whether it is plain for every other object if it stands in `rule` to `object`.
    pub(crate) fn is_plain(&self, rule: Rule, object: usize) -> bool {
        (0..self.objects.len()).all(|at| at == object || self.holds(at, rule, object).is_some())
    }

    /// The relations that were drawn: subject, rule, object.
    pub(crate) fn drawn_relations(&self) -> impl Iterator<Item = (usize, Rule, usize)> + '_ {
        self.objects.iter().enumerate().filter_map(|(at, object)| {
            let (rule, base) = object.base?;
            Some(if rule == Rule::Holding { (base, rule, at) } else { (at, rule, base) })
        })
    }
}

impl Object {
    pub(crate) fn belongs_to(&self, other: usize) -> bool {
        self.base.is_some_and(|(_, base)| base == other)
    }
}

/// In which direction `a` plainly lies from `b`.
fn direction(a: &Object, b: &Object) -> Option<Rule> {
    let middle =
        |object: &Object, axis: usize| i64::from(object.rect[axis]) + i64::from(object.rect[axis + 2]);
    let (across, down) = (middle(a, 0) - middle(b, 0), middle(a, 1) - middle(b, 1));
    // Twice as far in one direction as in the other, and nothing in common in that direction.
    if across.abs() >= 2 * down.abs() {
        let (left, right) = if across < 0 { (a, b) } else { (b, a) };
        (left.rect[2] <= right.rect[0]).then_some(if across < 0 { Rule::Left } else { Rule::Right })
    } else if down.abs() >= 2 * across.abs() {
        let (upper, lower) = if down < 0 { (a, b) } else { (b, a) };
        (upper.rect[3] <= lower.rect[1]).then_some(if down < 0 { Rule::Above } else { Rule::Below })
    } else {
        None
    }
}

/// Whether two boxes lie clearly apart.
fn apart(a: &Object, b: &Object) -> bool {
    let clear = |axis: usize| {
        i64::from(a.rect[axis + 2]) + NEAR < i64::from(b.rect[axis])
            || i64::from(b.rect[axis + 2]) + NEAR < i64::from(a.rect[axis])
    };
    clear(0) || clear(1)
}

#[cfg(test)]
mod tests {
    use super::super::Pose;
    use super::*;

    type Placed = ([u32; 4], Option<(Rule, usize)>);

    fn scene(boxes: &[Placed]) -> Scene {
        let pose = Pose { centre: [0.0; 2], side: 1.0, turn: 0.0, flipped: false };
        let object =
            |&(rect, base)| Object { kind: 0, colour: 0, size: 0, texture: 0, pose, base, rect, area: 1 };
        Scene { width: 100, height: 100, place: 0, horizon: 0.5, objects: boxes.iter().map(object).collect() }
    }

    #[test]
    fn directions_are_told_only_where_they_are_plain() {
        let scene = scene(&[
            ([0, 40, 10, 50], None),
            ([30, 42, 40, 52], None),
            ([5, 40, 15, 50], None),
            ([25, 60, 35, 70], None),
        ]);
        assert_eq!(scene.holds(0, Rule::Left, 1), Some(true));
        assert_eq!(scene.holds(1, Rule::Left, 0), Some(false));
        assert_eq!(scene.holds(1, Rule::Right, 0), Some(true));
        assert_eq!(scene.holds(0, Rule::Above, 1), None);
        assert_eq!(scene.holds(0, Rule::Left, 2), None, "they overlap");
        assert_eq!(scene.holds(0, Rule::Left, 3), None, "as much above as left");
        assert!(!scene.is_plain(Rule::Left, 1));
    }

    #[test]
    fn drawn_relations_are_true_and_others_false_only_at_a_distance() {
        let scene = scene(&[
            ([10, 40, 50, 60], None),
            ([20, 30, 30, 41], Some((Rule::On, 0))),
            ([48, 30, 58, 41], None),
            ([80, 10, 90, 20], None),
        ]);
        assert_eq!(scene.holds(1, Rule::On, 0), Some(true));
        assert_eq!(scene.holds(1, Rule::Inside, 0), Some(false));
        assert_eq!(scene.holds(2, Rule::On, 0), None, "close enough to be taken for it");
        assert_eq!(scene.holds(3, Rule::On, 0), Some(false));
        assert_eq!(scene.holds(1, Rule::Above, 0), None);
        assert_eq!(scene.drawn_relations().collect::<Vec<_>>(), [(1, Rule::On, 0)]);
    }
}
