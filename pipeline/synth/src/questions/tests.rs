use std::collections::BTreeMap;

use super::*;
use crate::chance::{Chance, Stream};
use crate::scene::Wanted;

fn scenes(count: u64) -> (World, Vec<Scene>) {
    let world = World::standard();
    let kinds: Vec<usize> = (0..world.kinds.len()).collect();
    let wanted = Wanted { kinds: &kinds, must: vec![] };
    let scenes = (0..count).map(|index| Scene::draw(&world, &wanted, 5, index).unwrap().0).collect();
    (world, scenes)
}

#[test]
fn every_wording_is_asked_with_every_answer_as_often() {
    let (world, scenes) = scenes(120);
    let asked = |at: usize| ask(&world, &scenes[at], at as u64);
    let chosen = balanced(1, "test", scenes.len(), 6, |_| true, asked);
    assert!(chosen.len() >= 6 * scenes.len() && chosen.len() < 8 * scenes.len(), "{}", chosen.len());
    let mut answers: BTreeMap<(String, String), BTreeMap<String, usize>> = BTreeMap::new();
    let mut templates = BTreeMap::<_, usize>::new();
    for one in &chosen {
        let question = asked(one.picture).swap_remove(one.question);
        let key = (question.meaning.clone(), question.wordings[one.wording].clone());
        *answers.entry(key).or_default().entry(question.answer).or_default() += 1;
        *templates.entry(question.template).or_default() += 1;
    }
    for (question, counts) in &answers {
        let first = counts.values().next();
        assert!(
            counts.len() >= 2 && counts.values().all(|count| Some(count) == first),
            "{question:?}: {counts:?}"
        );
    }
    assert_eq!(templates.len(), Template::HowManyColoured as usize + 1, "{templates:?}");
}

#[test]
fn every_question_knows_its_own_answer_and_no_more_than_it_tells() {
    let (world, scenes) = scenes(30);
    let (mut entailed, mut all) = (0, 0);
    for (picture, scene) in scenes.iter().enumerate() {
        let questions = ask(&world, scene, picture as u64);
        let logical: Vec<&Question> =
            questions.iter().filter(|question| !question.template.counts()).collect();
        for question in &logical {
            let known = Knowledge::of(&world, scene, &question.tells);
            let own = known.suffices(&question.needs);
            // "No, not both" and "yes, one of them" leave open which.
            assert!(own || question.tells.is_empty(), "{question:?}");
            assert!(question.valid.contains(&question.answer), "{question:?}");
            for other in &logical {
                all += 1;
                entailed += usize::from(known.suffices(&other.needs));
            }
        }
    }
    assert!(entailed * 20 > all / 10 && entailed * 4 < all, "{entailed} of {all}");
}

/// A world in which the answer to the first question is kept and everything else is drawn anew: what is entailed
/// must keep its answer, and what is not must change it somewhere.
#[test]
fn entailed_answers_hold_wherever_the_first_one_does() {
    let (world, scenes) = scenes(400);
    // By the words of the questions, which is all that two pictures have in common.
    let told: Vec<BTreeMap<String, String>> = scenes
        .iter()
        .enumerate()
        .map(|(at, scene)| {
            let questions = ask(&world, scene, at as u64).into_iter();
            questions
                .filter(|question| !question.template.counts())
                .map(|question| (question.wordings[0].clone(), question.answer))
                .collect()
        })
        .collect();
    let mut compared = 0;
    for (picture, scene) in scenes.iter().enumerate().take(60) {
        let questions = ask(&world, scene, picture as u64);
        for question in questions.iter().filter(|question| !question.template.counts()) {
            let known = Knowledge::of(&world, scene, &question.tells);
            let follows =
                questions.iter().filter(|other| !other.template.counts() && known.suffices(&other.needs));
            for other in follows {
                for answers in &told {
                    if answers.get(&question.wordings[0]) == Some(&question.answer)
                        && let Some(answer) = answers.get(&other.wordings[0])
                    {
                        assert_eq!(*answer, other.answer, "{:?} -> {:?}", question.wordings, other.wordings);
                        compared += 1;
                    }
                }
            }
        }
    }
    assert!(compared > 10_000, "{compared}");
}

#[test]
fn most_annotators_agree_and_the_true_answer_wins() {
    let (world, scenes) = scenes(20);
    let (mut others, mut all) = (0, 0);
    for (picture, scene) in scenes.iter().enumerate() {
        for (at, question) in (0..).zip(ask(&world, scene, picture as u64)) {
            let mut chance = Chance::new(9, Stream::Answers, picture as u64 * 10_000 + at);
            let answers = ten_answers(&question, &mut chance);
            let agree = answers.iter().filter(|(answer, _)| *answer == question.answer).count();
            assert!(agree >= 7, "{answers:?}");
            others += 10 - agree;
            all += 10;
        }
    }
    let share = others as f64 / all as f64;
    assert!((0.02..0.1).contains(&share), "{share}");
}
