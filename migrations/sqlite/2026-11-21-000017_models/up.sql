-- What a model gives its releases besides defaults: who approves, activities, checklists, the schema of their own fields,
-- what is mailed, and what is asked for. Models and releases of before have none of it.
ALTER TABLE models ADD COLUMN approval_rule TEXT;
ALTER TABLE models ADD COLUMN activity_templates TEXT NOT NULL DEFAULT '[]';
ALTER TABLE models ADD COLUMN checklist_template_ids TEXT NOT NULL DEFAULT '[]';
ALTER TABLE models ADD COLUMN custom_fields_schema TEXT;
ALTER TABLE models ADD COLUMN notify TEXT NOT NULL DEFAULT '{"on_created":false,"on_updated":false,"on_closed":false}';
ALTER TABLE models ADD COLUMN asks_for TEXT NOT NULL DEFAULT '[]';
ALTER TABLE releases ADD COLUMN asks_for TEXT NOT NULL DEFAULT '[]';
