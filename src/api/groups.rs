//! How a worker finds the operation of a path: by the noun and the part that the path names, before any pattern.
//!
//! The router tries one pattern after the other, and there are some hundred. So operations are registered in groups
//! that two comparisons of text tell apart, and only the few patterns of one group are tried.

use actix_web::dev::{HttpServiceFactory, Url};
use actix_web::guard::{self, GuardContext};
use actix_web::web;
use utoipa::Path;
use utoipa_actix_web::OpenApiFactory;

use super::BASE;
use super::v1::Operations;

/// What of a path tells a group: `/releases/{release}/activities/{id}` is of the noun `releases` and the part
/// `activities`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shape {
    noun: String,
    part: Part,
}

/// What stands behind the identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Nothing,
    Word(String),
    /// Whatever it is: the noun has a template with a variable there.
    Any,
}

impl Shape {
    /// Of a template, below [`BASE`].
    fn of(template: &str) -> Self {
        let mut segments = template.split('/').skip(1);
        let noun = segments.next().unwrap_or_default().to_owned();
        let part = match segments.nth(1) {
            None => Part::Nothing,
            Some(variable) if variable.starts_with('{') => Part::Any,
            Some(word) => Part::Word(word.to_owned()),
        };
        Self { noun, part }
    }

    /// Whether a path has this shape.
    fn is_of(&self, path: &str) -> bool {
        let below = path.strip_prefix(BASE).and_then(|path| path.strip_prefix('/'));
        let Some(behind) = below.and_then(|path| path.strip_prefix(self.noun.as_str())) else { return false };
        let mut segments = behind.split('/');
        segments.next() == Some("")
            && match &self.part {
                Part::Nothing => segments.nth(1).is_none(),
                Part::Word(word) => segments.nth(1) == Some(word),
                Part::Any => true,
            }
    }

    fn guards(&self, context: &GuardContext<'_>) -> bool {
        let uri = &context.head().uri;
        match uri.path() {
            // As the router reads it.
            path if path.contains('%') => self.is_of(Url::new(uri.clone()).path()),
            path => self.is_of(path),
        }
    }
}

type Registration = Box<dyn FnOnce(&mut web::ServiceConfig)>;

/// Operations with their shapes, in the order in which they were registered.
#[derive(Default)]
pub struct Groups(Vec<(Shape, Registration)>);

impl Operations for Groups {
    fn service<F: HttpServiceFactory + OpenApiFactory + Path + 'static>(&mut self, operation: F) -> &mut Self {
        let register = Box::new(move |config: &mut web::ServiceConfig| {
            config.service(operation);
        });
        self.0.push((Shape::of(&F::path()), register));
        self
    }
}

impl Groups {
    /// Registers each group behind its guard.
    pub fn configure(self, config: &mut web::ServiceConfig) {
        let shapes: Vec<Shape> = self.0.iter().map(|(shape, _)| shape.clone()).collect();
        let mut groups: Vec<(Shape, Vec<Registration>)> = Vec::new();
        for (shape, register) in self.0 {
            let whole = Shape { part: Part::Any, ..shape.clone() };
            let shape = if shapes.contains(&whole) { whole } else { shape };
            match groups.iter_mut().find(|(known, _)| *known == shape) {
                Some((_, group)) => group.push(register),
                None => groups.push((shape, vec![register])),
            }
        }
        for (shape, group) in groups {
            let guard = guard::fn_guard(move |context| shape.guards(context));
            config.service(web::scope("").guard(guard).configure(|config| {
                for register in group {
                    register(config);
                }
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_of_the_shape_of_its_template_alone() {
        let shapes =
            ["/releases", "/releases/{release}/activities", "/changes/by-key/{source}/{external_id}"].map(Shape::of);
        for (path, of) in [
            ("/api/v1/releases", Some(0)),
            ("/api/v1/releases/REL-7", Some(0)),
            ("/api/v1/releases/REL-7/activities", Some(1)),
            ("/api/v1/releases/REL-7/activities/1/move", Some(1)),
            ("/api/v1/changes", Some(2)),
            ("/api/v1/changes/by-key/x/y", Some(2)),
            ("/api/v1/releasesx", None),
            ("/api/v1/release", None),
            ("/api/v1/releases/REL-7/activitiesx", None),
            ("/api/v1/releases/REL-7/", None),
            ("/api/v2/releases", None),
            ("/releases", None),
            ("/api/v1", None),
        ] {
            assert_eq!(shapes.iter().position(|shape| shape.is_of(path)), of, "{path}");
        }
    }
}
