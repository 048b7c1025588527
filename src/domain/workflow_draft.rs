//! A workflow as somebody proposes it, and everything that is wrong with the proposal by itself.
//!
//! The fields are read as loosely as may be, so that one answer names every fault: what a value may be is said in the
//! schema, what the stages may be to each other is judged here.
//!
//! The stages stand in the order in which a release goes through them. Their kinds come in the order planning,
//! authorization, deployment and test, acceptance, closure; any but closure may be missing or there more than once,
//! and deployment and test may alternate - a pilot, then the rest - beginning with deployment. The one closure ends the
//! workflow: nothing leads out of it forwards, so a stage behind it is never reached.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use validator::Validate;

use super::gates::{CATALOGUE, Gate};
use super::values::{Fault, GroupId, ResponsibleKind, StageKind};
use super::workflow::{Responsible, Stage};

/// The numbers among the parameters of gates, with the smallest and the largest value of each; each is needed.
const PARAMETERS: &[(&str, i64, i64)] = &[("min", 1, 100)];

/// Somebody responsible for a stage, as proposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewResponsible {
    /// Who it is.
    #[serde(default)]
    #[schema(required = true, value_type = ResponsibleKind)]
    pub kind: String,
    /// The group, where it is one.
    #[serde(default)]
    #[schema(value_type = Option<GroupId>)]
    pub group_id: Option<String>,
}

/// A gate, as proposed: its name out of the catalogue in `GET /lifecycle`, and its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"gate": "changes_linked", "min": 1}))]
pub struct NewGate {
    /// Name of the gate.
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 64, pattern = "^[a-z][a-z0-9_]*$")]
    pub gate: String,
    /// How many at least, where the gate counts.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    pub min: Option<i64>,
    /// True where the gate asks only of releases whose model asks for it, where the gate can; else it asks of all.
    #[serde(default)]
    pub where_asked: Option<bool>,
    /// True where a rule of approval may let requester, acting requester and assignee vote too, where the gate asks for
    /// approvals; else four eyes are needed.
    #[serde(default)]
    pub requester_may_approve: Option<bool>,
}

/// A stage, as proposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "key": "rollout", "kind": "deployment", "responsible": [{"kind": "executor_group"}], "gates": [{"gate": "purchases_finished"}],
}))]
pub struct NewStage {
    /// Key of the stage, unique in its workflow.
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 50, pattern = "^[a-z][a-z0-9_]*$")]
    pub key: String,
    /// Kind of the stage. Kinds come in the order planning, authorization, deployment and test, acceptance, closure; any
    /// but closure may be missing or come again, and deployment and test may alternate, beginning with deployment.
    #[serde(default)]
    #[schema(required = true, value_type = StageKind)]
    pub kind: String,
    /// Who may move a release out of it: any of these. A release is closed by its acting requester whoever is
    /// responsible for closure.
    #[serde(default)]
    #[schema(required = true, min_items = 1, max_items = 10)]
    pub responsible: Vec<NewResponsible>,
    /// What must hold before a release leaves it forwards: all of these, each once.
    #[serde(default)]
    #[schema(max_items = 50)]
    pub gates: Vec<NewGate>,
}

/// A workflow, as proposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "key": "hotfix", "name": "Hotfix", "return_stage": "rollout",
    "stages": [
        {"key": "rollout", "kind": "deployment", "responsible": [{"kind": "executor_group"}],
            "gates": [{"gate": "changes_linked", "min": 1}, {"gate": "changes_authorised"}]},
        {"key": "closure", "kind": "closure", "responsible": [{"kind": "requester"}],
            "gates": [{"gate": "change_outcomes_recorded"}]},
    ],
}))]
pub struct NewWorkflow {
    /// Key of the workflow, unique, by which models name it; it never changes.
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 50, pattern = "^[a-z][a-z0-9_]*$")]
    pub key: String,
    /// Name for people.
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 200)]
    pub name: String,
    /// The stage that a reopened release returns to, and a release sent back without a named stage; before closure.
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 50)]
    pub return_stage: String,
    /// The stages, in order; the last is the only one of kind closure.
    #[serde(default)]
    #[schema(required = true, min_items = 1, max_items = 20)]
    pub stages: Vec<NewStage>,
    /// True where its releases may carry a change that another release under way carries as well.
    #[serde(default)]
    #[schema(default = false)]
    pub shared_changes: bool,
}

/// The next version of a workflow, as proposed: whole, but for the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "With a pilot", "return_stage": "pilot",
    "stages": [
        {"key": "pilot", "kind": "deployment", "responsible": [{"kind": "executor_group"}], "gates": []},
        {"key": "trial", "kind": "test", "responsible": [{"kind": "requester"}, {"kind": "executor_group"}], "gates": []},
        {"key": "rollout", "kind": "deployment", "responsible": [{"kind": "executor_group"}], "gates": []},
        {"key": "closure", "kind": "closure", "responsible": [{"kind": "requester"}], "gates": []},
    ],
}))]
pub struct NewWorkflowVersion {
    /// Name for people.
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 200)]
    pub name: String,
    /// The stage that a reopened release returns to, and a release sent back without a named stage; before closure.
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 50)]
    pub return_stage: String,
    /// The stages, in order; the last is the only one of kind closure.
    #[serde(default)]
    #[schema(required = true, min_items = 1, max_items = 20)]
    pub stages: Vec<NewStage>,
    /// True where its releases may carry a change that another release under way carries as well.
    #[serde(default)]
    #[schema(default = false)]
    pub shared_changes: bool,
}

impl From<NewWorkflow> for (String, NewWorkflowVersion) {
    fn from(new: NewWorkflow) -> Self {
        let NewWorkflow { key, name, return_stage, stages, shared_changes } = new;
        (key, NewWorkflowVersion { name, return_stage, stages, shared_changes })
    }
}

impl NewWorkflowVersion {
    /// The stages, as far as they can be read, and everything that is wrong with the proposal by itself.
    pub fn judge(&self) -> (Vec<Stage>, Vec<Fault>) {
        let mut faults = Vec::new();
        if !self.name.is_empty() && self.name.trim().is_empty() {
            faults.push(Fault::at("/name", "BLANK", "The text is blank."));
        }
        let stages: Vec<Stage> =
            self.stages.iter().enumerate().filter_map(|(at, stage)| stage.read(at, &mut faults)).collect();
        self.key_faults(&mut faults);
        self.order_faults(&mut faults);
        (stages, faults)
    }

    /// The groups that stages name as responsible, each with the pointer to it.
    pub fn named_groups(&self) -> Vec<(GroupId, String)> {
        let mut named = Vec::new();
        for (at, stage) in self.stages.iter().enumerate() {
            for (index, responsible) in stage.responsible.iter().enumerate() {
                if responsible.kind() == Some(ResponsibleKind::Group)
                    && let Some(Ok(group)) = responsible.group_id.as_deref().map(str::parse)
                {
                    named.push((group, format!("/stages/{at}/responsible/{index}/group_id")));
                }
            }
        }
        named
    }

    fn kinds(&self) -> impl Iterator<Item = Option<StageKind>> {
        self.stages.iter().map(|stage| stage.kind.parse().ok())
    }

    fn key_faults(&self, faults: &mut Vec<Fault>) {
        let mut seen = HashSet::new();
        for (at, stage) in self.stages.iter().enumerate() {
            if !stage.key.is_empty() && !seen.insert(stage.key.as_str()) {
                let detail = format!("Another stage has the key `{}`.", stage.key);
                faults.push(Fault::at(format!("/stages/{at}/key"), "REPEATED", detail));
            }
        }
        let closure = self.kinds().position(|kind| kind == Some(StageKind::Closure));
        let returns = self.stages.iter().position(|stage| stage.key == self.return_stage);
        match (returns, closure) {
            (None, _) => {
                faults.push(Fault::at("/return_stage", "UNKNOWN_REFERENCE", "There is no such stage in the workflow."))
            }
            (Some(returns), Some(closure)) if returns >= closure => faults.push(Fault::at(
                "/return_stage",
                "RETURN_STAGE_NOT_BEFORE_CLOSURE",
                "A release that was closed returns to a stage before closure.",
            )),
            (Some(_), _) => {}
        }
    }

    fn order_faults(&self, faults: &mut Vec<Fault>) {
        let kinds: Vec<Option<StageKind>> = self.kinds().collect();
        let closure = kinds.iter().position(|kind| *kind == Some(StageKind::Closure));
        if closure.is_none() && !kinds.is_empty() {
            faults.push(Fault::at("/stages", "CLOSURE_MISSING", "The last stage is of kind `closure`."));
        }
        let mut highest: Option<StageKind> = None;
        for (at, kind) in kinds.iter().enumerate() {
            let Some(kind) = *kind else { continue };
            if closure.is_some_and(|closure| at > closure) {
                faults.push(match kind {
                    StageKind::Closure => Fault::at(
                        format!("/stages/{at}/kind"),
                        "CLOSURE_REPEATED",
                        "A workflow has one stage of kind `closure`.",
                    ),
                    _ => Fault::at(
                        format!("/stages/{at}"),
                        "STAGE_UNREACHABLE",
                        "Nothing leads out of closure forwards, so a stage behind it is never reached.",
                    ),
                });
                continue;
            }
            if let Some(before) = highest.filter(|before| rank(*before) > rank(kind)) {
                let detail = format!("A stage of kind `{kind}` does not come after one of kind `{before}`.");
                faults.push(Fault::at(format!("/stages/{at}/kind"), "STAGE_OUT_OF_ORDER", detail));
            }
            let deploys = |kinds: &[Option<StageKind>]| kinds.contains(&Some(StageKind::Deployment));
            if kind == StageKind::Test && !deploys(&kinds[..at]) && deploys(&kinds[at..]) {
                let detail = "What is tested was deployed before: the first stage of kind `deployment` comes later.";
                faults.push(Fault::at(format!("/stages/{at}/kind"), "STAGE_OUT_OF_ORDER", detail));
            }
            highest = highest.filter(|before| rank(*before) >= rank(kind)).or(Some(kind));
        }
    }
}

/// Where a kind stands in the order of stages; deployment and test may alternate.
const fn rank(kind: StageKind) -> u8 {
    match kind {
        StageKind::Planning => 0,
        StageKind::Authorization => 1,
        StageKind::Deployment | StageKind::Test => 2,
        StageKind::Acceptance => 3,
        StageKind::Closure => 4,
    }
}

impl NewStage {
    fn read(&self, at: usize, faults: &mut Vec<Fault>) -> Option<Stage> {
        let place = format!("/stages/{at}");
        let mut responsible = Vec::new();
        for (index, one) in self.responsible.iter().enumerate() {
            let pointer = format!("{place}/responsible/{index}");
            let Some(one) = one.read(&pointer, faults) else { continue };
            if responsible.contains(&one) {
                faults.push(Fault::at(pointer, "REPEATED", "This is in the list more than once."));
            }
            responsible.push(one);
        }
        let mut gates: Vec<Gate> = Vec::new();
        for (index, gate) in self.gates.iter().enumerate() {
            let pointer = format!("{place}/gates/{index}");
            if self.gates[..index].iter().any(|other| other.gate == gate.gate) {
                faults.push(Fault::at(
                    &pointer,
                    "REPEATED",
                    format!("The stage has the gate `{}` already.", gate.gate),
                ));
            }
            gates.extend(gate.read(&pointer, faults));
        }
        Some(Stage { key: self.key.clone(), kind: self.kind.parse().ok()?, responsible, gates })
    }
}

impl NewResponsible {
    fn kind(&self) -> Option<ResponsibleKind> {
        self.kind.parse().ok()
    }

    fn read(&self, pointer: &str, faults: &mut Vec<Fault>) -> Option<Responsible> {
        let kind = self.kind()?;
        let place = format!("{pointer}/group_id");
        match (kind, self.group_id.as_deref()) {
            (ResponsibleKind::Group, None) => {
                faults.push(Fault::at(place, "REQUIRED", "Which group it is, is needed."));
            }
            (ResponsibleKind::Requester | ResponsibleKind::ExecutorGroup, Some(_)) => {
                let detail = format!("`{kind}` names no group; `group` does.");
                faults.push(Fault::at(place, "NOT_APPLICABLE", detail));
            }
            _ => {}
        }
        Some(match kind {
            ResponsibleKind::Requester => Responsible::Requester,
            ResponsibleKind::ExecutorGroup => Responsible::ExecutorGroup,
            ResponsibleKind::Group => Responsible::Group { group_id: self.group_id.as_deref()?.parse().ok()? },
        })
    }
}

impl NewGate {
    fn read(&self, pointer: &str, faults: &mut Vec<Fault>) -> Option<Gate> {
        let Some(known) = CATALOGUE.iter().find(|known| known.gate == self.gate) else {
            let names: Vec<String> = CATALOGUE.iter().map(|known| format!("`{}`", known.gate)).collect();
            let detail = format!("There is no such gate; the catalogue has {}.", names.join(", "));
            faults.push(Fault::at(format!("{pointer}/gate"), "UNKNOWN_GATE", detail));
            return None;
        };
        let given = |name: &str| if name == "min" { self.min } else { None };
        let mut parameters = json!({"gate": self.gate});
        for (name, least, most) in PARAMETERS {
            let place = format!("{pointer}/{name}");
            match (known.parameters.contains(name), given(name)) {
                (true, None) => faults.push(Fault::at(place, "REQUIRED", format!("`{}` needs it.", self.gate))),
                (true, Some(value)) if !(*least..=*most).contains(&value) => {
                    let detail = format!("This is an integer from {least} to {most}.");
                    faults.push(Fault::at(place, "OUT_OF_RANGE", detail));
                }
                (true, Some(value)) => parameters[*name] = json!(value),
                (false, Some(_)) => {
                    let detail = format!("`{}` has no such parameter.", self.gate);
                    faults.push(Fault::at(place, "NOT_APPLICABLE", detail));
                }
                (false, None) => {}
            }
        }
        let flags = [("where_asked", self.where_asked), ("requester_may_approve", self.requester_may_approve)];
        for (name, given) in flags {
            let Some(flag) = given else { continue };
            if known.parameters.contains(&name) {
                parameters[name] = json!(flag);
            } else {
                let detail = format!("`{}` has no such parameter.", self.gate);
                faults.push(Fault::at(format!("{pointer}/{name}"), "NOT_APPLICABLE", detail));
            }
        }
        serde_json::from_value(parameters).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workflow(kinds: &[&str]) -> NewWorkflowVersion {
        let stages = kinds.iter().enumerate().map(|(at, kind)| NewStage {
            key: format!("s{at}"),
            kind: (*kind).into(),
            responsible: vec![NewResponsible { kind: "requester".into(), group_id: None }],
            gates: Vec::new(),
        });
        NewWorkflowVersion {
            name: "Test".into(),
            return_stage: "s0".into(),
            stages: stages.collect(),
            shared_changes: false,
        }
    }

    fn codes(kinds: &str) -> Vec<(String, &'static str)> {
        let kinds: Vec<&str> = kinds
            .chars()
            .map(|kind| match kind {
                'p' => "planning",
                'a' => "authorization",
                'd' => "deployment",
                't' => "test",
                'u' => "acceptance",
                _ => "closure",
            })
            .collect();
        let faults = workflow(&kinds).judge().1;
        faults.into_iter().map(|fault| (format!("{:?}", fault.place), fault.code)).collect()
    }

    #[test]
    fn the_kinds_of_stages_come_in_their_order() {
        for good in ["pc", "padtuc", "dc", "ppaaddttuuc", "pdtdtc", "tc", "uc", "pac"] {
            assert_eq!(codes(good), [], "{good}");
        }
        let out_of_order = [("dpc", 1), ("apc", 1), ("pdac", 2), ("udc", 1), ("utc", 1), ("ptdc", 1), ("adpdc", 2)];
        for (bad, at) in out_of_order {
            assert_eq!(codes(bad), [(format!("Pointer(\"/stages/{at}/kind\")"), "STAGE_OUT_OF_ORDER")], "{bad}");
        }
    }

    #[test]
    fn every_stage_behind_closure_is_unreachable_and_there_is_one_closure() {
        let only = |kinds: &str| codes(kinds).into_iter().map(|(_, code)| code).collect::<Vec<_>>();
        assert_eq!(only("pd"), ["CLOSURE_MISSING"]);
        assert_eq!(only("pcdu"), ["STAGE_UNREACHABLE", "STAGE_UNREACHABLE"]);
        assert_eq!(only("pcc"), ["CLOSURE_REPEATED"]);
        assert_eq!(only("c"), ["RETURN_STAGE_NOT_BEFORE_CLOSURE"]);
        assert_eq!(only(""), ["UNKNOWN_REFERENCE"]);
    }

    #[test]
    fn every_gate_of_the_catalogue_is_read_with_its_parameters() {
        for known in CATALOGUE {
            let min = known.parameters.contains(&"min").then_some(1);
            let mut faults = Vec::new();
            let gate = NewGate { gate: known.gate.into(), min, where_asked: None, requester_may_approve: None }
                .read("", &mut faults);
            assert_eq!(gate.map(Gate::name), Some(known.gate));
            assert_eq!(faults, []);
            for parameter in known.parameters {
                let is_known = ["where_asked", "requester_may_approve"].contains(parameter)
                    || PARAMETERS.iter().any(|(name, ..)| name == parameter);
                assert!(is_known, "{parameter}");
            }
        }
    }
}
