//! Checklists: questions, what may be answered to them, and when a checklist is confirmed (`domain.md` §5).

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use validator::Validate;

use super::values::{Fault, QuestionKind};
use super::workflow::Workflow;

/// A checklist asks at most so many questions.
pub const QUESTIONS_MAX: usize = 100;
/// A question offers at most so many options.
pub const OPTIONS_MAX: usize = 50;
/// An option has at most so many characters.
pub const OPTION_LENGTH_MAX: usize = 200;
/// An answer has at most so many characters.
pub const ANSWER_LENGTH_MAX: usize = 4000;
/// The largest number that may be answered, either way: what every reader of JSON holds exactly.
pub const ANSWER_NUMBER_MAX: f64 = 9_007_199_254_740_991.0;

/// One question of a checklist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"key": "backup", "text": "Is there a backup of the database?", "kind": "confirm", "required": true}))]
pub struct Question {
    /// Key, unique in its checklist.
    #[schema(min_length = 1, max_length = 50, pattern = "^[a-z][a-z0-9_]*$")]
    pub key: String,
    /// What is asked.
    #[schema(min_length = 1, max_length = 1000)]
    pub text: String,
    /// What the answer is.
    pub kind: QuestionKind,
    /// True where the checklist is not confirmed without an answer.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub required: bool,
    /// What is chosen from, with the kind `choice` alone.
    #[serde(default)]
    #[schema(max_items = 50, value_type = Vec<AnswerOption>)]
    pub options: Vec<String>,
    /// The smallest number, with the kind `number` alone.
    #[serde(default)]
    #[schema(minimum = -9007199254740991_i64, maximum = 9007199254740991_i64, example = 0)]
    pub min: Option<f64>,
    /// The largest number, with the kind `number` alone.
    #[serde(default)]
    #[schema(minimum = -9007199254740991_i64, maximum = 9007199254740991_i64, example = 100)]
    pub max: Option<f64>,
}

/// Something that is chosen from.
#[derive(ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 200, example = "Blue")]
pub struct AnswerOption(#[allow(dead_code)] String);

fn yes() -> bool {
    true
}

/// What is wrong with the questions of a checklist. `base` is the pointer to the list.
pub fn question_faults(questions: &[Question], base: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    if questions.is_empty() {
        faults.push(Fault::at(base, "TOO_SHORT", "A checklist asks something."));
    }
    for (index, question) in questions.iter().enumerate() {
        let at = |field: &str| format!("{base}/{index}/{field}");
        if questions[..index].iter().any(|other| other.key == question.key) {
            faults.push(Fault::at(at("key"), "REPEATED", "Another question has this key."));
        }
        if question.text.trim().is_empty() {
            faults.push(Fault::at(at("text"), "BLANK", "The text is blank."));
        }
        let chooses = question.kind == QuestionKind::Choice;
        if chooses && question.options.is_empty() {
            faults.push(Fault::at(at("options"), "REQUIRED", "A choice needs something to choose from."));
        }
        if !chooses && !question.options.is_empty() {
            faults.push(Fault::at(at("options"), "NOT_APPLICABLE", "Only a choice has options."));
        }
        for (nth, option) in question.options.iter().enumerate() {
            let pointer = format!("{}/{nth}", at("options"));
            if option.trim().is_empty() {
                faults.push(Fault::at(pointer, "BLANK", "The text is blank."));
            } else if question.options[..nth].contains(option) {
                faults.push(Fault::at(pointer, "REPEATED", "The option is in the list more than once."));
            }
        }
        for (name, given) in [("min", question.min), ("max", question.max)] {
            if given.is_some() && question.kind != QuestionKind::Number {
                faults.push(Fault::at(at(name), "NOT_APPLICABLE", "Only a number has bounds."));
            }
        }
        if let (Some(min), Some(max)) = (question.min, question.max)
            && min > max
        {
            faults.push(Fault::at(at("max"), "RANGE_REVERSED", "The largest number is below the smallest."));
        }
    }
    faults
}

impl Question {
    /// What is expected of an answer, in words.
    fn expected(&self) -> String {
        match self.kind {
            QuestionKind::Confirm => "`true` or `false` is expected.".into(),
            QuestionKind::Text => format!("A text of 1 to {ANSWER_LENGTH_MAX} characters is expected."),
            QuestionKind::Choice => format!("One of these is expected: {}.", self.options.join(", ")),
            QuestionKind::Number => match (self.min, self.max) {
                (None, None) => "A number is expected.".into(),
                (Some(min), None) => format!("A number of at least {min} is expected."),
                (None, Some(max)) => format!("A number of at most {max} is expected."),
                (Some(min), Some(max)) => format!("A number from {min} to {max} is expected."),
            },
        }
    }

    /// What is wrong with an answer, told with what is expected.
    pub fn answer_fault(&self, value: &Value) -> Option<Fault> {
        let code = match (self.kind, value) {
            (QuestionKind::Confirm, Value::Bool(_)) => return None,
            (QuestionKind::Text, Value::String(text)) => match text.chars().count() {
                _ if text.trim().is_empty() => "BLANK",
                count if count > ANSWER_LENGTH_MAX => "TOO_LONG",
                _ => return None,
            },
            (QuestionKind::Choice, Value::String(text)) if self.options.contains(text) => return None,
            (QuestionKind::Choice, Value::String(_)) => "NOT_ALLOWED",
            (QuestionKind::Number, Value::Number(number)) => {
                let number = number.as_f64().unwrap_or(f64::NAN);
                let (min, max) = (self.min.unwrap_or(-ANSWER_NUMBER_MAX), self.max.unwrap_or(ANSWER_NUMBER_MAX));
                if (min..=max).contains(&number) {
                    return None;
                }
                "OUT_OF_RANGE"
            }
            _ => "WRONG_TYPE",
        };
        Some(Fault::at("/value", code, self.expected()))
    }
}

/// True where every required question is answered, and nothing that was to be confirmed was denied.
pub fn is_confirmed<'a>(questions: &[Question], answer: impl Fn(&str) -> Option<&'a Value>) -> bool {
    questions.iter().all(|question| match (answer(&question.key), question.kind) {
        (None, _) => !question.required,
        (Some(value), QuestionKind::Confirm) => *value == Value::Bool(true),
        (Some(_), _) => true,
    })
}

/// The key of the stage that a checklist is bound to by key or by kind; the key goes first, and of several stages
/// of a kind the first. `None` where the workflow has none.
pub fn stage_of<'w>(workflow: &'w Workflow, wanted: &str) -> Option<&'w str> {
    let by_key = workflow.stage(wanted);
    let stage = by_key.or_else(|| workflow.stages.iter().find(|stage| stage.kind.as_str() == wanted));
    stage.map(|stage| stage.key.as_str())
}

/// A fault at the pointer where the workflow has no such stage, by key or by kind.
pub fn stage_fault(workflow: &Workflow, stage: &str, pointer: &str) -> Option<Fault> {
    stage_of(workflow, stage).is_none().then(|| {
        let keys: Vec<&str> = workflow.stages.iter().map(|stage| stage.key.as_str()).collect();
        let detail = format!("The workflow has no stage `{stage}`; it has {}.", keys.join(", "));
        Fault::at(pointer, "UNKNOWN_STAGE", detail)
    })
}

/// What keeps a template from giving a checklist to releases of the workflow: it is not active, or its stage is not one
/// of the workflow's.
pub fn unusable_template(active: bool, stage: &str, workflow: &Workflow, pointer: &str) -> Vec<Fault> {
    let inactive = (!active).then(|| Fault::at(pointer, "TEMPLATE_NOT_ACTIVE", "The template is not active."));
    inactive.into_iter().chain(stage_fault(workflow, stage, pointer)).collect()
}

/// The keys of the stages from this one on.
pub fn stages_from(workflow: &Workflow, stage: &str) -> Vec<String> {
    let from = workflow.position(stage).unwrap_or(0);
    workflow.stages.iter().skip(from).map(|stage| stage.key.clone()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn question(kind: QuestionKind) -> Question {
        Question {
            key: "q".into(),
            text: "How?".into(),
            kind,
            required: true,
            options: if kind == QuestionKind::Choice { vec!["red".into(), "blue".into()] } else { Vec::new() },
            min: (kind == QuestionKind::Number).then_some(0.0),
            max: (kind == QuestionKind::Number).then_some(99.5),
        }
    }

    #[test]
    fn an_answer_is_of_the_kind_that_is_asked_for() {
        use QuestionKind::{Choice, Confirm, Number, Text};
        let long = "x".repeat(ANSWER_LENGTH_MAX + 1);
        let table: &[(QuestionKind, Value, Option<&str>)] = &[
            (Confirm, json!(true), None),
            (Confirm, json!(false), None),
            (Confirm, json!("true"), Some("WRONG_TYPE")),
            (Confirm, json!(1), Some("WRONG_TYPE")),
            (Text, json!("Yes"), None),
            (Text, json!("  "), Some("BLANK")),
            (Text, json!(long), Some("TOO_LONG")),
            (Text, json!(true), Some("WRONG_TYPE")),
            (Choice, json!("red"), None),
            (Choice, json!("green"), Some("NOT_ALLOWED")),
            (Choice, json!(["red"]), Some("WRONG_TYPE")),
            (Number, json!(0), None),
            (Number, json!(99.5), None),
            (Number, json!(99.6), Some("OUT_OF_RANGE")),
            (Number, json!(-1), Some("OUT_OF_RANGE")),
            (Number, json!("7"), Some("WRONG_TYPE")),
            (Number, Value::Null, Some("WRONG_TYPE")),
        ];
        for (kind, value, expected) in table {
            let fault = question(*kind).answer_fault(value);
            assert_eq!(fault.as_ref().map(|fault| fault.code), *expected, "{kind} {value}");
            assert!(fault.is_none_or(|fault| fault.detail.contains("expected")));
        }
    }

    #[test]
    fn a_checklist_is_confirmed_by_its_required_answers_and_by_no_denial() {
        let needed = question(QuestionKind::Confirm);
        let extra = Question { key: "extra".into(), required: false, ..question(QuestionKind::Confirm) };
        let (yes, no) = (json!(true), json!(false));
        let answered = |answers: &[(&str, &'static bool)]| {
            let value = |given: bool| if given { &yes } else { &no };
            is_confirmed(&[needed.clone(), extra.clone()], |key| {
                answers.iter().find(|(other, _)| *other == key).map(|(_, given)| value(**given))
            })
        };
        assert!(!answered(&[]));
        assert!(!answered(&[("extra", &true)]));
        assert!(!answered(&[("q", &false)]));
        assert!(answered(&[("q", &true)]));
        assert!(!answered(&[("q", &true), ("extra", &false)]));
        assert!(is_confirmed(std::slice::from_ref(&extra), |_| None));
    }

    #[test]
    fn questions_that_cannot_be_asked_are_refused_with_every_fault() {
        let codes = |questions: &[Question]| {
            question_faults(questions, "").into_iter().map(|fault| fault.code).collect::<Vec<_>>()
        };
        for kind in QuestionKind::ALL {
            assert!(codes(&[question(*kind)]).is_empty(), "{kind}");
        }
        assert_eq!(codes(&[]), ["TOO_SHORT"]);
        let text = question(QuestionKind::Text);
        assert_eq!(codes(&[text.clone(), text.clone()]), ["REPEATED"]);
        assert_eq!(codes(&[Question { text: " ".into(), ..text.clone() }]), ["BLANK"]);
        assert_eq!(codes(&[Question { options: vec!["a".into()], ..text.clone() }]), ["NOT_APPLICABLE"]);
        assert_eq!(codes(&[Question { min: Some(1.0), ..text }]), ["NOT_APPLICABLE"]);
        let choice = question(QuestionKind::Choice);
        assert_eq!(codes(&[Question { options: Vec::new(), ..choice.clone() }]), ["REQUIRED"]);
        assert_eq!(codes(&[Question { options: vec!["a".into(), "a".into()], ..choice }]), ["REPEATED"]);
        let number = question(QuestionKind::Number);
        assert_eq!(codes(&[Question { min: Some(100.0), ..number }]), ["RANGE_REVERSED"]);
    }
}
