//! Templates of activities: what every release of a model has on its boards (`domain.md` §4 and §8).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::relative::RelativeTime;
use super::values::{ActivityKind, ActivityPhase, Fault, GroupId};

/// An item on the checklist of an activity to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"text": "The backup of last night is there"}))]
pub struct TemplateItem {
    /// What is to be seen to.
    #[schema(min_length = 1, max_length = 500)]
    pub text: String,
}

/// The key of another template of the same model.
#[derive(ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 50, pattern = "^[a-z][a-z0-9_]*$", example = "backup")]
pub struct TemplateKey(#[allow(dead_code)] String);

/// A tag of an activity to be.
#[derive(ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 50, pattern = "^[^,]*$", example = "payments")]
pub struct TemplateTag(#[allow(dead_code)] String);

const fn task() -> ActivityKind {
    ActivityKind::Task
}

/// An activity that every release of the model begins with. A change of it is for releases registered from then on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "key": "backup", "phase": "deployment", "title": "Take a backup", "scheduled_start": "T-1h", "due_at": "T",
    "estimated_minutes": 45, "checklist": [{"text": "It can be restored"}]
}))]
pub struct ActivityTemplate {
    /// Key, unique in its model, by which others depend on it.
    #[schema(min_length = 1, max_length = 50, pattern = "^[a-z][a-z0-9_]*$")]
    pub key: String,
    /// The board.
    pub phase: ActivityPhase,
    /// Title.
    #[schema(min_length = 1, max_length = 200)]
    pub title: String,
    /// What is to be done.
    #[schema(max_length = 65000)]
    #[serde(default)]
    pub description: Option<String>,
    /// Kind; `task` where none is given.
    #[serde(default = "task")]
    pub kind: ActivityKind,
    /// The group that is to do it: one that may execute releases of the model, or is responsible for a stage of its
    /// workflow.
    #[serde(default)]
    pub group_id: Option<GroupId>,
    /// How it is to be done.
    #[schema(max_length = 65000)]
    #[serde(default)]
    pub technical_guidelines: Option<String>,
    /// When it is to begin, counted from the start of the deployment window as it is when the release is registered;
    /// null where there is no window then. It does not move with the window later.
    #[serde(default)]
    pub scheduled_start: Option<RelativeTime>,
    /// When it is to be finished, counted likewise; not before it begins.
    #[serde(default)]
    pub due_at: Option<RelativeTime>,
    /// How long it is to take.
    #[schema(minimum = 1, maximum = 525600)]
    #[serde(default)]
    pub estimated_minutes: Option<i64>,
    /// Its checklist.
    #[schema(max_items = 100)]
    #[serde(default)]
    pub checklist: Vec<TemplateItem>,
    /// Tags, each of 1..=50 characters.
    #[schema(max_items = 50, value_type = Vec<TemplateTag>)]
    #[serde(default)]
    pub tags: Vec<String>,
    /// The keys of other templates of the model whose activities are done or skipped before this one is done.
    #[schema(max_items = 20, value_type = Vec<TemplateKey>)]
    #[serde(default)]
    pub depends_on: Vec<String>,
}

impl ActivityTemplate {
    /// What is wrong with its texts and times. `at` is the pointer to it.
    pub fn faults(&self, at: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        let blank = |pointer: String| Fault::at(pointer, "BLANK", "The text is blank.");
        if self.title.trim().is_empty() {
            faults.push(blank(format!("{at}/title")));
        }
        let items = self.checklist.iter().enumerate().filter(|(_, item)| item.text.trim().is_empty());
        faults.extend(items.map(|(index, _)| blank(format!("{at}/checklist/{index}/text"))));
        for (name, time) in [("scheduled_start", &self.scheduled_start), ("due_at", &self.due_at)] {
            if time.as_ref().is_some_and(|time| !time.is_in_reach()) {
                let detail = "This lies more than 366 days away from the start of the deployment window.";
                faults.push(Fault::at(format!("{at}/{name}"), "SCHEDULE_OUT_OF_REACH", detail));
            }
        }
        if let (Some(start), Some(due)) = (&self.scheduled_start, &self.due_at)
            && due.minutes() < start.minutes()
        {
            faults.push(Fault::at(format!("{at}/due_at"), "DUE_BEFORE_START", "It is due before it starts."));
        }
        faults
    }
}
