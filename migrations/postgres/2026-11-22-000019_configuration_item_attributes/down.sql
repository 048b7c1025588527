DROP INDEX "configuration_items_location_name_id_idx";
DROP TRIGGER configuration_items_attributes_update ON configuration_items;
DROP TRIGGER configuration_items_attributes_insert ON configuration_items;
DROP FUNCTION update_configuration_item_attributes();
DROP FUNCTION insert_configuration_item_attributes();
DROP FUNCTION attributes_to_find_by(TEXT);
DROP TABLE configuration_item_attributes;
