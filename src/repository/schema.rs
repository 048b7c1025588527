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
    calendars (id) {
        id -> Text,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        audit_seq -> BigInt,
        audit_head -> Text,
        name -> Text,
        description -> Nullable<Text>,
        time_zone -> Text,
        working_hours -> Text,
        holidays -> Text,
        active -> Bool,
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
        origin -> Text,
    }
}

diesel::table! {
    workflow_series (id) {
        id -> Text,
        key -> Text,
        row_version -> BigInt,
        retired_at -> Nullable<Timestamp>,
        audit_seq -> BigInt,
        audit_head -> Text,
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
        calendar_id -> Nullable<Text>,
        approval_rule -> Nullable<Text>,
        activity_templates -> Text,
        checklist_template_ids -> Text,
        custom_fields_schema -> Nullable<Text>,
        notify -> Text,
        asks_for -> Text,
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
        configuration_item_ids -> Text,
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
        calendar_id -> Nullable<Text>,
        asks_for -> Text,
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
    set_aside_indexes (name) {
        name -> Text,
        statement -> Text,
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
    release_roles (id) {
        id -> Text,
        release_id -> Text,
        role -> Text,
        phase -> Nullable<Text>,
        user_id -> Nullable<Text>,
        name -> Nullable<Text>,
        email -> Nullable<Text>,
        text -> Nullable<Text>,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    release_records (id) {
        id -> Text,
        release_id -> Text,
        kind -> Text,
        category -> Nullable<Text>,
        origin -> Text,
        minutes_spent -> Nullable<BigInt>,
        contact -> Nullable<Text>,
        body -> Text,
        corrects_id -> Nullable<Text>,
        author_id -> Text,
        created_at -> Timestamp,
    }
}

diesel::table! {
    release_shares (id) {
        id -> Text,
        release_id -> Text,
        user_id -> Nullable<Text>,
        group_id -> Nullable<Text>,
        level -> Text,
        shared_by -> Text,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    release_references (id) {
        id -> Text,
        release_id -> Text,
        kind -> Text,
        source -> Text,
        external_id -> Text,
        title -> Text,
        url -> Nullable<Text>,
        status -> Nullable<Text>,
        finished -> Bool,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    release_comments (id) {
        id -> Text,
        release_id -> Text,
        reply_to_id -> Nullable<Text>,
        author_id -> Text,
        body -> Text,
        created_at -> Timestamp,
    }
}

diesel::table! {
    activities (id) {
        id -> Text,
        release_id -> Text,
        phase -> Text,
        status -> Text,
        position -> Text,
        title -> Text,
        title_folded -> Text,
        description -> Nullable<Text>,
        kind -> Text,
        assignee_id -> Nullable<Text>,
        group_id -> Nullable<Text>,
        technical_guidelines -> Nullable<Text>,
        scheduled_start -> Nullable<Timestamp>,
        due_at -> Nullable<Timestamp>,
        estimated_minutes -> Nullable<BigInt>,
        minutes_spent -> BigInt,
        comment_count -> BigInt,
        checklist -> Text,
        checklist_done -> BigInt,
        checklist_total -> BigInt,
        tags -> Text,
        started_at -> Nullable<Timestamp>,
        finished_at -> Nullable<Timestamp>,
        archived_at -> Nullable<Timestamp>,
        row_version -> BigInt,
        created_at -> Timestamp,
        created_by -> Text,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    activity_tags (activity_id, tag) {
        activity_id -> Text,
        tag -> Text,
    }
}

diesel::table! {
    activity_dependencies (activity_id, depends_on_id) {
        activity_id -> Text,
        depends_on_id -> Text,
        release_id -> Text,
    }
}

diesel::table! {
    activity_time_entries (id) {
        id -> Text,
        activity_id -> Text,
        user_id -> Text,
        minutes -> BigInt,
        started_at -> Nullable<Timestamp>,
        note -> Nullable<Text>,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    activity_comments (id) {
        id -> Text,
        activity_id -> Text,
        author_id -> Text,
        body -> Text,
        created_at -> Timestamp,
    }
}

diesel::table! {
    release_approvals (release_id) {
        release_id -> Text,
        kind -> Text,
        quorum -> Nullable<BigInt>,
        percent -> Nullable<BigInt>,
        needed -> BigInt,
        requester_may_approve -> Bool,
        round -> BigInt,
        is_open -> Bool,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    approval_voters (release_id, principal) {
        release_id -> Text,
        principal -> Text,
        position -> BigInt,
        user_id -> Nullable<Text>,
        group_id -> Nullable<Text>,
        asked -> Bool,
        decision -> Nullable<Text>,
        voted_by -> Nullable<Text>,
        vote_id -> Nullable<Text>,
    }
}

diesel::table! {
    approval_rounds (release_id, round) {
        release_id -> Text,
        round -> BigInt,
        cause -> Text,
        reason -> Nullable<Text>,
        rule -> Text,
        opened_at -> Timestamp,
    }
}

diesel::table! {
    approval_votes (id) {
        id -> Text,
        release_id -> Text,
        round -> BigInt,
        principal -> Text,
        user_id -> Text,
        group_id -> Nullable<Text>,
        decision -> Text,
        comment -> Nullable<Text>,
        state -> Text,
        withdrawn_by -> Nullable<Text>,
        withdrawal_comment -> Nullable<Text>,
        row_version -> BigInt,
        cast_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    checklist_templates (id) {
        id -> Text,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        audit_seq -> BigInt,
        audit_head -> Text,
        name -> Text,
        description -> Nullable<Text>,
        active -> Bool,
        stage -> Text,
        required -> Bool,
        questions -> Text,
    }
}

diesel::table! {
    release_checklists (id) {
        id -> Text,
        release_id -> Text,
        template_id -> Nullable<Text>,
        title -> Text,
        stage -> Text,
        required -> Bool,
        questions -> Text,
        confirmed -> Bool,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    checklist_answers (checklist_id, question_key) {
        checklist_id -> Text,
        question_key -> Text,
        value -> Text,
        note -> Nullable<Text>,
        answered_by -> Text,
        answered_at -> Timestamp,
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

diesel::table! {
    configuration_items (id) {
        id -> Text,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        audit_seq -> BigInt,
        audit_head -> Text,
        source -> Text,
        external_id -> Text,
        name -> Text,
        class -> Text,
        environment -> Nullable<Text>,
        status -> Text,
        version -> Nullable<Text>,
        serial -> Nullable<Text>,
        location -> Nullable<Text>,
        owner_group_id -> Nullable<Text>,
        attributes -> Text,
        source_revision -> Nullable<BigInt>,
    }
}

diesel::table! {
    configuration_item_relationships (id) {
        id -> Text,
        configuration_item_id -> Text,
        kind -> Text,
        target_id -> Text,
        created_at -> Timestamp,
    }
}

diesel::table! {
    imports (id) {
        id -> Text,
        format -> Text,
        name -> Nullable<Text>,
        dry_run -> Bool,
        state -> Text,
        detail -> Nullable<Text>,
        size_bytes -> BigInt,
        sha256 -> Text,
        store_key -> Text,
        bytes_done -> BigInt,
        lines_done -> BigInt,
        rows_done -> BigInt,
        created -> BigInt,
        updated -> BigInt,
        unchanged -> BigInt,
        failed -> BigInt,
        actor_id -> Nullable<Text>,
        actor_name -> Text,
        via -> Text,
        request_id -> Text,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        started_at -> Nullable<Timestamp>,
        finished_at -> Nullable<Timestamp>,
        content_removed_at -> Nullable<Timestamp>,
        failures -> BigInt,
        retry_at -> Nullable<Timestamp>,
        results_expired_at -> Nullable<Timestamp>,
        results_removed_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    import_results (import_id, line) {
        import_id -> Text,
        line -> BigInt,
        outcome -> Text,
        kind -> Nullable<Text>,
        record_key -> Nullable<Text>,
        record_id -> Nullable<Text>,
        errors -> Nullable<Text>,
    }
}

diesel::table! {
    configuration_item_history (id) {
        id -> Text,
        configuration_item_id -> Text,
        row_version -> BigInt,
        origin -> Text,
        release_id -> Nullable<Text>,
        import_id -> Nullable<Text>,
        actor_id -> Nullable<Text>,
        actor_name -> Text,
        request_id -> Text,
        at -> Timestamp,
        before -> Nullable<Text>,
        after -> Text,
    }
}

diesel::table! {
    configuration_item_attributes (configuration_item_id, name) {
        configuration_item_id -> Text,
        name -> Text,
        value -> Text,
    }
}

diesel::table! {
    definitive_media (id) {
        id -> Text,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        audit_seq -> BigInt,
        audit_head -> Text,
        name -> Text,
        version -> Text,
        kind -> Text,
        status -> Text,
        physical_location -> Nullable<Text>,
        logical_location -> Nullable<Text>,
        sha256 -> Nullable<Text>,
        licence -> Nullable<Text>,
        notes -> Nullable<Text>,
        size_bytes -> Nullable<BigInt>,
        media_type -> Nullable<Text>,
        store_key -> Nullable<Text>,
        file_name -> Nullable<Text>,
        content_sha256 -> Nullable<Text>,
        stored_at -> Nullable<Timestamp>,
        verified_at -> Nullable<Timestamp>,
        verified_by -> Nullable<Text>,
        authorised_at -> Nullable<Timestamp>,
        authorised_by -> Nullable<Text>,
    }
}

diesel::table! {
    hardware_spares (id) {
        id -> Text,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        audit_seq -> BigInt,
        audit_head -> Text,
        model -> Text,
        serial -> Text,
        location -> Nullable<Text>,
        notes -> Nullable<Text>,
        status -> Text,
        configuration_item_id -> Nullable<Text>,
    }
}

diesel::table! {
    release_configuration_items (id) {
        id -> Text,
        release_id -> Text,
        configuration_item_id -> Text,
        change_id -> Nullable<Text>,
        description -> Nullable<Text>,
        intended_version -> Nullable<Text>,
        intended_status -> Nullable<Text>,
        intended_environment -> Nullable<Text>,
        medium_id -> Nullable<Text>,
        spare_model -> Nullable<Text>,
        outcome -> Text,
        outcome_note -> Nullable<Text>,
        seen_row_version -> BigInt,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    write_backs (id) {
        id -> Text,
        kind -> Text,
        state -> Text,
        release_id -> Text,
        link_id -> Text,
        configuration_item_id -> Text,
        history_id -> Text,
        source -> Text,
        cmdb_revision -> Nullable<Text>,
        note -> Nullable<Text>,
        answered_at -> Nullable<Timestamp>,
        answered_by -> Nullable<Text>,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    release_definitive_media (id) {
        id -> Text,
        release_id -> Text,
        medium_id -> Text,
        description -> Nullable<Text>,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    release_hardware_spares (id) {
        id -> Text,
        release_id -> Text,
        spare_id -> Text,
        configuration_item_id -> Nullable<Text>,
        link_id -> Nullable<Text>,
        description -> Nullable<Text>,
        state -> Text,
        row_version -> BigInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

diesel::joinable!(group_members -> users (user_id));
diesel::joinable!(group_members -> groups (group_id));
diesel::joinable!(release_changes -> changes (change_id));
diesel::joinable!(release_changes -> releases (release_id));
diesel::joinable!(activity_comments -> users (author_id));
diesel::joinable!(sessions -> users (user_id));
diesel::joinable!(personal_tokens -> users (user_id));
diesel::joinable!(passwords -> users (user_id));
diesel::joinable!(release_roles -> users (user_id));
diesel::joinable!(release_configuration_items -> configuration_items (configuration_item_id));
diesel::joinable!(release_configuration_items -> definitive_media (medium_id));
diesel::joinable!(release_definitive_media -> definitive_media (medium_id));
diesel::joinable!(release_hardware_spares -> hardware_spares (spare_id));
diesel::joinable!(write_backs -> configuration_items (configuration_item_id));
diesel::joinable!(write_backs -> configuration_item_history (history_id));
diesel::joinable!(checklist_answers -> release_checklists (checklist_id));

diesel::allow_tables_to_appear_in_same_query!(
    units,
    users,
    passwords,
    groups,
    group_members,
    contracts,
    calendars,
    justifications,
    solution_categories,
    portfolios,
    workflows,
    workflow_series,
    models,
    changes,
    releases,
    release_visibility,
    release_tags,
    release_dependencies,
    release_changes,
    activities,
    activity_tags,
    activity_dependencies,
    activity_time_entries,
    activity_comments,
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
    set_aside_indexes,
    reference_state,
    leases,
    checkpoints,
    checkpoint_heads,
    release_roles,
    release_records,
    release_shares,
    release_references,
    release_comments,
    release_approvals,
    approval_voters,
    approval_rounds,
    approval_votes,
    checklist_templates,
    release_checklists,
    checklist_answers,
    documents,
    configuration_items,
    configuration_item_relationships,
    imports,
    import_results,
    configuration_item_history,
    definitive_media,
    hardware_spares,
    release_configuration_items,
    write_backs,
    release_definitive_media,
    release_hardware_spares
);
