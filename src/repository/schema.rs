//! The tables, as both migrations make them; a test compares this file with the migrated databases.
#![allow(missing_docs)] // of what the macro makes

diesel::table! {
    units (id) {
        id -> Text,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        audit_seq -> BigInt,
        audit_head -> Text,
        name -> Text,
        description -> Nullable<Text>,
        parent_id -> Nullable<Text>,
        active -> Bool,
    }
}

diesel::table! {
    users (id) {
        id -> Text,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        audit_seq -> BigInt,
        audit_head -> Text,
        username -> Text,
        name -> Text,
        email -> Text,
        phone -> Nullable<Text>,
        extension -> Nullable<Text>,
        unit_id -> Nullable<Text>,
        location -> Nullable<Text>,
        global_role -> Nullable<Text>,
        active -> Bool,
    }
}

diesel::table! {
    passwords (user_id) {
        user_id -> Text,
        hash -> Text,
        changed_at -> Timestamp,
    }
}

diesel::table! {
    groups (id) {
        id -> Text,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        audit_seq -> BigInt,
        audit_head -> Text,
        name -> Text,
        description -> Nullable<Text>,
        active -> Bool,
        permissions -> Text,
    }
}

diesel::table! {
    group_members (group_id, user_id) {
        group_id -> Text,
        user_id -> Text,
        since -> Timestamp,
    }
}

diesel::table! {
    contracts (id) {
        id -> Text,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        audit_seq -> BigInt,
        audit_head -> Text,
        name -> Text,
        description -> Nullable<Text>,
        active -> Bool,
        group_ids -> Text,
        unit_ids -> Text,
    }
}

diesel::table! {
    justifications (id) {
        id -> Text,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        audit_seq -> BigInt,
        audit_head -> Text,
        description -> Text,
        active -> Bool,
        applies_to -> Text,
    }
}

diesel::table! {
    solution_categories (id) {
        id -> Text,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        audit_seq -> BigInt,
        audit_head -> Text,
        name -> Text,
        description -> Nullable<Text>,
        active -> Bool,
    }
}

diesel::table! {
    portfolios (id) {
        id -> Text,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        audit_seq -> BigInt,
        audit_head -> Text,
        name -> Text,
        description -> Nullable<Text>,
        icon -> Nullable<Text>,
        parent_id -> Nullable<Text>,
        active -> Bool,
    }
}

diesel::table! {
    workflows (id) {
        id -> Text,
        key -> Text,
        version -> BigInt,
        definition -> Text,
        created_at -> Timestamp,
    }
}

diesel::table! {
    models (id) {
        id -> Text,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        audit_seq -> BigInt,
        audit_head -> Text,
        portfolio_id -> Text,
        name -> Text,
        description -> Nullable<Text>,
        icon -> Nullable<Text>,
        status -> Text,
        is_default -> Bool,
        workflow -> Text,
        executor_group_id -> Nullable<Text>,
        executor_group_ids -> Text,
        contract_ids -> Text,
        #[sql_name = "type"]
        type_ -> Text,
        impact -> Text,
        urgency -> Text,
        risk -> Text,
    }
}

diesel::table! {
    changes (id) {
        id -> Text,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        audit_seq -> BigInt,
        audit_head -> Text,
        source -> Text,
        external_id -> Text,
        title -> Text,
        status -> Text,
        change_window -> Nullable<Text>,
        risk -> Nullable<Text>,
        rollback_plan -> Nullable<Text>,
        url -> Nullable<Text>,
        source_revision -> Nullable<BigInt>,
    }
}

diesel::table! {
    releases (id) {
        id -> Text,
        number -> BigInt,
        title -> Text,
        title_folded -> Text,
        description -> Nullable<Text>,
        version -> Nullable<Text>,
        version_folded -> Nullable<Text>,
        #[sql_name = "type"]
        type_ -> Text,
        portfolio_id -> Text,
        model_id -> Text,
        workflow_id -> Text,
        requester -> Text,
        requester_user_id -> Nullable<Text>,
        requester_unit_id -> Nullable<Text>,
        contract_id -> Nullable<Text>,
        executor_group_id -> Text,
        assignee_id -> Nullable<Text>,
        impact -> Text,
        urgency -> Text,
        risk -> Text,
        priority -> BigInt,
        acceptance_criteria -> Text,
        status -> Text,
        status_before_suspension -> Nullable<Text>,
        stage -> Text,
        planning_start -> Nullable<Timestamp>,
        planning_end -> Nullable<Timestamp>,
        deployment_start -> Nullable<Timestamp>,
        deployment_end -> Nullable<Timestamp>,
        deadline -> Nullable<Timestamp>,
        release_date -> Nullable<Timestamp>,
        resolution -> Nullable<Text>,
        solution_category_id -> Nullable<Text>,
        closure_notes -> Nullable<Text>,
        reopen_count -> BigInt,
        tags -> Text,
        custom_fields -> Text,
        notify -> Text,
        row_version -> BigInt,
        created_at -> Timestamp,
        created_by -> Text,
        updated_at -> Timestamp,
        closed_at -> Nullable<Timestamp>,
        cancelled_at -> Nullable<Timestamp>,
        suspended_at -> Nullable<Timestamp>,
        audit_seq -> BigInt,
        audit_head -> Text,
    }
}

diesel::table! {
    release_visibility (release_id, principal, reason) {
        release_id -> Text,
        principal -> Text,
        reason -> Text,
    }
}

diesel::table! {
    release_tags (release_id, tag) {
        release_id -> Text,
        tag -> Text,
    }
}

diesel::table! {
    release_dependencies (release_id, depends_on_id) {
        release_id -> Text,
        depends_on_id -> Text,
    }
}

diesel::table! {
    release_changes (id) {
        id -> Text,
        release_id -> Text,
        change_id -> Text,
        outcome -> Text,
        outcome_note -> Nullable<Text>,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    transitions (id) {
        id -> Text,
        release_id -> Text,
        seq -> BigInt,
        action -> Text,
        from_status -> Text,
        to_status -> Text,
        from_stage -> Text,
        to_stage -> Text,
        justification_id -> Nullable<Text>,
        solution_category_id -> Nullable<Text>,
        details -> Text,
        actor_id -> Text,
        at -> Timestamp,
    }
}

diesel::table! {
    audit (id) {
        id -> Text,
        record_type -> Text,
        record_id -> Text,
        seq -> BigInt,
        action -> Text,
        subject_type -> Text,
        subject_id -> Text,
        actor_id -> Nullable<Text>,
        actor_name -> Text,
        via -> Text,
        request_id -> Text,
        at -> Timestamp,
        changes -> Text,
        salt -> Text,
        changes_digest -> Text,
        previous_hash -> Text,
        hash -> Text,
    }
}

diesel::table! {
    audit_tombstones (record_type, record_id) {
        record_type -> Text,
        record_id -> Text,
        audit_seq -> BigInt,
        audit_head -> Text,
    }
}

diesel::table! {
    events (id) {
        id -> Text,
        record_type -> Text,
        record_id -> Text,
        seq -> BigInt,
        #[sql_name = "type"]
        type_ -> Text,
        at -> Timestamp,
    }
}

diesel::table! {
    idempotency_keys (caller, key) {
        caller -> Text,
        key -> Text,
        fingerprint -> Text,
        status -> BigInt,
        location -> Nullable<Text>,
        row_version -> Nullable<BigInt>,
        release_id -> Nullable<Text>,
        body -> Text,
        created_at -> Timestamp,
    }
}

diesel::table! {
    sessions (id) {
        id -> Text,
        user_id -> Text,
        created_at -> Timestamp,
        expires_at -> Timestamp,
        revoked_at -> Nullable<Timestamp>,
        audit_seq -> BigInt,
        audit_head -> Text,
    }
}

diesel::table! {
    refresh_tokens (hash) {
        hash -> Text,
        session_id -> Text,
        created_at -> Timestamp,
        used_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    personal_tokens (id) {
        id -> Text,
        user_id -> Text,
        name -> Text,
        hash -> Text,
        hint -> Text,
        scopes -> Text,
        expires_at -> Nullable<Timestamp>,
        last_used_at -> Nullable<Timestamp>,
        revoked_at -> Nullable<Timestamp>,
        row_version -> BigInt,
        created_at -> Timestamp,
        audit_seq -> BigInt,
        audit_head -> Text,
    }
}

diesel::table! {
    signing_keys (kid) {
        kid -> Text,
        public_key -> Text,
        sealed_private_key -> Text,
        created_at -> Timestamp,
        retired_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    login_throttle (key) {
        key -> Text,
        failures -> BigInt,
        window_started_at -> Timestamp,
    }
}

diesel::table! {
    settings (key) {
        key -> Text,
        value -> Text,
    }
}

diesel::table! {
    reference_state (token) {
        token -> Text,
    }
}

diesel::table! {
    leases (name) {
        name -> Text,
        holder -> Text,
        expires_at -> Timestamp,
        done_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    checkpoints (seq) {
        seq -> BigInt,
        id -> Text,
        taken_at -> Timestamp,
        covered_to -> Timestamp,
        heads -> BigInt,
        statement -> Text,
    }
}

diesel::table! {
    checkpoint_heads (checkpoint, record_type, record_id) {
        checkpoint -> BigInt,
        record_type -> Text,
        record_id -> Text,
        audit_seq -> BigInt,
        audit_head -> Text,
    }
}

diesel::table! {
    documents (id) {
        id -> Text,
        release_id -> Text,
        class -> Text,
        name -> Text,
        name_folded -> Text,
        description -> Nullable<Text>,
        version -> Nullable<Text>,
        media_type -> Text,
        size_bytes -> BigInt,
        sha256 -> Text,
        store_key -> Text,
        uploaded_by -> Text,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        deleted_at -> Nullable<Timestamp>,
        deleted_by -> Nullable<Text>,
        content_removed_at -> Nullable<Timestamp>,
    }
}

diesel::joinable!(group_members -> users (user_id));
diesel::joinable!(group_members -> groups (group_id));
diesel::joinable!(release_changes -> changes (change_id));
diesel::joinable!(release_changes -> releases (release_id));
diesel::joinable!(sessions -> users (user_id));
diesel::joinable!(personal_tokens -> users (user_id));
diesel::joinable!(passwords -> users (user_id));

diesel::allow_tables_to_appear_in_same_query!(
    units,
    users,
    passwords,
    groups,
    group_members,
    contracts,
    justifications,
    solution_categories,
    portfolios,
    workflows,
    models,
    changes,
    releases,
    release_visibility,
    release_tags,
    release_dependencies,
    release_changes,
    transitions,
    audit,
    audit_tombstones,
    events,
    idempotency_keys,
    sessions,
    refresh_tokens,
    personal_tokens,
    signing_keys,
    login_throttle,
    settings,
    reference_state,
    leases,
    checkpoints,
    checkpoint_heads,
    documents
);
