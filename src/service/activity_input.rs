//! What a caller may say of an activity: when adding it, when patching it, and when creating a release with it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use super::release_input::Tag;
use crate::domain::activity::ChecklistItem;
use crate::domain::values::*;
use crate::repository::activities::Content;
use crate::repository::contents::not_blank;

/// An activity depends on at most so many others.
pub const DEPENDS_ON_MAX: usize = 20;

/// An item on the checklist of an activity. With the `id` of one that is there it stays that item, else it is new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"text": "The backup of last night is there", "done": false}))]
pub struct ChecklistItemFields {
    /// The item that it is, where it is not new.
    #[serde(default)]
    pub id: Option<ChecklistItemId>,
    /// What is to be seen to.
    #[schema(min_length = 1, max_length = 500)]
    #[validate(custom(function = not_blank))]
    pub text: String,
    /// True where it is done; who and when is noted by the server.
    #[serde(default)]
    #[schema(default = false)]
    pub done: bool,
}

const fn task() -> ActivityKind {
    ActivityKind::Task
}

macro_rules! activity_input {
    ($(#[$meta:meta])* $name:ident { $($(#[$own_meta:meta])* $own:ident: $kind:ty,)* }) => {
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
        #[serde(deny_unknown_fields)]
        $(#[$meta])*
        pub struct $name {
            $($(#[$own_meta])* pub $own: $kind,)*
            /// Title.
            #[schema(min_length = 1, max_length = 200)]
            #[validate(custom(function = not_blank))]
            pub title: String,
            /// What is to be done.
            #[schema(max_length = 65000)]
            #[serde(default)]
            pub description: Option<String>,
            /// Kind; `task` where none is given.
            #[serde(default = "task")]
            pub kind: ActivityKind,
            /// The user who is to do it: an active member of `group_id`, or of any group of the release where that is
            /// null.
            #[serde(default)]
            pub assignee_id: Option<UserId>,
            /// The group that is to do it: the executor group, or one that is responsible for a stage.
            #[serde(default)]
            pub group_id: Option<GroupId>,
            /// How it is to be done.
            #[schema(max_length = 65000)]
            #[serde(default)]
            pub technical_guidelines: Option<String>,
            /// When it is to begin.
            #[serde(default)]
            pub scheduled_start: Option<Timestamp>,
            /// When it is to be finished; not before it begins.
            #[serde(default)]
            pub due_at: Option<Timestamp>,
            /// How long it is to take.
            #[schema(minimum = 1, maximum = 525600)]
            #[serde(default)]
            pub estimated_minutes: Option<i64>,
            /// Its checklist, as a whole: items that are not in the list are removed.
            #[schema(max_items = 100)]
            #[validate(nested)]
            #[serde(default)]
            pub checklist: Vec<ChecklistItemFields>,
            /// Tags, as a whole, each of 1..=50 characters.
            #[schema(max_items = 50, value_type = Vec<Tag>)]
            #[serde(default)]
            pub tags: Vec<String>,
        }

        impl $name {
            /// What is kept as it was said, with the checklist that it leads to.
            pub fn content(&self, checklist: Vec<ChecklistItem>) -> Content {
                Content {
                    title: self.title.clone(),
                    description: self.description.clone(),
                    kind: self.kind,
                    assignee_id: self.assignee_id,
                    group_id: self.group_id,
                    technical_guidelines: self.technical_guidelines.clone(),
                    scheduled_start: self.scheduled_start,
                    due_at: self.due_at,
                    estimated_minutes: self.estimated_minutes,
                    checklist,
                    tags: self.tags.clone(),
                }
            }
        }
    };
}

activity_input! {
    /// An activity to be added to a release. It begins as `todo`, at the end of that column.
    #[schema(example = json!({
        "phase": "planning", "title": "Agree on the window with the shops", "kind": "communication",
        "due_at": "2030-11-28T16:00:00Z", "estimated_minutes": 90,
        "checklist": [{"text": "The shops were told"}], "tags": ["payments"]
    }))]
    NewActivity {
        /// The board; it stays.
        phase: ActivityPhase,
        /// Activities of the same release, of either board, that are done or skipped before this one is done.
        #[schema(max_items = 20)]
        #[serde(default)]
        depends_on: Vec<ActivityId>,
    }
}

activity_input! {
    /// The fields of an activity that a patch may change.
    #[schema(example = json!({"title": "Agree on the window with all shops", "estimated_minutes": 120}))]
    ActivityFields {
        /// Activities of the same release, of either board, that are done or skipped before this one is done.
        #[schema(max_items = 20)]
        #[serde(default)]
        depends_on: Vec<ActivityId>,
    }
}

activity_input! {
    /// An activity of a release that is being created.
    #[schema(example = json!({"ref": "window", "phase": "planning", "title": "Agree on the window with the shops"}))]
    PlannedActivity {
        /// The board; it stays.
        phase: ActivityPhase,
        /// A name for this activity within the request, so that others can depend on it; it is not kept.
        #[schema(min_length = 1, max_length = 50)]
        #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// The `ref` of other activities of this request that are done or skipped before this one is done.
        #[schema(max_items = 20, value_type = Vec<ActivityReference>)]
        #[serde(default)]
        depends_on: Vec<String>,
    }
}

/// The `ref` of an activity in the same request.
#[derive(ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 50, example = "window")]
pub struct ActivityReference(#[allow(dead_code)] String);

/// Where a card goes on its board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"status": "in_progress", "after_id": null}))]
pub struct Move {
    /// The column.
    pub status: ActivityStatus,
    /// The card of that column that it comes behind; null puts it at the head.
    #[serde(default)]
    pub after_id: Option<ActivityId>,
}

/// Time that the caller spent on an activity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"minutes": 45, "started_at": "2025-11-21T09:30:00Z", "note": "Called the shops"}))]
pub struct TimeEntryFields {
    /// How long, at most a day.
    #[schema(minimum = 1, maximum = 1440)]
    pub minutes: i64,
    /// From when on; not in the future.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// What was done.
    #[schema(max_length = 2000)]
    #[serde(default)]
    pub note: Option<String>,
}

/// A comment to be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"body": "The shops agree."}))]
pub struct NewComment {
    /// What is to be said.
    #[schema(min_length = 1, max_length = 10000)]
    #[validate(custom(function = not_blank))]
    pub body: String,
}
