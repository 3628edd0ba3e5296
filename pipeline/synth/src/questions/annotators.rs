//! Ten people answer, as VQA v2 asked them to: most agree, some do not.

use super::Question;
use crate::chance::Chance;

/// Ten answers with how sure their givers were.
pub(crate) type TenAnswers = [(String, &'static str); 10];

/// How often somebody gives another answer: another word is more likely than another opinion.
const OTHER_WORD: f32 = 0.1;
const OTHER_OPINION: f32 = 0.03;
/// More than so many never disagree, so that the most frequent answer is the true one.
const DISAGREE: usize = 3;

/// The answers of ten people to `question`.
pub(crate) fn ten_answers(question: &Question, chance: &mut Chance) -> TenAnswers {
    let opinion = question.is_yes_no() || question.is_number();
    let share = if opinion { OTHER_OPINION } else { OTHER_WORD };
    let mut others = 0;
    std::array::from_fn(|_| {
        let differs = chance.happens(share) && others < DISAGREE && !question.also.is_empty();
        let sure = if chance.happens(if differs { 0.5 } else { 0.9 }) {
            "yes"
        } else if chance.happens(0.8) {
            "maybe"
        } else {
            "no"
        };
        if differs {
            others += 1;
            (chance.pick(&question.also).clone(), sure)
        } else {
            (question.answer.clone(), sure)
        }
    })
}

impl Question {
    pub(crate) fn is_yes_no(&self) -> bool {
        self.answer == "yes" || self.answer == "no"
    }

    pub(crate) fn is_number(&self) -> bool {
        self.answer.bytes().all(|byte| byte.is_ascii_digit())
    }
}
