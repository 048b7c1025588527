// The tour of the README, walked by the client that openapi-typescript makes of the contract.
//
// SLIPWAY_URL is where the service is, SLIPWAY_PASSWORD the password of `admin`.

import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./slipway.js";

type Problem = components["schemas"]["Problem"];
type Answer<T> = { data?: T; error?: Problem; response: Response };

const baseUrl = process.env["SLIPWAY_URL"] ?? "http://127.0.0.1:8080";
const password = process.env["SLIPWAY_PASSWORD"] ?? "";
const api = createClient<paths>({ baseUrl });

/** The body of a success. */
function done<T>({ data, error, response }: Answer<T>): T {
  assert.ok(data !== undefined, `${response.status} ${response.url}: ${JSON.stringify(error)}`);
  return data;
}

/** The problem of a refusal. */
function refused(answer: Answer<unknown>, status: number, code: string): Problem {
  assert.ok(answer.error !== undefined, `${answer.response.url} was not refused`);
  assert.deepEqual([answer.response.status, answer.error.code], [status, code]);
  return answer.error;
}

const blockers = (problem: Problem): string[] => (problem.blockers ?? []).map((blocker) => blocker.code);
const inDays = (days: number): string => new Date(Date.now() + days * 86_400_000).toISOString();

const login = done(await api.POST("/api/v1/auth/login", { body: { username: "admin", password } }));
api.use({
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${login.access_token}`);
    return request;
  },
});
const me = done(await api.GET("/api/v1/me"));
assert.deepEqual([me.username, me.global_role, me.groups.map((group) => group.name)], ["admin", "admin", ["Release team"]]);

// Create a release.
const created = done(
  await api.POST("/api/v1/releases", {
    body: {
      title: "Payments 4.2",
      version: "4.2.0",
      impact: "high",
      urgency: "medium",
      requester: { name: "Ana Souza", email: "ana@example.org" },
      acceptance_criteria: [{ text: "Card payments work", confirmed: false }],
      planning_window: { start: inDays(1), end: inDays(3) },
      deployment_window: { start: inDays(10), end: inDays(11) },
    },
  }),
);
assert.ok(created.key !== null);
const release = created.key;
const path = { release };
const read = async () => done(await api.GET("/api/v1/releases/{release}", { params: { path } }));
const first = await read();
assert.deepEqual(
  [first.title, first.type, first.priority, first.status, first.stage],
  ["Payments 4.2", "significant", 2, "open", "planning"],
);

type Transition = components["schemas"]["TransitionRequest"];
const transition = (body: Transition, key?: string) =>
  api.POST("/api/v1/releases/{release}/transitions", {
    params: key === undefined ? { path } : { path, header: { "Idempotency-Key": key } },
    body,
  });

// It is blocked.
const blocked = refused(await transition({ action: "advance", from_stage: "planning" }), 422, "GATES_NOT_MET");
assert.deepEqual(blockers(blocked), ["NO_CHANGE_LINKED"]);

// Register a change, and link it.
const external = { source: "servicedesk", external_id: `CHG-${release}` };
const upsert = () =>
  api.PUT("/api/v1/changes/by-key/{source}/{external_id}", {
    params: { path: external },
    body: { title: "Payments 4.2", status: "authorised" },
  });
const change = done(await upsert());
assert.equal((await upsert()).response.status, 200);
const link = done(await api.POST("/api/v1/releases/{release}/changes", { params: { path }, body: { change_id: change.id ?? "" } }));
const linked = done(await api.GET("/api/v1/releases/{release}/changes", { params: { path } }));
assert.deepEqual(
  linked.data.map((item) => [item.source, item.external_id, item.status, item.outcome]),
  [[external.source, external.external_id, "authorised", "pending"]],
);

// What may I do now?
const allowed = done(await api.GET("/api/v1/releases/{release}/allowed-transitions", { params: { path } }));
const names = new Set(allowed.data.filter((verdict) => verdict.allowed).map((verdict) => verdict.action));
assert.deepEqual([...names].sort(), ["advance", "cancel", "capture", "delegate", "suspend"]);

// Carry it on.
assert.equal(done(await transition({ action: "capture" })).transition.action, "capture");
for (const stage of ["planning", "authorization", "deployment", "test"]) {
  assert.equal(done(await transition({ action: "advance", from_stage: stage })).transition.from_stage, stage);
}

// Accept it: a stale version is refused.
const patch = (version: string) =>
  api.PATCH("/api/v1/releases/{release}", {
    params: { path, header: { "If-Match": version } },
    body: { acceptance_criteria: [{ text: "Card payments work", confirmed: true }] },
  });
refused(await patch('"1"'), 412, "PRECONDITION_FAILED");
const accepted = done(await patch(`"${(await read()).row_version}"`));
assert.equal(accepted.acceptance_criteria[0]?.text, "Card payments work");
const categories = done(await api.GET("/api/v1/solution-categories"));
const closure = done(
  await transition({
    action: "advance",
    from_stage: "acceptance",
    resolution: "solved",
    release_date: new Date().toISOString(),
    solution_category_id: categories.data[0]?.id ?? "",
    closure_notes: "All shops pay again",
  }),
);
assert.deepEqual([closure.release.resolution, closure.release.stage], ["solved", "closure"]);

// Close it; the second request with the same key is the first one again.
assert.deepEqual(blockers(refused(await transition({ action: "close" }), 422, "GATES_NOT_MET")), ["CHANGE_OUTCOME_PENDING"]);
const outcome = done(
  await api.PATCH("/api/v1/releases/{release}/changes/{id}", {
    params: { path: { release, id: link.id ?? "" }, header: { "If-Match": "*" } },
    body: { outcome: "deployed" },
  }),
);
assert.equal(outcome.outcome, "deployed");
const closes = [await transition({ action: "close" }, `close-${release}`), await transition({ action: "close" }, `close-${release}`)];
assert.deepEqual(
  closes.map(({ response }) => [response.status, response.headers.get("Idempotent-Replayed")]),
  [
    [201, null],
    [201, "true"],
  ],
);

// Reopen it, and look back.
const reasons = done(await api.GET("/api/v1/justifications", { params: { query: { applies_to: ["reopen"] } } }));
const reopened = done(
  await transition({ action: "reopen", justification_id: reasons.data[0]?.id ?? "", note: "It came back" }),
);
assert.deepEqual([reopened.release.status, reopened.release.stage, reopened.release.reopen_count], ["reopened", "planning", 1]);
const steps = done(await api.GET("/api/v1/releases/{release}/transitions", { params: { path } }));
assert.equal(steps.data.length, 8);
const history = done(await api.GET("/api/v1/releases/{release}/history", { params: { path, query: { limit: 1 } } }));
assert.deepEqual([history.data[0]?.action, history.data[0]?.actor_name], ["release.reopen", "admin"]);
const proof = done(await api.GET("/api/v1/releases/{release}/history/verify", { params: { path } }));
assert.deepEqual([proof.valid, proof.first_bad], [true, null]);

console.log(`The TypeScript client walked the tour with ${release}.`);
