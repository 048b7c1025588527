"""The tour of the README, walked by the client that openapi-python-client makes of the contract.

SLIPWAY_URL is where the service is, SLIPWAY_PASSWORD the password of `admin`.
"""

import os
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import TypeVar
from uuid import UUID

from slipway_client import AuthenticatedClient, Client
from slipway_client.api.audit import list_history, verify_history
from slipway_client.api.catalogue import list_justifications, list_solution_categories
from slipway_client.api.changes import link_change, list_release_changes, update_release_change, upsert_change
from slipway_client.api.identity import create_session, read_me
from slipway_client.api.lifecycle import create_transition, list_allowed_transitions, list_transitions
from slipway_client.api.releases import create_release, read_release, update_release
from slipway_client.models import (
    AcceptanceCriterion,
    Advance,
    AdvanceAction,
    AdvanceResolution,
    AllowedTransitions,
    AppliedTransitionPage,
    Blocker,
    Capture,
    CaptureAction,
    ChainProof,
    Change,
    ChangeContent,
    ChangeOutcome,
    ChangeStatus,
    ChangeToLink,
    Close,
    CloseAction,
    HistoryEntryPage,
    JustificationPage,
    ListJustificationsAppliesToItem,
    Level,
    Login,
    Me,
    NewRelease,
    Problem,
    Release,
    ReleaseChange,
    ReleaseChangePage,
    ReleaseChangePatch,
    ReleasePatch,
    Reopen,
    ReopenAction,
    RequesterFields,
    SolutionCategoryPage,
    TokenPair,
    TransitionResult,
    Window,
)
from slipway_client.types import UNSET, Response, Unset

T = TypeVar("T")
URL = os.environ.get("SLIPWAY_URL", "http://127.0.0.1:8080")


def done(kind: type[T], answer: object) -> T:
    """The body of a success."""
    assert isinstance(answer, kind), answer
    return answer


def refused(answer: object, status: int, code: str) -> Problem:
    """The problem of a refusal."""
    problem = done(Problem, answer)
    assert (problem.status, problem.code) == (status, code), problem
    return problem


def blockers(problem: Problem) -> list[str]:
    found: Unset | Iterable[Blocker] = problem.blockers
    return [] if isinstance(found, Unset) else [blocker.code for blocker in found]


def window(first_day: int, last_day: int) -> Window:
    now = datetime.now(timezone.utc)
    return Window(start=now + timedelta(days=first_day), end=now + timedelta(days=last_day))


login = Login(username="admin", password=os.environ["SLIPWAY_PASSWORD"])
tokens = done(TokenPair, create_session.sync(client=Client(URL), body=login))
client = AuthenticatedClient(URL, token=tokens.access_token)
me = done(Me, read_me.sync(client=client))
assert (me.username, [group.name for group in me.groups]) == ("admin", ["Release team"]), me

# Create a release.
created = done(
    Release,
    create_release.sync(
        client=client,
        body=NewRelease(
            title="Payments 4.2",
            version="4.2.0",
            impact=Level.HIGH,
            urgency=Level.MEDIUM,
            requester=RequesterFields(name="Ana Souza", email="ana@example.org"),
            acceptance_criteria=[AcceptanceCriterion(text="Card payments work")],
            planning_window=window(1, 3),
            deployment_window=window(10, 11),
        ),
    ),
)
key = created.key


def read() -> Release:
    return done(Release, read_release.sync(key, client=client))


Command = Advance | Capture | Close | Reopen


def transition(command: Command, idempotency_key: str | Unset = UNSET) -> Response[object]:
    answer = create_transition.sync_detailed(key, client=client, body=command, idempotency_key=idempotency_key)
    return Response(answer.status_code, answer.content, answer.headers, answer.parsed)


def advance(stage: str) -> Advance:
    return Advance(action=AdvanceAction.ADVANCE, from_stage=stage)


first = read()
assert (first.title, first.priority, first.status.value, first.stage) == ("Payments 4.2", 2, "open", "planning"), first

# It is blocked.
assert blockers(refused(transition(advance("planning")).parsed, 422, "GATES_NOT_MET")) == ["NO_CHANGE_LINKED"]

# Register a change, and link it.
external_id = f"CHG-{key}"
content = ChangeContent(title="Payments 4.2", status=ChangeStatus.AUTHORISED)
change = done(Change, upsert_change.sync("servicedesk", external_id, client=client, body=content))
again = upsert_change.sync_detailed("servicedesk", external_id, client=client, body=content)
assert again.status_code == 200, again
link = done(ReleaseChange, link_change.sync(key, client=client, body=ChangeToLink(change_id=change.id)))
changes = done(ReleaseChangePage, list_release_changes.sync(key, client=client))
assert [(item.external_id, item.outcome.value) for item in changes.data] == [(external_id, "pending")], changes

# What may I do now?
allowed = done(AllowedTransitions, list_allowed_transitions.sync(key, client=client))
names = sorted({verdict.action.value for verdict in allowed.data if verdict.allowed})
assert names == ["advance", "cancel", "capture", "delegate", "suspend"], names

# Carry it on.
done(TransitionResult, transition(Capture(action=CaptureAction.CAPTURE)).parsed)
for stage in ["planning", "authorization", "deployment", "test"]:
    assert done(TransitionResult, transition(advance(stage)).parsed).transition.from_stage == stage

# Accept it: a stale version is refused.
confirmed = ReleasePatch(acceptance_criteria=[AcceptanceCriterion(text="Card payments work", confirmed=True)])
refused(update_release.sync(key, client=client, body=confirmed, if_match='"1"'), 412, "PRECONDITION_FAILED")
version = f'"{read().row_version}"'
accepted = done(Release, update_release.sync(key, client=client, body=confirmed, if_match=version))
assert accepted.acceptance_criteria[0].text == "Card payments work", accepted
categories = done(SolutionCategoryPage, list_solution_categories.sync(client=client))
acceptance = Advance(
    action=AdvanceAction.ADVANCE,
    from_stage="acceptance",
    resolution=AdvanceResolution.SOLVED,
    release_date=datetime.now(timezone.utc),
    solution_category_id=categories.data[0].id,
    closure_notes="All shops pay again",
)
assert done(TransitionResult, transition(acceptance).parsed).release.stage == "closure"

# Close it; the second request with the same key is the first one again.
close = Close(action=CloseAction.CLOSE)
assert blockers(refused(transition(close).parsed, 422, "GATES_NOT_MET")) == ["CHANGE_OUTCOME_PENDING"]
deployed = ReleaseChangePatch(outcome=ChangeOutcome.DEPLOYED)
done(ReleaseChange, update_release_change.sync(key, UUID(str(link.id)), client=client, body=deployed, if_match="*"))
closes = [transition(close, f"close-{key}") for _ in range(2)]
replayed = [(answer.status_code, answer.headers.get("idempotent-replayed")) for answer in closes]
assert replayed == [(201, None), (201, "true")], replayed

# Reopen it, and look back.
reasons = done(JustificationPage, list_justifications.sync(client=client, applies_to=[ListJustificationsAppliesToItem.REOPEN]))
reopen = Reopen(action=ReopenAction.REOPEN, justification_id=reasons.data[0].id, note="It came back")
reopened = done(TransitionResult, transition(reopen).parsed).release
assert (reopened.status.value, reopened.stage, reopened.reopen_count) == ("reopened", "planning", 1), reopened
assert len(done(AppliedTransitionPage, list_transitions.sync(key, client=client)).data) == 8
history = done(HistoryEntryPage, list_history.sync(key, client=client, limit=1))
assert (history.data[0].action, history.data[0].actor_name) == ("release.reopen", "admin"), history
proof = done(ChainProof, verify_history.sync(key, client=client))
assert proof.valid and proof.first_bad is None, proof

print(f"The Python client walked the tour with {key}.")
