//! VQA v2: open-ended questions and their annotations.

use std::path::Path;

use serde_json::{Value, json};

use super::Pieces;
use crate::Error;
use crate::chance::{Chance, Stream};
use crate::corpus::{Shown, Split};
use crate::questions::{self, Question, Template};
use crate::world::World;

/// Questions a picture, about as many as VQA v2 has.
const EACH: usize = 5;
/// Question ids: the picture's id times this, and a number.
const IDS: u64 = 1000;

/// The beginnings by which VQA v2 sorts questions, as far as any of ours begins so.
const BEGINNINGS: [&str; 22] = [
    "are there",
    "are there both",
    "do",
    "do you see",
    "does the",
    "how",
    "how many",
    "is the",
    "is there",
    "is there a",
    "is there an",
    "what",
    "what color is the",
    "what is",
    "what is in the",
    "what is on the",
    "what is the",
    "what is the color of the",
    "what kind of",
    "what place is",
    "where is",
    "which",
];

/// Writes questions and annotations of a split; returns how many questions there are.
pub(crate) fn vqa(
    world: &World,
    seed: u64,
    split: Split,
    shown: &[&Shown],
    [questions, annotations]: [&Path; 2],
) -> Result<u64, Error> {
    let ask = |at: usize| questions::ask(world, &shown[at].scene, shown[at].slot.id);
    // VQA has no programs to lean on: questions of logic are GQA's.
    let allowed = |template| !matches!(template, Template::Both | Template::Either | Template::WhichColour);
    let purpose = format!("vqa {}", split.name());
    let chosen = questions::balanced(seed, &purpose, shown.len(), EACH, allowed, ask);

    let subtype = format!("{}2014", split.name());
    let head = json!({ "description": "drawn questions", "version": "2.0", "contributor": "pipeline synth" });
    let frame = |list: &str| {
        format!(
            "{{\"info\": {head},\n\"data_type\": \"mscoco\", \"data_subtype\": \"{subtype}\", \
             \"task_type\": \"Open-Ended\", \"license\": {{\"name\": \"none needed: drawn\", \"url\": \"\"}},\n\
             \"{list}\": ["
        )
    };
    let (mut asked, mut answered) = (Pieces::create(questions)?, Pieces::create(annotations)?);
    asked.raw(&frame("questions"))?;
    answered.raw(&frame("annotations"))?;
    let mut count = 0;
    for of_one in chosen.chunk_by(|one, next| one.picture == next.picture) {
        let picture = of_one[0].picture;
        let all = ask(picture);
        let image = shown[picture].slot.id;
        for (number, one) in (0u64..).zip(of_one) {
            let (question, id) = (&all[one.question], image * IDS + number);
            let text = &question.wordings[one.wording];
            asked.element(&json!({ "image_id": image, "question": text, "question_id": id }))?;
            let mut chance = Chance::new(seed, Stream::Answers, id);
            answered.element(&annotation(question, text, image, id, &mut chance))?;
            count += 1;
        }
    }
    for mut file in [asked, answered] {
        file.raw("]}\n")?;
        file.finish()?;
    }
    Ok(count)
}

fn annotation(question: &Question, text: &str, image: u64, id: u64, chance: &mut Chance) -> Value {
    let answers: Vec<Value> = questions::ten_answers(question, chance)
        .into_iter()
        .zip(1..)
        .map(|((answer, sure), number)| {
            json!({ "answer": answer, "answer_confidence": sure, "answer_id": number })
        })
        .collect();
    let answer_type = if question.is_yes_no() {
        "yes/no"
    } else if question.is_number() {
        "number"
    } else {
        "other"
    };
    json!({ "question_type": beginning(text), "multiple_choice_answer": question.answer, "answers": answers,
        "image_id": image, "answer_type": answer_type, "question_id": id })
}

/// The longest beginning of whole words.
fn beginning(question: &str) -> &'static str {
    let lower = question.to_lowercase();
    let begins = |beginning: &&&str| {
        lower.strip_prefix(**beginning).is_some_and(|rest| rest.starts_with([' ', '?']) || rest.is_empty())
    };
    BEGINNINGS.iter().filter(begins).max_by_key(|beginning| beginning.len()).unwrap_or(&"none of the above")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_sorted_by_their_longest_beginning() {
        assert_eq!(beginning("What color is the dog?"), "what color is the");
        assert_eq!(beginning("Is there an apple?"), "is there an");
        assert_eq!(beginning("Is there another?"), "is there");
        assert_eq!(beginning("Has it?"), "none of the above");
    }
}
