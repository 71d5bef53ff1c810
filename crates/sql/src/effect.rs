//! What a statement changes in the session that runs it. Knows no statement nodes.

use crate::CopyFormat;

/// What running a statement changes in the session: what the session's own books must follow.
///
/// Names are as the server keeps them: folded, unquoted, cut to 63 bytes where it cuts them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that outlives the statement, but rows.
    None,
    /// BEGIN, START TRANSACTION; the modes as SET settings (`transaction_isolation`, `transaction_read_only`,
    /// `transaction_deferrable`) with their values.
    Begin {
        /// `(name, value)`
        modes: Vec<(String, String)>,
    },
    /// COMMIT, END.
    Commit {
        /// AND CHAIN
        chain: bool,
    },
    /// ROLLBACK, ABORT.
    Rollback {
        /// AND CHAIN
        chain: bool,
    },
    /// SAVEPOINT
    Savepoint(String),
    /// ROLLBACK TO SAVEPOINT
    RollbackTo(String),
    /// RELEASE SAVEPOINT
    Release(String),
    /// PREPARE TRANSACTION: ends the session's transaction.
    PrepareTransaction {
        /// The global identifier.
        gid: String,
    },
    /// COMMIT PREPARED
    CommitPrepared {
        /// The global identifier.
        gid: String,
    },
    /// ROLLBACK PREPARED
    RollbackPrepared {
        /// The global identifier.
        gid: String,
    },
    /// SET TRANSACTION (`session` false) and SET SESSION CHARACTERISTICS AS TRANSACTION (`session` true).
    SetTransaction {
        /// For the transactions to come, not for this one.
        session: bool,
        /// `(name, value)` as in [`Begin`](Self::Begin).
        modes: Vec<(String, String)>,
    },
    /// SET TRANSACTION SNAPSHOT
    SetSnapshot,
    /// SET CONSTRAINTS
    SetConstraints,
    /// PREPARE
    Prepare {
        /// The statement's name.
        name: String,
    },
    /// EXECUTE, bare or inside EXPLAIN or CREATE TABLE AS: what it runs is what was prepared under that name.
    Execute {
        /// The statement's name.
        name: String,
        /// What it stands in.
        inside: Inside,
    },
    /// DEALLOCATE; `None` is ALL.
    Deallocate(Option<String>),
    /// DECLARE CURSOR
    Declare {
        /// The cursor's (portal's) name.
        name: String,
        /// WITH HOLD: outlives the transaction.
        hold: bool,
        /// Rows come in binary format.
        binary: bool,
        /// SCROLL
        scroll: bool,
    },
    /// FETCH, MOVE
    Fetch {
        /// The cursor's (portal's) name.
        name: String,
        /// MOVE: no rows come.
        moves: bool,
    },
    /// CLOSE; `None` is ALL.
    CloseCursor(Option<String>),
    /// SET, also SET x TO DEFAULT (`value` is `None` and `default` true).
    Set {
        /// The setting, in lower case.
        name: String,
        /// SET LOCAL
        local: bool,
        /// What to.
        value: SetTo,
    },
    /// A query of nothing but calls of a function `set_config` with these settings, in lower case; whether that is
    /// PostgreSQL's own, the server knows.
    SetByCalls(Vec<String>),
    /// RESET name
    Reset(String),
    /// RESET ALL
    ResetAll,
    /// SHOW; the setting in lower case, or `all`.
    Show(String),
    /// SET ROLE, RESET ROLE; `None` is NONE or RESET.
    SetRole {
        /// To whom.
        role: Option<String>,
        /// SET LOCAL
        local: bool,
    },
    /// SET SESSION AUTHORIZATION, RESET SESSION AUTHORIZATION; `None` is DEFAULT or RESET.
    SetSessionAuthorization {
        /// To whom.
        role: Option<String>,
        /// SET LOCAL
        local: bool,
    },
    /// DISCARD ALL
    DiscardAll,
    /// DISCARD PLANS
    DiscardPlans,
    /// DISCARD SEQUENCES
    DiscardSequences,
    /// DISCARD TEMP
    DiscardTemp,
    /// LISTEN
    Listen(String),
    /// UNLISTEN; `None` is `*`.
    Unlisten(Option<String>),
    /// NOTIFY
    Notify {
        /// The channel.
        channel: String,
    },
    /// COPY ... FROM
    CopyIn(CopyFormat),
    /// COPY ... TO
    CopyOut(CopyFormat),
    /// Any change of definitions or rights: names may resolve differently from now on.
    Define,
    /// Code that the statement doesn't show runs (DO, CALL, LOAD): anything may have changed.
    Anything,
}

/// What an EXECUTE stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// It is the statement.
    Nothing,
    /// EXPLAIN EXECUTE
    Explain {
        /// It runs.
        analyze: bool,
    },
    /// CREATE TABLE AS EXECUTE; also an EXPLAIN of one
    CreateTableAs,
}

/// What SET sets to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetTo {
    /// One value as it is; of several (`search_path`) a list, its items quoted where they aren't plain names.
    Value(String),
    /// TO DEFAULT
    Default,
    /// FROM CURRENT (only in functions' and roles' settings)
    Current,
}
