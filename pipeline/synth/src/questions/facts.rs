//! What one answer says about others.

use std::collections::BTreeSet;

use crate::scene::Scene;
use crate::world::{Rule, World};

/// A piece of knowledge about a picture; numbers are those of its objects, and of kinds and colours of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Fact {
    /// This object is there.
    Exists(usize),
    /// Of what kind it is.
    Kind(usize),
    /// There is one object of this kind only.
    Only(usize),
    /// There is something of this kind.
    Some(usize),
    /// There is nothing of this kind.
    None(usize),
    /// There is something of this kind and colour.
    SomeColoured(usize, usize),
    /// There is nothing of this kind and colour.
    NoneColoured(usize, usize),
    Colour(usize),
    NotColour(usize, usize),
    Texture(usize),
    NotTexture(usize, usize),
    Size(usize),
    NotSize(usize, usize),
    Related(usize, Rule, usize),
    NotRelated(usize, Rule, usize),
    SameColour(usize, usize),
    OtherColour(usize, usize),
    Larger(usize, usize),
    Place,
}

/// Facts, with all that follows from them.
#[derive(Debug)]
pub(crate) struct Knowledge(BTreeSet<Fact>);

impl Knowledge {
    /// What somebody knows who was told `facts` about `scene`, each of them true.
    pub(crate) fn of(world: &World, scene: &Scene, facts: &[Fact]) -> Knowledge {
        let mut known: BTreeSet<Fact> = facts.iter().copied().collect();
        loop {
            let before = known.len();
            for fact in known.clone() {
                follow(world, scene, fact, &mut known);
            }
            if known.len() == before {
                return Knowledge(known);
            }
        }
    }

    /// Whether one fact of each list is known.
    pub(crate) fn suffices(&self, needs: &[Vec<Fact>]) -> bool {
        needs.iter().all(|list| list.iter().any(|fact| self.0.contains(fact)))
    }
}

/// What follows from one fact and those that are known with it.
fn follow(world: &World, scene: &Scene, fact: Fact, known: &mut BTreeSet<Fact>) {
    let objects = &scene.objects;
    match fact {
        Fact::Colour(at) => {
            let object = &objects[at];
            known.insert(Fact::Exists(at));
            let others = (0..world.colours.len()).filter(|&colour| colour != object.colour);
            known.extend(others.map(|colour| Fact::NotColour(at, colour)));
            if known.contains(&Fact::Kind(at)) {
                known.insert(Fact::SomeColoured(object.kind, object.colour));
            }
            let same: Vec<usize> = (0..objects.len())
                .filter(|&other| other != at && known.contains(&Fact::Colour(other)))
                .collect();
            for other in same {
                let pair = (at.min(other), at.max(other));
                known.insert(match objects[other].colour == object.colour {
                    true => Fact::SameColour(pair.0, pair.1),
                    false => Fact::OtherColour(pair.0, pair.1),
                });
            }
        }
        Fact::NotColour(at, colour) => {
            let kind = objects[at].kind;
            if known.contains(&Fact::Kind(at)) && known.contains(&Fact::Only(kind)) {
                known.insert(Fact::NoneColoured(kind, colour));
            }
        }
        Fact::Texture(at) => {
            known.insert(Fact::Exists(at));
            let others = (0..world.textures.len()).filter(|&texture| texture != objects[at].texture);
            known.extend(others.map(|texture| Fact::NotTexture(at, texture)));
        }
        Fact::Size(at) => {
            known.insert(Fact::Exists(at));
            let others = (0..world.sizes.len()).filter(|&size| size != objects[at].size);
            known.extend(others.map(|size| Fact::NotSize(at, size)));
            for other in (0..objects.len()).filter(|&other| other != at) {
                if known.contains(&Fact::Size(other)) && objects[at].size != objects[other].size {
                    let larger = objects[at].size > objects[other].size;
                    known.insert(if larger { Fact::Larger(at, other) } else { Fact::Larger(other, at) });
                }
            }
        }
        Fact::Related(subject, rule, object) => {
            known.extend([Fact::Exists(subject), Fact::Exists(object)]);
            if let Some(turned) = rule.turned() {
                known.insert(Fact::NotRelated(subject, turned, object));
                known.insert(Fact::Related(object, turned, subject));
            }
        }
        Fact::Kind(at) if known.contains(&Fact::Exists(at)) => {
            known.insert(Fact::Some(objects[at].kind));
        }
        Fact::SomeColoured(kind, _) => {
            known.insert(Fact::Some(kind));
        }
        Fact::None(kind) => {
            known.extend((0..world.colours.len()).map(|colour| Fact::NoneColoured(kind, colour)))
        }
        _ => {}
    }
}
