DROP TRIGGER checklist_templates_reference_state ON checklist_templates;
ALTER TABLE releases DROP COLUMN asks_for;
ALTER TABLE models DROP COLUMN asks_for;
ALTER TABLE models DROP COLUMN notify;
ALTER TABLE models DROP COLUMN custom_fields_schema;
ALTER TABLE models DROP COLUMN checklist_template_ids;
ALTER TABLE models DROP COLUMN activity_templates;
ALTER TABLE models DROP COLUMN approval_rule;
