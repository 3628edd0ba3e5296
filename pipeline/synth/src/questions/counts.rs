//! How many there are. GQA does not ask that, so these have no programs.

use super::{Asker, Question, Template, both_answers, yes_no};

impl Asker<'_> {
    pub(super) fn counts(&mut self) {
        let kinds = self.world.kinds.len();
        for kind in 0..kinds {
            let count = self.scene.of_kind(kind).len();
            let plural = &self.world.kinds[kind].plural;
            let wordings = [
                format!("How many {plural} are there?"),
                format!("How many {plural} are in the picture?"),
                format!("How many {plural} do you see?"),
            ];
            self.how_many(Template::HowMany, plural.clone(), wordings.to_vec(), count);
        }
        for colour in &self.world.colours {
            let count = self.scene.count(|object| self.world.colours[object.colour].name == colour.name);
            let name = &colour.name;
            let wordings = [
                format!("How many {name} things are there?"),
                format!("How many objects are {name}?"),
                format!("How many {name} objects are in the picture?"),
            ];
            self.how_many(Template::HowManyColoured, name.clone(), wordings.to_vec(), count);
        }
        let present: Vec<usize> = (0..kinds).filter(|&kind| !self.scene.of_kind(kind).is_empty()).collect();
        for &one in &present {
            for &other in present.iter().filter(|&&other| other != one) {
                self.more(one, other);
            }
        }
    }

    fn how_many(&mut self, template: Template, of: String, wordings: Vec<String>, count: usize) {
        let also = [count.checked_sub(1), Some(count + 1)];
        self.asked.push(Question {
            template,
            meaning: format!("how many {of}"),
            wordings,
            answer: count.to_string(),
            also: also.into_iter().flatten().map(|count| count.to_string()).collect(),
            ..Question::uncounted(template)
        });
    }

    fn more(&mut self, one: usize, other: usize) {
        let counts = (self.scene.of_kind(one).len(), self.scene.of_kind(other).len());
        if counts.0 == counts.1 {
            return;
        }
        let yes = counts.0 > counts.1;
        let (one, other) = (&self.world.kinds[one].plural, &self.world.kinds[other].plural);
        self.asked.push(Question {
            meaning: format!("more {one} {other}"),
            wordings: vec![
                format!("Are there more {one} than {other}?"),
                format!("Do you see more {one} than {other}?"),
            ],
            answer: yes_no(yes),
            also: vec![yes_no(!yes)],
            valid: both_answers(),
            ..Question::uncounted(Template::MoreOf)
        });
    }
}

impl Question {
    /// A question without GQA's side.
    fn uncounted(template: Template) -> Question {
        Question {
            template,
            meaning: String::new(),
            wordings: vec![],
            answer: String::new(),
            also: vec![],
            sentence: String::new(),
            about: vec![],
            types: ["", "", ""],
            global: None,
            program: vec![],
            valid: vec![],
            tells: vec![],
            needs: vec![],
        }
    }
}
