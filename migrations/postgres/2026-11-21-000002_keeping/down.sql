DROP INDEX "login_throttle_counted_idx";
DROP INDEX "login_throttle_known_idx";
DROP INDEX "personal_tokens_revoked_at_idx";
DROP INDEX "personal_tokens_expires_at_idx";
DROP INDEX "refresh_tokens_created_at_idx";
DROP TABLE checkpoint_heads;
DROP TABLE checkpoints;
DROP TABLE leases;
