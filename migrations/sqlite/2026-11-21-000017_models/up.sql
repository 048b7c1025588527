-- What a model gives its releases besides defaults: who approves, activities, checklists, the schema of their own fields,
-- what is mailed, and what is asked for. Models and releases of before have none of it.
ALTER TABLE models ADD COLUMN approval_rule TEXT;
ALTER TABLE models ADD COLUMN activity_templates TEXT NOT NULL DEFAULT '[]';
ALTER TABLE models ADD COLUMN checklist_template_ids TEXT NOT NULL DEFAULT '[]';
ALTER TABLE models ADD COLUMN custom_fields_schema TEXT;
ALTER TABLE models ADD COLUMN notify TEXT NOT NULL DEFAULT '{"on_created":false,"on_updated":false,"on_closed":false}';
ALTER TABLE models ADD COLUMN asks_for TEXT NOT NULL DEFAULT '[]';
ALTER TABLE releases ADD COLUMN asks_for TEXT NOT NULL DEFAULT '[]';

-- Models name them, so they are remembered like the rest of the catalogue.
CREATE TRIGGER checklist_templates_insert_reference_state AFTER INSERT ON checklist_templates BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER checklist_templates_update_reference_state AFTER UPDATE ON checklist_templates BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER checklist_templates_delete_reference_state AFTER DELETE ON checklist_templates BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
