//! Questions that a scene answers: everything that can be asked of it, and what is then chosen.

mod annotators;
mod attributes;
mod balance;
mod comparisons;
mod counts;
mod facts;
mod program;
mod relations;

pub(crate) use annotators::ten_answers;
pub(crate) use balance::balanced;
pub(crate) use facts::{Fact, Knowledge};
pub(crate) use program::Step;

use crate::scene::Scene;
use crate::world::World;

/// A question about one picture.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// Which kind of question; each kind gets its share.
    pub(crate) template: Template,
    /// The question without its wording: the same for pictures that could be asked the same.
    pub(crate) meaning: String,
    /// Ways to ask it.
    pub(crate) wordings: Vec<String>,
    pub(crate) answer: String,
    /// What annotators who disagree say.
    pub(crate) also: Vec<String>,
    /// The answer as a sentence.
    pub(crate) sentence: String,
    /// Objects that question and sentence speak of.
    pub(crate) about: Vec<usize>,
    /// GQA's types: structural, semantic, detailed.
    pub(crate) types: [&'static str; 3],
    /// GQA's group of questions with comparable answers.
    pub(crate) global: Option<String>,
    pub(crate) program: Vec<Step>,
    /// Answers in scope.
    pub(crate) valid: Vec<String>,
    /// What somebody knows who has heard question and answer.
    pub(crate) tells: Vec<Fact>,
    /// What suffices to answer: one of each list.
    pub(crate) needs: Vec<Vec<Fact>>,
}

/// Kinds of questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Template {
    Exists,
    ExistsColoured,
    Both,
    Either,
    IsColoured,
    IsTextured,
    IsSized,
    WhatColour,
    WhatTexture,
    WhatSize,
    WhichColour,
    IsBeside,
    IsDrawnTo,
    WhichSide,
    WhatIsThere,
    WhatIsBeside,
    ColourOfRelated,
    WhatOfCategory,
    WhatPlace,
    SameColour,
    IsLarger,
    WhichIsLarger,
    MoreOf,
    HowMany,
    HowManyColoured,
}

impl Template {
    /// GQA does not count, nor compare numbers.
    pub(crate) fn counts(self) -> bool {
        matches!(self, Template::MoreOf | Template::HowMany | Template::HowManyColoured)
    }

    /// Rounds of this template for each turn of the others, in VQA.
    pub(crate) fn weight(self) -> usize {
        match self {
            Template::HowMany | Template::HowManyColoured | Template::WhatColour => 3,
            Template::WhatTexture | Template::WhatIsThere | Template::IsBeside | Template::IsColoured => 2,
            _ => 1,
        }
    }
}

/// Everything that can be asked of a scene, in a fixed order; `picture` makes the ids of its objects.
pub(crate) fn ask(world: &World, scene: &Scene, picture: u64) -> Vec<Question> {
    let mut asker = Asker { world, scene, picture, asked: Vec::new() };
    asker.existence();
    asker.attributes();
    asker.relations();
    asker.comparisons();
    asker.counts();
    asker.asked
}

struct Asker<'a> {
    world: &'a World,
    scene: &'a Scene,
    picture: u64,
    asked: Vec<Question>,
}

impl Asker<'_> {
    fn name(&self, object: usize) -> &str {
        &self.world.kinds[self.scene.objects[object].kind].name
    }

    fn colour(&self, object: usize) -> &str {
        &self.world.colours[self.scene.objects[object].colour].name
    }

    /// Objects that "the dog" can mean only one of, in the order of their kinds.
    fn only_ones(&self) -> Vec<usize> {
        (0..self.world.kinds.len()).filter_map(|kind| self.scene.only(|object| object.kind == kind)).collect()
    }

    /// That there is one of its kind, and that somebody called it by its kind.
    fn named(&self, object: usize) -> Vec<Fact> {
        let kind = self.scene.objects[object].kind;
        vec![Fact::Exists(object), Fact::Kind(object), Fact::Only(kind)]
    }

    fn colours(&self) -> Vec<String> {
        self.world.colours.iter().map(|colour| colour.name.clone()).collect()
    }

    fn kind_names(&self) -> Vec<String> {
        self.world.kinds.iter().map(|kind| kind.name.clone()).collect()
    }
}

fn yes_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_string()
}

/// The answers to a question of yes and no.
fn both_answers() -> Vec<String> {
    vec!["yes".into(), "no".into()]
}

#[cfg(test)]
mod tests;
