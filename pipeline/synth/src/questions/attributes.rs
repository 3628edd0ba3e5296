//! Whether something is there, and what it looks like.

use super::{Asker, Fact, Question, Step, Template, both_answers, yes_no};
use crate::scene::Object;
use crate::texts::{a, capital};
use crate::world::Weave;

/// An attribute that one object is asked about.
struct Attribute<'a> {
    /// As GQA's programs call it.
    name: &'static str,
    object: usize,
    value: usize,
    values: Vec<&'a str>,
    also: &'a [String],
    known: Fact,
    not: fn(usize, usize) -> Fact,
}

impl Asker<'_> {
    pub(super) fn existence(&mut self) {
        let kinds = self.world.kinds.len();
        let present: Vec<usize> = (0..kinds).filter(|&kind| !self.scene.of_kind(kind).is_empty()).collect();
        for kind in 0..kinds {
            self.exists(kind);
        }
        for &kind in &present {
            for colour in 0..self.world.colours.len() {
                // A "no" is only worth asking where something else has the colour.
                if self.scene.count(|object| object.colour == colour) > 0 {
                    self.exists_coloured(kind, colour);
                }
            }
        }
        // Neighbours in the list of kinds, so that enough pictures are asked about the same two.
        for kind in 0..kinds {
            let other = (kind + 1) % kinds;
            self.two(kind, other, true);
            self.two(kind, other, false);
        }
        self.category();
        self.place();
    }

    fn exists(&mut self, kind: usize) {
        let found = self.scene.of_kind(kind);
        let (there, name) = (!found.is_empty(), &self.world.kinds[kind].name);
        let one = a(name);
        let fact = if there { Fact::Some(kind) } else { Fact::None(kind) };
        self.asked.push(Question {
            template: Template::Exists,
            meaning: format!("exists {name}"),
            wordings: vec![
                format!("Is there {one} in the picture?"),
                format!("Is there {one}?"),
                format!("Do you see {one} there?"),
            ],
            answer: yes_no(there),
            also: vec![yes_no(!there)],
            sentence: match there {
                true => format!("Yes, there is {one}."),
                false => format!("No, there is no {name}."),
            },
            about: found,
            types: ["verify", "obj", "exist"],
            global: None,
            program: vec![self.look_for(kind), Step::new("exist", "?", &[0])],
            valid: both_answers(),
            tells: vec![fact],
            needs: vec![vec![fact]],
        });
    }

    fn exists_coloured(&mut self, kind: usize, colour: usize) {
        let found: Vec<usize> = self.scene.of_kind(kind);
        let found: Vec<usize> =
            found.into_iter().filter(|&at| self.scene.objects[at].colour == colour).collect();
        let there = !found.is_empty();
        let (name, tone) = (&self.world.kinds[kind].name, &self.world.colours[colour].name);
        let one = a(&format!("{tone} {name}"));
        let fact = if there { Fact::SomeColoured(kind, colour) } else { Fact::NoneColoured(kind, colour) };
        self.asked.push(Question {
            template: Template::ExistsColoured,
            meaning: format!("exists {tone} {name}"),
            wordings: vec![
                format!("Is there {one} in the picture?"),
                format!("Do you see {one}?"),
                format!("Is there {one} in this image?"),
            ],
            answer: yes_no(there),
            also: vec![yes_no(!there)],
            sentence: match there {
                true => format!("Yes, there is {one}."),
                false => format!("No, there is no {tone} {name}."),
            },
            about: found,
            types: ["verify", "obj", "existAttr"],
            global: None,
            program: vec![
                self.look_for(kind),
                Step::new("filter color", tone.clone(), &[0]),
                Step::new("exist", "?", &[1]),
            ],
            valid: both_answers(),
            tells: vec![fact],
            needs: vec![vec![fact]],
        });
    }

    fn two(&mut self, kind: usize, other: usize, both: bool) {
        let there = [kind, other].map(|kind| !self.scene.of_kind(kind).is_empty());
        let yes = if both { there[0] && there[1] } else { there[0] || there[1] };
        // Where neither is there, nobody thinks of them together.
        if both && !there[0] && !there[1] {
            return;
        }
        let [one, two] = [kind, other].map(|kind| self.world.kinds[kind].name.clone());
        let word = if both { "and" } else { "or" };
        let question = match both {
            true => [
                format!("Are there both {} and {} in the picture?", a(&one), a(&two)),
                format!("Do you see both {} and {}?", a(&one), a(&two)),
            ],
            false => [
                format!("Is there {} or {} in the picture?", a(&one), a(&two)),
                format!("Do you see either {} or {}?", a(&one), a(&two)),
            ],
        };
        let some = [Fact::Some(kind), Fact::Some(other)];
        let none = [Fact::None(kind), Fact::None(other)];
        // Both there, or neither: each is told. Otherwise only that one of them is, or is not.
        let (tells, needs) = match (both, yes) {
            (true, true) => (some.to_vec(), some.map(|fact| vec![fact]).to_vec()),
            (false, false) => (none.to_vec(), none.map(|fact| vec![fact]).to_vec()),
            (true, false) => (vec![], vec![none.to_vec()]),
            (false, true) => (vec![], vec![some.to_vec()]),
        };
        let sentence = match (both, yes) {
            (true, true) => format!("Yes, there are both {} and {}.", a(&one), a(&two)),
            (true, false) => format!("No, there are not both {} and {}.", a(&one), a(&two)),
            (false, true) => format!("Yes, there is {} or {}.", a(&one), a(&two)),
            (false, false) => format!("No, there is neither {} nor {}.", a(&one), a(&two)),
        };
        let mut about = self.scene.of_kind(kind);
        about.extend(self.scene.of_kind(other));
        self.asked.push(Question {
            template: if both { Template::Both } else { Template::Either },
            meaning: format!("{one} {word} {two}"),
            wordings: question.to_vec(),
            answer: yes_no(yes),
            also: vec![yes_no(!yes)],
            sentence,
            about,
            types: ["logical", "obj", if both { "existAnd" } else { "existOr" }],
            global: None,
            program: vec![
                self.look_for(kind),
                Step::new("exist", "?", &[0]),
                self.look_for(other),
                Step::new("exist", "?", &[2]),
                Step::new(word, "", &[1, 3]),
            ],
            valid: both_answers(),
            tells,
            needs,
        });
    }

    fn category(&mut self) {
        for category in &self.world.categories {
            let of_it = |object: &Object| self.world.is_of(object.kind, &category.name);
            let Some(found) = self.scene.only(of_it) else { continue };
            let (name, kind) = (&category.name, &self.world.kinds[self.scene.objects[found].kind]);
            self.asked.push(Question {
                template: Template::WhatOfCategory,
                meaning: format!("which {name}"),
                wordings: vec![
                    format!("What {name} is in the picture?"),
                    format!("Which kind of {name} is it?"),
                    format!("What kind of {name} is this?"),
                ],
                answer: kind.name.clone(),
                also: kind.also.clone(),
                sentence: format!("The {name} is {}.", a(&kind.name)),
                about: vec![found],
                types: ["query", "cat", "category"],
                global: Some(name.clone()),
                program: vec![
                    Step::new(
                        "select",
                        format!("{name} ({})", crate::layouts::object_id(self.picture, found)),
                        &[],
                    ),
                    Step::new("query", "name", &[0]),
                ],
                valid: self.world.names_of(name),
                tells: vec![Fact::Exists(found), Fact::Kind(found)],
                needs: vec![vec![Fact::Kind(found)]],
            });
        }
    }

    fn place(&mut self) {
        let place = &self.world.places[self.scene.place];
        self.asked.push(Question {
            template: Template::WhatPlace,
            meaning: "place".into(),
            wordings: vec![
                "What place is it?".into(),
                "Where is this?".into(),
                "Which place is shown?".into(),
            ],
            answer: place.name.clone(),
            also: place.also.clone(),
            sentence: format!("It is {}.", place.phrase),
            about: vec![],
            types: ["query", "global", "place"],
            global: Some("place".into()),
            program: vec![Step::new("select", "scene", &[]), Step::new("query", "place", &[0])],
            valid: self.world.places.iter().map(|place| place.name.clone()).collect(),
            tells: vec![Fact::Place],
            needs: vec![vec![Fact::Place]],
        });
    }

    pub(super) fn attributes(&mut self) {
        let world = self.world;
        for at in self.only_ones() {
            let object = &self.scene.objects[at];
            let colour = Attribute {
                name: "color",
                object: at,
                value: object.colour,
                values: world.colours.iter().map(|colour| colour.name.as_str()).collect(),
                also: &world.colours[object.colour].also,
                known: Fact::Colour(at),
                not: Fact::NotColour,
            };
            let texture = Attribute {
                name: "texture",
                object: at,
                value: object.texture,
                values: world.textures.iter().map(|texture| texture.name.as_str()).collect(),
                also: &world.textures[object.texture].also,
                known: Fact::Texture(at),
                not: Fact::NotTexture,
            };
            let size = Attribute {
                name: "size",
                object: at,
                value: object.size,
                values: world.sizes.iter().map(|size| size.name.as_str()).collect(),
                also: &world.sizes[object.size].also,
                known: Fact::Size(at),
                not: Fact::NotSize,
            };
            let the = format!("the {}", self.name(at));
            for (attribute, verify, query, wordings) in [
                (
                    colour,
                    Template::IsColoured,
                    Template::WhatColour,
                    [format!("What color is {the}?"), format!("What is the color of {the}?")],
                ),
                (
                    texture,
                    Template::IsTextured,
                    Template::WhatTexture,
                    [format!("What pattern does {the} have?"), format!("What is the pattern of {the}?")],
                ),
                (
                    size,
                    Template::IsSized,
                    Template::WhatSize,
                    [format!("How big is {the}?"), format!("What size is {the}?")],
                ),
            ] {
                self.verify(&attribute, verify);
                self.query(&attribute, query, wordings.to_vec());
                if attribute.name == "color" {
                    self.choose(&attribute);
                }
            }
        }
    }

    fn verify(&mut self, attribute: &Attribute<'_>, template: Template) {
        let name = self.name(attribute.object).to_string();
        for (value, word) in attribute.values.iter().enumerate() {
            if attribute.name == "texture" && self.world.textures[value].weave == Weave::Plain {
                continue;
            }
            let yes = value == attribute.value;
            let mut tells = self.named(attribute.object);
            let not = (attribute.not)(attribute.object, value);
            tells.push(if yes { attribute.known } else { not });
            self.asked.push(Question {
                template,
                meaning: format!("{name} {word}"),
                wordings: vec![format!("Is the {name} {word}?"), format!("Does the {name} look {word}?")],
                answer: yes_no(yes),
                also: vec![yes_no(!yes)],
                sentence: match yes {
                    true => format!("Yes, the {name} is {word}."),
                    false => format!("No, the {name} is {}.", attribute.values[attribute.value]),
                },
                about: vec![attribute.object],
                types: ["verify", "attr", "verifyAttr"],
                global: None,
                program: vec![
                    self.select(attribute.object),
                    Step::new(format!("verify {}", attribute.name), *word, &[0]),
                ],
                valid: both_answers(),
                tells,
                needs: vec![
                    vec![Fact::Kind(attribute.object)],
                    vec![if yes { attribute.known } else { not }],
                ],
            });
        }
    }

    fn query(&mut self, attribute: &Attribute<'_>, template: Template, wordings: Vec<String>) {
        let name = self.name(attribute.object).to_string();
        let answer = attribute.values[attribute.value];
        let mut tells = self.named(attribute.object);
        tells.push(attribute.known);
        self.asked.push(Question {
            template,
            meaning: format!("{} of {name}", attribute.name),
            wordings,
            answer: answer.to_string(),
            also: attribute.also.to_vec(),
            sentence: format!("The {name} is {answer}."),
            about: vec![attribute.object],
            types: ["query", "attr", if attribute.name == "size" { "how" } else { "directOf" }],
            global: Some(attribute.name.to_string()),
            program: vec![self.select(attribute.object), Step::new("query", attribute.name, &[0])],
            valid: attribute.values.iter().map(ToString::to_string).collect(),
            tells,
            needs: vec![vec![Fact::Kind(attribute.object)], vec![attribute.known]],
        });
    }

    /// Between the true colour and another one, so that both orders of each two are asked as often.
    fn choose(&mut self, attribute: &Attribute<'_>) {
        let name = self.name(attribute.object).to_string();
        for (value, word) in
            attribute.values.iter().enumerate().filter(|(value, _)| *value != attribute.value)
        {
            let answer = attribute.values[attribute.value];
            let (first, second) = match value < attribute.value {
                true => (*word, answer),
                false => (answer, *word),
            };
            let mut tells = self.named(attribute.object);
            tells.push(attribute.known);
            self.asked.push(Question {
                template: Template::WhichColour,
                meaning: format!("{name} {first} or {second}"),
                wordings: vec![
                    format!("Is the {name} {first} or {second}?"),
                    format!("{}, {first} or {second}?", capital(&format!("what color is the {name}"))),
                ],
                answer: answer.to_string(),
                also: attribute.also.to_vec(),
                sentence: format!("The {name} is {answer}."),
                about: vec![attribute.object],
                types: ["choose", "attr", "chooseAttr"],
                global: Some(attribute.name.to_string()),
                program: vec![
                    self.select(attribute.object),
                    Step::new(format!("choose {}", attribute.name), format!("{first}|{second}"), &[0]),
                ],
                valid: vec![first.to_string(), second.to_string()],
                tells,
                needs: vec![vec![Fact::Kind(attribute.object)], vec![attribute.known]],
            });
        }
    }
}
