//! What approvers are asked about a statement, and what their answer is bound to.
//!
//! Pure: a statement's analysis, what the policy says of it, whose it is. Knows no session; asks nobody.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use approval::{Ask, Binding, BundleRef, Parameter, RuleRef, Statement, Touched, Value, Wait, Who};
use model::{Identity, Oid};
use policy::{ApproverGroup, Bundle, PartVerdict, RelationKind, Resource, Verdict};

use crate::analysis::Analysis;
use crate::approvers::{self, Terms};
use crate::authorize::Weighed;
use crate::evidence::{self, Parameters};
use crate::memo::with_shape;

/// A statement, and whose.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) identity: &'a Identity,
    /// The database's configured name.
    pub(crate) database: &'a str,
    /// Names what decides what names mean (`Scope::names`), where that isn't the login's own any more with something of the session's.
    pub(crate) names: &'a [u8],
    /// As the client sent it.
    pub(crate) text: &'a str,
    /// What EXECUTE or FETCH in it stands for.
    pub(crate) runs: Option<&'a str>,
    pub(crate) param_types: &'a [Oid],
    pub(crate) parameters: Option<&'a Parameters>,
    pub(crate) analysis: &'a Analysis,
}

/// What an approval is bound to: this very statement, and all that differ from it in literals and parameters' values only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bindings {
    pub(crate) exact: Binding,
    /// `None`: what it means depends on more than its shape.
    pub(crate) pattern: Option<Binding>,
}

/// Begins each digest: another way to make them is another word.
const EXACT: &[u8] = b"gatepost statement 1";
const PATTERN: &[u8] = b"gatepost pattern 1";

impl About<'_> {
    /// Digests everything that an approval of it is bound to, under this bundle. Nothing in it is of this gateway alone.
    pub(crate) fn bindings(&self, bundle: &Bundle) -> Bindings {
        let Identity { issuer, subject, on_behalf_of, .. } = self.identity;
        let behalf = on_behalf_of.as_ref().map(ToString::to_string).unwrap_or_default();
        let touched = touched_facts(self.analysis);
        // Names in a function's body, or in a text that it runs, are looked up when it runs.
        let names = if self.analysis.openers().next().is_some() { self.names } else { &[] };
        let hash = bundle.hash();
        let common: [&[u8]; 7] = [
            issuer.as_bytes(),
            subject.as_bytes(),
            behalf.as_bytes(),
            self.database.as_bytes(),
            touched.as_bytes(),
            names,
            &hash,
        ];
        let types: Vec<u8> = self.types().iter().flat_map(|oid| oid.0.to_le_bytes()).collect();
        let values = self.values();
        let runs = self.runs.unwrap_or_default().as_bytes();
        let mut parts = vec![EXACT];
        parts.extend(common);
        parts.extend([self.text.as_bytes(), runs, &types, &values]);
        let exact = Binding::of(&parts);
        let lasting = !self.analysis.session_bound && !self.analysis.depends_on_literals;
        let pattern = lasting.then(|| {
            with_shape(self.text, |shape| {
                let form = [u8::from(shape.form == sql::shape::Form::Blanked)];
                let mut parts = vec![PATTERN];
                parts.extend(common);
                parts.extend([&form[..], shape.bytes]);
                Binding::of(&parts)
            })
        });
        Bindings { exact, pattern }
    }

    /// The parameters' types: as the client said in Parse, where it left them open as the server has resolved them; 0 where neither is
    /// known.
    fn types(&self) -> Vec<Oid> {
        let mut types = self.param_types.to_vec();
        let count = self.parameters.map_or(0, |parameters| parameters.values().count());
        types.resize(types.len().max(count), Oid(0));
        // What a name stands for has numbers of its own.
        if !self.analysis.session_bound {
            for (number, resolved) in &self.analysis.parameter_types {
                let at = usize::try_from(*number).unwrap_or(0).checked_sub(1);
                if let Some(open) = at.and_then(|at| types.get_mut(at)).filter(|oid| oid.0 == 0) {
                    *open = *resolved;
                }
            }
        }
        types
    }

    fn values(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (format, value) in self.parameters.into_iter().flat_map(Parameters::values) {
            bytes.extend(format.to_le_bytes());
            match value {
                None => bytes.push(0),
                Some(value) => {
                    bytes.push(1);
                    bytes.extend((value.len() as u64).to_le_bytes());
                    bytes.extend(value);
                }
            }
        }
        bytes
    }

    fn statement(&self) -> Statement {
        let hidden = |text: &str| evidence::without_secrets(text, &self.analysis.secrets).into_owned();
        let values = self.parameters.into_iter().flat_map(Parameters::values).enumerate();
        let types = self.types();
        let parameters = values.map(|(i, (format, value))| {
            let oid = types.get(i).copied().unwrap_or(Oid(0));
            Parameter {
                type_oid: oid.0,
                type_name: type_name(oid).map(str::to_owned),
                value: shown(oid, format, value),
            }
        });
        Statement {
            text: hidden(self.text),
            runs: self.runs.map(str::to_owned),
            command: self.analysis.kind().to_owned(),
            parameters: parameters.collect(),
            pattern: false,
        }
    }
}

/// By whom, and why, a statement must be approved.
pub(crate) struct Needs {
    pub(crate) groups: Vec<ApproverGroup>,
    /// In a line.
    pub(crate) why: String,
}

impl Needs {
    /// Of a statement that the policy holds; `None` if a group that it wants is none of the bundle's, which then never could approve.
    pub(crate) fn of(weighed: &Weighed, bundle: &Bundle) -> Option<Self> {
        let mut groups = match &weighed.decision.verdict {
            Verdict::Hold { approvers } => approvers.clone(),
            Verdict::Allow | Verdict::Deny => Vec::new(),
        };
        let parts = weighed.told.iter().map(|(_, part)| part).chain(&weighed.decision.parts);
        let names = parts.filter_map(|part| match &part.verdict {
            PartVerdict::Hold { approvers, .. } => Some(approvers),
            _ => None,
        });
        let names: BTreeSet<&String> = names.flatten().collect();
        for name in names {
            if !groups.iter().any(|group| group.name == *name) {
                groups.push(named(bundle, name)?);
            }
        }
        let touches = weighed.touches.iter().zip(&weighed.decision.parts);
        let touches = touches.chain(weighed.told.iter().map(|(touch, part)| (touch, part)));
        let held = touches.filter(|(_, part)| matches!(part.verdict, PartVerdict::Hold { .. }));
        let held: Vec<String> = held.map(|(touch, _)| Analysis::describe(touch)).collect();
        (!groups.is_empty()).then(|| Self { groups, why: crate::authorize::shorten(&held) })
    }

    /// For a limit that this group may lift.
    pub(crate) fn of_limit(bundle: &Bundle, group: &str, why: String) -> Option<Self> {
        Some(Self { groups: vec![named(bundle, group)?], why })
    }
}

fn named(bundle: &Bundle, name: &str) -> Option<ApproverGroup> {
    bundle.approvers().iter().find(|group| group.name == name).cloned()
}

/// From where it is asked.
#[derive(Clone, Default)]
pub(crate) struct From {
    pub(crate) session: Option<String>,
    pub(crate) client: Option<String>,
    pub(crate) application_name: Option<String>,
}

/// Makes what approvers are asked. `None`: nobody is to be asked.
pub(crate) fn ask(
    about: &About<'_>,
    weighed: &Weighed,
    needs: &Needs,
    bundle: &Bundle,
    from: From,
    wait: Wait,
) -> Option<Ask> {
    let terms = Terms::of(&needs.groups)?;
    let bindings = about.bindings(bundle);
    let parts = weighed.touches.iter().zip(&weighed.decision.parts);
    let parts: Vec<_> = parts.chain(weighed.told.iter().map(|(touch, part)| (touch, part))).collect();
    let mut rules: Vec<RuleRef> = Vec::new();
    for (_, part) in parts.iter().filter(|(_, part)| matches!(part.verdict, PartVerdict::Hold { .. })) {
        // A permit asks only where no forbid does.
        let forbids = part.rules.iter().any(|rule| rule.forbid);
        for rule in part.rules.iter().filter(|rule| rule.forbid == forbids) {
            if !rules.iter().any(|known| known.id == rule.id) {
                let (id, file) = (rule.id.clone(), rule.file.clone());
                rules.push(RuleRef { id, file, line: rule.line, forbid: rule.forbid });
            }
        }
    }
    let touches = parts.iter().map(|(touch, part)| Touched {
        action: touch.action.as_str().to_owned(),
        resource: resource(&touch.resource),
        verdict: part.verdict.as_str().to_owned(),
        mask: part.verdict.mask().map(|mask| mask.kind().to_owned()),
        rules: part.rules.iter().map(|rule| rule.id.clone()).collect(),
    });
    let hold = match wait {
        Wait::Held { in_transaction: true } => terms.hold_in_transaction.unwrap_or(Duration::ZERO),
        Wait::Held { in_transaction: false } | Wait::Async | Wait::Before => terms.hold,
    };
    Some(Ask {
        requester: Who::from(about.identity),
        database: about.database.to_owned(),
        session: from.session,
        client: from.client,
        application_name: from.application_name,
        statement: about.statement(),
        touches: touches.collect(),
        rules,
        why: needs.why.clone(),
        bundle: BundleRef {
            name: bundle.name().to_owned(),
            version: bundle.version().to_owned(),
            hash: hex::encode(bundle.hash()),
        },
        binding: bindings.exact,
        pattern: bindings.pattern,
        needs: needs.groups.iter().map(approvers::group).collect(),
        wait,
        hold,
        uses: 1,
        use_within: terms.use_within,
        purpose: None,
    })
}

/// All that is known of what it touches and does; nothing of when that was learnt.
fn touched_facts(analysis: &Analysis) -> String {
    let Analysis { command, effect, touches, inherits, seen, results, unknown, objects, .. } = analysis;
    let ways = [
        analysis.reads_only,
        analysis.unsettles,
        analysis.defines,
        analysis.has_where,
        analysis.row_locks,
        analysis.tells_elsewhere,
        analysis.computes_in_the_open,
    ];
    let mut facts =
        format!("{:?}", (command, effect, touches, inherits, seen, results, unknown, objects, ways));
    if let Some(inner) = &analysis.inner {
        let _ = write!(facts, " {}", touched_facts(inner));
    }
    facts
}

/// As people read it.
pub(crate) fn resource(resource: &Resource) -> String {
    match resource {
        Resource::Database => "database".to_owned(),
        Resource::Schema { name } => format!("schema {name}"),
        Resource::Relation { name, facts } => format!("{} {name}", kind(facts.kind())),
        Resource::Column { relation, column, .. } => format!("column {relation}.{column}"),
        Resource::Function { name, .. } => format!("function {name}"),
    }
}

const fn kind(kind: RelationKind) -> &'static str {
    match kind {
        RelationKind::Table => "table",
        RelationKind::PartitionedTable => "partitioned table",
        RelationKind::View => "view",
        RelationKind::MaterializedView => "materialized view",
        RelationKind::ForeignTable => "foreign table",
        RelationKind::Sequence => "sequence",
        RelationKind::Index => "index",
        RelationKind::CompositeType => "type",
        RelationKind::ToastTable => "TOAST table",
    }
}

/// Types that drivers name in Parse, by `pg_type.oid` (catalog/pg_type.dat).
const TYPES: [(u32, &str); 26] = [
    (16, "boolean"),
    (17, "bytea"),
    (18, "\"char\""),
    (19, "name"),
    (20, "bigint"),
    (21, "smallint"),
    (23, "integer"),
    (25, "text"),
    (26, "oid"),
    (114, "json"),
    (700, "real"),
    (701, "double precision"),
    (1007, "integer[]"),
    (1009, "text[]"),
    (1016, "bigint[]"),
    (1042, "character"),
    (1043, "character varying"),
    (1082, "date"),
    (1083, "time"),
    (1114, "timestamp"),
    (1184, "timestamp with time zone"),
    (1186, "interval"),
    (1700, "numeric"),
    (2950, "uuid"),
    (3802, "jsonb"),
    (3904, "int4range"),
];

fn type_name(oid: Oid) -> Option<&'static str> {
    TYPES.iter().find(|(known, _)| *known == oid.0).map(|(_, name)| *name)
}

/// A value as PostgreSQL will read it, where that is plain; else its bytes.
fn shown(oid: Oid, format: i16, value: Option<&[u8]>) -> Value {
    let Some(bytes) = value else { return Value::Null };
    let text = if format == 0 { String::from_utf8(bytes.to_vec()).ok() } else { read(oid.0, bytes) };
    text.map_or_else(|| Value::Binary(hex::encode(bytes)), Value::Text)
}

/// Reads the binary format of types that have a plain one (`*recv` in utils/adt).
fn read(oid: u32, bytes: &[u8]) -> Option<String> {
    Some(match oid {
        16 => match bytes {
            [0] => "false".to_owned(),
            [_] => "true".to_owned(),
            _ => return None,
        },
        21 => i16::from_be_bytes(bytes.try_into().ok()?).to_string(),
        23 => i32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        20 => i64::from_be_bytes(bytes.try_into().ok()?).to_string(),
        26 => u32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        700 => f32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        701 => f64::from_be_bytes(bytes.try_into().ok()?).to_string(),
        19 | 25 | 114 | 1042 | 1043 => String::from_utf8(bytes.to_vec()).ok()?,
        2950 => {
            let digits = hex::encode(<[u8; 16]>::try_from(bytes).ok()?);
            let part = |range| digits.get(range).unwrap_or_default();
            [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_the_server_reads_them() {
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(shown(Oid(23), 1, Some(&[0, 0, 1, 2])), text("258"));
        assert_eq!(shown(Oid(23), 1, Some(&[1])), Value::Binary("01".to_owned()));
        assert_eq!(shown(Oid(16), 1, Some(&[1])), text("true"));
        assert_eq!(shown(Oid(0), 0, Some(b"x")), text("x"));
        assert_eq!(shown(Oid(25), 0, Some(b"\xff")), Value::Binary("ff".to_owned()));
        assert_eq!(shown(Oid(17), 1, Some(b"ab")), Value::Binary("6162".to_owned()));
        assert_eq!(shown(Oid(701), 1, Some(&1.5_f64.to_be_bytes())), text("1.5"));
        assert_eq!(shown(Oid(2950), 1, Some(&[0xab; 16])), text("abababab-abab-abab-abab-abababababab"));
        assert_eq!(shown(Oid(25), 1, None), Value::Null);
    }
}
