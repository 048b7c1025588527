-- One token stands for the state of everything that changes seldom and is asked for with every request:
-- accounts, groups, revocations and the catalogue. Whoever remembers any of it remembers the token with it.
CREATE TABLE reference_state (
    token TEXT NOT NULL PRIMARY KEY
);

INSERT INTO reference_state (token) VALUES (lower(hex(randomblob(16))));

CREATE TRIGGER users_insert_reference_state AFTER INSERT ON users BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER users_update_reference_state AFTER UPDATE ON users BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER users_delete_reference_state AFTER DELETE ON users BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER groups_insert_reference_state AFTER INSERT ON groups BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER groups_update_reference_state AFTER UPDATE ON groups BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER groups_delete_reference_state AFTER DELETE ON groups BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER group_members_insert_reference_state AFTER INSERT ON group_members BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER group_members_update_reference_state AFTER UPDATE ON group_members BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER group_members_delete_reference_state AFTER DELETE ON group_members BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER units_insert_reference_state AFTER INSERT ON units BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER units_update_reference_state AFTER UPDATE ON units BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER units_delete_reference_state AFTER DELETE ON units BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER contracts_insert_reference_state AFTER INSERT ON contracts BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER contracts_update_reference_state AFTER UPDATE ON contracts BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER contracts_delete_reference_state AFTER DELETE ON contracts BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER justifications_insert_reference_state AFTER INSERT ON justifications BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER justifications_update_reference_state AFTER UPDATE ON justifications BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER justifications_delete_reference_state AFTER DELETE ON justifications BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER solution_categories_insert_reference_state AFTER INSERT ON solution_categories BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER solution_categories_update_reference_state AFTER UPDATE ON solution_categories BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER solution_categories_delete_reference_state AFTER DELETE ON solution_categories BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER portfolios_insert_reference_state AFTER INSERT ON portfolios BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER portfolios_update_reference_state AFTER UPDATE ON portfolios BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER portfolios_delete_reference_state AFTER DELETE ON portfolios BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER models_insert_reference_state AFTER INSERT ON models BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER models_update_reference_state AFTER UPDATE ON models BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER models_delete_reference_state AFTER DELETE ON models BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER workflows_insert_reference_state AFTER INSERT ON workflows BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER workflows_update_reference_state AFTER UPDATE ON workflows BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER workflows_delete_reference_state AFTER DELETE ON workflows BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER sessions_update_reference_state AFTER UPDATE OF revoked_at, expires_at, user_id ON sessions
WHEN OLD.revoked_at IS NOT NEW.revoked_at OR OLD.expires_at IS NOT NEW.expires_at OR OLD.user_id IS NOT NEW.user_id BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER sessions_delete_reference_state AFTER DELETE ON sessions BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER personal_tokens_update_reference_state AFTER UPDATE OF revoked_at, expires_at, scopes, user_id ON personal_tokens
WHEN OLD.revoked_at IS NOT NEW.revoked_at OR OLD.expires_at IS NOT NEW.expires_at OR OLD.scopes IS NOT NEW.scopes OR OLD.user_id IS NOT NEW.user_id BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
CREATE TRIGGER personal_tokens_delete_reference_state AFTER DELETE ON personal_tokens BEGIN
    UPDATE reference_state SET token = lower(hex(randomblob(16)));
END;
