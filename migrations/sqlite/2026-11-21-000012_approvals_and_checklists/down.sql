DROP TABLE checklist_answers;
DROP TABLE release_checklists;
DROP TABLE checklist_templates;
DROP TABLE approval_votes;
DROP TABLE approval_rounds;
DROP TABLE approval_voters;
DROP TABLE release_approvals;
