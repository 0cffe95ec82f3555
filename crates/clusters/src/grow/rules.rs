//! Conditions.

use heart_model::policy::{Combine, Compare, DateSpec, Rule, Span, Test, ValueSource, ValueType};

use super::Grower;

impl Grower {
    pub(super) fn rule(&mut self) -> Rule {
        self.rule_of_depth(0)
    }

    fn rule_of_depth(&mut self, depth: usize) -> Rule {
        let combine = if self.chance.happens(500) { Combine::All } else { Combine::Any };
        let least = usize::from(!self.chance.happens(30));
        let tests = (0..self.chance.between(least, 2)).map(|_| self.test(depth)).collect();
        Rule { id: self.id("rule"), combine, tests }
    }

    fn test(&mut self, depth: usize) -> Test {
        match self.chance.below(12) {
            0..=6 => self.attribute(),
            7 => {
                let (from, until) = (self.chance.happens(600), self.chance.happens(600));
                let from = from.then(|| self.moment());
                let until = until.then(|| self.moment());
                Test::Date(Span { from, until, open: self.chance.happens(300) })
            }
            8 => {
                let name = self.chance.one_of(&["hours", "weekdays", "monthdays", "years", "weeks"]);
                let first = self.chance.below(30) as u32;
                let last = first + self.chance.below(12) as u32;
                let range = match self.chance.below(4) {
                    0 => (Some(first), None),
                    1 => (None, Some(last)),
                    _ => (Some(first), Some(last)),
                };
                Test::DateParts(DateSpec { parts: [(name.to_owned(), range)].into() })
            }
            9 | 10 if depth < 2 => Test::Rule(Box::new(self.rule_of_depth(depth + 1))),
            9 => Test::Never,
            10 => Test::Operation { name: "monitor".into(), every_ms: None },
            _ => Test::Agent { class: Some("ocf".into()), provider: None, agent_type: None },
        }
    }

    fn attribute(&mut self) -> Test {
        let node = self.node();
        let (name, value) = match self.chance.below(6) {
            0 | 1 => ("#uname", node),
            2 => ("rack", self.chance.one_of(&["a", "b", "c"]).to_owned()),
            3 => ("pingd", "100".to_owned()),
            4 => ("site", "east".to_owned()),
            _ if self.calm => ("rack", "b".to_owned()),
            _ => ("#is_dc", "true".to_owned()),
        };
        let compares = [
            Compare::Equal,
            Compare::NotEqual,
            Compare::Less,
            Compare::AtMost,
            Compare::More,
            Compare::AtLeast,
            Compare::Defined,
            Compare::NotDefined,
        ];
        let common = if self.chance.happens(600) { 2 } else { 8 };
        let compare = compares[self.chance.below(common)];
        let types =
            [ValueType::Any, ValueType::Text, ValueType::Integer, ValueType::Number, ValueType::Version];
        let sources = [ValueSource::Literal, ValueSource::Parameter, ValueSource::Meta];
        Test::Attribute {
            name: name.to_owned(),
            compare,
            value: (!matches!(compare, Compare::Defined | Compare::NotDefined)).then_some(value),
            source: if self.chance.happens(900) { sources[0] } else { sources[self.chance.below(3)] },
            value_type: if self.chance.happens(800) { types[0] } else { types[self.chance.below(5)] },
        }
    }
}
