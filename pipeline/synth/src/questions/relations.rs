//! Where things are from each other.

use super::{Asker, Fact, Question, Step, Template, both_answers, yes_no};
use crate::layouts::object_id;
use crate::texts::a;
use crate::world::Rule;

impl Asker<'_> {
    pub(super) fn relations(&mut self) {
        let only = self.only_ones();
        for &subject in &only {
            for &object in only.iter().filter(|&&object| object != subject) {
                for rule in [Rule::Left, Rule::Right, Rule::Above, Rule::Below] {
                    self.is_related(subject, rule, object, Template::IsBeside);
                }
                for rule in [Rule::On, Rule::Inside, Rule::Holding] {
                    // Whether a table is on an apple is no question.
                    let base = if rule == Rule::Holding { subject } else { object };
                    if self.is_made_for(base, rule) {
                        self.is_related(subject, rule, object, Template::IsDrawnTo);
                    }
                }
                self.which_side(subject, object);
            }
        }
        for &object in &only {
            for rule in [Rule::On, Rule::Inside] {
                if self.is_made_for(object, rule) {
                    self.what_is_there(rule, object);
                }
            }
            if self.is_made_for(object, Rule::Holding) {
                self.what_is_held(object);
            }
            for rule in [Rule::Left, Rule::Right, Rule::Above, Rule::Below] {
                self.what_is_beside(rule, object);
            }
        }
    }

    fn is_made_for(&self, base: usize, rule: Rule) -> bool {
        let kind = &self.world.kinds[self.scene.objects[base].kind];
        match rule {
            Rule::On => kind.top.is_some(),
            Rule::Inside => kind.inside.is_some(),
            Rule::Holding => kind.hand.is_some(),
            _ => false,
        }
    }

    /// The plainest words for a relation, where the world has it.
    fn plain(&self, rule: Rule) -> Option<String> {
        self.world.words(rule).map(|words| words[0].clone())
    }

    fn both_named(&self, one: usize, other: usize) -> Vec<Fact> {
        let mut tells = self.named(one);
        tells.extend(self.named(other));
        tells
    }

    fn is_related(&mut self, subject: usize, rule: Rule, object: usize, template: Template) {
        let (Some(words), Some(yes)) = (self.world.words(rule), self.scene.holds(subject, rule, object))
        else {
            return;
        };
        let (one, other) = (self.name(subject).to_string(), self.name(object).to_string());
        let wordings = words.iter().map(|words| format!("Is the {one} {words} the {other}?"));
        let related = Fact::Related(subject, rule, object);
        let not = Fact::NotRelated(subject, rule, object);
        let mut tells = self.both_named(subject, object);
        tells.push(if yes { related } else { not });
        let question = Question {
            template,
            meaning: format!("{one} {} {other}", words[0]),
            wordings: wordings.collect(),
            answer: yes_no(yes),
            also: vec![yes_no(!yes)],
            sentence: match yes {
                true => format!("Yes, the {one} is {} the {other}.", words[0]),
                false => format!("No, the {one} is not {} the {other}.", words[0]),
            },
            about: vec![subject, object],
            types: ["verify", "rel", "relVerify"],
            global: None,
            program: vec![
                self.select(object),
                Step::new(
                    "verify rel",
                    format!("{one},{},s ({})", words[0], object_id(self.picture, subject)),
                    &[0],
                ),
            ],
            valid: both_answers(),
            tells,
            needs: vec![
                vec![Fact::Kind(subject)],
                vec![Fact::Kind(object)],
                vec![if yes { related } else { not }],
            ],
        };
        self.asked.push(question);
    }

    fn which_side(&mut self, subject: usize, object: usize) {
        for (first, second) in [(Rule::Left, Rule::Right), (Rule::Above, Rule::Below)] {
            let (Some(one), Some(two)) = (self.plain(first), self.plain(second)) else { continue };
            let Some(is_first) = self.scene.holds(subject, first, object) else { continue };
            let short = |rule: Rule| match rule {
                Rule::Left => "left",
                Rule::Right => "right",
                Rule::Above => "above",
                _ => "below",
            };
            let rule = if is_first { first } else { second };
            let (name, other) = (self.name(subject).to_string(), self.name(object).to_string());
            let mut tells = self.both_named(subject, object);
            tells.push(Fact::Related(subject, rule, object));
            self.asked.push(Question {
                template: Template::WhichSide,
                meaning: format!("{name} {one} or {two} {other}"),
                wordings: vec![format!("Is the {name} {one} or {two} the {other}?")],
                answer: short(rule).to_string(),
                also: vec![format!("on the {}", short(rule))],
                sentence: format!("The {name} is {} the {other}.", if is_first { &one } else { &two }),
                about: vec![subject, object],
                types: ["choose", "rel", "relChooser"],
                global: None,
                program: vec![
                    self.select(object),
                    Step::new(
                        "choose rel",
                        format!("{name},{one}|{two},s ({})", object_id(self.picture, subject)),
                        &[0],
                    ),
                ],
                valid: vec![short(first).to_string(), short(second).to_string()],
                tells,
                needs: vec![
                    vec![Fact::Kind(subject)],
                    vec![Fact::Kind(object)],
                    vec![Fact::Related(subject, rule, object)],
                ],
            });
        }
    }

    /// `What is on the table?`, and of which color that is.
    fn what_is_there(&mut self, rule: Rule, object: usize) {
        let Some(words) = self.world.words(rule) else { return };
        let found: Vec<usize> = (0..self.scene.objects.len())
            .filter(|&at| self.scene.objects[at].base == Some((rule, object)))
            .collect();
        // What lies near enough to be taken for it makes the question a riddle.
        let (&[subject], true) = (found.as_slice(), self.scene.is_plain(rule, object)) else { return };
        let other = self.name(object).to_string();
        let wordings = words.iter().map(|words| format!("What is {words} the {other}?")).collect();
        self.related_name(subject, rule, object, wordings, Template::WhatIsThere);
        let wordings =
            words.iter().map(|words| format!("What color is the thing {words} the {other}?")).collect();
        self.related_colour(subject, rule, object, wordings);
    }

    fn what_is_held(&mut self, holder: usize) {
        if self.world.words(Rule::Holding).is_none() {
            return;
        }
        let held: Vec<usize> = (0..self.scene.objects.len())
            .filter(|&at| self.scene.objects[at].base == Some((Rule::Holding, holder)))
            .collect();
        let &[object] = held.as_slice() else { return };
        let name = self.name(holder).to_string();
        let wordings = vec![format!("What is the {name} holding?"), format!("What does the {name} hold?")];
        self.related_name(holder, Rule::Holding, object, wordings, Template::WhatIsThere);
        let wordings = vec![format!("What color is the thing that the {name} is holding?")];
        self.related_colour(holder, Rule::Holding, object, wordings);
    }

    /// `What animal is to the left of the table?`
    fn what_is_beside(&mut self, rule: Rule, object: usize) {
        let Some(words) = self.world.words(rule) else { return };
        let other = self.name(object).to_string();
        for category in &self.world.categories {
            let of_it: Vec<usize> = (0..self.scene.objects.len())
                .filter(|&at| at != object && self.world.is_of(self.scene.objects[at].kind, &category.name))
                .collect();
            let plain: Option<Vec<bool>> =
                of_it.iter().map(|&subject| self.scene.holds(subject, rule, object)).collect();
            let there = of_it.iter().zip(plain.unwrap_or_default()).filter(|(_, there)| *there);
            let [(&subject, _)] = there.collect::<Vec<_>>()[..] else { continue };
            let what = &category.name;
            let wordings = words.iter().map(|words| format!("What {what} is {words} the {other}?")).collect();
            self.related_name(subject, rule, object, wordings, Template::WhatIsBeside);
            if let Some(asked) = self.asked.last_mut() {
                asked.meaning = format!("what {what} {} {other}", words[0]);
                asked.types = ["query", "rel", "categoryRelS"];
                asked.global = Some(what.clone());
                asked.valid = self.world.names_of(what);
                asked.program[1].argument = asked.program[1].argument.replacen('_', what, 1);
            }
        }
    }

    /// The end of a relation that is asked for, and the one that is named.
    fn ends(subject: usize, rule: Rule, object: usize) -> (usize, usize, &'static str) {
        if rule == Rule::Holding { (object, subject, "o") } else { (subject, object, "s") }
    }

    fn related_name(
        &mut self,
        subject: usize,
        rule: Rule,
        object: usize,
        wordings: Vec<String>,
        template: Template,
    ) {
        let (asked, named, side) = Asker::ends(subject, rule, object);
        let Some(words) = self.plain(rule) else { return };
        let kind = &self.world.kinds[self.scene.objects[asked].kind];
        let name = self.name(named).to_string();
        let mut tells = self.named(named);
        tells.extend([Fact::Kind(asked), Fact::Related(subject, rule, object)]);
        self.asked.push(Question {
            template,
            meaning: format!("what {words} {name} {side}"),
            wordings,
            answer: kind.name.clone(),
            also: kind.also.clone(),
            sentence: match rule {
                Rule::Holding => format!("The {name} is {words} {}.", a(&kind.name)),
                _ => format!("The {} is {words} the {name}.", kind.name),
            },
            about: vec![asked, named],
            types: ["query", "rel", if side == "s" { "relS" } else { "relO" }],
            global: Some("object".into()),
            program: vec![
                self.select(named),
                Step::new("relate", format!("_,{words},{side} ({})", object_id(self.picture, asked)), &[0]),
                Step::new("query", "name", &[1]),
            ],
            valid: self.kind_names(),
            tells,
            needs: vec![
                vec![Fact::Kind(named)],
                vec![Fact::Kind(asked)],
                vec![Fact::Related(subject, rule, object)],
            ],
        });
    }

    fn related_colour(&mut self, subject: usize, rule: Rule, object: usize, wordings: Vec<String>) {
        let (asked, named, side) = Asker::ends(subject, rule, object);
        let Some(words) = self.plain(rule) else { return };
        let name = self.name(named).to_string();
        let colour = &self.world.colours[self.scene.objects[asked].colour];
        let mut tells = self.named(named);
        tells.extend([Fact::Colour(asked), Fact::Related(subject, rule, object)]);
        self.asked.push(Question {
            template: Template::ColourOfRelated,
            meaning: format!("color of what {words} {name} {side}"),
            wordings,
            answer: colour.name.clone(),
            also: colour.also.clone(),
            sentence: format!("It is {}.", colour.name),
            about: vec![named],
            types: ["query", "attr", "directWhich"],
            global: Some("color".into()),
            program: vec![
                self.select(named),
                Step::new("relate", format!("_,{words},{side} ({})", object_id(self.picture, asked)), &[0]),
                Step::new("query", "color", &[1]),
            ],
            valid: self.colours(),
            tells,
            needs: vec![
                vec![Fact::Kind(named)],
                vec![Fact::Colour(asked)],
                vec![Fact::Related(subject, rule, object)],
            ],
        });
    }
}
