//! What a description must satisfy before anything is drawn.

use std::collections::BTreeSet;

use super::{Domain, Rule, Splits, World};
use crate::Error;

/// How far apart the sides of two sizes are at least: nobody should have to guess.
const SIZE_STEP: f32 = 1.6;

impl World {
    pub(super) fn check(&self, place: &str) -> Result<(), Error> {
        let bad = |key: &str, what: String| Err(Error::World { place: format!("{place}, {key}"), what });
        let picture = &self.picture;
        for (key, [low, high], least) in [
            ("picture.width", picture.width, 64),
            ("picture.height", picture.height, 64),
            ("picture.objects", picture.objects, 1),
            ("picture.quality", picture.quality, 1),
        ] {
            if low < least || high < low {
                return bad(
                    key,
                    format!("is [{low}, {high}]: a least number of at least {least}, and a most"),
                );
            }
        }
        if picture.quality[1] > 100 || picture.width[1] > 4096 || picture.height[1] > 4096 {
            return bad("picture", "quality goes to 100, sides to 4096 pixels".into());
        }
        if !(0.0..=0.5).contains(&picture.overlap) || !(0.0..=40.0).contains(&picture.noise) {
            return bad("picture", "overlap is a share up to 0.5, noise a deviation up to 40".into());
        }
        let shares = [
            self.shares.coco,
            self.shares.gqa,
            self.shares.nlvr2,
            self.shares.open_images,
            self.shares.nocaps,
        ];
        if !shares.iter().all(|share| *share > 0.0) || (shares.iter().sum::<f64>() - 1.0).abs() > 1e-6 {
            return bad("shares", "each lies above 0, and they add up to 1".into());
        }
        let Splits { train, val } = self.splits;
        if !(train > 0.0 && val > 0.0 && train + val < 1.0) {
            return bad("splits", "train and val lie above 0 and leave something for test".into());
        }
        self.check_names(place)?;
        if self.colours.len() < 3 || self.sizes.len() < 2 || self.textures.len() < 2 || self.places.len() < 2
        {
            return bad("colour, size, texture, place", "at least 3, 2, 2 and 2 of them".into());
        }
        let narrow = picture.width[0].min(picture.height[0]) as f32;
        for (at, size) in self.sizes.iter().enumerate() {
            let [low, high] = size.side;
            if !(low >= 16.0 && high >= low && high <= narrow * 0.6) {
                return bad(
                    "size.side",
                    format!("{} is from 16 pixels to 0.6 of the narrowest picture", size.name),
                );
            }
            if at > 0 && low < SIZE_STEP * self.sizes[at - 1].side[1] {
                let what = format!("{} begins below {SIZE_STEP} times the size before it", size.name);
                return bad("size.side", what);
            }
        }
        if !self.textures.iter().all(|texture| texture.weight > 0.0) {
            return bad("texture.weight", "lies above 0".into());
        }
        for domain in [Domain::In, Domain::Out] {
            if self.kinds_of(domain).len() < 4 {
                return bad("kind", format!("at least 4 kinds are of domain {domain:?}"));
            }
        }
        for relation in &self.relations {
            let able = self.kinds_of(Domain::In).into_iter().any(|kind| {
                let kind = &self.kinds[kind];
                match relation.rule {
                    Rule::On => kind.top.is_some(),
                    Rule::Inside => kind.inside.is_some(),
                    Rule::Holding => kind.hand.is_some(),
                    _ => true,
                }
            });
            if !able {
                return bad(
                    "relation",
                    format!("{:?}, and no kind of domain In is made for it", relation.rule),
                );
            }
            if relation.words.is_empty() {
                return bad("relation.words", "is empty".into());
            }
        }
        Ok(())
    }

    /// Names are there, lower-case, and stand for one thing.
    fn check_names(&self, place: &str) -> Result<(), Error> {
        let bad = |what: String| Err(Error::World { place: place.to_string(), what });
        let lists: [(&str, Vec<&str>); 7] = [
            ("colour", self.colours.iter().map(|one| one.name.as_str()).collect()),
            ("size", self.sizes.iter().map(|one| one.name.as_str()).collect()),
            ("texture", self.textures.iter().map(|one| one.name.as_str()).collect()),
            ("place", self.places.iter().map(|one| one.name.as_str()).collect()),
            ("category", self.categories.iter().map(|one| one.name.as_str()).collect()),
            ("kind", self.kinds.iter().map(|one| one.name.as_str()).collect()),
            ("plural", self.kinds.iter().map(|one| one.plural.as_str()).collect()),
        ];
        for (what, names) in &lists {
            let different: BTreeSet<_> = names.iter().collect();
            if different.len() != names.len() {
                return bad(format!("two of [[{what}]] have one name"));
            }
            let plain = |name: &&str| {
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b' ')
            };
            if let Some(name) = names.iter().find(|name| !plain(name)) {
                return bad(format!("{what} `{name}`: names are lower-case words"));
            }
        }
        let rules: BTreeSet<_> = self.relations.iter().map(|relation| relation.rule).collect();
        if rules.len() != self.relations.len() {
            return bad("two of [[relation]] have one rule".into());
        }
        let known = |name: &str| self.categories.iter().any(|category| category.name == name);
        for kind in &self.kinds {
            if !known(&kind.category) {
                return bad(format!("kind {}: no category is called `{}`", kind.name, kind.category));
            }
            if kind.parts.is_empty() {
                return bad(format!("kind {} has no parts", kind.name));
            }
        }
        for category in &self.categories {
            // The parent's parent is followed as often as there are categories: longer is a circle.
            let mut above = category.parent.as_deref();
            for _ in 0..=self.categories.len() {
                let Some(parent) = above else { break };
                let Some(parent) = self.categories.iter().find(|other| other.name == parent) else {
                    return bad(format!("category {}: no category is called `{parent}`", category.name));
                };
                above = parent.parent.as_deref();
            }
            if above.is_some() {
                return bad(format!("category {} lies below itself", category.name));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(from: &str, to: &str) -> String {
        let text = World::standard_text();
        assert!(text.contains(from), "{from}");
        World::parse(&text.replacen(from, to, 1), "w.toml").map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn the_standard_world_has_what_the_tasks_need() {
        let world = World::standard();
        assert!(world.kinds.len() >= 24 && world.kinds_of(Domain::Out).len() >= 6);
        for rule in [Rule::Left, Rule::Above, Rule::On, Rule::Inside, Rule::Holding] {
            assert!(world.words(rule).is_some(), "{rule:?}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, word) in [
            ("noise = 5.0", "noise = 500.0", "noise"),
            ("noise = 5.0", "nose = 5.0", "nose"),
            ("coco = 0.45", "coco = 0.5", "add up to 1"),
            ("train = 0.7", "train = 0.9", "leave something"),
            ("side = [80, 98]", "side = [44, 98]", "large begins below"),
            ("name = \"orange\"", "name = \"red\"", "[[colour]]"),
            ("name = \"fish\"", "name = \"Fish\"", "lower-case"),
            ("category = \"vehicle\"", "category = \"ship\"", "`ship`"),
            ("parent = \"household item\"", "parent = \"furniture\"", "below itself"),
            ("rule = \"right\"", "rule = \"left\"", "one rule"),
            ("rule = \"right\"", "rule = \"beside\"", "beside"),
            ("ellipse = [42, 50, 38, 22]", "ellipse = [42, 50, 0, 22]", "extent"),
            ("ellipse = [42, 50, 38, 22]", "box = [1, 2, 3, 4], ellipse = [1, 2, 3, 4]", "one of polygon"),
            ("path = \"M 30 54 Q", "path = \"M 30 54 A", "`A`"),
            ("hand = [97, 56]\n", "", "Holding"),
        ] {
            let said = refused(from, to);
            assert!(said.contains(word), "{to}: {said}");
        }
    }
}
