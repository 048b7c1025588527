-- What configuration items are found by: their attributes, a row each. Only texts, numbers and booleans of a length that
-- an index takes; a number is compared as it is written there. Kept by the triggers alone.
CREATE TABLE configuration_item_attributes (
    configuration_item_id TEXT COLLATE "C" NOT NULL REFERENCES configuration_items (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (configuration_item_id, name)
);

CREATE FUNCTION attributes_to_find_by(attributes TEXT) RETURNS TABLE (name TEXT, value TEXT) LANGUAGE sql IMMUTABLE AS $$
    SELECT e.key, e.value #>> '{}' FROM json_each(attributes::json) e
    WHERE json_typeof(e.value) IN ('string', 'number', 'boolean')
        AND length(e.key) BETWEEN 1 AND 100 AND length(e.value #>> '{}') BETWEEN 1 AND 200
$$;

INSERT INTO configuration_item_attributes
    SELECT i.id, a.name, a.value FROM configuration_items i CROSS JOIN LATERAL attributes_to_find_by(i.attributes) a;

CREATE INDEX "configuration_item_attributes_name_value_item_id_idx" ON configuration_item_attributes (name, value, configuration_item_id);

-- Once for a statement, however many items it brings.
CREATE FUNCTION insert_configuration_item_attributes() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO configuration_item_attributes
        SELECT i.id, a.name, a.value FROM inserted i CROSS JOIN LATERAL attributes_to_find_by(i.attributes) a
        WHERE i.attributes <> '{}';
    RETURN NULL;
END
$$;

CREATE FUNCTION update_configuration_item_attributes() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM configuration_item_attributes WHERE configuration_item_id = NEW.id;
    INSERT INTO configuration_item_attributes SELECT NEW.id, a.name, a.value FROM attributes_to_find_by(NEW.attributes) a;
    RETURN NULL;
END
$$;

CREATE TRIGGER configuration_items_attributes_insert AFTER INSERT ON configuration_items
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION insert_configuration_item_attributes();
CREATE TRIGGER configuration_items_attributes_update AFTER UPDATE OF attributes ON configuration_items
    FOR EACH ROW WHEN (OLD.attributes IS DISTINCT FROM NEW.attributes) EXECUTE FUNCTION update_configuration_item_attributes();

CREATE INDEX "configuration_items_location_name_id_idx" ON configuration_items (location, name, id) WHERE location IS NOT NULL;
