//! Bodies against the schemas that are published: the `jsonschema` crate finds every fault at once, and so the
//! contract stays true. What is malformed (400) and what is invalid (422) are told apart here.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft as SchemaDraft, ValidationError, Validator};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use utoipa::ToSchema;
use validator::{Validate, ValidationErrors, ValidationErrorsKind};

use super::contract::patch_schema;
use crate::domain::values::{Draft, Fault};

/// A type that a body can be.
pub trait Checked: ToSchema + DeserializeOwned + Validate + Clone + Send + Sync + 'static {
    /// Fields of the resource that only the server sets, for a better word than "unknown".
    const READ_ONLY: &'static [&'static str] = &["id", "row_version", "created_at", "updated_at"];
}

type Cache = RwLock<HashMap<(TypeId, bool), Arc<Option<Validator>>>>;
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

fn validator_of<T: Checked>(patch: bool) -> Arc<Option<Validator>> {
    let key = (TypeId::of::<T>(), patch);
    if let Some(known) = VALIDATORS.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Arc::clone(known);
    }
    let validator = compile(&document_of::<T>(patch));
    VALIDATORS.write().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&validator));
    validator
}

/// Compiles a schema. One that does not compile lets nothing pass; a test compiles them all.
pub fn compile(schema: &Value) -> Arc<Option<Validator>> {
    let options = jsonschema::options().with_draft(SchemaDraft::Draft202012).should_validate_formats(true);
    match options.build(schema) {
        Ok(validator) => Arc::new(Some(validator)),
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
        let new = |fault: &Fault| !faults.iter().any(|known| known.place == fault.place);
        let more: Vec<Fault> = more.into_iter().filter(new).collect();
        faults.extend(more);
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

/// What is malformed, and what is invalid.
pub fn faults_of(validator: &Option<Validator>, value: &Value, read_only: &[&str]) -> (Vec<Fault>, Vec<Fault>) {
    let (mut malformed, mut invalid) = (Vec::new(), Vec::new());
    let Some(validator) = validator else {
        return (Vec::new(), vec![Fault::at("", "INVALID_VALUE", "This cannot be checked.")]);
    };
    nul_faults(value, "", &mut invalid);
    for error in validator.iter_errors(value) {
        classify(&error, read_only, &mut malformed, &mut invalid);
    }
    // A date-time that is no date-time at all is told once, not once for each of its rules.
    let mut told = Vec::new();
    invalid.retain(|fault| {
        let new = fault.code != "INVALID_FORMAT" || !told.contains(&fault.place);
        if new && fault.code == "INVALID_FORMAT" {
            told.push(fault.place.clone());
        }
        new
    });
    (malformed, invalid)
}

fn classify(error: &ValidationError<'_>, read_only: &[&str], malformed: &mut Vec<Fault>, invalid: &mut Vec<Fault>) {
    let pointer = error.instance_path().as_str().to_owned();
    let detail = || {
        // Without the value: what was sent may be a secret.
        let text = error.masked().to_string();
        let short: String = text.chars().take(300).collect();
        if text.chars().count() > 300 { format!("{short}…") } else { short }
    };
    let bad = |code, detail: String| Fault::at(pointer.clone(), code, detail);
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            malformed.extend(unexpected.iter().map(|name| {
                let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                if read_only.contains(&name.as_str()) {
                    Fault::at(pointer, "READ_ONLY_FIELD", "The field is not written like this.")
                } else {
                    Fault::at(pointer, "UNKNOWN_FIELD", "There is no such field.")
                }
            }));
        }
        ValidationErrorKind::Type { .. } => malformed.push(bad("WRONG_TYPE", detail())),
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            invalid.push(Fault::at(format!("{pointer}/{name}"), "REQUIRED", "A value is needed."));
        }
        ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context } => {
            // Optional values are written as "null or …"; what matters is why they are not the other.
            let branch = context.iter().find(|errors| !errors.iter().any(|error| is_null_type(error)));
            match branch {
                Some(errors) if !errors.is_empty() => {
                    for inner in errors {
                        classify(inner, read_only, malformed, invalid);
                    }
                }
                _ => malformed.push(bad("WRONG_TYPE", detail())),
            }
        }
        ValidationErrorKind::Enum { .. } | ValidationErrorKind::Constant { .. } => {
            invalid.push(bad("NOT_ALLOWED", detail()))
        }
        ValidationErrorKind::MaxLength { .. }
        | ValidationErrorKind::MaxItems { .. }
        | ValidationErrorKind::MaxProperties { .. } => {
            invalid.push(bad("TOO_LONG", detail()));
        }
        ValidationErrorKind::MinLength { .. }
        | ValidationErrorKind::MinItems { .. }
        | ValidationErrorKind::MinProperties { .. } => {
            invalid.push(bad("TOO_SHORT", detail()));
        }
        ValidationErrorKind::Minimum { .. }
        | ValidationErrorKind::Maximum { .. }
        | ValidationErrorKind::ExclusiveMinimum { .. }
        | ValidationErrorKind::ExclusiveMaximum { .. } => invalid.push(bad("OUT_OF_RANGE", detail())),
        ValidationErrorKind::Format { .. } | ValidationErrorKind::Pattern { .. } => {
            invalid.push(bad("INVALID_FORMAT", detail()));
        }
        ValidationErrorKind::UniqueItems => invalid.push(bad("REPEATED", detail())),
        _ => invalid.push(bad("INVALID_VALUE", detail())),
    }
}

fn is_null_type(error: &ValidationError<'_>) -> bool {
    matches!(error.kind(), ValidationErrorKind::Type { .. }) && error.to_string().contains("type \"null\"")
}

/// Text that a database cannot keep.
fn nul_faults(value: &Value, pointer: &str, faults: &mut Vec<Fault>) {
    let mut bad = |text: &str, pointer: &str| {
        if text.contains('\0') {
            faults.push(Fault::at(pointer, "INVALID_CHARACTER", "The text holds the character NUL."));
        }
    };
    match value {
        Value::String(text) => bad(text, pointer),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                nul_faults(item, &format!("{pointer}/{index}"), faults);
            }
        }
        Value::Object(fields) => {
            for (name, item) in fields {
                let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                if name.contains('\0') {
                    faults.push(Fault::at(&pointer, "INVALID_CHARACTER", "The name holds the character NUL."));
                }
                nul_faults(item, &pointer, faults);
            }
        }
        _ => {}
    }
}
