//! The reviewed lists of functions: which built-in ones are harmless, and which are known to do more than compute.
//!
//! Read from `pg_proc` of PostgreSQL 14 to 18 (postgres.bki). The rule, in this order:
//!
//! 1. a name in `DANGEROUS` has the class given there, whichever schema it is in;
//! 2. a function that didn't come with the server is `Unknown`;
//! 3. a built-in one that is immutable is harmless: it may not look at the database at all;
//! 4. a built-in one that is stable or volatile is harmless if `HARMLESS` names it;
//! 5. anything else is `Unknown`.
//!
//! SECURITY: stable functions read the database, so a newer server's are not harmless before somebody has read them.
//! Classes go by name, all overloads alike, the strictest deciding. Functions that take `internal` arguments can't be
//! called from SQL and are not listed. Knows names and reasons; no bundle, no Cedar.

use std::fmt;

use model::QualifiedName;

use crate::resource::Volatility;

/// What calling a function can do beyond computing its result from its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FunctionClass {
    /// Nothing: it needs no permit.
    Harmless,
    /// It changes data, settings, other sessions or the server, or holds them up.
    Changes,
    /// It shows data, other sessions' texts or the server's files without touching a relation by name.
    Reveals,
    /// It runs SQL given as text, or a query it builds from names: what that touches can't be seen.
    RunsText,
    /// Not reviewed.
    Unknown,
}

impl FunctionClass {
    /// Returns every class.
    pub const fn all() -> [Self; 5] {
        [Self::Harmless, Self::Changes, Self::Reveals, Self::RunsText, Self::Unknown]
    }

    /// Returns the word that rules compare `resource.class` with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Harmless => "harmless",
            Self::Changes => "changes",
            Self::Reveals => "reveals",
            Self::RunsText => "runs_text",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for FunctionClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Classes a function that came with the server.
pub(crate) fn classify(name: &QualifiedName, volatility: Volatility) -> FunctionClass {
    if let Some(entry) = dangerous(&name.name) {
        return entry.class;
    }
    match volatility {
        Volatility::Immutable => FunctionClass::Harmless,
        Volatility::Stable | Volatility::Volatile => {
            if HARMLESS.iter().any(|(_, names)| names.contains(&name.name.as_str())) {
                FunctionClass::Harmless
            } else {
                FunctionClass::Unknown
            }
        }
    }
}

/// Classes a function that somebody made: never harmless.
pub(crate) fn classify_foreign(name: &QualifiedName) -> FunctionClass {
    dangerous(&name.name).map_or(FunctionClass::Unknown, |entry| entry.class)
}

/// Returns why a function of this name is not harmless, if it is one of those that were reviewed.
pub fn reason(name: &str) -> Option<&'static str> {
    dangerous(name).map(|entry| entry.reason)
}

fn dangerous(name: &str) -> Option<&'static Dangerous> {
    DANGEROUS.iter().find(|entry| {
        entry.names.iter().any(|listed| match listed.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == *listed,
        })
    })
}

/// Names that share a class for one reason; `*` at the end stands for any ending.
struct Dangerous {
    class: FunctionClass,
    reason: &'static str,
    names: &'static [&'static str],
}

#[rustfmt::skip]
const DANGEROUS: &[Dangerous] = &[
    Dangerous { class: FunctionClass::RunsText, reason: "runs a query given as text", names: &[
        "query_to_xml*", "cursor_to_xml*", "ts_stat", "ts_rewrite", "dblink*", "crosstab*", "connectby", "xpath_table",
        "pgxml_xpath",
    ]},
    Dangerous { class: FunctionClass::RunsText, reason: "reads whole relations that are named by its arguments", names: &[
        "table_to_xml*", "schema_to_xml*", "database_to_xml*",
    ]},
    Dangerous { class: FunctionClass::Reveals, reason: "reads files of the server", names: &[
        "pg_read_file*", "pg_read_binary_file", "pg_ls_*", "pg_stat_file", "pg_logdir_ls", "pg_current_logfile", "pg_hba_file_rules",
        "pg_ident_file_mappings", "pg_show_all_file_settings", "pg_config",
    ]},
    Dangerous { class: FunctionClass::Reveals, reason: "shows rows as they are stored", names: &[
        "get_raw_page", "heap_page_*", "tuple_data_split", "bt_page_*", "bt_multi_page_stats", "brin_page_items",
        "brin_revmap_data", "gist_page_items*", "hash_page_items", "gin_leafpage_items", "pg_get_wal_record_info",
        "pg_get_wal_records_info*", "pg_get_wal_block_info", "pg_logical_slot_get_*", "pg_logical_slot_peek_*",
    ]},
    Dangerous { class: FunctionClass::Reveals, reason: "shows values of sequences or of columns' statistics", names: &[
        "pg_sequence_last_value", "pg_get_sequence_data", "pg_mcv_list_items", "currval", "lastval",
    ]},
    Dangerous { class: FunctionClass::Reveals, reason: "shows what other sessions do", names: &[
        "pg_stat_get_activity", "pg_stat_get_backend_*", "pg_stat_get_progress_info", "pg_stat_get_wal_senders",
        "pg_stat_get_wal_receiver", "pg_stat_get_subscription*", "pg_stat_get_replication_slot", "pg_lock_status", "pgrowlocks",
        "pg_prepared_xact", "pg_get_replication_slots", "pg_show_replication_origin_status", "pg_replication_origin_progress",
        "pg_replication_origin_session_progress", "pg_get_backend_memory_contexts", "pg_stat_statements*", "pg_get_aios",
        "pg_get_multixact_members",
    ]},
    Dangerous { class: FunctionClass::Changes, reason: "reads or writes large objects, which no rule about relations covers", names: &[
        "lo_*", "loread", "lowrite",
    ]},
    Dangerous { class: FunctionClass::Changes, reason: "changes a setting, the session's role included", names: &[
        "set_config",
    ]},
    Dangerous { class: FunctionClass::Changes, reason: "keeps a value in the session, for random() to give back", names: &[
        "setseed",
    ]},
    Dangerous { class: FunctionClass::Changes, reason: "advances a sequence", names: &[
        "nextval", "setval", "pg_nextoid",
    ]},
    Dangerous { class: FunctionClass::Changes, reason: "sends a message to other sessions", names: &[
        "pg_notify", "pg_logical_emit_message",
    ]},
    Dangerous { class: FunctionClass::Changes, reason: "holds up this session or others", names: &[
        "pg_sleep*", "pg_advisory_*", "pg_try_advisory_*", "pg_export_snapshot",
    ]},
    Dangerous { class: FunctionClass::Changes, reason: "ends or disturbs other sessions", names: &[
        "pg_terminate_backend", "pg_cancel_backend", "pg_log_backend_memory_contexts",
    ]},
    Dangerous { class: FunctionClass::Changes, reason: "changes the server", names: &[
        "pg_reload_conf", "pg_rotate_logfile*", "pg_switch_wal", "pg_promote", "pg_backup_*", "pg_start_backup", "pg_stop_backup",
        "pg_create_restore_point", "pg_wal_replay_pause", "pg_wal_replay_resume", "pg_log_standby_snapshot", "pg_import_system_collations",
        "pg_stat_reset*", "pg_stat_force_next_flush", "binary_upgrade_*", "pg_stop_making_pinned_objects", "pg_extension_config_dump",
        "pg_file_write", "pg_file_rename", "pg_file_unlink", "pg_file_sync",
    ]},
    Dangerous { class: FunctionClass::Changes, reason: "changes replication", names: &[
        "pg_create_physical_replication_slot", "pg_create_logical_replication_slot", "pg_copy_physical_replication_slot",
        "pg_copy_logical_replication_slot", "pg_drop_replication_slot", "pg_replication_slot_advance", "pg_sync_replication_slots",
        "pg_replication_origin_create", "pg_replication_origin_drop", "pg_replication_origin_advance",
        "pg_replication_origin_session_setup", "pg_replication_origin_session_reset", "pg_replication_origin_xact_setup",
        "pg_replication_origin_xact_reset",
    ]},
    Dangerous { class: FunctionClass::Changes, reason: "changes an index or a relation's statistics", names: &[
        "brin_summarize_*", "brin_desummarize_range", "gin_clean_pending_list", "pg_clear_attribute_stats",
        "pg_clear_relation_stats", "pg_restore_attribute_stats", "pg_restore_relation_stats",
    ]},
    Dangerous { class: FunctionClass::Reveals, reason: "follows row versions of a relation that is named by its argument", names: &[
        "currtid*",
    ]},
];

/// Stable and volatile built-in functions that do nothing but compute, each group for one reason.
#[rustfmt::skip]
const HARMLESS: &[(&str, &[&str])] = &[
    ("input and output of values of a type: depend on settings or catalogs only", &[
        "aclitemin", "aclitemout", "anyarray_out", "anyarray_recv", "anyarray_send", "anycompatiblearray_out", "anycompatiblearray_recv",
        "anycompatiblearray_send", "anycompatiblemultirange_in", "anycompatiblemultirange_out", "anycompatiblerange_in",
        "anycompatiblerange_out", "anyenum_out", "anymultirange_in", "anymultirange_out", "anyrange_in", "anyrange_out",
        "array_in", "array_out", "array_recv", "array_send", "bpcharrecv", "bpcharsend", "cash_in", "cash_out", "cstring_recv",
        "cstring_send", "date_in", "date_out", "domain_in", "domain_recv", "enum_in", "enum_out", "enum_recv", "enum_send",
        "interval_in", "interval_out", "multirange_in", "multirange_out", "multirange_recv", "multirange_send", "namerecv",
        "namesend", "range_in", "range_out", "range_recv", "range_send", "record_in", "record_out", "record_recv",
        "record_send", "regclassin", "regclassout", "regcollationin", "regcollationout", "regconfigin", "regconfigout",
        "regdictionaryin", "regdictionaryout", "regnamespacein", "regnamespaceout", "regoperatorin", "regoperatorout",
        "regoperin", "regoperout", "regprocedurein", "regprocedureout", "regprocin", "regprocout", "regrolein", "regroleout",
        "regtypein", "regtypeout", "textrecv", "textsend", "time_in", "timestamp_in", "timestamp_out", "timestamptz_in",
        "timestamptz_out", "timetz_in", "varcharrecv", "varcharsend", "xml_in", "xml_recv", "xml_send",
    ]),
    ("conversion and formatting of values: depends on settings only", &[
        "array_to_json", "array_to_string", "concat", "concat_ws", "convert", "convert_from", "convert_to", "format", "length",
        "money", "numeric", "quote_literal", "quote_nullable", "regclass", "anytextcat", "textanycat", "to_char", "to_date",
        "to_json", "to_jsonb", "to_number", "to_timestamp", "row_to_json", "json_build_array", "json_build_object",
        "json_populate_record", "json_populate_recordset", "json_to_record", "json_to_recordset", "jsonb_build_array",
        "jsonb_build_object", "jsonb_populate_record", "jsonb_populate_record_valid", "jsonb_populate_recordset",
        "jsonb_to_record", "jsonb_to_recordset", "jsonb_path_exists_tz", "jsonb_path_match_tz", "jsonb_path_query_array_tz",
        "jsonb_path_query_first_tz", "jsonb_path_query_tz", "xml", "xml_is_well_formed", "aclexplode", "enum_first",
        "enum_last", "enum_range", "pg_input_error_info", "pg_input_is_valid",
    ]),
    ("aggregates of the values given", &[
        "json_agg", "json_agg_strict", "json_agg_strict_transfn", "json_agg_transfn", "json_object_agg", "json_object_agg_strict",
        "json_object_agg_strict_transfn", "json_object_agg_transfn", "json_object_agg_unique", "json_object_agg_unique_strict",
        "json_object_agg_unique_strict_transfn", "json_object_agg_unique_transfn", "jsonb_agg", "jsonb_agg_finalfn",
        "jsonb_agg_strict", "jsonb_agg_strict_transfn", "jsonb_agg_transfn", "jsonb_object_agg", "jsonb_object_agg_finalfn",
        "jsonb_object_agg_strict", "jsonb_object_agg_strict_transfn", "jsonb_object_agg_transfn", "jsonb_object_agg_unique",
        "jsonb_object_agg_unique_strict", "jsonb_object_agg_unique_strict_transfn", "jsonb_object_agg_unique_transfn",
    ]),
    ("dates and times: depend on the clock and the time zone only", &[
        "age", "clock_timestamp", "date", "date_add", "date_cmp_timestamptz", "date_eq_timestamptz", "date_ge_timestamptz",
        "date_gt_timestamptz", "date_le_timestamptz", "date_lt_timestamptz", "date_ne_timestamptz", "date_part",
        "date_subtract", "date_trunc", "extract", "generate_series", "in_range", "interval_pl_timestamptz", "make_timestamptz",
        "now", "overlaps", "statement_timestamp", "time", "timeofday", "timestamp", "timestamp_cmp_timestamptz",
        "timestamp_eq_timestamptz", "timestamp_ge_timestamptz", "timestamp_gt_timestamptz", "timestamp_le_timestamptz",
        "timestamp_lt_timestamptz", "timestamp_ne_timestamptz", "timestamptz", "timestamptz_cmp_date",
        "timestamptz_cmp_timestamp", "timestamptz_eq_date", "timestamptz_eq_timestamp", "timestamptz_ge_date",
        "timestamptz_ge_timestamp", "timestamptz_gt_date", "timestamptz_gt_timestamp", "timestamptz_le_date",
        "timestamptz_le_timestamp", "timestamptz_lt_date", "timestamptz_lt_timestamp", "timestamptz_mi_interval",
        "timestamptz_ne_date", "timestamptz_ne_timestamp", "timestamptz_pl_interval", "timetz", "timezone",
        "transaction_timestamp", "pg_timezone_abbrevs", "pg_timezone_abbrevs_abbrevs", "pg_timezone_abbrevs_zone",
        "pg_timezone_names",
    ]),
    ("randomness", &[
        "array_sample", "array_shuffle", "gen_random_uuid", "random", "random_normal", "uuidv4", "uuidv7",
    ]),
    ("text search: reads its configuration only", &[
        "get_current_ts_config", "json_to_tsvector", "jsonb_to_tsvector", "phraseto_tsquery", "plainto_tsquery", "to_tsquery",
        "to_tsvector", "ts_debug", "ts_headline", "ts_match_tq", "ts_match_tt", "ts_parse", "ts_token_type",
        "websearch_to_tsquery",
    ]),
    ("the session and its own settings, as SHOW", &[
        "current_database", "current_query", "current_schema", "current_schemas", "current_setting", "current_user",
        "getdatabaseencoding", "getpgusername", "inet_client_addr", "inet_client_port", "inet_server_addr", "inet_server_port",
        "pg_backend_pid", "pg_char_to_encoding", "pg_client_encoding", "pg_encoding_to_char", "pg_is_other_temp_schema",
        "pg_my_temp_schema", "pg_listening_channels", "pg_cursor", "pg_prepared_statement", "pg_settings_get_flags",
        "pg_show_all_settings", "pg_trigger_depth", "row_security_active", "session_user", "system_user", "version",
    ]),
    ("transaction identifiers and whether they committed", &[
        "pg_current_snapshot", "pg_current_xact_id", "pg_current_xact_id_if_assigned", "pg_last_committed_xact",
        "pg_xact_commit_timestamp", "pg_xact_commit_timestamp_origin", "pg_xact_status", "txid_current",
        "txid_current_if_assigned", "txid_current_snapshot", "txid_status", "mxid_age",
    ]),
    ("privileges: yes or no", &[
        "has_any_column_privilege", "has_column_privilege", "has_database_privilege", "has_foreign_data_wrapper_privilege",
        "has_function_privilege", "has_language_privilege", "has_largeobject_privilege", "has_parameter_privilege",
        "has_schema_privilege", "has_sequence_privilege", "has_server_privilege", "has_table_privilege",
        "has_tablespace_privilege", "has_type_privilege", "pg_has_role",
    ]),
    ("names and definitions in the catalog", &[
        "amvalidate", "col_description", "format_type", "obj_description", "oidvectortypes", "pg_available_extension_versions",
        "pg_available_extensions", "pg_basetype", "pg_collation_actual_version", "pg_collation_for", "pg_collation_is_visible",
        "pg_column_is_updatable", "pg_conversion_is_visible", "pg_database_collation_actual_version", "pg_describe_object",
        "pg_extension_update_paths", "pg_filenode_relation", "pg_function_is_visible", "pg_get_acl",
        "pg_get_catalog_foreign_keys", "pg_get_constraintdef", "pg_get_expr", "pg_get_function_arg_default",
        "pg_get_function_arguments", "pg_get_function_identity_arguments", "pg_get_function_result",
        "pg_get_function_sqlbody", "pg_get_functiondef", "pg_get_indexdef", "pg_get_keywords", "pg_get_object_address",
        "pg_get_partition_constraintdef", "pg_get_partkeydef", "pg_get_publication_tables",
        "pg_get_replica_identity_index", "pg_get_ruledef", "pg_get_serial_sequence", "pg_get_statisticsobjdef",
        "pg_get_statisticsobjdef_columns", "pg_get_statisticsobjdef_expressions", "pg_get_triggerdef", "pg_get_userbyid",
        "pg_get_viewdef", "pg_get_wait_events", "pg_identify_object", "pg_identify_object_as_address",
        "pg_index_column_has_property", "pg_index_has_property", "pg_indexam_has_property", "pg_opclass_is_visible",
        "pg_operator_is_visible", "pg_opfamily_is_visible", "pg_options_to_table", "pg_partition_ancestors",
        "pg_partition_tree", "pg_relation_filenode", "pg_relation_filepath", "pg_relation_is_publishable",
        "pg_relation_is_updatable", "pg_sequence_parameters", "pg_statistics_obj_is_visible", "pg_table_is_visible",
        "pg_tablespace_databases", "pg_tablespace_location", "pg_ts_config_is_visible", "pg_ts_dict_is_visible",
        "pg_ts_parser_is_visible", "pg_ts_template_is_visible", "pg_type_is_visible", "pg_typeof", "shobj_description",
        "to_regclass", "to_regcollation", "to_regnamespace", "to_regoper", "to_regoperator", "to_regproc",
        "to_regprocedure", "to_regrole", "to_regtype", "to_regtypemod", "_pg_index_position",
    ]),
    ("sizes", &[
        "pg_column_compression", "pg_column_size", "pg_column_toast_chunk_id", "pg_database_size", "pg_indexes_size",
        "pg_relation_size", "pg_table_size", "pg_tablespace_size", "pg_total_relation_size",
    ]),
    ("the server's state, as drivers and tools ask for it", &[
        "pg_blocking_pids", "pg_conf_load_time", "pg_current_wal_flush_lsn", "pg_current_wal_insert_lsn", "pg_current_wal_lsn",
        "pg_is_in_backup", "pg_is_in_recovery", "pg_is_wal_replay_paused", "pg_jit_available", "pg_last_wal_receive_lsn",
        "pg_last_wal_replay_lsn", "pg_last_xact_replay_timestamp", "pg_notification_queue_usage", "pg_numa_available",
        "pg_postmaster_start_time", "pg_safe_snapshot_blocking_pids", "pg_split_walfile_name",
    ]),
    ("counts of accesses, as coarse as pg_class.reltuples", &[
        "pg_stat_clear_snapshot", "pg_stat_get_analyze_count", "pg_stat_get_autoanalyze_count", "pg_stat_get_autovacuum_count",
        "pg_stat_get_bgwriter_buf_written_checkpoints", "pg_stat_get_bgwriter_buf_written_clean",
        "pg_stat_get_bgwriter_maxwritten_clean", "pg_stat_get_bgwriter_requested_checkpoints",
        "pg_stat_get_bgwriter_stat_reset_time", "pg_stat_get_bgwriter_timed_checkpoints", "pg_stat_get_blocks_fetched",
        "pg_stat_get_blocks_hit", "pg_stat_get_buf_alloc", "pg_stat_get_buf_fsync_backend",
        "pg_stat_get_buf_written_backend", "pg_stat_get_checkpoint_sync_time", "pg_stat_get_checkpoint_write_time",
        "pg_stat_get_checkpointer_buffers_written", "pg_stat_get_checkpointer_num_performed",
        "pg_stat_get_checkpointer_num_requested", "pg_stat_get_checkpointer_num_timed",
        "pg_stat_get_checkpointer_restartpoints_performed", "pg_stat_get_checkpointer_restartpoints_requested",
        "pg_stat_get_checkpointer_restartpoints_timed", "pg_stat_get_checkpointer_slru_written",
        "pg_stat_get_checkpointer_stat_reset_time", "pg_stat_get_checkpointer_sync_time",
        "pg_stat_get_checkpointer_write_time", "pg_stat_get_db_active_time", "pg_stat_get_db_blk_read_time",
        "pg_stat_get_db_blk_write_time", "pg_stat_get_db_blocks_fetched", "pg_stat_get_db_blocks_hit",
        "pg_stat_get_db_checksum_failures", "pg_stat_get_db_checksum_last_failure", "pg_stat_get_db_conflict_all",
        "pg_stat_get_db_conflict_bufferpin", "pg_stat_get_db_conflict_lock", "pg_stat_get_db_conflict_logicalslot",
        "pg_stat_get_db_conflict_snapshot", "pg_stat_get_db_conflict_startup_deadlock",
        "pg_stat_get_db_conflict_tablespace", "pg_stat_get_db_deadlocks", "pg_stat_get_db_idle_in_transaction_time",
        "pg_stat_get_db_numbackends", "pg_stat_get_db_parallel_workers_launched",
        "pg_stat_get_db_parallel_workers_to_launch", "pg_stat_get_db_session_time", "pg_stat_get_db_sessions",
        "pg_stat_get_db_sessions_abandoned", "pg_stat_get_db_sessions_fatal", "pg_stat_get_db_sessions_killed",
        "pg_stat_get_db_stat_reset_time", "pg_stat_get_db_temp_bytes", "pg_stat_get_db_temp_files",
        "pg_stat_get_db_tuples_deleted", "pg_stat_get_db_tuples_fetched", "pg_stat_get_db_tuples_inserted",
        "pg_stat_get_db_tuples_returned", "pg_stat_get_db_tuples_updated", "pg_stat_get_db_xact_commit",
        "pg_stat_get_db_xact_rollback", "pg_stat_get_dead_tuples", "pg_stat_get_function_calls",
        "pg_stat_get_function_self_time", "pg_stat_get_function_total_time", "pg_stat_get_ins_since_vacuum",
        "pg_stat_get_last_analyze_time", "pg_stat_get_last_autoanalyze_time", "pg_stat_get_last_autovacuum_time",
        "pg_stat_get_last_vacuum_time", "pg_stat_get_lastscan", "pg_stat_get_live_tuples", "pg_stat_get_mod_since_analyze",
        "pg_stat_get_numscans", "pg_stat_get_snapshot_timestamp", "pg_stat_get_total_analyze_time",
        "pg_stat_get_total_autoanalyze_time", "pg_stat_get_total_autovacuum_time", "pg_stat_get_total_vacuum_time",
        "pg_stat_get_tuples_deleted", "pg_stat_get_tuples_fetched", "pg_stat_get_tuples_hot_updated",
        "pg_stat_get_tuples_inserted", "pg_stat_get_tuples_newpage_updated", "pg_stat_get_tuples_returned",
        "pg_stat_get_tuples_updated", "pg_stat_get_vacuum_count", "pg_stat_get_xact_blocks_fetched",
        "pg_stat_get_xact_blocks_hit", "pg_stat_get_xact_function_calls", "pg_stat_get_xact_function_self_time",
        "pg_stat_get_xact_function_total_time", "pg_stat_get_xact_numscans", "pg_stat_get_xact_tuples_deleted",
        "pg_stat_get_xact_tuples_fetched", "pg_stat_get_xact_tuples_hot_updated", "pg_stat_get_xact_tuples_inserted",
        "pg_stat_get_xact_tuples_newpage_updated", "pg_stat_get_xact_tuples_returned", "pg_stat_get_xact_tuples_updated",
        "pg_stat_have_stats",
    ]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, volatility: Volatility, class: FunctionClass) {
        let name = QualifiedName { schema: "pg_catalog".to_owned(), name: name.to_owned() };
        assert_eq!(classify(&name, volatility), class, "{name}");
    }

    #[test]
    fn what_runs_text_reads_files_or_changes_is_never_harmless() {
        use FunctionClass::{Changes, Reveals, RunsText};
        // the volatility that PostgreSQL declares doesn't matter for these
        for volatility in Volatility::all() {
            for name in [
                "query_to_xml",
                "query_to_xml_and_xmlschema",
                "cursor_to_xml",
                "ts_stat",
                "ts_rewrite",
                "table_to_xml",
            ] {
                check(name, volatility, RunsText);
            }
            for name in [
                "pg_read_file",
                "pg_ls_dir",
                "pg_ls_waldir",
                "pg_stat_get_activity",
                "pg_stat_get_backend_activity",
            ] {
                check(name, volatility, Reveals);
            }
            for name in [
                "lo_get",
                "lo_export",
                "set_config",
                "nextval",
                "pg_sleep_for",
                "pg_terminate_backend",
                "pg_notify",
            ] {
                check(name, volatility, Changes);
            }
        }
    }

    #[test]
    fn computing_is_harmless_and_the_unread_is_not() {
        check("lower", Volatility::Immutable, FunctionClass::Harmless);
        check("now", Volatility::Stable, FunctionClass::Harmless);
        check("gen_random_uuid", Volatility::Volatile, FunctionClass::Harmless);
        check("pg_get_viewdef", Volatility::Stable, FunctionClass::Harmless);
        check("new_in_19", Volatility::Stable, FunctionClass::Unknown);
        check("new_in_19", Volatility::Volatile, FunctionClass::Unknown);
    }

    #[test]
    fn no_name_is_in_both_lists() {
        for (_, names) in HARMLESS {
            for name in *names {
                assert!(dangerous(name).is_none(), "{name}");
            }
        }
    }

    #[test]
    fn a_function_that_somebody_made_is_never_harmless() {
        let made = |name: &str| {
            classify_foreign(&QualifiedName { schema: "public".to_owned(), name: name.to_owned() })
        };
        assert_eq!(made("lower"), FunctionClass::Unknown);
        assert_eq!(made("dblink_exec"), FunctionClass::RunsText);
    }
}
