//! The paths of the contract: which there are, and which a path that is asked for belongs to.

use std::sync::LazyLock;

use actix_web::dev::HttpServiceFactory;
use utoipa::Path;
use utoipa::openapi::HttpMethod;
use utoipa_actix_web::OpenApiFactory;

use crate::api::{BASE, v1};

const METHODS: [(HttpMethod, &str); 5] = [
    (HttpMethod::Get, "get"),
    (HttpMethod::Put, "put"),
    (HttpMethod::Post, "post"),
    (HttpMethod::Delete, "delete"),
    (HttpMethod::Patch, "patch"),
];

/// Path and methods of every operation, without the document: a start waits for them.
#[derive(Default)]
struct Registered(Vec<(String, Vec<HttpMethod>)>);

impl v1::Operations for Registered {
    fn service<F: HttpServiceFactory + OpenApiFactory + Path + 'static>(&mut self, _operation: F) -> &mut Self {
        let template = format!("{BASE}{}", F::path());
        match self.0.iter_mut().find(|(known, _)| *known == template) {
            Some((_, methods)) => methods.extend(F::methods()),
            None => self.0.push((template, F::methods())),
        }
        self
    }
}

/// The template of every path, and its methods.
static PATHS: LazyLock<Vec<(String, Vec<&'static str>)>> = LazyLock::new(|| {
    let mut registered = Registered::default();
    v1::configure(&mut registered);
    let named = |methods: Vec<HttpMethod>| {
        METHODS.iter().filter(|(method, _)| methods.contains(method)).map(|(_, name)| *name).collect()
    };
    registered.0.into_iter().map(|(template, methods)| (template, named(methods))).collect()
});

/// The template of every path.
pub fn templates() -> Vec<String> {
    PATHS.iter().map(|(template, _)| template.clone()).collect()
}

/// True where a path, or a template, is one of a template's.
fn is_of(template: &str, path: &str) -> bool {
    template.split('/').count() == path.split('/').count()
        && template
            .split('/')
            .zip(path.split('/'))
            .all(|(want, got)| (want.starts_with('{') && !got.is_empty()) || want == got)
}

/// The template of a path and its methods. Of two templates the one that names more of the path counts, as it does when
/// the path is asked for.
fn nearest(path: &str) -> Option<&'static (String, Vec<&'static str>)> {
    PATHS.iter().filter(|(template, _)| is_of(template, path)).min_by_key(|(template, _)| template.matches('{').count())
}

/// The template of a path, where it is one of ours.
pub fn template_of(path: &str) -> Option<&'static str> {
    nearest(path).map(|(template, _)| template.as_str())
}

/// The methods of a path, for 405; empty where the path is none of ours.
pub fn methods_of(path: &str) -> Vec<&'static str> {
    nearest(path).map(|(_, methods)| methods.clone()).unwrap_or_default()
}

/// The templates whose paths another template takes too: a word where the other has an identifier.
pub fn shadowed() -> &'static [&'static str] {
    static SHADOWED: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let names = || PATHS.iter().map(|(template, _)| template.as_str());
        names().filter(|name| names().any(|other| other != *name && is_of(other, name))).collect()
    });
    &SHADOWED
}
