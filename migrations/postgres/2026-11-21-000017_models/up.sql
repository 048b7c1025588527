-- What a model gives its releases besides defaults: who approves, activities, checklists, the schema of their own fields,
-- what is mailed, and what is asked for. Models and releases of before have none of it.
ALTER TABLE models ADD COLUMN approval_rule TEXT COLLATE "C";
ALTER TABLE models ADD COLUMN activity_templates TEXT COLLATE "C" NOT NULL DEFAULT '[]';
ALTER TABLE models ADD COLUMN checklist_template_ids TEXT COLLATE "C" NOT NULL DEFAULT '[]';
ALTER TABLE models ADD COLUMN custom_fields_schema TEXT COLLATE "C";
ALTER TABLE models ADD COLUMN notify TEXT COLLATE "C" NOT NULL DEFAULT '{"on_created":false,"on_updated":false,"on_closed":false}';
ALTER TABLE models ADD COLUMN asks_for TEXT COLLATE "C" NOT NULL DEFAULT '[]';
ALTER TABLE releases ADD COLUMN asks_for TEXT COLLATE "C" NOT NULL DEFAULT '[]';

-- Models name them, so they are remembered like the rest of the catalogue.
CREATE CONSTRAINT TRIGGER checklist_templates_reference_state AFTER INSERT OR UPDATE OR DELETE ON checklist_templates
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION touch_reference_state();
