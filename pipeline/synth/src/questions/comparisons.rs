//! What two things have in common, and which of them is larger.

use super::{Asker, Fact, Question, Step, Template, both_answers, yes_no};

impl Asker<'_> {
    pub(super) fn comparisons(&mut self) {
        let only = self.only_ones();
        for (at, &one) in only.iter().enumerate() {
            for &other in &only[at + 1..] {
                self.same_colour(one, other);
                self.which_is_larger(one, other);
                self.is_larger(one, other);
                self.is_larger(other, one);
            }
        }
    }

    fn same_colour(&mut self, one: usize, other: usize) {
        let same = self.scene.objects[one].colour == self.scene.objects[other].colour;
        let (name, second) = (self.name(one).to_string(), self.name(other).to_string());
        let pair = (one.min(other), one.max(other));
        let fact = if same { Fact::SameColour(pair.0, pair.1) } else { Fact::OtherColour(pair.0, pair.1) };
        let mut tells = self.named(one);
        tells.extend(self.named(other));
        tells.push(fact);
        let colours = (self.colour(one), self.colour(other));
        let sentence = match same {
            true => format!("Yes, both the {name} and the {second} are {}.", colours.0),
            false => format!("No, the {name} is {} and the {second} is {}.", colours.0, colours.1),
        };
        self.asked.push(Question {
            template: Template::SameColour,
            meaning: format!("{name} same color {second}"),
            wordings: vec![
                format!("Do the {name} and the {second} have the same color?"),
                format!("Is the {name} the same color as the {second}?"),
            ],
            answer: yes_no(same),
            also: vec![yes_no(!same)],
            sentence,
            about: vec![one, other],
            types: ["compare", "attr", "twoSame"],
            global: None,
            program: vec![self.select(one), self.select(other), Step::new("same color", "", &[0, 1])],
            valid: both_answers(),
            tells,
            needs: vec![vec![Fact::Kind(one)], vec![Fact::Kind(other)], vec![fact]],
        });
    }

    fn which_is_larger(&mut self, one: usize, other: usize) {
        let sizes = (self.scene.objects[one].size, self.scene.objects[other].size);
        if sizes.0 == sizes.1 {
            return;
        }
        let (larger, smaller) = if sizes.0 > sizes.1 { (one, other) } else { (other, one) };
        let (name, second) = (self.name(one).to_string(), self.name(other).to_string());
        let kind = &self.world.kinds[self.scene.objects[larger].kind];
        let mut tells = self.named(one);
        tells.extend(self.named(other));
        tells.push(Fact::Larger(larger, smaller));
        self.asked.push(Question {
            template: Template::WhichIsLarger,
            meaning: format!("larger {name} {second}"),
            wordings: vec![
                format!("Which is larger, the {name} or the {second}?"),
                format!("What is bigger, the {name} or the {second}?"),
            ],
            answer: kind.name.clone(),
            also: kind.also.clone(),
            sentence: format!("The {} is larger than the {}.", kind.name, self.name(smaller)),
            about: vec![one, other],
            types: ["compare", "attr", "comparativeChoose"],
            global: None,
            program: vec![self.select(one), self.select(other), Step::new("choose larger", "", &[0, 1])],
            valid: vec![name, second],
            tells,
            needs: vec![vec![Fact::Kind(one)], vec![Fact::Kind(other)], vec![Fact::Larger(larger, smaller)]],
        });
    }

    fn is_larger(&mut self, one: usize, other: usize) {
        let sizes = (self.scene.objects[one].size, self.scene.objects[other].size);
        if sizes.0 == sizes.1 {
            return;
        }
        let yes = sizes.0 > sizes.1;
        let (name, second) = (self.name(one).to_string(), self.name(other).to_string());
        let fact = if yes { Fact::Larger(one, other) } else { Fact::Larger(other, one) };
        let mut tells = self.named(one);
        tells.extend(self.named(other));
        tells.push(fact);
        self.asked.push(Question {
            template: Template::IsLarger,
            meaning: format!("{name} larger {second}"),
            wordings: vec![
                format!("Is the {name} larger than the {second}?"),
                format!("Is the {name} bigger than the {second}?"),
            ],
            answer: yes_no(yes),
            also: vec![yes_no(!yes)],
            sentence: match yes {
                true => format!("Yes, the {name} is larger than the {second}."),
                false => format!("No, the {name} is smaller than the {second}."),
            },
            about: vec![one, other],
            types: ["compare", "attr", "comparative"],
            global: None,
            program: vec![self.select(one), self.select(other), Step::new("verify larger", "", &[0, 1])],
            valid: both_answers(),
            tells,
            needs: vec![vec![Fact::Kind(one)], vec![Fact::Kind(other)], vec![fact]],
        });
    }
}
