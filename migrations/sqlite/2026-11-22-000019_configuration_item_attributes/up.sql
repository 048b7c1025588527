-- What configuration items are found by: their attributes, a row each. Only texts, numbers and booleans of a length that
-- an index takes; a number is compared as it is written there. Kept by the triggers alone.
CREATE TABLE configuration_item_attributes (
    configuration_item_id TEXT NOT NULL REFERENCES configuration_items (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (configuration_item_id, name)
) WITHOUT ROWID;

CREATE INDEX "configuration_item_attributes_name_value_item_id_idx" ON configuration_item_attributes (name, value, configuration_item_id);

INSERT INTO configuration_item_attributes
    SELECT i.id, e.key, CASE e.type WHEN 'text' THEN e.value WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE COALESCE(i.attributes -> e.fullkey, e.value) END
    FROM configuration_items i, json_each(i.attributes) e
    WHERE e.type IN ('text', 'integer', 'real', 'true', 'false')
        AND length(e.key) BETWEEN 1 AND 100 AND length(e.value) BETWEEN 1 AND 200;

CREATE TRIGGER configuration_items_attributes_insert AFTER INSERT ON configuration_items
WHEN NEW.attributes <> '{}' BEGIN
    INSERT INTO configuration_item_attributes
        SELECT NEW.id, e.key, CASE e.type WHEN 'text' THEN e.value WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE COALESCE(NEW.attributes -> e.fullkey, e.value) END
        FROM json_each(NEW.attributes) e
        WHERE e.type IN ('text', 'integer', 'real', 'true', 'false')
            AND length(e.key) BETWEEN 1 AND 100 AND length(e.value) BETWEEN 1 AND 200;
END;

CREATE TRIGGER configuration_items_attributes_update AFTER UPDATE OF attributes ON configuration_items
WHEN NEW.attributes <> OLD.attributes BEGIN
    DELETE FROM configuration_item_attributes WHERE configuration_item_id = NEW.id;
    INSERT INTO configuration_item_attributes
        SELECT NEW.id, e.key, CASE e.type WHEN 'text' THEN e.value WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE COALESCE(NEW.attributes -> e.fullkey, e.value) END
        FROM json_each(NEW.attributes) e
        WHERE e.type IN ('text', 'integer', 'real', 'true', 'false')
            AND length(e.key) BETWEEN 1 AND 100 AND length(e.value) BETWEEN 1 AND 200;
END;

CREATE INDEX "configuration_items_location_name_id_idx" ON configuration_items (location, name, id) WHERE location IS NOT NULL;
