-- One token stands for the state of everything that changes seldom and is asked for with every request:
-- accounts, groups, revocations and the catalogue. Whoever remembers any of it remembers the token with it.
CREATE TABLE reference_state (
    token TEXT COLLATE "C" NOT NULL PRIMARY KEY
);

INSERT INTO reference_state (token) VALUES (gen_random_uuid()::text);

CREATE FUNCTION touch_reference_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Once for each transaction, however many rows it changes.
    UPDATE reference_state SET token = gen_random_uuid()::text WHERE xmin <> pg_current_xact_id()::xid;
    RETURN NULL;
END
$$;

-- Deferred: the one row is locked only while a transaction commits.
CREATE CONSTRAINT TRIGGER users_reference_state AFTER INSERT OR UPDATE OR DELETE ON users
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION touch_reference_state();
CREATE CONSTRAINT TRIGGER groups_reference_state AFTER INSERT OR UPDATE OR DELETE ON groups
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION touch_reference_state();
CREATE CONSTRAINT TRIGGER group_members_reference_state AFTER INSERT OR UPDATE OR DELETE ON group_members
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION touch_reference_state();
CREATE CONSTRAINT TRIGGER units_reference_state AFTER INSERT OR UPDATE OR DELETE ON units
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION touch_reference_state();
CREATE CONSTRAINT TRIGGER contracts_reference_state AFTER INSERT OR UPDATE OR DELETE ON contracts
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION touch_reference_state();
CREATE CONSTRAINT TRIGGER justifications_reference_state AFTER INSERT OR UPDATE OR DELETE ON justifications
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION touch_reference_state();
CREATE CONSTRAINT TRIGGER solution_categories_reference_state AFTER INSERT OR UPDATE OR DELETE ON solution_categories
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION touch_reference_state();
CREATE CONSTRAINT TRIGGER portfolios_reference_state AFTER INSERT OR UPDATE OR DELETE ON portfolios
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION touch_reference_state();
CREATE CONSTRAINT TRIGGER models_reference_state AFTER INSERT OR UPDATE OR DELETE ON models
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION touch_reference_state();
CREATE CONSTRAINT TRIGGER workflows_reference_state AFTER INSERT OR UPDATE OR DELETE ON workflows
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION touch_reference_state();
CREATE CONSTRAINT TRIGGER sessions_update_reference_state AFTER UPDATE OF revoked_at, expires_at, user_id ON sessions
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.revoked_at IS DISTINCT FROM NEW.revoked_at OR OLD.expires_at IS DISTINCT FROM NEW.expires_at OR OLD.user_id IS DISTINCT FROM NEW.user_id)
    EXECUTE FUNCTION touch_reference_state();
CREATE CONSTRAINT TRIGGER sessions_delete_reference_state AFTER DELETE ON sessions
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION touch_reference_state();
CREATE CONSTRAINT TRIGGER personal_tokens_update_reference_state AFTER UPDATE OF revoked_at, expires_at, scopes, user_id ON personal_tokens
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.revoked_at IS DISTINCT FROM NEW.revoked_at OR OLD.expires_at IS DISTINCT FROM NEW.expires_at OR OLD.scopes IS DISTINCT FROM NEW.scopes OR OLD.user_id IS DISTINCT FROM NEW.user_id)
    EXECUTE FUNCTION touch_reference_state();
CREATE CONSTRAINT TRIGGER personal_tokens_delete_reference_state AFTER DELETE ON personal_tokens
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION touch_reference_state();
