//! Bodies against the schemas that are published: the `jsonschema` crate finds every fault at once, and so the
//! contract stays true. What is malformed (400) and what is invalid (422) are told apart here.

use std::any::TypeId;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{Draft as SchemaDraft, JsonType, ValidationError, Validator};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use utoipa::ToSchema;
use validator::{Validate, ValidationErrors, ValidationErrorsKind};

use super::contract::patch_schema;
use crate::domain::fault::{FAULTS_MAX, Place};
use crate::domain::values::{Draft, Fault};

/// A type that a body can be.
pub trait Checked: ToSchema + DeserializeOwned + Validate + Clone + Send + Sync + 'static {
    /// Fields of the resource that only the server sets, for a better word than "unknown".
    const READ_ONLY: &'static [&'static str] = &["id", "row_version", "created_at", "updated_at"];
}

/// A schema that is ready to be asked.
#[derive(Debug)]
pub struct Compiled {
    validator: Validator,
    document: Value,
}

type Cache = RwLock<HashMap<(TypeId, bool), Arc<Option<Compiled>>>>;
static VALIDATORS: LazyLock<Cache> = LazyLock::new(RwLock::default);

/// The schema of a type with everything that it refers to.
pub fn document_of<T: ToSchema>(patch: bool) -> Value {
    let mut referred = Vec::new();
    T::schemas(&mut referred);
    let components: serde_json::Map<String, Value> =
        referred.into_iter().map(|(name, schema)| (name, serde_json::to_value(schema).unwrap_or_default())).collect();
    let mut schema = serde_json::to_value(T::schema()).unwrap_or_default();
    if patch {
        schema = patch_schema(&schema);
    }
    schema["components"] = json!({"schemas": components});
    schema
}

fn validator_of<T: Checked>(patch: bool) -> Arc<Option<Compiled>> {
    let key = (TypeId::of::<T>(), patch);
    if let Some(known) = VALIDATORS.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Arc::clone(known);
    }
    let validator = compile(document_of::<T>(patch));
    VALIDATORS.write().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&validator));
    validator
}

/// Compiles a schema. One that does not compile lets nothing pass; a test compiles them all.
pub fn compile(document: Value) -> Arc<Option<Compiled>> {
    let options = jsonschema::options().with_draft(SchemaDraft::Draft202012).should_validate_formats(true);
    match options.build(&document) {
        Ok(validator) => Arc::new(Some(Compiled { validator, document })),
        Err(error) => {
            log::error!("a schema does not compile: {error}");
            Arc::new(None)
        }
    }
}

/// Checks and types a whole body. The error is for what is malformed.
pub fn check<T: Checked>(value: Value) -> Result<Draft<T>, Vec<Fault>> {
    let (malformed, invalid) = faults_of(&validator_of::<T>(false), &value, T::READ_ONLY);
    if !malformed.is_empty() {
        return Err(malformed);
    }
    if invalid.is_empty() {
        return Ok(typed(value));
    }
    // What can be typed all the same is asked for its shape too, so that every fault is named at once.
    let mut faults = invalid;
    if let Ok(content) = serde_json::from_value::<T>(value)
        && let Err(errors) = content.validate()
    {
        let mut more = Vec::new();
        shape_faults(&errors, "", &mut more);
        let known: HashSet<Place> = faults.iter().map(|fault| fault.place.clone()).collect();
        faults.extend(more.into_iter().filter(|fault| !known.contains(&fault.place)).take(FAULTS_MAX));
    }
    Ok(Err(faults))
}

/// Checks the whole that a patch led to; whatever is wrong with it is an invalid value.
pub fn check_whole<T: Checked>(value: Value) -> Draft<T> {
    check(value).unwrap_or_else(Err)
}

/// Checks a patch by itself: unknown fields and wrong types. Its values are judged in the merged whole.
pub fn check_patch<T: Checked>(value: &Value) -> Result<(), Vec<Fault>> {
    if value.as_object().is_some_and(serde_json::Map::is_empty) {
        return Err(vec![Fault::at("", "EMPTY_PATCH", "The patch changes nothing.")]);
    }
    let (malformed, _) = faults_of(&validator_of::<T>(true), value, T::READ_ONLY);
    if malformed.is_empty() { Ok(()) } else { Err(malformed) }
}

fn typed<T: Checked>(value: Value) -> Draft<T> {
    let content: T =
        serde_json::from_value(value).map_err(|error| vec![Fault::at("", "INVALID_VALUE", format!("{error}."))])?;
    match content.validate() {
        Ok(()) => Ok(content),
        Err(errors) => {
            let mut faults = Vec::new();
            shape_faults(&errors, "", &mut faults);
            Err(faults)
        }
    }
}

fn shape_faults(errors: &ValidationErrors, pointer: &str, faults: &mut Vec<Fault>) {
    for (field, kind) in errors.errors() {
        let pointer = format!("{pointer}/{field}");
        match kind {
            ValidationErrorsKind::Struct(inner) => shape_faults(inner, &pointer, faults),
            ValidationErrorsKind::List(items) => {
                for (index, inner) in items {
                    shape_faults(inner, &format!("{pointer}/{index}"), faults);
                }
            }
            ValidationErrorsKind::Field(found) => faults.extend(found.iter().map(|error| {
                let detail = error.message.as_ref().map_or("The value is not valid.", |message| message.as_ref());
                Fault::at(&pointer, shape_code(&error.code), detail)
            })),
        }
    }
}

fn shape_code(code: &str) -> &'static str {
    match code {
        "BLANK" => "BLANK",
        "INVALID_EMAIL" => "INVALID_EMAIL",
        "INVALID_URL" => "INVALID_URL",
        _ => "INVALID_VALUE",
    }
}

/// What is malformed, and what is invalid: so much of either as is told, and one more where there is more.
pub fn faults_of(compiled: &Option<Compiled>, value: &Value, read_only: &[&str]) -> (Vec<Fault>, Vec<Fault>) {
    let Some(Compiled { validator, document }) = compiled else {
        return (Vec::new(), vec![Fault::at("", "INVALID_VALUE", "This cannot be checked.")]);
    };
    let mut nul = NulSearch::default();
    nul.walk(value);
    let mut found = Found { read_only, malformed: Vec::new(), invalid: nul.faults, formats: HashSet::new() };
    if has_long_list(value) {
        let mut short = value.clone();
        shorten(document, document, &mut short);
        found.judge(validator, &short);
    } else {
        found.judge(validator, value);
    }
    (found.malformed, found.invalid)
}

fn has_long_list(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.len() > FAULTS_MAX || items.iter().any(has_long_list),
        Value::Object(fields) => fields.values().any(has_long_list),
        _ => false,
    }
}

/// Cuts every list that is far longer than its schema allows to one that is still too long: nobody reads a fault for
/// each of a hundred thousand items, and each costs memory and time before anybody knows who asks.
fn shorten(document: &Value, schema: &Value, value: &mut Value) {
    let referred = schema["$ref"].as_str().and_then(|reference| document.pointer(reference.strip_prefix('#')?));
    let branches = ["oneOf", "anyOf", "allOf"].into_iter().filter_map(|name| schema[name].as_array()).flatten();
    for schema in referred.into_iter().chain(branches) {
        shorten(document, schema, value);
    }
    match value {
        Value::Array(items) => {
            if let Some(most) = schema["maxItems"].as_u64().and_then(|most| usize::try_from(most).ok()) {
                items.truncate(most.max(FAULTS_MAX) + 1);
            }
            for item in items {
                shorten(document, &schema["items"], item);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                shorten(document, &schema["properties"][name.as_str()], value);
            }
        }
        _ => {}
    }
}

/// What was found wrong with a value.
struct Found<'r> {
    read_only: &'r [&'r str],
    malformed: Vec<Fault>,
    invalid: Vec<Fault>,
    /// Where a text is known not to have its format.
    formats: HashSet<String>,
}

impl Found<'_> {
    fn judge(&mut self, validator: &Validator, value: &Value) {
        for error in validator.iter_errors(value) {
            if self.malformed.len() > FAULTS_MAX {
                return;
            }
            self.classify(&error);
        }
    }

    fn is_malformed(&mut self, fault: Fault) {
        if self.malformed.len() <= FAULTS_MAX {
            self.malformed.push(fault);
        }
    }

    /// Something is invalid, for the reason that the error gives or another one.
    fn is_invalid(&mut self, error: &ValidationError<'_>, code: &'static str) {
        if self.invalid.len() > FAULTS_MAX {
            return;
        }
        let pointer = error.instance_path().as_str();
        // A date-time that is no date-time at all is told once, not once for each of its rules.
        if code != "INVALID_FORMAT" || self.formats.insert(pointer.to_owned()) {
            self.invalid.push(Fault::at(pointer, code, told(error)));
        }
    }

    fn classify(&mut self, error: &ValidationError<'_>) {
        let pointer = || error.instance_path().as_str();
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                for name in unexpected.iter().take(FAULTS_MAX + 1) {
                    let pointer = format!("{}/{}", pointer(), escaped(name));
                    self.is_malformed(if self.read_only.contains(&name.as_str()) {
                        Fault::at(pointer, "READ_ONLY_FIELD", "The field is not written like this.")
                    } else {
                        Fault::at(pointer, "UNKNOWN_FIELD", "There is no such field.")
                    });
                }
            }
            ValidationErrorKind::Type { .. } => self.is_malformed(Fault::at(pointer(), "WRONG_TYPE", told(error))),
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                if self.invalid.len() <= FAULTS_MAX {
                    self.invalid.push(Fault::at(format!("{}/{name}", pointer()), "REQUIRED", "A value is needed."));
                }
            }
            ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context } => {
                // Optional values are written as "null or …"; what matters is why they are not the other.
                let branch = context.iter().find(|errors| !errors.iter().any(is_null_type));
                match branch {
                    Some(errors) if !errors.is_empty() => {
                        for inner in errors {
                            self.classify(inner);
                        }
                    }
                    _ => self.is_malformed(Fault::at(pointer(), "WRONG_TYPE", told(error))),
                }
            }
            ValidationErrorKind::Enum { .. } | ValidationErrorKind::Constant { .. } => {
                self.is_invalid(error, "NOT_ALLOWED");
            }
            ValidationErrorKind::MaxLength { .. }
            | ValidationErrorKind::MaxItems { .. }
            | ValidationErrorKind::MaxProperties { .. } => self.is_invalid(error, "TOO_LONG"),
            ValidationErrorKind::MinLength { .. }
            | ValidationErrorKind::MinItems { .. }
            | ValidationErrorKind::MinProperties { .. } => self.is_invalid(error, "TOO_SHORT"),
            ValidationErrorKind::Minimum { .. }
            | ValidationErrorKind::Maximum { .. }
            | ValidationErrorKind::ExclusiveMinimum { .. }
            | ValidationErrorKind::ExclusiveMaximum { .. } => self.is_invalid(error, "OUT_OF_RANGE"),
            ValidationErrorKind::Format { .. } | ValidationErrorKind::Pattern { .. } => {
                self.is_invalid(error, "INVALID_FORMAT");
            }
            ValidationErrorKind::UniqueItems => self.is_invalid(error, "REPEATED"),
            _ => self.is_invalid(error, "INVALID_VALUE"),
        }
    }
}

/// What is wrong, in words and without the value: what was sent may be a secret.
fn told(error: &ValidationError<'_>) -> String {
    let text = error.masked().to_string();
    let short: String = text.chars().take(300).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

fn is_null_type(error: &ValidationError<'_>) -> bool {
    matches!(error.kind(), ValidationErrorKind::Type { kind: TypeKind::Single(JsonType::Null) })
}

/// A name as it stands in a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Pointers to text with NUL have at most so many bytes together; what is behind that is not named.
const NUL_POINTERS_BYTES_MAX: usize = 256 * 1024;

/// A search for text that a database cannot keep.
#[derive(Default)]
struct NulSearch {
    /// Where it is.
    pointer: String,
    pointer_bytes: usize,
    faults: Vec<Fault>,
}

impl NulSearch {
    fn look(&mut self, text: &str, detail: &str) {
        let room = self.faults.len() <= FAULTS_MAX && self.pointer_bytes <= NUL_POINTERS_BYTES_MAX;
        if room && text.contains('\0') {
            self.pointer_bytes += self.pointer.len();
            self.faults.push(Fault::at(&self.pointer, "INVALID_CHARACTER", detail));
        }
    }

    fn walk(&mut self, value: &Value) {
        let here = self.pointer.len();
        match value {
            Value::String(text) => self.look(text, "The text holds the character NUL."),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.pointer.push('/');
                    self.pointer.push_str(&index.to_string());
                    self.walk(item);
                    self.pointer.truncate(here);
                }
            }
            Value::Object(fields) => {
                for (name, item) in fields {
                    self.pointer.push('/');
                    self.pointer.push_str(&escaped(name));
                    self.look(name, "The name holds the character NUL.");
                    self.walk(item);
                    self.pointer.truncate(here);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::release_input::NewRelease;

    fn counts(value: &Value) -> (usize, usize) {
        let (malformed, invalid) = faults_of(&validator_of::<NewRelease>(false), value, NewRelease::READ_ONLY);
        (malformed.len(), invalid.len())
    }

    #[test]
    fn of_many_faults_no_more_are_collected_than_are_told_and_one() {
        let many = FAULTS_MAX + 1;
        let list = |item: Value| json!({"tags": vec![item; 200_000]});
        assert_eq!(counts(&list(json!(","))), (0, many));
        assert_eq!(counts(&list(json!(1))).0, many);
        assert_eq!(counts(&list(json!("\0"))), (0, many));
        let wide: Value = (0..50_000).map(|n| (format!("x{n}"), json!(1))).collect::<serde_json::Map<_, _>>().into();
        assert_eq!(counts(&wide).0, many);
        let spread = json!({"activities": vec![json!({"tags": vec![","; 50]}); 1000]});
        assert_eq!(counts(&spread).1, many);
        // One fault more or less does not hide what is malformed behind what is invalid.
        let mixed = json!({"tags": vec![","; 3000], "title": 7});
        assert_eq!(counts(&mixed), (1, many));
    }

    #[test]
    fn a_list_that_is_far_too_long_is_cut_before_it_is_judged_and_still_is_too_long() {
        let compiled = validator_of::<NewRelease>(false);
        let document = &compiled.as_ref().as_ref().unwrap().document;
        for name in ["tags", "depends_on", "changes", "roles", "activities", "checklists", "acceptance_criteria"] {
            let mut value = json!({name: vec![json!({"tags": vec![1; 3000]}); 3000]});
            shorten(document, document, &mut value);
            assert_eq!(value[name].as_array().unwrap().len(), FAULTS_MAX + 1, "{name}");
            let too_long =
                |fault: &Fault| fault.code == "TOO_LONG" && fault.place == Place::Pointer(format!("/{name}"));
            let long = json!({name: vec![json!(null); 3000]});
            assert!(faults_of(&compiled, &long, &[]).1.iter().any(too_long), "{name}");
        }
        let mut nested = json!({"activities": [{"tags": vec![1; 3000]}], "custom_fields": {"tags": vec![1; 3000]}});
        shorten(document, document, &mut nested);
        assert_eq!(nested["activities"][0]["tags"].as_array().unwrap().len(), FAULTS_MAX + 1);
        assert_eq!(nested["custom_fields"]["tags"].as_array().unwrap().len(), 3000);
    }

    #[test]
    fn a_long_name_is_not_told_again_for_everything_below_it() {
        let name = "n".repeat(300_000);
        let value = json!({"custom_fields": {name: vec!["\0"; 100_000]}});
        let (_, invalid) = counts(&value);
        assert!((1..5).contains(&invalid), "{invalid}");
    }
}
