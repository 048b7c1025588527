DROP TABLE set_aside_indexes;
