//! Statements about pairs of pictures: each is true of two pairs of its set and false of the other two.

use std::collections::BTreeSet;

use crate::chance::Chance;
use crate::scene::Scene;
use crate::texts::{a, number_word};
use crate::world::{Rule, Weave, World};

/// Left and right.
pub(crate) type Pair<'a> = [&'a Scene; 2];

/// A sentence with its truth for each of four pairs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) sentence: String,
    pub(crate) truths: [bool; 4],
}

/// Statements of a set at most. Sets are few, since each takes eight pictures: a model that is to learn from them needs to
/// be told much about each.
const STATEMENTS: usize = 32;

/// What a statement claims; numbers are those of kinds and colours of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    Exactly(Side, usize, usize),
    InTotal(usize, usize),
    AtLeast(usize, usize),
    Both(Look),
    OneOnly(Look),
    Neither(Look),
    There(Side, Look),
    More(usize),
    Fewer(usize),
    Equal(usize),
    Related(Side, usize, Rule, usize),
    SameColour(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// A kind of thing, perhaps of one colour or texture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    kind: usize,
    colour: Option<usize>,
    texture: Option<usize>,
}

/// Up to [`STATEMENTS`] different statements about four pairs, in the kinds that they show: of each sort in proportion to
/// how often people make such statements, as far as the pictures allow any.
pub(crate) fn statements(world: &World, pairs: &[Pair<'_>; 4], chance: &mut Chance) -> Vec<Statement> {
    let objects = pairs.iter().flatten().flat_map(|scene| &scene.objects);
    let kinds: BTreeSet<usize> = objects.map(|object| object.kind).collect();
    let mut claims = claims(world, &kinds.into_iter().collect::<Vec<_>>());
    chance.shuffle(&mut claims);
    let mut found: Vec<(f32, Claim, [bool; 4])> = Vec::new();
    let mut of_sort: Vec<(Sort, f32)> = Vec::new();
    for claim in claims {
        let truths: Option<Vec<bool>> = pairs.iter().map(|pair| claim.holds(pair)).collect();
        let Some(truths) = truths.and_then(|truths| <[bool; 4]>::try_from(truths).ok()) else { continue };
        if truths.iter().filter(|truth| **truth).count() != 2 {
            continue;
        }
        let sort = claim.sort();
        let at = of_sort.iter().position(|(known, _)| *known == sort).unwrap_or_else(|| {
            of_sort.push((sort, 0.0));
            of_sort.len() - 1
        });
        // the n-th of a sort comes up at (n - 1/2) / share: what is said twice as often, twice as early
        found.push(((of_sort[at].1 + 0.5) / claim.share(), claim, truths));
        of_sort[at].1 += 1.0;
    }
    found.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
    found.truncate(STATEMENTS);
    let told = found.into_iter();
    told.map(|(_, claim, truths)| Statement { sentence: claim.sentence(world, chance), truths }).collect()
}

/// The plainest statements about a pair, with their truths: that there is a thing in one of its pictures. Of each picture, every
/// kind that it shows, and as many that it does not, first those of the other picture.
pub(crate) fn plain_statements(world: &World, pair: &Pair<'_>, chance: &mut Chance) -> Vec<(String, bool)> {
    let mut told = Vec::new();
    for side in [Side::Left, Side::Right] {
        let [scene, other] = match side {
            Side::Left => *pair,
            Side::Right => [pair[1], pair[0]],
        };
        let shows = |scene: &Scene, kind: usize| !scene.of_kind(kind).is_empty();
        let (there, mut absent): (Vec<usize>, Vec<usize>) =
            (0..world.kinds.len()).partition(|&kind| shows(scene, kind));
        chance.shuffle(&mut absent);
        absent.sort_by_key(|&kind| !shows(other, kind));
        absent.truncate(there.len());
        for (kinds, truth) in [(there, true), (absent, false)] {
            told.extend(kinds.into_iter().map(|kind| {
                let claim = Claim::There(side, Look { kind, colour: None, texture: None });
                (claim.sentence(world, chance), truth)
            }));
        }
    }
    told
}

fn claims(world: &World, kinds: &[usize]) -> Vec<Claim> {
    let mut claims = Vec::new();
    for &kind in kinds {
        for count in 1..=4 {
            claims.extend([Side::Left, Side::Right].map(|side| Claim::Exactly(side, kind, count)));
            claims.push(Claim::InTotal(kind, count + 1));
            claims.push(Claim::AtLeast(kind, count + 1));
        }
        claims.extend([Claim::More(kind), Claim::Fewer(kind), Claim::Equal(kind), Claim::SameColour(kind)]);
        let plain = Look { kind, colour: None, texture: None };
        let coloured = (0..world.colours.len()).map(|colour| Look { colour: Some(colour), ..plain });
        let woven = (0..world.textures.len())
            .filter(|&texture| world.textures[texture].weave != Weave::Plain)
            .map(|texture| Look { texture: Some(texture), ..plain });
        for look in [plain].into_iter().chain(coloured).chain(woven) {
            claims.extend([Claim::Both(look), Claim::OneOnly(look), Claim::Neither(look)]);
            claims.extend([Claim::There(Side::Left, look), Claim::There(Side::Right, look)]);
        }
        for &other in kinds.iter().filter(|&&other| other != kind) {
            for relation in &world.relations {
                for side in [Side::Left, Side::Right] {
                    claims.push(Claim::Related(side, kind, relation.rule, other));
                }
            }
        }
    }
    claims
}

/// What statements are dealt out by: the claim, and whether a colour or a texture is part of it. Otherwise nearly all would
/// speak of colours, because there are more of them.
type Sort = (std::mem::Discriminant<Claim>, bool, bool);

impl Look {
    fn count(self, scene: &Scene) -> usize {
        scene.count(|object| {
            object.kind == self.kind
                && self.colour.is_none_or(|colour| object.colour == colour)
                && self.texture.is_none_or(|texture| object.texture == texture)
        })
    }

    /// How often a thing is called so, beside its mere name.
    fn share(self) -> f32 {
        match (self.colour, self.texture) {
            (None, None) => 1.0,
            (Some(_), _) => 0.5,
            (None, Some(_)) => 0.25,
        }
    }

    fn words(self, world: &World) -> String {
        let mut words = Vec::new();
        words.extend(self.texture.map(|texture| world.textures[texture].name.as_str()));
        words.extend(self.colour.map(|colour| world.colours[colour].name.as_str()));
        words.push(&world.kinds[self.kind].name);
        words.join(" ")
    }
}

impl Claim {
    fn sort(self) -> Sort {
        let (colour, texture) = match self {
            Claim::Both(look) | Claim::OneOnly(look) | Claim::Neither(look) | Claim::There(_, look) => {
                (look.colour.is_some(), look.texture.is_some())
            }
            _ => (false, false),
        };
        (std::mem::discriminant(&self), colour, texture)
    }

    /// How often such a claim is made beside others. People mostly say what there is, and seldom what there is not. It matters
    /// to what learns from them, too: were both said equally often, that a thing is there would make a sentence no likelier
    /// to be true, and neither would be learnt.
    fn share(self) -> f32 {
        match self {
            Claim::There(_, look) => 8.0 * look.share(),
            Claim::Both(look) => 4.0 * look.share(),
            Claim::OneOnly(look) => 2.0 * look.share(),
            Claim::Neither(look) => look.share(),
            Claim::Exactly(..) => 3.0,
            Claim::AtLeast(..) | Claim::Related(..) => 2.0,
            Claim::InTotal(..) | Claim::More(_) | Claim::SameColour(_) => 1.0,
            Claim::Fewer(_) | Claim::Equal(_) => 0.5,
        }
    }

    /// Whether it is true of a pair; none where the pictures leave it open.
    fn holds(self, pair: &Pair<'_>) -> Option<bool> {
        let of = |side: Side| pair[usize::from(side == Side::Right)];
        let counts = |kind: usize| pair.map(|scene| scene.of_kind(kind).len());
        let looks = |look: Look| pair.map(|scene| look.count(scene) > 0);
        Some(match self {
            Claim::Exactly(side, kind, count) => of(side).of_kind(kind).len() == count,
            Claim::InTotal(kind, count) => counts(kind).iter().sum::<usize>() == count,
            Claim::AtLeast(kind, count) => counts(kind).iter().sum::<usize>() >= count,
            Claim::Both(look) => looks(look) == [true, true],
            Claim::OneOnly(look) => looks(look).iter().filter(|there| **there).count() == 1,
            Claim::Neither(look) => looks(look) == [false, false],
            Claim::There(side, look) => look.count(of(side)) > 0,
            Claim::More(kind) => counts(kind)[0] > counts(kind)[1],
            Claim::Fewer(kind) => counts(kind)[0] < counts(kind)[1],
            // That there is none in either is no way to be equal that anybody would write of.
            Claim::Equal(kind) => match counts(kind) {
                [0, 0] => return None,
                [left, right] => left == right,
            },
            Claim::Related(side, subject, rule, object) => return related(of(side), subject, rule, object),
            Claim::SameColour(kind) => {
                let only = pair.map(|scene| scene.only(|object| object.kind == kind));
                let [Some(left), Some(right)] = only else { return None };
                pair[0].objects[left].colour == pair[1].objects[right].colour
            }
        })
    }

    fn sentence(self, world: &World, chance: &mut Chance) -> String {
        let side = |side: Side| if side == Side::Left { "left" } else { "right" };
        let image = *chance.pick(&["image", "picture"]);
        let some = |kind: usize, count: usize| {
            let kind = &world.kinds[kind];
            format!("{} {}", number_word(count), if count == 1 { &kind.name } else { &kind.plural })
        };
        let plural = |kind: usize| &world.kinds[kind].plural;
        let one = |look: Look| a(&look.words(world));
        match self {
            Claim::Exactly(at, kind, count) => {
                format!("The {} {image} contains exactly {}.", side(at), some(kind, count))
            }
            Claim::InTotal(kind, count) => {
                format!("There are exactly {} in the two {image}s together.", some(kind, count))
            }
            Claim::AtLeast(kind, count) => {
                format!("The {image}s show at least {} in total.", some(kind, count))
            }
            Claim::Both(look) => format!("Both {image}s contain {}.", one(look)),
            Claim::OneOnly(look) => format!("Exactly one of the {image}s contains {}.", one(look)),
            Claim::Neither(look) => format!("Neither {image} contains {}.", one(look)),
            Claim::There(at, look) => format!("There is {} in the {} {image}.", one(look), side(at)),
            Claim::More(kind) => {
                format!("The left {image} shows more {} than the right {image}.", plural(kind))
            }
            Claim::Fewer(kind) => {
                format!("There are fewer {} on the left than on the right.", plural(kind))
            }
            Claim::Equal(kind) => format!("Both {image}s show the same number of {}.", plural(kind)),
            Claim::Related(at, subject, rule, object) => {
                let words = world.words(rule).map_or("", |words| chance.pick(words).as_str());
                let (subject, object) = (a(&world.kinds[subject].name), a(&world.kinds[object].name));
                format!("In the {} {image}, {subject} is {words} {object}.", side(at))
            }
            Claim::SameColour(kind) => {
                let name = &world.kinds[kind].name;
                format!("The {name} on the left has the same color as the {name} on the right.")
            }
        }
    }
}

/// Whether some thing of one kind stands in `rule` to some thing of another.
fn related(scene: &Scene, subject: usize, rule: Rule, object: usize) -> Option<bool> {
    let mut plain = true;
    for one in scene.of_kind(subject) {
        for other in scene.of_kind(object) {
            match scene.holds(one, rule, other) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => plain = false,
            }
        }
    }
    plain.then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Stream;
    use crate::scene::Wanted;

    #[test]
    fn every_set_has_statements_and_each_is_true_of_two_pairs() {
        let world = World::standard();
        let kinds: Vec<usize> = (0..world.kinds.len()).collect();
        let mut found = 0;
        for set in 0..40 {
            let focus = [set as usize % 31, (set as usize + 7) % 31, (set as usize + 13) % 31];
            let scenes: Vec<Scene> = (0..8)
                .map(|at| {
                    let must = focus[..1 + at as usize % 3].to_vec();
                    Scene::draw(&world, &Wanted { kinds: &kinds, must }, 3, set * 8 + at).unwrap().0
                })
                .collect();
            let [a, b, c, d, e, f, g, h] = &scenes[..] else { panic!("eight scenes") };
            let pairs = [[a, b], [c, d], [e, f], [g, h]];
            let mut chance = Chance::new(3, Stream::Captions, set);
            let told = statements(&world, &pairs, &mut chance);
            assert!(!told.is_empty() && told.len() <= STATEMENTS, "set {set}: {}", told.len());
            for statement in &told {
                assert_eq!(statement.truths.iter().filter(|truth| **truth).count(), 2);
                found += 1;
                // One sort is recounted from its words.
                let Some(rest) = statement.sentence.strip_prefix("The left ") else { continue };
                let Some((_, rest)) = rest.split_once(" contains exactly ") else { continue };
                let (count, name) = rest.trim_end_matches('.').split_once(' ').unwrap();
                for (pair, truth) in pairs.iter().zip(statement.truths) {
                    let there = pair[0].count(|object| {
                        let kind = &world.kinds[object.kind];
                        kind.name == name || kind.plural == name
                    });
                    assert_eq!(number_word(there) == count, truth, "{}", statement.sentence);
                }
            }
        }
        assert!(found >= 140, "{found}");
    }

    #[test]
    fn plain_statements_are_as_often_true_as_false_of_each_picture() {
        let world = World::standard();
        let kinds: Vec<usize> = (0..world.kinds.len()).collect();
        let wanted = Wanted { kinds: &kinds, must: vec![2, 5] };
        for set in 0..20 {
            let [left, right] = [0, 1].map(|at| Scene::draw(&world, &wanted, 9, 2 * set + at).unwrap().0);
            let mut chance = Chance::new(3, Stream::Captions, set);
            let told = plain_statements(&world, &[&left, &right], &mut chance);
            for (side, scene) in [("left", &left), ("right", &right)] {
                let of_side = told.iter().filter(|(text, _)| text.contains(&format!("in the {side} ")));
                let mut truths = [0, 0];
                for (text, truth) in of_side {
                    let name = text.trim_start_matches("There is ").split_once(' ').unwrap().1;
                    let name = name.split_once(" in the").unwrap().0;
                    let seen = scene.count(|object| world.kinds[object.kind].name == name) > 0;
                    assert_eq!(seen, *truth, "{text}");
                    truths[usize::from(*truth)] += 1;
                }
                assert!(truths[0] == truths[1] && truths[0] >= 2, "set {set}: {truths:?}");
            }
        }
    }

    #[test]
    fn what_pictures_leave_open_is_not_claimed() {
        let world = World::standard();
        let kinds: Vec<usize> = (0..world.kinds.len()).collect();
        let wanted = Wanted { kinds: &kinds, must: vec![0, 0, 1] };
        let scenes: Vec<Scene> =
            (0..60).map(|index| Scene::draw(&world, &wanted, 6, index).unwrap().0).collect();
        let claim = Claim::Related(Side::Left, 0, Rule::Left, 1);
        let answers: Vec<_> = scenes.iter().map(|scene| claim.holds(&[scene, scene])).collect();
        for answer in [None, Some(true), Some(false)] {
            assert!(answers.contains(&answer), "{answer:?}");
        }
        assert_eq!(Claim::SameColour(0).holds(&[&scenes[0], &scenes[0]]), None, "two of them");
    }
}
