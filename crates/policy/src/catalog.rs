//! The reviewed lists of PostgreSQL's own relations: which show names and definitions only, and which show data or secrets.
//!
//! Read from the catalogs and system views of PostgreSQL 14 to 18 (postgres.bki, system_views.sql, information_schema.sql).
//! A system relation in neither list is taken to reveal: a newer server's view stays shut until somebody has read it.
//! Definitions count as names: bodies of functions and views, defaults, constraints, comments, options of foreign servers and
//! tables, settings of roles, as PostgreSQL itself shows them to every role. Rows' values, other sessions' texts and secrets don't.
//! Knows names and reasons; no bundle, no Cedar.

use model::QualifiedName;

/// What reading a system relation shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SystemRelation {
    /// Names, types, definitions, counts.
    Names,
    /// Rows' values, other sessions' texts, or secrets; why is in the text.
    Reveals(&'static str),
    /// Not reviewed, so taken to reveal.
    Unreviewed,
}

impl SystemRelation {
    /// Returns whether reading it needs more than the right to see names.
    pub const fn reveals(self) -> bool {
        match self {
            Self::Names => false,
            Self::Reveals(_) | Self::Unreviewed => true,
        }
    }
}

/// Returns whether a schema is PostgreSQL's own.
///
/// `pg_temp_N` and `pg_toast_temp_N` are not: they hold the session's own data. Names that begin with `pg_` can't be given to
/// other schemas (`IsReservedName`, catalog.c).
pub fn is_system_schema(schema: &str) -> bool {
    matches!(schema, "pg_catalog" | "information_schema" | "pg_toast")
}

/// Looks up what a relation of a system schema shows.
pub fn relation(name: &QualifiedName) -> SystemRelation {
    let (names, reveals): (&[&str], &[(&str, &str)]) = match name.schema.as_str() {
        "pg_catalog" => (CATALOG_NAMES, CATALOG_REVEALS),
        "information_schema" => (INFORMATION_SCHEMA_NAMES, INFORMATION_SCHEMA_REVEALS),
        "pg_toast" => return SystemRelation::Reveals("the stored pieces of long values"),
        _ => return SystemRelation::Unreviewed,
    };
    if let Some((_, reason)) = reveals.iter().find(|(listed, _)| *listed == name.name) {
        return SystemRelation::Reveals(reason);
    }
    if names.contains(&name.name.as_str()) { SystemRelation::Names } else { SystemRelation::Unreviewed }
}

/// Looks up why a column of an otherwise harmless system relation reveals, if it does.
pub fn column_reveals(relation: &QualifiedName, column: &str) -> Option<&'static str> {
    if relation.schema != "pg_catalog" {
        return None;
    }
    COLUMN_REVEALS
        .iter()
        .find(|(listed, listed_column, _)| *listed == relation.name && *listed_column == column)
        .map(|(_, _, reason)| *reason)
}

/// Columns of relations in [`CATALOG_NAMES`] that show more than names. `system.cedar` lets them be seen masked, so that
/// `SELECT *` and the queries of tools go through without them.
#[rustfmt::skip]
const COLUMN_REVEALS: &[(&str, &str, &str)] = &[
    ("pg_sequences",       "last_value",       "last values of sequences"),
    ("pg_stat_activity",   "application_name", "what other sessions call themselves"),
    ("pg_stat_activity",   "client_addr",      "where other sessions come from"),
    ("pg_stat_activity",   "client_hostname",  "where other sessions come from"),
    ("pg_stat_activity",   "client_port",      "where other sessions come from"),
    ("pg_stat_activity",   "query",            "the statements of other sessions"),
    ("pg_stat_activity",   "query_id",         "the statements of other sessions"),
    ("pg_stat_gssapi",     "principal",        "principals of other sessions"),
    ("pg_stat_ssl",        "client_dn",        "certificates of other sessions"),
    ("pg_stat_ssl",        "client_serial",    "certificates of other sessions"),
    ("pg_stat_ssl",        "issuer_dn",        "certificates of other sessions"),
    ("pg_subscription",    "subconninfo",      "connection strings"),
    ("pg_user_mappings",   "umoptions",        "passwords of foreign servers"),
];

/// Relations of `pg_catalog` that show names, definitions, settings or counts.
#[rustfmt::skip]
const CATALOG_NAMES: &[&str] = &[
    // what there is
    "pg_aggregate", "pg_am", "pg_amop", "pg_amproc", "pg_attrdef", "pg_attribute", "pg_auth_members", "pg_cast", "pg_class",
    "pg_collation", "pg_constraint", "pg_conversion", "pg_database", "pg_db_role_setting", "pg_default_acl", "pg_depend",
    "pg_description", "pg_enum", "pg_event_trigger", "pg_extension", "pg_foreign_data_wrapper", "pg_foreign_server",
    "pg_foreign_table", "pg_index", "pg_inherits", "pg_init_privs", "pg_language",
    "pg_largeobject_metadata", "pg_namespace", "pg_opclass", "pg_operator", "pg_opfamily", "pg_parameter_acl",
    "pg_partitioned_table", "pg_policy", "pg_proc", "pg_publication", "pg_publication_namespace", "pg_publication_rel", "pg_range",
    "pg_rewrite", "pg_seclabel", "pg_sequence", "pg_shdepend", "pg_shdescription", "pg_shseclabel", "pg_statistic_ext",
    "pg_subscription", "pg_tablespace", "pg_transform", "pg_trigger", "pg_ts_config", "pg_ts_config_map", "pg_ts_dict", "pg_ts_parser",
    "pg_ts_template", "pg_type",
    // the same, as views
    "pg_available_extension_versions", "pg_available_extensions", "pg_group", "pg_indexes", "pg_matviews", "pg_policies",
    "pg_publication_tables", "pg_roles", "pg_rules", "pg_seclabels", "pg_sequences", "pg_tables", "pg_timezone_abbrevs",
    "pg_timezone_names", "pg_user", "pg_user_mappings", "pg_views", "pg_wait_events",
    // who is connected, without what they say
    "pg_stat_activity", "pg_stat_gssapi", "pg_stat_ssl",
    // as SHOW ALL, and of this session only
    "pg_settings", "pg_cursors", "pg_prepared_statements",
    // counts of accesses, as coarse as pg_class.reltuples
    "pg_stat_all_indexes", "pg_stat_all_tables", "pg_stat_sys_indexes", "pg_stat_sys_tables", "pg_stat_user_functions",
    "pg_stat_user_indexes", "pg_stat_user_tables", "pg_stat_xact_all_tables", "pg_stat_xact_sys_tables",
    "pg_stat_xact_user_functions", "pg_stat_xact_user_tables", "pg_statio_all_indexes", "pg_statio_all_sequences",
    "pg_statio_all_tables", "pg_statio_sys_indexes", "pg_statio_sys_sequences", "pg_statio_sys_tables",
    "pg_statio_user_indexes", "pg_statio_user_sequences", "pg_statio_user_tables", "pg_stat_database",
    "pg_stat_database_conflicts", "pg_stat_bgwriter", "pg_stat_checkpointer",
];

/// Relations of `pg_catalog` that show data or secrets.
#[rustfmt::skip]
const CATALOG_REVEALS: &[(&str, &str)] = &[
    ("pg_authid",                  "password hashes"),
    ("pg_shadow",                  "password hashes"),
    ("pg_user_mapping",            "passwords of foreign servers"),
    ("pg_subscription_rel",        "replication positions"),
    ("pg_statistic",               "most common values and histograms of columns"),
    ("pg_stats",                   "most common values and histograms of columns"),
    ("pg_statistic_ext_data",      "most common values of columns"),
    ("pg_stats_ext",               "most common values of columns"),
    ("pg_stats_ext_exprs",         "most common values of expressions"),
    ("pg_largeobject",             "the content of large objects"),
    ("pg_stat_replication",        "addresses of other servers"),
    ("pg_stat_replication_slots",  "replication positions"),
    ("pg_stat_subscription",       "replication positions"),
    ("pg_stat_subscription_stats", "replication positions"),
    ("pg_stat_wal_receiver",       "connection strings"),
    ("pg_replication_origin",      "replication positions"),
    ("pg_replication_origin_status", "replication positions"),
    ("pg_replication_slots",       "replication positions"),
    ("pg_prepared_xacts",          "names that other sessions gave to transactions"),
    ("pg_locks",                   "what other sessions lock, advisory lock keys included"),
    ("pg_hba_file_rules",          "a file of the server"),
    ("pg_ident_file_mappings",     "a file of the server"),
    ("pg_file_settings",           "a file of the server"),
    ("pg_config",                  "paths of the server"),
    ("pg_aios",                    "the server's memory and I/O"),
    ("pg_backend_memory_contexts", "the server's memory and I/O"),
    ("pg_shmem_allocations",       "the server's memory and I/O"),
    ("pg_shmem_allocations_numa",  "the server's memory and I/O"),
    ("pg_stat_archiver",           "names of the server's files"),
    ("pg_stat_io",                 "the server's memory and I/O"),
    ("pg_stat_recovery_prefetch",  "the server's memory and I/O"),
    ("pg_stat_slru",               "the server's memory and I/O"),
    ("pg_stat_wal",                "the server's memory and I/O"),
    ("pg_stat_progress_analyze",      "what other sessions do"),
    ("pg_stat_progress_basebackup",   "what other sessions do"),
    ("pg_stat_progress_cluster",      "what other sessions do"),
    ("pg_stat_progress_copy",         "what other sessions do"),
    ("pg_stat_progress_create_index", "what other sessions do"),
    ("pg_stat_progress_vacuum",       "what other sessions do"),
];

/// Relations of `information_schema` that show names and definitions.
#[rustfmt::skip]
const INFORMATION_SCHEMA_NAMES: &[&str] = &[
    "_pg_foreign_data_wrappers", "_pg_foreign_servers", "_pg_foreign_table_columns", "_pg_foreign_tables",
    "administrable_role_authorizations", "applicable_roles", "attributes", "character_sets", "check_constraint_routine_usage",
    "check_constraints", "collation_character_set_applicability", "collations", "column_column_usage", "column_domain_usage",
    "column_options", "column_privileges", "column_udt_usage", "columns", "constraint_column_usage", "constraint_table_usage",
    "data_type_privileges", "domain_constraints", "domain_udt_usage", "domains", "element_types", "enabled_roles",
    "foreign_data_wrapper_options", "foreign_data_wrappers", "foreign_server_options", "foreign_servers",
    "foreign_table_options", "foreign_tables", "information_schema_catalog_name", "key_column_usage",
    "parameters", "referential_constraints", "role_column_grants", "role_routine_grants", "role_table_grants", "role_udt_grants",
    "role_usage_grants", "routine_column_usage", "routine_privileges", "routine_routine_usage", "routine_sequence_usage",
    "routine_table_usage", "routines", "schemata", "sequences", "sql_features", "sql_implementation_info", "sql_parts",
    "sql_sizing", "table_constraints", "table_privileges", "tables", "transforms", "triggered_update_columns", "triggers",
    "udt_privileges", "usage_privileges", "user_defined_types", "user_mappings", "view_column_usage", "view_routine_usage",
    "view_table_usage", "views",
];

/// Relations of `information_schema` that show secrets.
const INFORMATION_SCHEMA_REVEALS: &[(&str, &str)] = &[
    ("_pg_user_mappings", "passwords of foreign servers"),
    ("user_mapping_options", "passwords of foreign servers"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn name(schema: &str, name: &str) -> QualifiedName {
        QualifiedName { schema: schema.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn a_relation_nobody_has_read_reveals() {
        assert_eq!(relation(&name("pg_catalog", "pg_stat_new_in_19")), SystemRelation::Unreviewed);
        assert!(relation(&name("pg_catalog", "pg_stat_new_in_19")).reveals());
        assert!(relation(&name("information_schema", "pg_class")).reveals(), "lists are per schema");
    }

    #[test]
    fn data_and_secrets_reveal_and_names_do_not() {
        for listed in
            ["pg_authid", "pg_statistic", "pg_stats", "pg_locks", "pg_largeobject", "pg_user_mapping"]
        {
            assert!(relation(&name("pg_catalog", listed)).reveals(), "{listed}");
        }
        for listed in ["pg_class", "pg_attribute", "pg_type", "pg_namespace", "pg_roles", "pg_settings"] {
            assert_eq!(relation(&name("pg_catalog", listed)), SystemRelation::Names, "{listed}");
        }
        assert!(relation(&name("pg_toast", "pg_toast_16384")).reveals());
        assert!(column_reveals(&name("pg_catalog", "pg_stat_activity"), "query").is_some());
        assert!(column_reveals(&name("public", "pg_stat_activity"), "query").is_none());
    }

    #[test]
    fn a_column_that_reveals_is_one_of_a_relation_that_does_not() {
        for (listed, column, _) in COLUMN_REVEALS {
            assert_eq!(relation(&name("pg_catalog", listed)), SystemRelation::Names, "{listed}.{column}");
        }
    }

    #[test]
    fn no_relation_is_in_both_lists() {
        for (names, reveals) in
            [(CATALOG_NAMES, CATALOG_REVEALS), (INFORMATION_SCHEMA_NAMES, INFORMATION_SCHEMA_REVEALS)]
        {
            let both: Vec<_> = reveals.iter().filter(|(listed, _)| names.contains(listed)).collect();
            assert!(both.is_empty(), "{both:?}");
        }
        assert!(!is_system_schema("pg_temp_3") && !is_system_schema("public"));
    }
}
