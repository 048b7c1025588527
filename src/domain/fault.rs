//! What is wrong with a request, and where.

/// So many faults of a request are told; of what is found beyond, only that there is more.
pub const FAULTS_MAX: usize = 1000;

/// Where in a request a fault was found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// A JSON pointer into the body.
    Pointer(String),
    /// The name of a query or path parameter, or of a header.
    Parameter(String),
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it is.
    pub place: Place,
    /// UPPER_SNAKE code out of the documented catalogue.
    pub code: &'static str,
    /// What is wrong, in words for a person.
    pub detail: String,
}

impl Fault {
    /// A fault in the body at a JSON pointer.
    pub fn at(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { place: Place::Pointer(pointer.into()), code, detail: detail.into() }
    }

    /// A fault in a parameter.
    pub fn parameter(name: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { place: Place::Parameter(name.into()), code, detail: detail.into() }
    }

    /// Something refers to what does not exist, or not for this caller.
    pub fn unknown(pointer: impl Into<String>, what: &str) -> Self {
        Self::at(pointer, "UNKNOWN_REFERENCE", format!("There is no such {}.", what.replace('_', " ")))
    }
}

/// A request body that was well-formed: its typed form, or every value in it that is not valid.
pub type Draft<T> = Result<T, Vec<Fault>>;
