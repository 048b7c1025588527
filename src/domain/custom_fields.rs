//! The JSON Schema (draft 2020-12) that a model has for the custom fields of its releases, and what it finds wrong.
//!
//! Whoever writes a model writes a program that is run on what others send, so the schema is one whose work is known
//! beforehand: of bounded size and depth, with references into itself alone and never round in a circle, so that it
//! could be written out without them, and that within bounds; with patterns of an engine that takes linear time.

use std::collections::HashMap;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, ValidationOptions, Validator};
use serde_json::{Map, Value, json};

use super::fault::FAULTS_MAX;
use super::values::Fault;

/// Custom fields, or a JSON Schema for them.
pub type Fields = Map<String, Value>;

/// The dialect that is understood.
pub const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// A schema has at most so many bytes, written without white space.
pub const SCHEMA_BYTES_MAX: usize = 32 * 1024;
/// Its JSON is nested at most so deeply.
pub const SCHEMA_DEPTH_MAX: usize = 32;
/// It has at most so many patterns.
pub const PATTERNS_MAX: usize = 50;
/// Written out without references, it has at most so many objects.
pub const SCHEMA_OBJECTS_MAX: usize = 4096;
/// Written out without references, it is nested at most so deeply.
pub const SCHEMA_STEPS_MAX: usize = 100;
/// Custom fields hold at most so many values in all, those inside of others among them.
pub const FIELDS_VALUES_MAX: usize = 1000;
/// They have at most so many bytes, written without white space.
pub const FIELDS_BYTES_MAX: usize = 64 * 1024;
/// A pattern takes at most so many bytes when it is ready.
const PATTERN_BYTES_MAX: usize = 512 * 1024;
/// Keywords that would let a schema refer to more than to places in itself.
const KEYWORDS_NOT_TAKEN: &[&str] = &["$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef"];
/// What is wrong is told in at most so many characters.
const DETAIL_LENGTH_MAX: usize = 300;

const SCHEMA_BASE: &str = "/custom_fields_schema";
const FIELDS_BASE: &str = "/custom_fields";

/// So many questions - objects of a schema, written out, times values - are asked with an answer to each. To tell all
/// that is wrong takes memory for each of them, so that beyond this it is only told that something is.
const QUESTIONS_MAX: usize = 20_000;

/// A schema, ready to be asked.
#[derive(Debug)]
pub struct FieldsSchema {
    validator: Validator,
    /// Its objects, written out without references.
    objects: usize,
}

fn options() -> ValidationOptions<'static> {
    jsonschema::draft202012::options()
        .should_validate_formats(true)
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES_MAX))
}

/// A name as it stands in a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn told(error: &ValidationError<'_>) -> String {
    // Without the value: what was sent may be a secret.
    let text = error.masked().to_string();
    let short: String = text.chars().take(DETAIL_LENGTH_MAX).collect();
    if short.len() < text.len() { format!("{short}…") } else { format!("{short}.") }
}

impl FieldsSchema {
    /// Makes a schema ready; or every fault of it.
    pub fn new(schema: &Fields) -> Result<Self, Vec<Fault>> {
        let whole = Value::Object(schema.clone());
        let invalid =
            |pointer: &str, detail: String| Fault::at(format!("{SCHEMA_BASE}{pointer}"), "INVALID_SCHEMA", detail);
        let bytes = whole.to_string().len();
        if bytes > SCHEMA_BYTES_MAX {
            let detail = format!("The schema has {bytes} bytes; it has at most {SCHEMA_BYTES_MAX}.");
            return Err(vec![Fault::at(SCHEMA_BASE, "SCHEMA_TOO_LARGE", detail)]);
        }
        if depth(&whole) > SCHEMA_DEPTH_MAX {
            let detail = format!("The schema is nested at most {SCHEMA_DEPTH_MAX} levels deep.");
            return Err(vec![Fault::at(SCHEMA_BASE, "SCHEMA_TOO_LARGE", detail)]);
        }
        let patterns = patterns(&whole);
        if patterns > PATTERNS_MAX {
            let detail = format!("The schema has {patterns} patterns; it has at most {PATTERNS_MAX}.");
            return Err(vec![Fault::at(SCHEMA_BASE, "SCHEMA_TOO_LARGE", detail)]);
        }
        let mut faults = Vec::new();
        if schema.get("type") != Some(&json!("object")) {
            faults
                .push(invalid("/type", "Custom fields are an object: the schema says `\"type\": \"object\"`.".into()));
        }
        if schema.get("$schema").is_some_and(|dialect| dialect != DIALECT) {
            faults.push(invalid("/$schema", format!("Schemas are of the dialect {DIALECT}.")));
        }
        for error in jsonschema::draft202012::meta::validator().iter_errors(&whole) {
            faults.push(invalid(error.instance_path().as_str(), told(&error)));
        }
        let mut survey = Survey { root: &whole, extents: HashMap::new(), faults: Vec::new() };
        survey.look_at(&whole, "");
        let extent = survey.extent("", &whole, &mut Vec::new());
        if survey.faults.is_empty() && (extent.objects > SCHEMA_OBJECTS_MAX || extent.steps > SCHEMA_STEPS_MAX) {
            let detail = format!(
                "Written out without references, the schema has more than {SCHEMA_OBJECTS_MAX} objects, or is nested \
                 more than {SCHEMA_STEPS_MAX} levels deep."
            );
            survey.faults.push(Fault::at(SCHEMA_BASE, "SCHEMA_TOO_LARGE", detail));
        }
        faults.extend(survey.faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        match options().build(&whole) {
            Ok(validator) => Ok(Self { validator, objects: extent.objects }),
            Err(error) => Err(vec![invalid("", told(&error))]),
        }
    }

    /// What is wrong with custom fields that are [not too large](size_fault): as much as is told, and one more where
    /// there is more.
    pub fn faults(&self, fields: &Fields) -> Vec<Fault> {
        let whole = Value::Object(fields.clone());
        if values(&whole).saturating_mul(self.objects) > QUESTIONS_MAX {
            let detail = "The custom fields are not as the model's schema says; it asks too much of them to say where.";
            let fault = || Fault::at(FIELDS_BASE, "CUSTOM_FIELD_INVALID", detail);
            return (!self.validator.is_valid(&whole)).then(fault).into_iter().collect();
        }
        let mut faults = Vec::new();
        for error in self.validator.iter_errors(&whole) {
            if faults.len() > FAULTS_MAX {
                break;
            }
            let place = format!("{FIELDS_BASE}{}", error.instance_path().as_str());
            let below = |name: &str| format!("{place}/{}", escaped(name));
            match error.kind() {
                ValidationErrorKind::AdditionalProperties { unexpected }
                | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                    faults.extend(unexpected.iter().map(|name| {
                        Fault::at(below(name), "CUSTOM_FIELD_UNKNOWN", "The model's releases have no such field.")
                    }));
                }
                ValidationErrorKind::Required { property } => {
                    let name = property.as_str().unwrap_or_default();
                    faults.push(Fault::at(below(name), "REQUIRED", "The model's releases need this field."));
                }
                ValidationErrorKind::PropertyNames { error } => {
                    let name = error.instance().as_str().unwrap_or_default();
                    faults.push(Fault::at(
                        below(name),
                        "CUSTOM_FIELD_INVALID",
                        "The name is not one of those allowed.",
                    ));
                }
                _ => faults.push(Fault::at(place, "CUSTOM_FIELD_INVALID", told(&error))),
            }
        }
        faults
    }
}

/// What is wrong with custom fields, with a schema or without one.
pub fn fields_faults(fields: &Fields, schema: Option<&FieldsSchema>) -> Vec<Fault> {
    // A schema may ask many questions of every value, so their number is known before the first is asked.
    match (size_fault(fields), schema) {
        (Some(fault), _) => vec![fault],
        (None, Some(schema)) => schema.faults(fields),
        (None, None) => Vec::new(),
    }
}

/// A fault where custom fields are too large.
fn size_fault(fields: &Fields) -> Option<Fault> {
    are_too_large(fields).then(|| {
        let detail = format!(
            "Custom fields hold at most {FIELDS_VALUES_MAX} values in all and {FIELDS_BYTES_MAX} bytes, written without \
             white space."
        );
        Fault::at(FIELDS_BASE, "CUSTOM_FIELDS_TOO_LARGE", detail)
    })
}

/// A fault where the attributes of a configuration item are too large: they have the bounds of custom fields.
pub fn attributes_fault(attributes: &Fields) -> Option<Fault> {
    are_too_large(attributes).then(|| {
        let detail = format!(
            "Attributes hold at most {FIELDS_VALUES_MAX} values in all and {FIELDS_BYTES_MAX} bytes, written without \
             white space."
        );
        Fault::at("/attributes", "ATTRIBUTES_TOO_LARGE", detail)
    })
}

fn are_too_large(fields: &Fields) -> bool {
    fields.values().map(values).sum::<usize>() > FIELDS_VALUES_MAX
        || serde_json::to_string(fields).map_or(0, |text| text.len()) > FIELDS_BYTES_MAX
}

/// How many values there are, this one among them.
fn values(value: &Value) -> usize {
    1 + match value {
        Value::Object(fields) => fields.values().map(values).sum(),
        Value::Array(items) => items.iter().map(values).sum(),
        _ => 0,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// How many patterns there are.
fn patterns(value: &Value) -> usize {
    let own = usize::from(value.get("pattern").is_some_and(Value::is_string))
        + value.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
    own + below(value).iter().map(|(_, inner)| patterns(inner)).sum::<usize>()
}

/// What is below a value, each with the step of a pointer that leads there.
fn below(value: &Value) -> Vec<(String, &Value)> {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, inner)| (escaped(name), inner)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, inner)| (index.to_string(), inner)).collect(),
        _ => Vec::new(),
    }
}

/// The pointer that a reference into the schema itself holds; `None` where it is none.
fn pointer_of(reference: &str) -> Option<String> {
    let fragment = reference.strip_prefix('#').filter(|fragment| fragment.is_empty() || fragment.starts_with('/'))?;
    Some(percent_encoding::percent_decode_str(fragment).decode_utf8().ok()?.into_owned())
}

/// How much there is below a place, everything written out.
#[derive(Debug, Clone, Copy)]
struct Extent {
    objects: usize,
    steps: usize,
}

impl Extent {
    fn take_in(&mut self, inner: Self) {
        self.objects = self.objects.saturating_add(inner.objects);
        self.steps = self.steps.max(inner.steps);
    }
}

/// A walk over a schema, with what was found on the way. Whatever is written in it is taken for a part of it, be it a
/// constant: what is counted is never too little.
struct Survey<'s> {
    root: &'s Value,
    /// How much there is at the places that were written out.
    extents: HashMap<String, Extent>,
    faults: Vec<Fault>,
}

impl<'s> Survey<'s> {
    fn look_at(&mut self, value: &'s Value, at: &str) {
        let place = |name: &str| format!("{SCHEMA_BASE}{at}/{name}");
        if let Value::Object(fields) = value {
            for name in KEYWORDS_NOT_TAKEN.iter().filter(|name| fields.get(**name).is_some_and(Value::is_string)) {
                let detail =
                    format!("`{name}` is not taken: refer by `$ref` to places of the same schema, `#/$defs/…`.");
                self.faults.push(Fault::at(place(name), "INVALID_SCHEMA", detail));
            }
            if !at.is_empty() && fields.get("$schema").is_some_and(Value::is_string) {
                let detail = "The dialect is named at the root alone.";
                self.faults.push(Fault::at(place("$schema"), "INVALID_SCHEMA", detail));
            }
            if fields.get("format").is_some_and(|format| format == "regex") {
                let detail = "The format `regex` is not taken: nobody knows how long such a text takes to judge.";
                self.faults.push(Fault::at(place("format"), "INVALID_SCHEMA", detail));
            }
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                self.refer(reference, &place("$ref"));
            }
            if let Some(pattern) = fields.get("pattern").and_then(Value::as_str) {
                self.pattern(pattern, &place("pattern"));
            }
            for pattern in fields.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(Map::keys) {
                self.pattern(pattern, &format!("{}/{}", place("patternProperties"), escaped(pattern)));
            }
        }
        for (step, inner) in below(value) {
            self.look_at(inner, &format!("{at}/{step}"));
        }
    }

    fn refer(&mut self, reference: &str, place: &str) {
        match pointer_of(reference) {
            None => {
                let detail = "A `$ref` leads to a place of the same schema: `#`, or `#/` and a JSON pointer.";
                self.faults.push(Fault::at(place, "REMOTE_REFERENCE", detail));
            }
            Some(pointer) => match self.root.pointer(&pointer) {
                None => self.faults.push(Fault::unknown(place, "place in the schema")),
                Some(target) => {
                    let mut way = Vec::new();
                    self.extent(&pointer, target, &mut way);
                }
            },
        }
    }

    fn pattern(&mut self, pattern: &str, place: &str) {
        if options().build(&json!({"pattern": pattern})).is_err() {
            let detail = "The pattern is not taken: it has a fault, is too large, or looks around or back, which does \
                          not go in linear time.";
            self.faults.push(Fault::at(place, "INVALID_SCHEMA", detail));
        }
    }

    /// What there is at a place and below it, everything written out. `way` are the places that are being written out:
    /// one that leads back to itself never ends.
    fn extent(&mut self, pointer: &str, value: &'s Value, way: &mut Vec<String>) -> Extent {
        if let Some(known) = self.extents.get(pointer) {
            return *known;
        }
        if way.len() > SCHEMA_STEPS_MAX {
            // Too deep already; how much there is does not matter any more.
            return Extent { objects: 1, steps: 1 };
        }
        way.push(pointer.to_owned());
        let mut whole = Extent { objects: usize::from(value.is_object()), steps: 0 };
        if let Some(target) = value.get("$ref").and_then(Value::as_str).and_then(pointer_of) {
            if way.contains(&target) {
                let detail = format!("`#{target}` leads back to itself; a schema of custom fields does not.");
                let circle = Fault::at(format!("{SCHEMA_BASE}{pointer}/$ref"), "CYCLE", detail);
                if !self.faults.contains(&circle) {
                    self.faults.push(circle);
                }
            } else if let Some(inner) = self.root.pointer(&target) {
                whole.take_in(self.extent(&target, inner, way));
            }
        }
        for (step, inner) in below(value) {
            if inner.is_object() || inner.is_array() {
                whole.take_in(self.extent(&format!("{pointer}/{step}"), inner, way));
            }
        }
        way.pop();
        whole.steps += 1;
        self.extents.insert(pointer.to_owned(), whole);
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(schema: &Value) -> Vec<(String, &'static str)> {
        let faults = FieldsSchema::new(schema.as_object().unwrap()).err().unwrap_or_default();
        let place = |fault: &Fault| {
            format!("{:?}", fault.place).replace("Pointer(\"/custom_fields_schema", "").replace("\")", "")
        };
        faults.iter().map(|fault| (place(fault), fault.code)).collect()
    }

    fn with(name: &str, schema: Value) -> Value {
        json!({"type": "object", "properties": {name: schema}})
    }

    #[test]
    fn a_schema_that_refers_to_itself_alone_and_ends_is_taken() {
        for good in [
            json!({"type": "object"}),
            json!({"$schema": DIALECT, "type": "object", "additionalProperties": false}),
            json!({"type": "object", "$defs": {"a b": {"type": "string"}}, "properties": {"x": {"$ref": "#/$defs/a%20b"}}}),
            json!({"type": "object", "$defs": {"a/b": {"type": "string"}}, "properties": {"x": {"$ref": "#/$defs/a~1b"}}}),
            with("$id", json!({"type": "string", "pattern": "^[A-Z]{2}-\\d{1,6}$", "format": "date"})),
            with("x", json!({"type": "array", "items": {"enum": [1, null, "x"]}, "uniqueItems": true})),
        ] {
            assert_eq!(codes(&good), [], "{good}");
        }
    }

    #[test]
    fn a_schema_that_is_none_is_refused_where_it_is_wrong() {
        let at = |pointer: &str, code| vec![(pointer.to_owned(), code)];
        assert_eq!(codes(&json!({})), at("/type", "INVALID_SCHEMA"));
        assert_eq!(codes(&json!({"type": "string"})), at("/type", "INVALID_SCHEMA"));
        assert_eq!(
            codes(&json!({"type": "object", "$schema": "http://json-schema.org/draft-07/schema#"})),
            at("/$schema", "INVALID_SCHEMA")
        );
        assert_eq!(codes(&with("x", json!({"minLength": -1}))), at("/properties/x/minLength", "INVALID_SCHEMA"));
        for pattern in ["(", "(?=a)b", "(a)\\1", "(?<!a)b", "[a-z]{1000}{1000}"] {
            let found = codes(&with("x", json!({"pattern": pattern})));
            assert_eq!(found, at("/properties/x/pattern", "INVALID_SCHEMA"), "{pattern}");
        }
        let found = codes(&json!({"type": "object", "patternProperties": {"(?=a/)b": {}}}));
        assert_eq!(found, at("/patternProperties/(?=a~1)b", "INVALID_SCHEMA"));
        let found = codes(&with("x", json!({"format": "regex"})));
        assert_eq!(found, at("/properties/x/format", "INVALID_SCHEMA"));
        for remote in ["https://example.org/x.json", "x.json", "#anchor", "file:///etc/passwd", "other#/x", ""] {
            assert_eq!(
                codes(&with("x", json!({"$ref": remote}))),
                at("/properties/x/$ref", "REMOTE_REFERENCE"),
                "{remote}"
            );
        }
        assert_eq!(codes(&with("x", json!({"$ref": "#/$defs/no"}))), at("/properties/x/$ref", "UNKNOWN_REFERENCE"));
        for keyword in KEYWORDS_NOT_TAKEN {
            let found = codes(&with("x", json!({*keyword: "https://example.org/x"})));
            assert!(found.contains(&(format!("/properties/x/{keyword}"), "INVALID_SCHEMA")), "{keyword} {found:?}");
        }
    }

    #[test]
    fn a_schema_that_leads_back_to_itself_or_grows_without_end_is_refused() {
        let only = |schema: &Value| {
            let mut codes: Vec<_> = codes(schema).into_iter().map(|(_, code)| code).collect();
            codes.dedup();
            codes
        };
        assert_eq!(only(&json!({"type": "object", "$ref": "#"})), ["CYCLE"]);
        assert_eq!(only(&with("x", json!({"$ref": "#"}))), ["CYCLE"]);
        assert_eq!(
            only(&json!({"type": "object", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}})),
            ["CYCLE"]
        );
        assert_eq!(only(&json!({"type": "object", "allOf": [{"not": {"$ref": "#/allOf/0"}}]})), ["CYCLE"]);
        let mut bomb = json!({"type": "object", "$defs": {"a0": {}}, "properties": {"x": {"$ref": "#/$defs/a40"}}});
        for n in 1..=40 {
            let before = format!("#/$defs/a{}", n - 1);
            bomb["$defs"][format!("a{n}")] = json!({"allOf": [{"$ref": before}, {"$ref": before}]});
        }
        assert_eq!(only(&bomb), ["SCHEMA_TOO_LARGE"]);
        // A long chain of references is worked on; a longer one is refused before it is.
        let chain = |length: usize| {
            let mut chain = json!({"type": "object", "properties": {"x": {"$ref": "#/$defs/a0"}}});
            for n in 0..length {
                chain["$defs"][format!("a{n}")] = json!({"$ref": format!("#/$defs/a{}", n + 1)});
            }
            chain["$defs"][format!("a{length}")] = json!({"type": "string"});
            chain
        };
        let long = FieldsSchema::new(chain(80).as_object().unwrap()).unwrap();
        assert_eq!(long.faults(json!({"x": 1}).as_object().unwrap()).len(), 1);
        for length in [97, 100, 101, 102, 500, 900] {
            assert_eq!(only(&chain(length)), ["SCHEMA_TOO_LARGE"], "{length}");
        }
        let mut deep = json!({});
        for _ in 0..SCHEMA_DEPTH_MAX {
            deep = json!({"not": deep});
        }
        assert_eq!(only(&with("x", deep)), ["SCHEMA_TOO_LARGE"]);
        let many: Fields = (0..=PATTERNS_MAX).map(|n| (format!("x{n}"), json!({"pattern": "a"}))).collect();
        assert_eq!(only(&json!({"type": "object", "properties": many})), ["SCHEMA_TOO_LARGE"]);
        let long = "x".repeat(SCHEMA_BYTES_MAX);
        assert_eq!(only(&json!({"type": "object", "description": long})), ["SCHEMA_TOO_LARGE"]);
    }

    #[test]
    fn custom_fields_are_bounded_before_a_schema_asks_anything_of_them_and_so_is_what_it_finds() {
        let schema = with("x", json!({"type": "array", "items": {"type": "string"}}));
        let schema = FieldsSchema::new(schema.as_object().unwrap()).unwrap();
        let judged = |fields: Value, schema: Option<&FieldsSchema>| {
            let found = fields_faults(fields.as_object().unwrap(), schema);
            (found.len(), found.first().map(|fault| fault.code))
        };
        let large = (1, Some("CUSTOM_FIELDS_TOO_LARGE"));
        for schema in [None, Some(&schema)] {
            assert_eq!(judged(json!({"x": vec![1; 500_000]}), schema), large);
            assert_eq!(judged(json!({"x": vec![""; FIELDS_VALUES_MAX]}), schema), large);
            assert_eq!(judged(json!({"x": vec![""; FIELDS_VALUES_MAX - 1]}), schema), (0, None));
            assert_eq!(judged(json!({"y": "y".repeat(FIELDS_BYTES_MAX)}), schema), large);
            assert_eq!(judged(json!({"y": "y".repeat(FIELDS_BYTES_MAX - 8)}), schema), (0, None));
        }
        let strict: Vec<Value> = (0..15).map(|n| json!({"minLength": n + 1})).collect();
        let strict = with("x", json!({"type": "array", "items": {"allOf": strict}}));
        let strict = FieldsSchema::new(strict.as_object().unwrap()).unwrap();
        assert_eq!(judged(json!({"x": vec![""; 999]}), Some(&strict)), (FAULTS_MAX + 1, Some("CUSTOM_FIELD_INVALID")));
    }

    #[test]
    fn everything_that_is_wrong_with_custom_fields_is_named_where_it_is() {
        let schema = json!({
            "type": "object",
            "required": ["cost_centre"],
            "properties": {
                "cost_centre": {"type": "string", "pattern": "^CC-[0-9]+$"},
                "sites": {"type": "array", "items": {"type": "object", "required": ["a/b"], "properties": {"a/b": {}}, "additionalProperties": false}},
                "day": {"type": "string", "format": "date"},
            },
            "propertyNames": {"maxLength": 20},
            "additionalProperties": false,
        });
        let schema = FieldsSchema::new(schema.as_object().unwrap()).unwrap();
        let judged = |fields: Value| {
            let mut found: Vec<_> = schema.faults(fields.as_object().unwrap());
            found.sort_by_key(|fault| format!("{:?}", fault.place));
            found.into_iter().map(|fault| (fault.place, fault.code)).collect::<Vec<_>>()
        };
        let at = |pointer: &str, code| (super::super::values::Place::Pointer(pointer.into()), code);
        assert_eq!(judged(json!({"cost_centre": "CC-1"})), []);
        assert_eq!(judged(json!({})), [at("/custom_fields/cost_centre", "REQUIRED")]);
        assert_eq!(
            judged(json!({"cost_centre": "x", "day": "2030-02-30", "odd/name": 1, "sites": [{"a/b": 1}, {"c~d": 1}]})),
            [
                at("/custom_fields/cost_centre", "CUSTOM_FIELD_INVALID"),
                at("/custom_fields/day", "CUSTOM_FIELD_INVALID"),
                at("/custom_fields/odd~1name", "CUSTOM_FIELD_UNKNOWN"),
                at("/custom_fields/sites/1/a~1b", "REQUIRED"),
                at("/custom_fields/sites/1/c~0d", "CUSTOM_FIELD_UNKNOWN"),
            ]
        );
        let long = "n".repeat(21);
        let found = judged(json!({"cost_centre": "CC-1", long.clone(): 1}));
        assert_eq!(found.len(), 2);
        assert!(
            found
                .iter()
                .all(|(place, _)| *place == super::super::values::Place::Pointer(format!("/custom_fields/{long}")))
        );
    }

    #[test]
    fn what_takes_too_many_questions_is_judged_and_not_listed() {
        let mut defs = serde_json::Map::from_iter([("d0".to_owned(), json!({"type": "integer"}))]);
        for n in 1..9 {
            let reference = json!({"$ref": format!("#/$defs/d{}", n - 1)});
            defs.insert(format!("d{n}"), json!({"anyOf": [reference, reference]}));
        }
        let schema = json!({
            "type": "object", "$defs": defs, "properties": {"x": {"items": {"$ref": "#/$defs/d8"}}},
        });
        let schema = FieldsSchema::new(schema.as_object().unwrap()).unwrap();
        let judged = |fields: Value| schema.faults(fields.as_object().unwrap());
        assert_eq!(judged(json!({"x": vec![1; 999]})), []);
        let faults = judged(json!({"x": vec!["s"; 998]}));
        assert_eq!((faults.len(), &faults[0].place), (1, &crate::domain::values::Place::Pointer(FIELDS_BASE.into())));
        assert_eq!(judged(json!({"x": ["s", 1, "s"]})).len(), 2, "a few are all told");
    }
}
