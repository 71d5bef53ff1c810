//! SQLSTATEs: those that a gateway sends or looks for, and the condition name of each that PostgreSQL has.
//!
//! Codes and names are those of PostgreSQL's utils/errcodes.txt. Knows no messages.

mod conditions;

use std::fmt;

use self::conditions::CONDITIONS;

/// A SQLSTATE: five digits and upper-case ASCII letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// Takes a code as sent; `None` if it is not five digits and upper-case letters (`MAKE_SQLSTATE`, utils/elog.h).
    pub fn from_bytes(code: &[u8]) -> Option<Self> {
        let code: &[u8; 5] = code.try_into().ok()?;
        code.iter().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase()).then_some(Self(*code))
    }

    /// Returns the code.
    pub fn as_str(&self) -> &str {
        // ASCII by construction
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Returns the first two characters, which are the class.
    pub fn class(&self) -> &str {
        self.as_str().get(..2).unwrap_or_default()
    }

    /// Returns [`condition_name`].
    pub fn condition_name(self) -> &'static str {
        condition_name(self)
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Returns the PL/pgSQL condition name; for a code that PostgreSQL doesn't have the name of its class (the code that
/// ends in 000), and `unknown_condition` if there is no such class either, as for codes that `RAISE` makes up.
pub fn condition_name(state: SqlState) -> &'static str {
    let find = |code: &[u8; 5]| {
        CONDITIONS
            .binary_search_by_key(&code, |(c, _)| *c)
            .ok()
            .and_then(|i| CONDITIONS.get(i))
            .map(|(_, name)| *name)
    };
    let SqlState(code @ [a, b, ..]) = state;
    find(&code).or_else(|| find(&[a, b, b'0', b'0', b'0'])).unwrap_or("unknown_condition")
}

macro_rules! sqlstates {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        $($(#[$doc])* pub const $name: SqlState = SqlState(*$code);)*

        #[cfg(test)]
        const NAMED: &[(&str, SqlState)] = &[$((stringify!($name), $name)),*];
    };
}

sqlstates! {
    /// 00000.
    SUCCESSFUL_COMPLETION = b"00000";
    /// 01000.
    WARNING = b"01000";
    /// 08000.
    CONNECTION_EXCEPTION = b"08000";
    /// 08001.
    SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION = b"08001";
    /// 08003.
    CONNECTION_DOES_NOT_EXIST = b"08003";
    /// 08004.
    SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION = b"08004";
    /// 08006.
    CONNECTION_FAILURE = b"08006";
    /// 08P01.
    PROTOCOL_VIOLATION = b"08P01";
    /// 0A000.
    FEATURE_NOT_SUPPORTED = b"0A000";
    /// 22000.
    DATA_EXCEPTION = b"22000";
    /// 22021.
    CHARACTER_NOT_IN_REPERTOIRE = b"22021";
    /// 22023.
    INVALID_PARAMETER_VALUE = b"22023";
    /// 25000.
    INVALID_TRANSACTION_STATE = b"25000";
    /// 25001.
    ACTIVE_SQL_TRANSACTION = b"25001";
    /// 25006.
    READ_ONLY_SQL_TRANSACTION = b"25006";
    /// 25P01.
    NO_ACTIVE_SQL_TRANSACTION = b"25P01";
    /// 25P02.
    IN_FAILED_SQL_TRANSACTION = b"25P02";
    /// 25P03.
    IDLE_IN_TRANSACTION_SESSION_TIMEOUT = b"25P03";
    /// 25P04; PostgreSQL 17.
    TRANSACTION_TIMEOUT = b"25P04";
    /// 23505.
    UNIQUE_VIOLATION = b"23505";
    /// 26000.
    INVALID_SQL_STATEMENT_NAME = b"26000";
    /// 28000.
    INVALID_AUTHORIZATION_SPECIFICATION = b"28000";
    /// 28P01.
    INVALID_PASSWORD = b"28P01";
    /// 2BP01.
    DEPENDENT_OBJECTS_STILL_EXIST = b"2BP01";
    /// 34000.
    INVALID_CURSOR_NAME = b"34000";
    /// 3D000.
    INVALID_CATALOG_NAME = b"3D000";
    /// 3F000.
    INVALID_SCHEMA_NAME = b"3F000";
    /// 40001; the errcodes.txt macro is `ERRCODE_T_R_SERIALIZATION_FAILURE`.
    SERIALIZATION_FAILURE = b"40001";
    /// 42000.
    SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION = b"42000";
    /// 42501.
    INSUFFICIENT_PRIVILEGE = b"42501";
    /// 42601.
    SYNTAX_ERROR = b"42601";
    /// 42602.
    INVALID_NAME = b"42602";
    /// 42703.
    UNDEFINED_COLUMN = b"42703";
    /// 42704.
    UNDEFINED_OBJECT = b"42704";
    /// 42710.
    DUPLICATE_OBJECT = b"42710";
    /// 42883.
    UNDEFINED_FUNCTION = b"42883";
    /// 42939.
    RESERVED_NAME = b"42939";
    /// 42P01.
    UNDEFINED_TABLE = b"42P01";
    /// 42P03.
    DUPLICATE_CURSOR = b"42P03";
    /// 42P05; the errcodes.txt macro is `ERRCODE_DUPLICATE_PSTATEMENT`.
    DUPLICATE_PREPARED_STATEMENT = b"42P05";
    /// 53000.
    INSUFFICIENT_RESOURCES = b"53000";
    /// 53100.
    DISK_FULL = b"53100";
    /// 53200.
    OUT_OF_MEMORY = b"53200";
    /// 53300.
    TOO_MANY_CONNECTIONS = b"53300";
    /// 53400.
    CONFIGURATION_LIMIT_EXCEEDED = b"53400";
    /// 54000.
    PROGRAM_LIMIT_EXCEEDED = b"54000";
    /// 54001.
    STATEMENT_TOO_COMPLEX = b"54001";
    /// 55000.
    OBJECT_NOT_IN_PREREQUISITE_STATE = b"55000";
    /// 55P03.
    LOCK_NOT_AVAILABLE = b"55P03";
    /// 57000.
    OPERATOR_INTERVENTION = b"57000";
    /// 57014.
    QUERY_CANCELED = b"57014";
    /// 57P01.
    ADMIN_SHUTDOWN = b"57P01";
    /// 57P02.
    CRASH_SHUTDOWN = b"57P02";
    /// 57P03.
    CANNOT_CONNECT_NOW = b"57P03";
    /// 57P05.
    IDLE_SESSION_TIMEOUT = b"57P05";
    /// 58000.
    SYSTEM_ERROR = b"58000";
    /// 58030.
    IO_ERROR = b"58030";
    /// P0001.
    RAISE_EXCEPTION = b"P0001";
    /// XX000.
    INTERNAL_ERROR = b"XX000";
    /// XX001.
    DATA_CORRUPTED = b"XX001";
}

/// Codes of Gatepost's own: subclasses that begin with a letter from I on are left to implementations (ISO/IEC 9075-2, 24.1).
pub const OWN: [SqlState; 4] = [STATEMENT_HELD, APPROVAL_PENDING, APPROVAL_ENDED, APPROVAL_UNAVAILABLE];

/// 01X01, of a NoticeResponse: approvers have been asked, and the statement is held until they have answered.
pub const STATEMENT_HELD: SqlState = SqlState(*b"01X01");
/// 57X01: approvers have been asked, and the client doesn't wait.
pub const APPROVAL_PENDING: SqlState = SqlState(*b"57X01");
/// 57X02: a request for approval ended undecided.
pub const APPROVAL_ENDED: SqlState = SqlState(*b"57X02");
/// 57X03: approvers can't be asked.
pub const APPROVAL_UNAVAILABLE: SqlState = SqlState(*b"57X03");

#[cfg(test)]
mod tests {
    use super::*;

    fn name(code: &str) -> &'static str {
        condition_name(SqlState::from_bytes(code.as_bytes()).unwrap())
    }

    #[test]
    fn table_is_sorted_and_well_formed() {
        assert!(CONDITIONS.is_sorted_by(|(a, _), (b, _)| a < b));
        assert_eq!(CONDITIONS.len(), 263);
        for (code, name) in CONDITIONS {
            assert!(SqlState::from_bytes(*code).is_some(), "{name}");
            assert!(name.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'_')), "{name}");
        }
    }

    #[test]
    fn every_constant_is_named_as_its_code() {
        for (constant, state) in NAMED {
            assert_eq!(constant.to_ascii_lowercase(), condition_name(*state), "{state}");
        }
    }

    #[test]
    fn no_code_of_postgresql_is_taken_for_ones_own() {
        for own in OWN {
            assert!(CONDITIONS.iter().all(|(code, _)| SqlState(**code) != own), "{own}");
            assert!(own.as_str().as_bytes()[2] == b'X', "{own}");
        }
    }

    #[test]
    fn names_are_those_of_errcodes() {
        for (code, expected) in [
            ("00000", "successful_completion"),
            ("01P01", "deprecated_feature"),
            ("10608", "invalid_argument_for_xquery"),
            ("2202E", "array_subscript_error"),
            ("22012", "division_by_zero"),
            ("22P02", "invalid_text_representation"),
            ("23505", "unique_violation"),
            ("23514", "check_violation"),
            ("25P04", "transaction_timeout"),
            ("40P01", "deadlock_detected"),
            ("42501", "insufficient_privilege"),
            ("42P17", "invalid_object_definition"),
            ("57014", "query_canceled"),
            ("58P03", "file_name_too_long"),
            ("72000", "snapshot_too_old"),
            ("F0001", "lock_file_exists"),
            ("HV00R", "fdw_table_not_found"),
            ("P0004", "assert_failure"),
            ("XX002", "index_corrupted"),
        ] {
            assert_eq!(name(code), expected, "{code}");
        }
    }

    #[test]
    fn unknown_codes_fall_back_to_their_class() {
        assert_eq!(name("22ZZZ"), "data_exception");
        assert_eq!(name("P0099"), "plpgsql_error");
        assert_eq!(name("U0001"), "unknown_condition");
        assert_eq!(name("10000"), "unknown_condition");
    }

    #[test]
    fn only_digits_and_capitals_make_a_code() {
        for bad in ["", "4250", "425011", "4250a", "42 01", "4250\n", "é501"] {
            assert!(SqlState::from_bytes(bad.as_bytes()).is_none(), "{bad:?}");
        }
    }
}
