//! Route templates: what a request is counted and logged under. There are as many as in the contract and a few
//! more, whatever paths are asked for.

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::Method;
use prometheus::Histogram;

use crate::api::BASE;
use crate::api::contract;
use crate::telemetry::metrics;

/// Paths outside the contract, with their methods.
pub const OUTSIDE: &[(&str, &[&str])] = &[
    ("/livez", &["get"]),
    ("/readyz", &["get"]),
    ("/metrics", &["get"]),
    ("/docs", &["get"]),
    ("/api/v1/openapi.json", &["get"]),
];
/// The template of every path that is none of ours.
pub const UNMATCHED: &str = "unmatched";

/// Methods that are counted under their own name.
static METHODS: [Method; 7] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD, Method::OPTIONS];
/// The name of all others together.
const OTHER_METHOD: &str = "other";
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// One for each method, and one for the others, and each class.
const SERIES: usize = (7 + 1) * CLASSES.len();

/// A route, with a place for each of its series.
pub struct Route {
    /// Its template.
    pub template: String,
    durations: [OnceLock<Histogram>; SERIES],
}

impl Route {
    fn new(template: String) -> Self {
        Self { template, durations: [const { OnceLock::new() }; SERIES] }
    }

    /// Counts a request and its time.
    pub fn count(&self, method: &Method, status: u16, duration: Duration) {
        let method = METHODS.iter().position(|known| known == method).unwrap_or(METHODS.len());
        let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
        self.durations[method * CLASSES.len() + class]
            .get_or_init(|| {
                let name = METHODS.get(method).map_or(OTHER_METHOD, Method::as_str);
                metrics().request_seconds(&self.template, name, CLASSES[class])
            })
            .observe(duration.as_secs_f64());
    }
}

struct Routes {
    by_template: HashMap<String, Route>,
    unmatched: Route,
}

static ROUTES: LazyLock<Routes> = LazyLock::new(|| {
    let outside = OUTSIDE.iter().map(|(path, _)| (*path).to_owned());
    let all = contract::templates().into_iter().chain(outside).chain(["/docs/{_:.*}".to_owned()]);
    Routes {
        by_template: all.map(|template| (template.clone(), Route::new(template))).collect(),
        unmatched: Route::new(UNMATCHED.to_owned()),
    }
});

/// The route that a request goes to, whether or not its method is one of the route's.
pub fn route_of(request: &HttpRequest) -> &'static Route {
    let routes = &*ROUTES;
    let matched = || routes.by_template.get(&request.match_pattern()?);
    // A method that the path does not have goes to no operation.
    let named = || routes.by_template.get(contract::template_of(request.path())?);
    matched().or_else(named).unwrap_or(&routes.unmatched)
}

/// The methods of a path, in capitals, HEAD wherever there is GET; none where the path is none of ours.
pub fn methods_of(path: &str) -> Vec<String> {
    let mut methods = contract::methods_of(path);
    methods.extend(OUTSIDE.iter().filter(|(known, _)| *known == path).flat_map(|(_, methods)| methods.iter().copied()));
    let with_head = methods.iter().flat_map(|method| match *method {
        "get" => ["get", "head"].as_slice(),
        _ => std::slice::from_ref(method),
    });
    with_head.map(|method| method.to_ascii_uppercase()).collect()
}

/// True for what watches the service: neither the rate limit nor a full house keeps it out.
pub fn is_watching(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/metrics")
}

/// True for what belongs to the interface itself.
pub fn is_api(path: &str) -> bool {
    path.strip_prefix(BASE).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
