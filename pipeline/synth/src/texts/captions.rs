//! Five captions a picture, each by somebody else: what they mention, how closely, and in which words.

use super::{a, capital, number_word};
use crate::chance::Chance;
use crate::scene::Scene;
use crate::world::{Rule, World};

/// Captions of a picture, as many as COCO has.
const CAPTIONS: usize = 5;

/// How often an attribute is mentioned.
const COLOUR: f32 = 0.6;
const TEXTURE: f32 = 0.45;
const SIZE: f32 = 0.3;
/// How often a kind that has another name is called by it.
const OTHER_NAME: f32 = 0.15;

/// Five different captions. Each is true, and leaves something out.
pub(crate) fn captions(world: &World, scene: &Scene, chance: &mut Chance) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let teller = Teller { world, scene };
    // Scenes with one object have fewer ways to be told; then somebody repeats somebody.
    for attempt in 0..8 * CAPTIONS {
        if found.len() == CAPTIONS {
            break;
        }
        let caption = teller.caption(chance);
        if !found.contains(&caption) || attempt >= 6 * CAPTIONS {
            found.push(caption);
        }
    }
    found
}

struct Teller<'a> {
    world: &'a World,
    scene: &'a Scene,
}

/// Something to mention, and whether there are several of it.
struct Mention {
    words: String,
    several: bool,
}

impl Teller<'_> {
    fn caption(&self, chance: &mut Chance) -> String {
        let told = match chance.weighted(&[3.0, 2.5, 3.0, 1.5]) {
            0 => self.drawn(chance),
            1 => self.direction(chance),
            3 => self.about_one(chance),
            _ => None,
        };
        let told = told.unwrap_or_else(|| self.list(chance));
        let stop = if chance.happens(0.75) { "." } else { "" };
        capital(&format!("{told}{stop}"))
    }

    /// `a small red cat on a table`
    fn drawn(&self, chance: &mut Chance) -> Option<String> {
        let relations: Vec<_> = self.scene.drawn_relations().collect();
        if relations.is_empty() {
            return None;
        }
        let &(subject, rule, object) = chance.pick(&relations);
        self.relation(subject, rule, object, chance)
    }

    fn direction(&self, chance: &mut Chance) -> Option<String> {
        let count = self.scene.objects.len();
        let rule = *chance.pick(&[Rule::Left, Rule::Right, Rule::Above, Rule::Below]);
        let pairs: Vec<(usize, usize)> = (0..count * count)
            .map(|at| (at / count, at % count))
            .filter(|&(one, other)| self.scene.holds(one, rule, other) == Some(true))
            .collect();
        if pairs.is_empty() {
            return None;
        }
        let &(subject, object) = chance.pick(&pairs);
        self.relation(subject, rule, object, chance)
    }

    fn relation(&self, subject: usize, rule: Rule, object: usize, chance: &mut Chance) -> Option<String> {
        let words = chance.pick(self.world.words(rule)?);
        let (one, other) = (self.one(subject, chance), self.one(object, chance));
        let verb = if rule == Rule::Holding { "" } else { "is " };
        Some(match chance.below(4) {
            0 => format!("there is {one} {words} {other}"),
            1 if rule == Rule::Holding => format!("{one} is {words} {other}"),
            1 => format!("{one} {verb}{words} {other}"),
            2 => format!("{one} {words} {other} {}", self.place()),
            _ => format!("{one} {words} {other}"),
        })
    }

    /// `a large striped fish in a field`
    fn about_one(&self, chance: &mut Chance) -> Option<String> {
        let mention = self.mentions(1, chance).pop()?;
        let (words, place) = (&mention.words, self.place());
        Some(match chance.below(4) {
            0 => format!("a picture of {words} {place}"),
            1 => format!("{place} {} {words}", there(mention.several)),
            2 => format!("{words} {place}"),
            _ => format!("{words} can be seen {place}"),
        })
    }

    /// `two birds, a car and a tree`
    fn list(&self, chance: &mut Chance) -> String {
        let most = 2 + chance.below(2);
        let mentions = self.mentions(most, chance);
        let words: Vec<&str> = mentions.iter().map(|mention| mention.words.as_str()).collect();
        let all = match words.as_slice() {
            [] => "nothing".to_string(),
            [one] => one.to_string(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
        };
        let several = mentions.first().is_some_and(|mention| mention.several);
        match chance.below(6) {
            0 => format!("{} {all}", there(several)),
            1 => format!("a drawing of {all}"),
            2 => format!("{all} {}", self.place()),
            3 => format!("{} {} {all}", self.place(), there(several)),
            4 => format!("a scene with {all}"),
            _ => all,
        }
    }

    /// Up to `most` different kinds: one object of each, or all of them with their number.
    fn mentions(&self, most: usize, chance: &mut Chance) -> Vec<Mention> {
        let mut kinds: Vec<usize> = self.scene.objects.iter().map(|object| object.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        chance.shuffle(&mut kinds);
        kinds.truncate(most);
        kinds.into_iter().map(|kind| self.kind(kind, chance)).collect()
    }

    fn kind(&self, kind: usize, chance: &mut Chance) -> Mention {
        let all = self.scene.of_kind(kind);
        if let [only] = all.as_slice() {
            return Mention { words: self.one(*only, chance), several: false };
        }
        let shared = |of: &dyn Fn(usize) -> usize| {
            let first = of(all[0]);
            all.iter().all(|&at| of(at) == first).then_some(first)
        };
        let objects = &self.scene.objects;
        let mut words = vec![number_word(all.len())];
        if all.len() > 2 && chance.happens(0.2) {
            words = vec!["several".to_string()];
        }
        if let Some(size) = shared(&|at| objects[at].size).filter(|_| chance.happens(SIZE)) {
            words.push(self.world.sizes[size].name.clone());
        }
        if let Some(colour) = shared(&|at| objects[at].colour).filter(|_| chance.happens(COLOUR)) {
            words.push(self.world.colours[colour].name.clone());
        }
        words.push(self.world.kinds[kind].plural.clone());
        Mention { words: words.join(" "), several: true }
    }

    /// One object with some of its attributes, and an article.
    fn one(&self, at: usize, chance: &mut Chance) -> String {
        let object = &self.scene.objects[at];
        let mut words: Vec<&str> = Vec::new();
        if chance.happens(SIZE) {
            let size = &self.world.sizes[object.size];
            let little = !size.also.is_empty() && chance.happens(0.4);
            words.push(if little { chance.pick(&size.also).as_str() } else { &size.name });
        }
        let texture = &self.world.textures[object.texture];
        if texture.weave != crate::world::Weave::Plain && chance.happens(TEXTURE) {
            words.push(&texture.name);
        }
        if chance.happens(COLOUR) {
            words.push(&self.world.colours[object.colour].name);
        }
        let kind = &self.world.kinds[object.kind];
        let other = !kind.also.is_empty() && chance.happens(OTHER_NAME);
        words.push(if other { chance.pick(&kind.also).as_str() } else { &kind.name });
        a(&words.join(" "))
    }

    fn place(&self) -> &str {
        &self.world.places[self.scene.place].phrase
    }
}

fn there(several: bool) -> &'static str {
    if several { "there are" } else { "there is" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Stream;
    use crate::scene::Wanted;

    /// The words of a caption are checked against the scene by their own small grammar: numbers with plurals,
    /// attributes before the noun they belong to, places.
    #[test]
    fn captions_are_true_and_leave_something_out() {
        let world = World::standard();
        let kinds: Vec<usize> = (0..world.kinds.len()).collect();
        let (mut all, mut checked, mut whole) = (0, 0, 0);
        for index in 0..200 {
            let wanted = Wanted { kinds: &kinds, must: vec![] };
            let (scene, _) = Scene::draw(&world, &wanted, 11, index).unwrap();
            let mut chance = Chance::new(11, Stream::Captions, index);
            let captions = captions(&world, &scene, &mut chance);
            assert_eq!(captions.len(), CAPTIONS);
            for caption in &captions {
                all += 1;
                let text = caption.to_lowercase();
                let words: Vec<&str> = text.trim_end_matches('.').split([' ', ',']).collect();
                let named: Vec<&crate::world::Kind> = world
                    .kinds
                    .iter()
                    .filter(|kind| {
                        words.contains(&kind.name.as_str()) || words.contains(&kind.plural.as_str())
                    })
                    .collect();
                for kind in &named {
                    let number = world.kinds.iter().position(|other| other.name == kind.name).unwrap();
                    assert!(!scene.of_kind(number).is_empty(), "{caption}: no {}", kind.name);
                }
                for (at, word) in words.iter().enumerate() {
                    let Some(kind) = world.kinds.iter().position(|kind| kind.name == *word) else { continue };
                    let before = &words[at.saturating_sub(3)..at];
                    let start = before.iter().rposition(|word| *word == "a" || *word == "an");
                    let Some(start) = start else { continue };
                    let fits = |object: &&crate::scene::Object| {
                        object.kind == kind
                            && before[start + 1..].iter().all(|word| {
                                let size = &world.sizes[object.size];
                                *word == world.colours[object.colour].name
                                    || *word == world.textures[object.texture].name
                                    || *word == size.name
                                    || size.also.iter().any(|other| other == word)
                            })
                    };
                    assert!(scene.objects.iter().any(|object| fits(&object)), "{caption}");
                    checked += 1;
                }
                for (at, word) in words.iter().enumerate().skip(1) {
                    let Some(kind) = world.kinds.iter().position(|kind| kind.plural == *word) else {
                        continue;
                    };
                    let number = (2..8).find(|number| words[..at].contains(&number_word(*number).as_str()));
                    if let Some(number) =
                        number.filter(|_| world.kinds[kind].name != *word && named.len() == 1)
                    {
                        assert_eq!(scene.of_kind(kind).len(), number, "{caption}");
                        checked += 1;
                    }
                }
                let kinds: std::collections::BTreeSet<_> =
                    scene.objects.iter().map(|object| object.kind).collect();
                whole += usize::from(named.len() == kinds.len() && kinds.len() > 3);
            }
        }
        assert!(checked > all && whole == 0, "{checked} of {all}, {whole} with everything");
    }
}
