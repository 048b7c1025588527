//! Every error -> status, code, problem document (RFC 9457). The only such place.
//!
//! A cause is logged here, once, and never sent out.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::fault::FAULTS_MAX;
use crate::domain::lifecycle::{Blocker, Class};
use crate::domain::values::{Action, Fault, Place, Status};
use crate::repository;
use crate::service::{self, Standing};
use crate::store;

/// One entry of the catalogue of codes: code, HTTP status, title.
pub type CodeEntry = (&'static str, u16, &'static str);

/// The codes of problems, closed. Conflicts and refusals by the lifecycle carry their own code with 409, 403 or
/// 422; those are the last block.
pub const PROBLEM_CODES: &[CodeEntry] = &[
    ("MALFORMED_REQUEST", 400, "The request is not well-formed"),
    ("UNAUTHENTICATED", 401, "Not authenticated"),
    ("FORBIDDEN", 403, "You may see this, but not do that"),
    ("SCOPE_MISSING", 403, "The token does not carry the scope"),
    ("ON_BEHALF_OF_REQUIRED", 403, "A release manager says on whose behalf"),
    ("NOT_A_GROUP_MEMBER", 403, "Not a member of the group"),
    ("FOUR_EYES", 403, "Nobody approves what is their own"),
    ("NOT_FOUND", 404, "There is no such thing"),
    ("CONTENT_MISSING", 404, "The content of the document is lost"),
    ("RESULTS_EXPIRED", 404, "What became of the rows is not kept any more"),
    ("METHOD_NOT_ALLOWED", 405, "The method is not supported here"),
    ("NOT_ACCEPTABLE", 406, "No acceptable representation"),
    ("REQUEST_TIMEOUT", 408, "The request took too long to arrive"),
    ("PRECONDITION_FAILED", 412, "The record has changed"),
    ("PAYLOAD_TOO_LARGE", 413, "The body is too large"),
    ("URI_TOO_LONG", 414, "The address is too long"),
    ("UNSUPPORTED_MEDIA_TYPE", 415, "The media type of the body is not supported"),
    ("RANGE_NOT_SATISFIABLE", 416, "The content has no such range"),
    ("INVALID_VALUES", 422, "Values are not valid"),
    ("GATES_NOT_MET", 422, "The gates of the stage are not met"),
    ("IDEMPOTENCY_KEY_REUSED", 422, "The idempotency key was used for another request"),
    ("PRECONDITION_REQUIRED", 428, "If-Match is required"),
    ("HEAD_TOO_LARGE", 431, "Address and headers are too large"),
    ("RATE_LIMITED", 429, "Too many requests"),
    ("LOGIN_THROTTLED", 429, "Too many failed logins"),
    ("INTERNAL", 500, "Something went wrong here"),
    ("BUSY", 503, "Too busy at the moment"),
    ("OVERLOADED", 503, "Too much to do at the moment"),
    ("UNAVAILABLE", 503, "The database is not available"),
    ("STORE_UNAVAILABLE", 503, "The store of documents is not available"),
    ("NOT_READY", 503, "Not ready for requests"),
    ("OUTCOME_UNKNOWN", 503, "Whether it was stored is not known"),
    ("STORAGE_FULL", 507, "There is no room to store anything"),
    ("STATE_FORBIDS", 409, "The state of the release forbids it"),
    ("STAGE_CHANGED", 409, "The release stands at another stage"),
    ("AT_FIRST_STAGE", 409, "There is no earlier stage"),
    ("AT_LAST_STAGE", 409, "There is no later stage"),
    ("NOT_AT_CLOSURE", 409, "The release does not stand at closure"),
    ("BEFORE_DEPLOYMENT", 409, "Deployment has not begun"),
    ("NOT_ACCEPTED", 409, "The release was not accepted"),
    ("ALREADY_ASSIGNED", 409, "Assigned like that already"),
    ("LOCKED_AFTER_AUTHORIZATION", 409, "The plan was authorised as it is"),
    ("REQUESTER_LOCKED", 409, "The requester's user never changes"),
    ("NOT_AT_ACCEPTANCE", 409, "Criteria are confirmed at acceptance"),
    ("NOT_AT_APPROVAL", 409, "The release does not stand where approvals are asked for"),
    ("VOTE_NOT_STANDING", 409, "The vote does not count any more"),
    ("CHECKLIST_ANSWERED", 409, "The checklist holds answers"),
    ("ALREADY_EXISTS", 409, "There is one already"),
    ("IN_USE", 409, "It is in use"),
    ("LIMIT_REACHED", 409, "There are as many as there may be"),
    ("DEPENDENCIES_NOT_DONE", 409, "What it depends on is not done yet"),
    ("DEPENDENTS_DONE", 409, "What depends on it is done already"),
    ("ACTIVITY_ARCHIVED", 409, "The activity is archived"),
    ("NOT_IN_COLUMN", 409, "The activity is in another column"),
    ("LAST_ADMIN", 409, "The last administrator stays"),
    ("KEY_LOCKED", 409, "The key never changes"),
    ("OLDER_REVISION", 409, "A newer revision is stored"),
    ("SAME_REVISION", 409, "The revision is stored with other content"),
    ("IMPORT_OVER", 409, "The import is over"),
    ("NOT_A_SESSION", 409, "A token is not a session"),
    ("NOT_THE_NEWEST_VERSION", 409, "There is a newer version"),
    ("WORKFLOW_RETIRED", 409, "The workflow is retired"),
    ("MEDIUM_LOCKED", 409, "What was authorised never changes"),
    ("MEDIUM_STATE_FORBIDS", 409, "The status of the medium forbids it"),
    ("NO_LICENCE_LEFT", 409, "Every licence is in use"),
    ("SPARE_RESERVED", 409, "The spare is not free"),
    ("SPARE_STATE_FORBIDS", 409, "The status of the spare forbids it"),
    ("CHANGE_IN_ANOTHER_RELEASE", 409, "Another release under way carries the change"),
    ("ALREADY_APPLIED", 409, "The link was applied, and stays so"),
    ("NOT_APPLIED", 409, "There is nothing to take back"),
    ("CI_CHANGED_SINCE", 409, "Somebody changed the configuration item since"),
    ("ALREADY_ANSWERED", 409, "It was answered already"),
    ("CONCURRENT_CHANGE", 409, "Somebody else was faster"),
    ("REFERENCE_CONFLICT", 409, "Something it refers to went away, or refers to it"),
];

/// The codes of single faults and blockers, closed, with what they mean.
pub const FAULT_CODES: &[(&str, &str)] = &[
    ("UNKNOWN_FIELD", "The field does not exist."),
    ("READ_ONLY_FIELD", "The field is set by the server alone."),
    ("UNKNOWN_PARAMETER", "The parameter does not exist."),
    ("REPEATED_PARAMETER", "The parameter is there more than once."),
    ("INVALID_PARAMETER", "The parameter's value is not valid."),
    ("INVALID_HEADER", "The header's value is not valid."),
    ("INVALID_CURSOR", "The cursor is damaged, or of another list, filter or sort."),
    ("INVALID_JSON", "The body is not JSON."),
    ("EMPTY_BODY", "A body is needed."),
    ("UNEXPECTED_BODY", "No body is taken here."),
    ("TOO_DEEP", "Nested too deeply."),
    ("WRONG_TYPE", "The value has another type."),
    ("NUMBER_NOT_KEPT", "The number would come back as another one."),
    ("EMPTY_PATCH", "The patch changes nothing."),
    ("REQUIRED", "A value is needed."),
    ("NOT_APPLICABLE", "The value is not taken here, or not now."),
    ("NOT_ALLOWED", "The value is not one of those allowed."),
    ("TOO_LONG", "The text or list is too long."),
    ("TOO_SHORT", "The text or list is too short."),
    ("OUT_OF_RANGE", "The number is outside its range."),
    ("FOUR_EYES_NEEDED", "The workflow lets neither requester nor assignee approve."),
    ("MORE_THAN_VOTERS", "More must approve than are asked."),
    ("RANGE_REVERSED", "The largest number is below the smallest."),
    ("INVALID_FORMAT", "The text has another format."),
    ("INVALID_VALUE", "The value is not valid."),
    ("INVALID_CHARACTER", "The text holds a character that is not taken."),
    ("INVALID_CSV", "The row is not as the header of the CSV says."),
    ("INVALID_MULTIPART", "The body is no well-formed `multipart/form-data` (RFC 7578)."),
    ("MEDIA_TYPE_REFUSED", "Files of the media type are not taken."),
    ("DIGEST_MISMATCH", "The content has another SHA-256."),
    ("INVALID_EMAIL", "Not an e-mail address."),
    ("INVALID_URL", "Not a web address."),
    ("BLANK", "The text is blank."),
    ("REPEATED", "The value is there more than once."),
    ("UNKNOWN_REFERENCE", "What is referred to does not exist, or not for the caller."),
    ("CYCLE", "It would go round in a circle."),
    ("WINDOW_REVERSED", "The window does not start before it ends."),
    ("WINDOW_PAST", "The window lies wholly in the past."),
    ("WINDOWS_OVERLAP", "Planning does not end before deployment starts."),
    ("IN_THE_PAST", "The instant lies in the past."),
    ("IN_THE_FUTURE", "The instant lies in the future."),
    ("MODEL_NOT_ACTIVE", "Only an active model starts releases."),
    ("PORTFOLIO_NOT_ACTIVE", "The portfolio is not active."),
    ("GROUP_NOT_ACTIVE", "The group is not active."),
    ("GROUP_NOT_ALLOWED", "The model does not allow the group."),
    ("GROUP_CANNOT_EXECUTE", "The group has no active member who may execute."),
    ("CONTRACT_NOT_ACTIVE", "The contract is not active."),
    ("CONTRACT_NOT_ALLOWED", "The model does not name the contract."),
    ("CHANGE_NOT_LINKABLE", "A registered or cancelled change cannot be linked."),
    ("UNKNOWN_TIME_ZONE", "The time zone database has no zone of that name."),
    ("HOURS_REVERSED", "Working hours do not start before they end."),
    ("HOURS_OVERLAP", "Working hours of one day overlap."),
    ("NO_WORKING_HOURS", "A calendar has working hours on at least one day of the week."),
    ("CALENDAR_NOT_ACTIVE", "The calendar is no longer to be chosen."),
    ("USER_DISABLED", "The user's account is disabled."),
    ("JUSTIFICATION_INACTIVE", "The justification is not active."),
    ("JUSTIFICATION_DOES_NOT_APPLY", "The justification may not be used for this."),
    ("SOLUTION_CATEGORY_INACTIVE", "The solution category is not active."),
    ("REASON_REQUIRED", "A justification or a note is needed."),
    ("RECIPIENT_REQUIRED", "A user or a group is needed."),
    ("NOT_AN_EARLIER_STAGE", "The stage does not lie before the current one."),
    ("RESOLUTION_NOT_SOLVED", "An unsolved release does not go on."),
    ("DEFAULT_MODEL_INACTIVE", "The default model must be active."),
    ("DEFAULT_MODEL_REQUIRED", "There must be a default model."),
    ("NOT_NEW_AGAIN", "A model that was in use does not become new again."),
    ("NOT_THE_NEXT_STATUS", "A model goes from new to active to retired, and no other way."),
    ("SCHEDULE_OUT_OF_REACH", "The time lies too far from the deployment window, or outside of 1970 to 9999."),
    ("INVALID_SCHEMA", "Not a JSON Schema (draft 2020-12) as it is taken for custom fields."),
    ("SCHEMA_TOO_LARGE", "The JSON Schema is too large, too deep, or holds too many patterns."),
    ("REMOTE_REFERENCE", "A reference of a JSON Schema leads out of it."),
    ("CUSTOM_FIELDS_TOO_LARGE", "The custom fields hold too many values, or too many bytes."),
    ("RELATED_TO_ITSELF", "An item has no relationship to itself."),
    ("ATTRIBUTES_TOO_LARGE", "The attributes hold too many values, or too many bytes."),
    ("TEMPLATES_TOO_LARGE", "The activity templates of the model are too large together."),
    ("CUSTOM_FIELD_UNKNOWN", "The schema of the model has no such custom field."),
    ("CUSTOM_FIELD_INVALID", "The custom field is not as the schema of the model says."),
    ("WRONG_PASSWORD", "Not the present password."),
    ("PLANNING_WINDOW_MISSING", "The planning window is not set."),
    ("DEPLOYMENT_WINDOW_MISSING", "The deployment window is not set."),
    ("DEPLOYMENT_PAST", "The deployment window is over."),
    ("NO_CHANGE_LINKED", "No change is linked."),
    ("TOO_FEW_CHANGES_LINKED", "Too few changes are linked."),
    ("CHANGE_NOT_AUTHORISED", "A linked change is not authorised."),
    ("OUTSIDE_CHANGE_WINDOW", "The deployment is not inside the window of a linked change."),
    ("DEPENDENCY_NOT_SOLVED", "A release that this one depends on is not closed as solved."),
    ("CRITERION_NOT_CONFIRMED", "An acceptance criterion is not confirmed."),
    ("CHANGE_OUTCOME_PENDING", "The outcome of a linked change is not recorded."),
    ("PURCHASE_NOT_FINISHED", "A linked purchase is not finished."),
    ("SHARED_WITH_ONESELF", "A release is not shared with oneself."),
    ("PLANNING_ACTIVITIES_OPEN", "Planning activities are neither done nor skipped."),
    ("DEPLOYMENT_ACTIVITIES_OPEN", "Deployment activities are neither done nor skipped."),
    ("NOT_A_GROUP_OF_THE_RELEASE", "The group neither executes the release nor is responsible for a stage of it."),
    ("DUE_BEFORE_START", "It is due before it starts."),
    ("GROUP_CANNOT_APPROVE", "The group does not hold `approve`."),
    ("UNKNOWN_STAGE", "The workflow of the release has no such stage."),
    ("TEMPLATE_NOT_ACTIVE", "The template is not active."),
    ("APPROVAL_MISSING", "Votes are missing."),
    ("APPROVAL_REJECTED", "So many reject that the others do not suffice."),
    ("NO_ELIGIBLE_APPROVER", "Fewer voters may vote than must approve."),
    ("CHECKLIST_NOT_CONFIRMED", "A required checklist of the stage is not confirmed."),
    ("CLOSURE_MISSING", "A workflow ends with a stage of kind closure."),
    ("CLOSURE_REPEATED", "A workflow has one stage of kind closure."),
    ("STAGE_UNREACHABLE", "The stage lies behind closure, which nothing leaves forwards."),
    ("STAGE_OUT_OF_ORDER", "The kind of the stage comes before that of an earlier stage."),
    ("UNKNOWN_GATE", "The gate is not in the catalogue."),
    ("RETURN_STAGE_NOT_BEFORE_CLOSURE", "A reopened release returns to a stage before closure."),
    ("TEST_EVIDENCE_MISSING", "No document of class `evidence` names the version of the release."),
    ("MEDIUM_RETIRED", "A retired medium is not to be installed; a warning where it was retired later."),
    ("MEDIUM_MISSING", "An item that gets a version names no definitive medium."),
    ("MEDIUM_NOT_AUTHORISED", "A definitive medium of the release is not authorised."),
    ("MEDIUM_VERSION_DIFFERS", "A definitive medium has another version than is intended."),
    ("PACKAGE_NOT_IN_LIBRARY", "A package has the SHA-256 of no definitive medium of the release."),
    ("SPARE_NOT_RESERVED", "No spare of the model that is needed is reserved."),
    ("CHANGE_CANCELLED", "A linked change was cancelled or rejected."),
    ("CI_CHANGED_SINCE_LINKED", "Somebody else changed a configuration item since it was linked."),
    ("CI_NOT_LINKED", "No pending link of the release is of the configuration item."),
    ("NOT_THE_PRESENT_VERSION", "The configuration item is at another version now."),
    ("CI_NOT_COVERED", "A warning: no linked change names the configuration item."),
    ("VERSION_MISSING", "A warning: test evidence has to name the version of the release, and it has none."),
    ("LICENCE_EXPIRED", "A warning: the licence of a definitive medium ends before the deployment is over."),
    ("NO_ROLLBACK_PLAN", "A warning: a linked change does not say how it is taken back."),
    ("DATABASE_AWAY", "The database does not answer."),
    ("MIGRATIONS_PENDING", "Migrations of the database are pending."),
    ("DRAINING", "The process is on its way out."),
];

/// A problem lists at most so many faults; its detail counts them, or says that there are more.
pub const ERRORS_MAX: usize = FAULTS_MAX;

/// One thing that is wrong with the request.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProblemFault {
    /// JSON pointer into the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Name of the parameter or header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// UPPER_SNAKE code.
    pub code: &'static str,
    /// What is wrong, in words for a person.
    pub detail: String,
}

impl From<&Fault> for ProblemFault {
    fn from(fault: &Fault) -> Self {
        let (pointer, parameter) = match &fault.place {
            Place::Pointer(pointer) => (Some(pointer.clone()), None),
            Place::Parameter(name) => (None, Some(name.clone())),
        };
        Self { pointer, parameter, code: fault.code, detail: fault.detail.clone() }
    }
}

/// A problem document (RFC 9457): the body of every 4xx and 5xx.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "urn:slipway:problem:GATES_NOT_MET",
    "title": "The gates of the stage are not met",
    "status": 422,
    "detail": "1 gate blocker is in the way.",
    "instance": "/api/v1/releases/REL-1/transitions",
    "code": "GATES_NOT_MET",
    "request_id": "01934f2e-7b1a-7c3d-8e4f-5a6b7c8d9e0f",
    "errors": [],
    "blockers": [{"code": "NO_CHANGE_LINKED", "detail": "No change is linked to the release.", "gate": "changes_linked", "pointer": "/changes", "refs": []}],
    "current_status": "open",
    "current_stage": "planning",
    "allowed_actions": ["capture"]
}))]
pub struct Problem {
    /// Names the kind of problem; a URN that ends with the code.
    #[serde(rename = "type")]
    pub problem_type: String,
    /// The kind of problem, in words.
    pub title: &'static str,
    /// HTTP status.
    pub status: u16,
    /// This problem, in words.
    pub detail: String,
    /// Path of the request.
    pub instance: String,
    /// UPPER_SNAKE code out of the catalogue.
    pub code: &'static str,
    /// Names the request in logs and audit.
    pub request_id: String,
    /// Everything that is wrong, as far as it belongs to one class: the first 1000 faults; the detail counts them all.
    pub errors: Vec<ProblemFault>,
    /// Everything that is in the way of an action of the lifecycle.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<Blocker>,
    /// Status of the release, where one is concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_status: Option<Status>,
    /// Stage of the release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_stage: Option<String>,
    /// What the caller may do with the release now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_actions: Option<Vec<Action>>,
    /// Version of the record, where a precondition failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_row_version: Option<i64>,
    /// Seconds to wait before the next try.
    #[serde(skip)]
    pub retry_after_seconds: Option<u64>,
    /// Methods of the resource, where another one was used.
    #[serde(skip)]
    pub allow: Option<String>,
    /// Size of the content, where a range of it was asked for that it does not have.
    #[serde(skip)]
    pub content_bytes: Option<u64>,
}

impl Problem {
    /// A problem of a code in the catalogue.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        let (code, status, title) = PROBLEM_CODES.iter().find(|(known, _, _)| *known == code).copied().unwrap_or((
            "INTERNAL",
            500,
            "Something went wrong here",
        ));
        Self {
            problem_type: format!("urn:slipway:problem:{code}"),
            title,
            status,
            detail: detail.into(),
            instance: String::new(),
            code,
            request_id: String::new(),
            errors: Vec::new(),
            blockers: Vec::new(),
            current_status: None,
            current_stage: None,
            allowed_actions: None,
            current_row_version: None,
            retry_after_seconds: None,
            allow: None,
            content_bytes: None,
        }
    }

    /// The problem of a status that the framework answered with by itself.
    pub fn of_status(status: u16) -> Self {
        let known = PROBLEM_CODES.iter().find(|(_, known, _)| *known == status);
        let code = match known {
            Some((code, _, _)) => code,
            None if (400..500).contains(&status) => "MALFORMED_REQUEST",
            None => "INTERNAL",
        };
        let mut problem = Self::new(code, "");
        problem.status = status;
        problem.detail = format!("{}.", problem.title);
        problem
    }

    /// The same problem with faults.
    #[must_use]
    pub fn with(mut self, faults: &[Fault]) -> Self {
        self.errors = faults.iter().take(ERRORS_MAX).map(ProblemFault::from).collect();
        self
    }

    /// The problem of malformed input.
    pub fn malformed(faults: &[Fault]) -> Self {
        Self::new("MALFORMED_REQUEST", counted(faults.len(), "fault", "in the request")).with(faults)
    }

    fn standing(mut self, standing: Option<Standing>) -> Self {
        if let Some(standing) = standing {
            self.current_status = Some(standing.status);
            self.current_stage = Some(standing.stage);
            self.allowed_actions = Some(standing.allowed_actions);
        }
        self
    }

    fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds.max(1));
        self
    }

    /// The answer.
    pub fn response(&self) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        response.content_type("application/problem+json").insert_header((header::CACHE_CONTROL, "no-store"));
        if self.status == 401 {
            let challenge = if self.instance.ends_with("/auth/login") || self.instance.ends_with("/auth/refresh") {
                "Bearer realm=\"slipway\""
            } else {
                "Bearer realm=\"slipway\", error=\"invalid_token\""
            };
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        if let Some(seconds) = self.retry_after_seconds {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if let Some(allow) = &self.allow {
            response.insert_header((header::ALLOW, allow.clone()));
        }
        if let Some(bytes) = self.content_bytes {
            response.insert_header((header::CONTENT_RANGE, format!("bytes */{bytes}")));
        }
        response.body(serde_json::to_string(self).unwrap_or_default())
    }
}

fn counted(count: usize, noun: &str, rest: &str) -> String {
    if count > ERRORS_MAX {
        // Nobody looks for more of them than are told.
        return format!("There are more than {ERRORS_MAX} {noun}s {rest}.");
    }
    let (verb, plural) = if count == 1 { ("is", "") } else { ("are", "s") };
    format!("There {verb} {count} {noun}{plural} {rest}.")
}

/// A caller may come back after so long when the service is busy or its database away.
const RETRY_AFTER_SECONDS: u64 = 1;

impl From<service::Error> for Problem {
    fn from(error: service::Error) -> Self {
        use service::Error;
        match error {
            Error::Unauthenticated(why) => Self::new("UNAUTHENTICATED", why),
            Error::Malformed(faults) => Self::malformed(&faults),
            Error::NotFound(what) => {
                Self::new("NOT_FOUND", format!("There is no such {}, or not for you.", what.replace('_', " ")))
            }
            Error::ResultsExpired(at) => Self::new(
                "RESULTS_EXPIRED",
                format!(
                    "What became of the rows was kept until {at}. The import itself still tells how many there were."
                ),
            ),
            Error::Forbidden(denial) => Self::new(denial.code, denial.detail),
            Error::PreconditionRequired => {
                Self::new("PRECONDITION_REQUIRED", "Send If-Match with the ETag that you saw, or `*`.")
            }
            Error::PreconditionFailed(row_version) => {
                let detail = match row_version {
                    0 => "There is no such record yet.".to_owned(),
                    _ => format!("The record is at version {row_version} now. Read it again."),
                };
                let mut problem = Self::new("PRECONDITION_FAILED", detail);
                problem.current_row_version = Some(row_version);
                problem
            }
            Error::Conflict { code, detail, standing, faults } => {
                Self::new(code, detail).with(&faults).standing(standing)
            }
            Error::Invalid(faults) => {
                Self::new("INVALID_VALUES", counted(faults.len(), "value", "not valid")).with(&faults)
            }
            Error::Refused { refusal, standing } => refused(refusal.class, refusal.blockers, standing),
            Error::KeyReused => Self::new(
                "IDEMPOTENCY_KEY_REUSED",
                "The first request with this key had another method, path, query or body.",
            )
            .with(&[Fault::parameter(
                "Idempotency-Key",
                "INVALID_HEADER",
                "Use a new key for a new request.",
            )]),
            Error::Throttled { retry_after_seconds } => {
                Self::new("LOGIN_THROTTLED", "Too many logins failed; try again later.")
                    .retry_after(retry_after_seconds)
            }
            Error::Repository(error) => repository_problem(&error),
            Error::Store(error) => store_problem(&error),
            Error::Unusable(cause) | Error::Internal(cause) => internal(&cause),
            Error::DryRun(_) => internal("a dry run was answered as an error"),
        }
    }
}

fn refused(class: Class, blockers: Vec<Blocker>, standing: Standing) -> Problem {
    let first = blockers.first().map_or(("INTERNAL", String::new()), |b| (b.code, b.detail.clone()));
    let mut problem = match class {
        Class::Right | Class::State => Problem::new(first.0, first.1),
        Class::Input if blockers.iter().any(|blocker| blocker.gate.is_some()) => {
            Problem::new("GATES_NOT_MET", counted(blockers.len(), "blocker", "in the way"))
        }
        Class::Input => Problem::new("INVALID_VALUES", counted(blockers.len(), "value", "not valid")),
    };
    let faults: Vec<Fault> = blockers
        .iter()
        .filter(|blocker| blocker.gate.is_none() && blocker.pointer.is_some())
        .map(Blocker::fault)
        .collect();
    problem = problem.with(&faults).standing(Some(standing));
    problem.blockers = blockers;
    problem
}

fn repository_problem(error: &repository::Error) -> Problem {
    use repository::Error;
    match error {
        Error::Busy(cause) => {
            log::warn!("busy: {cause}");
            Problem::new("BUSY", "The service is busy; try again.").retry_after(RETRY_AFTER_SECONDS)
        }
        Error::Unavailable(cause) => {
            log::error!("database not available: {cause}");
            Problem::new("UNAVAILABLE", "The database is not available; try again.").retry_after(RETRY_AFTER_SECONDS)
        }
        Error::OutcomeUnknown => Problem::new(
            "OUTCOME_UNKNOWN",
            "The database went away while this was being stored: it may be stored, or not. Send it again with the same \
             Idempotency-Key, or look before you send it again.",
        )
        .retry_after(RETRY_AFTER_SECONDS),
        Error::Serialization => Problem::new("BUSY", "Concurrent writes got in each other's way; try again.")
            .retry_after(RETRY_AFTER_SECONDS),
        Error::Full => {
            log::error!("the disk of the database is full");
            Problem::new("STORAGE_FULL", "Nothing can be stored at the moment; reading goes on.")
        }
        Error::Unique { index } => {
            Problem::new("ALREADY_EXISTS", format!("Another record has the same {}.", index.replace('.', " ")))
        }
        Error::ForeignKey => Problem::new(
            "REFERENCE_CONFLICT",
            "Something that this refers to was removed meanwhile, or something refers to it.",
        ),
        Error::Stale => Problem::new("CONCURRENT_CHANGE", "The record was changed meanwhile. Read it again."),
        Error::Other(cause) => internal(cause),
    }
}

/// A caller may come back after so long when the store of documents is away.
const STORE_RETRY_AFTER_SECONDS: u64 = 5;

fn store_problem(error: &store::Error) -> Problem {
    use store::Error;
    match error {
        Error::Missing | Error::Altered => Problem::new(
            "CONTENT_MISSING",
            "The document is known, and its content is not in the store, not whole or not what was stored. Whoever runs the service can put \
             it back from a copy of the store.",
        ),
        Error::Full => {
            log::error!("the store of documents is full");
            Problem::new("STORAGE_FULL", "No document can be stored at the moment; everything else goes on.")
        }
        Error::Away(_) | Error::Foreign(_) => {
            log::error!("store of documents: {error}");
            Problem::new("STORE_UNAVAILABLE", "The store of documents is not available; try again.")
                .retry_after(STORE_RETRY_AFTER_SECONDS)
        }
    }
}

fn internal(cause: &str) -> Problem {
    log::error!("internal failure: {cause}");
    Problem::new("INTERNAL", "Something went wrong here; the log knows more under the request id.")
}
