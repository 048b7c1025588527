-- Who approves a release: the rule, whom it asks, the rounds of asking, and every vote.
CREATE TABLE release_approvals (
    release_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES releases (id),
    kind TEXT COLLATE "C" NOT NULL,
    quorum BIGINT,
    percent BIGINT,
    needed BIGINT NOT NULL,
    requester_may_approve BOOLEAN NOT NULL,
    round BIGINT NOT NULL,
    is_open BOOLEAN NOT NULL,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

CREATE TABLE approval_voters (
    release_id TEXT COLLATE "C" NOT NULL REFERENCES releases (id),
    principal TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    user_id TEXT COLLATE "C" REFERENCES users (id),
    group_id TEXT COLLATE "C" REFERENCES groups (id),
    asked BOOLEAN NOT NULL,
    decision TEXT COLLATE "C",
    voted_by TEXT COLLATE "C" REFERENCES users (id),
    vote_id TEXT COLLATE "C",
    PRIMARY KEY (release_id, principal)
);

CREATE TABLE approval_rounds (
    release_id TEXT COLLATE "C" NOT NULL REFERENCES releases (id),
    round BIGINT NOT NULL,
    cause TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    rule TEXT COLLATE "C" NOT NULL,
    opened_at TIMESTAMP NOT NULL,
    PRIMARY KEY (release_id, round)
);

CREATE TABLE approval_votes (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    release_id TEXT COLLATE "C" NOT NULL REFERENCES releases (id),
    round BIGINT NOT NULL,
    principal TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    group_id TEXT COLLATE "C" REFERENCES groups (id),
    decision TEXT COLLATE "C" NOT NULL,
    comment TEXT COLLATE "C",
    state TEXT COLLATE "C" NOT NULL,
    withdrawn_by TEXT COLLATE "C" REFERENCES users (id),
    withdrawal_comment TEXT COLLATE "C",
    row_version BIGINT NOT NULL,
    cast_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

CREATE INDEX "approval_voters_asked_idx" ON approval_voters (principal, release_id) WHERE asked;
CREATE INDEX "approval_voters_user_id_idx" ON approval_voters (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX "approval_voters_group_id_idx" ON approval_voters (group_id) WHERE group_id IS NOT NULL;
CREATE INDEX "approval_voters_voted_by_idx" ON approval_voters (voted_by) WHERE voted_by IS NOT NULL;
CREATE INDEX "approval_votes_release_id_round_idx" ON approval_votes (release_id, round, id);
CREATE INDEX "approval_votes_release_id_cast_at_idx" ON approval_votes (release_id, cast_at, id);
CREATE INDEX "approval_votes_user_id_idx" ON approval_votes (user_id);
CREATE INDEX "approval_votes_group_id_idx" ON approval_votes (group_id) WHERE group_id IS NOT NULL;
CREATE INDEX "approval_votes_withdrawn_by_idx" ON approval_votes (withdrawn_by) WHERE withdrawn_by IS NOT NULL;
CREATE UNIQUE INDEX "approval_votes.release_id_round_principal" ON approval_votes (release_id, round, principal)
    WHERE state = 'standing';

-- What is asked before a stage is left: templates, the checklists of releases, and their answers.
CREATE TABLE checklist_templates (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_head TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C",
    active BOOLEAN NOT NULL,
    stage TEXT COLLATE "C" NOT NULL,
    required BOOLEAN NOT NULL,
    questions TEXT COLLATE "C" NOT NULL
);

CREATE TABLE release_checklists (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    release_id TEXT COLLATE "C" NOT NULL REFERENCES releases (id),
    template_id TEXT COLLATE "C" REFERENCES checklist_templates (id),
    title TEXT COLLATE "C" NOT NULL,
    stage TEXT COLLATE "C" NOT NULL,
    required BOOLEAN NOT NULL,
    questions TEXT COLLATE "C" NOT NULL,
    confirmed BOOLEAN NOT NULL,
    row_version BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

CREATE TABLE checklist_answers (
    checklist_id TEXT COLLATE "C" NOT NULL REFERENCES release_checklists (id),
    question_key TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    note TEXT COLLATE "C",
    answered_by TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    answered_at TIMESTAMP NOT NULL,
    PRIMARY KEY (checklist_id, question_key)
);

CREATE UNIQUE INDEX "checklist_templates.name" ON checklist_templates (name);
CREATE INDEX "checklist_templates_created_at_idx" ON checklist_templates (created_at, id);
CREATE INDEX "checklist_templates_q_idx" ON checklist_templates ((lower(name)), id);
CREATE INDEX "release_checklists_release_id_idx" ON release_checklists (release_id, id);
CREATE INDEX "release_checklists_open_idx" ON release_checklists (release_id) WHERE required AND NOT confirmed;
CREATE INDEX "release_checklists_template_id_idx" ON release_checklists (template_id) WHERE template_id IS NOT NULL;
CREATE INDEX "checklist_answers_answered_by_idx" ON checklist_answers (answered_by);
