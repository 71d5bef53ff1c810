//! Queries and their range-table entries, as read off their nodes. Knows no expressions and no flow.

use model::Oid;

use crate::access::{Command, Rights};
use crate::flow::{EntryId, QueryId};
use crate::tree::NodeRef;
use crate::{Unknown, nodes::Tag};

/// FirstLowInvalidHeapAttributeNumber (access/sysattr.h): bit 0 of a set of columns stands for the number after it.
const COLUMN_BIAS: i64 = -7;

/// Where a piece of the tree comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The innermost view whose definition it is in.
    pub(crate) view: Option<Oid>,
    /// In a row-level-security policy.
    pub(crate) security: bool,
}

/// A query, at whatever depth.
#[derive(Debug)]
pub(crate) struct Query<'t> {
    pub(crate) node: NodeRef<'t>,
    pub(crate) command: Command,
    /// The query that Vars of the next level belong to.
    pub(crate) parent: Option<QueryId>,
    /// It stands in the RETURNING list of its parent.
    pub(crate) in_returning: bool,
    pub(crate) place: Place,
    /// By range-table index, less one.
    pub(crate) entries: Vec<EntryId>,
    /// The relation that is written.
    pub(crate) result: Option<EntryId>,
    pub(crate) ctes: Vec<(String, QueryId)>,
    /// The columns of its result, without junk: numbers of the target list's or RETURNING list's entries.
    pub(crate) columns: Vec<i16>,
}

/// RTEKind (nodes/parsenodes.h), as far as there are any in a rewritten statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Relation,
    Subquery(QueryId),
    Cte,
    Join,
    /// FUNCTION, TABLEFUNC, VALUES, GROUP: each column is made of expressions in the entry itself.
    Expressions,
    /// What stands for OLD or NEW in a view's definition (up to 15): never read.
    Placeholder,
    /// EXCLUDED of ON CONFLICT: the row that was to be inserted.
    Excluded,
}

/// A range-table entry.
#[derive(Debug)]
pub(crate) struct Entry<'t> {
    pub(crate) node: NodeRef<'t>,
    pub(crate) query: QueryId,
    pub(crate) kind: Kind,
    /// The relation, or the view that the subquery is the definition of; and its relkind.
    pub(crate) relation: Option<(Oid, u8)>,
    pub(crate) permissions: Option<Permissions>,
    /// Numbers of the columns that it was known to have when it was written, without dropped ones.
    pub(crate) columns: Vec<i16>,
    /// It stands in the join tree.
    pub(crate) joined: bool,
    /// The range-table indexes of a join's sides.
    pub(crate) sides: Vec<i64>,
    pub(crate) locked: bool,
}

/// What PostgreSQL will check of a relation (`RTEPermissionInfo`; up to 15 part of the entry itself).
#[derive(Clone, Debug)]
pub(crate) struct Permissions {
    pub(crate) required: i64,
    pub(crate) rights: Rights,
    pub(crate) selected: Vec<i16>,
    pub(crate) inserted: Vec<i16>,
    pub(crate) updated: Vec<i16>,
}

impl Permissions {
    /// ACL_INSERT, ACL_SELECT, ACL_UPDATE, ACL_DELETE (nodes/parsenodes.h).
    pub(crate) const INSERT: i64 = 1;
    pub(crate) const SELECT: i64 = 2;
    pub(crate) const UPDATE: i64 = 4;
    pub(crate) const DELETE: i64 = 8;

    /// Reads them off an RTEPERMISSIONINFO, or off a range-table entry up to 15.
    pub(crate) fn read(node: NodeRef<'_>) -> Result<Self, Unknown> {
        let required = node.number("requiredPerms")?;
        let known = Self::INSERT | Self::SELECT | Self::UPDATE | Self::DELETE;
        if required & !known != 0 {
            return Err(node.unknown(format!("privilege bits {required}")));
        }
        let rights = match node.small("checkAsUser")? {
            0 => Rights::Invoker,
            user => Rights::AsUser(Oid(user)),
        };
        let columns = |name| -> Result<Vec<i16>, Unknown> {
            let column = |bit: &i64| i16::try_from(bit + COLUMN_BIAS).ok().filter(|_| *bit > 0);
            let columns: Option<_> = node.numbers(name)?.iter().map(column).collect();
            columns.ok_or_else(|| node.unknown(format!("a column out of range in \"{name}\"")))
        };
        Ok(Self {
            required,
            rights,
            selected: columns("selectedCols")?,
            inserted: columns("insertedCols")?,
            updated: columns("updatedCols")?,
        })
    }
}

/// Says what a query does (`CmdType`, nodes/nodes.h).
pub(crate) fn command(query: NodeRef<'_>, version: u32) -> Result<Command, Unknown> {
    // MERGE took DELETE's successor's number in 15.
    let number = query.number("commandType")?;
    let number = if version < 15 && number > 4 { number + 1 } else { number };
    match number {
        1 => Ok(Command::Select),
        2 => Ok(Command::Update),
        3 => Ok(Command::Insert),
        4 => Ok(Command::Delete),
        5 => Ok(Command::Merge),
        6 => Ok(Command::Utility),
        _ => Err(query.unknown(format!("command type {number}"))),
    }
}

/// Returns the columns that an entry's `eref` names; a dropped one has no name (`expandRTE`, parser/parse_relation.c).
pub(crate) fn columns(entry: NodeRef<'_>) -> Result<Vec<i16>, Unknown> {
    let mut columns = Vec::new();
    for (number, name) in (1..).zip(entry.the("eref")?.names("colnames")?) {
        if !name.is_empty() {
            columns.push(number);
        }
        if number == i16::MAX {
            return Err(entry.unknown("more columns than a relation can have".to_owned()));
        }
    }
    Ok(columns)
}

/// Returns the view that a subquery is the definition of, with what is checked of it, as versions up to 15 show it: the
/// first two entries stand for OLD and NEW (`ApplyRetrieveRule`, rewrite/rewriteHandler.c).
pub(crate) fn view_of(subquery: NodeRef<'_>) -> Result<Option<(Oid, Permissions)>, Unknown> {
    let entries = subquery.children("rtable")?;
    let [old, new, ..] = entries.as_slice() else { return Ok(None) };
    if !(is_placeholder(*old, "old")? && is_placeholder(*new, "new")?)
        || old.number("relid")? != new.number("relid")?
    {
        return Ok(None);
    }
    Ok(Some((Oid(old.small("relid")?), Permissions::read(*old)?)))
}

fn is_placeholder(entry: NodeRef<'_>, name: &str) -> Result<bool, Unknown> {
    // A view that the statement names is itself a subquery by now, unless it is written.
    Ok(entry.tag() == Tag::RangeTblEntry
        && entry.number("rtekind")? == 0
        && relkind(entry)? == b'v'
        && !entry.is("inFromCl")?
        && entry.the("eref")?.name("aliasname")?.as_deref() == Some(name))
}

/// Returns `relkind`, 0 for none.
pub(crate) fn relkind(entry: NodeRef<'_>) -> Result<u8, Unknown> {
    match entry.get("relkind") {
        crate::tree::Value::Character(kind) => Ok(kind),
        crate::tree::Value::Null => Ok(0),
        _ => Err(entry.unknown("no usable \"relkind\"".to_owned())),
    }
}
