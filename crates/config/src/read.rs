//! Tables and values of the file, read with a problem for everything unexpected. Knows types, not meanings.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;

use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

use crate::context::{Context, PathKind};
use crate::keys::{self, Default, Key, Section};
use crate::legacy::Date;
use crate::quantity;
use crate::secret_ref::{SecretRef, SecretRefError};
use crate::telemetry::Share;

/// A table whose keys are all known.
pub(crate) struct Table<'t> {
    section: &'static Section,
    table: Cow<'t, DeTable<'t>>,
    span: Range<usize>,
}

/// The value of a known key, or its default.
pub(crate) struct Value<'t> {
    key: &'static Key,
    span: Range<usize>,
    value: Cow<'t, DeValue<'t>>,
}

impl<'t> Table<'t> {
    pub(crate) fn root(table: &'t DeTable<'t>, context: &mut Context<'_>) -> Self {
        Self::open(&keys::ROOT, Cow::Borrowed(table), 0..0, context)
    }

    /// Reports unknown keys, so that no reader can forget to.
    fn open(
        section: &'static Section,
        table: Cow<'t, DeTable<'t>>,
        span: Range<usize>,
        context: &mut Context<'_>,
    ) -> Self {
        for key in table.keys() {
            if section.key(key.get_ref()).is_none() {
                context.error(key.span(), unknown(section, key.get_ref()));
            }
        }
        Self { section, table, span }
    }

    /// Returns where the table begins.
    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Returns where a key is written, if it is.
    pub(crate) fn written(&self, name: &str) -> Option<Range<usize>> {
        match &self.table {
            Cow::Borrowed(table) => table.get(name).map(|value| value.span()),
            Cow::Owned(table) => table.get(name).map(|value| value.span()),
        }
    }

    /// Reports a key that must be there because of another.
    pub(crate) fn lacks(&self, name: &str, context: &mut Context<'_>) {
        if let Some(key) = self.section.key(name) {
            context.error_at_secret(self.span.clone(), missing(self.section, key));
        }
    }

    /// Returns the key's value or its default. `None`: it has neither; reported if it must have one.
    pub(crate) fn value(&self, name: &str, context: &mut Context<'_>) -> Option<Value<'t>> {
        let key = self.section.key(name)?;
        let found = match &self.table {
            Cow::Borrowed(table) => table.get(name).map(|v| (v.span(), Cow::Borrowed(v.get_ref()))),
            Cow::Owned(table) => table.get(name).map(|v| (v.span(), Cow::Owned(v.get_ref().clone()))),
        };
        if let Some((span, value)) = found {
            return Some(Value { key, span, value });
        }
        match key.default {
            Default::Toml(text) => {
                let value = DeValue::parse(text).ok()?.into_inner();
                Some(Value { key, span: self.span.clone(), value: Cow::Owned(value) })
            }
            Default::Absent(_) => None,
            Default::Required => {
                // An inline table may hold secrets.
                context.error_at_secret(self.span.clone(), missing(self.section, key));
                None
            }
        }
    }

    /// Returns a table below this one. What is there instead of a table is not shown: it may be a secret.
    pub(crate) fn table(&self, name: &str, context: &mut Context<'_>) -> Option<Table<'t>> {
        let section = section(name)?;
        let Value { key: _, span, value } = self.value(name, context)?;
        match value {
            Cow::Borrowed(DeValue::Table(table)) => {
                Some(Table::open(section, Cow::Borrowed(table), span, context))
            }
            Cow::Owned(DeValue::Table(table)) => Some(Table::open(section, Cow::Owned(table), span, context)),
            other if matches!(*other, DeValue::Array(_)) && section.header.starts_with('[') => {
                context.error_at_secret(
                    span,
                    format!("write {} with one pair of brackets: there is one such table", section.header),
                );
                None
            }
            other => {
                context.error_at_secret(span, format!("\"{name}\" must be a table, not {}", kind_of(&other)));
                None
            }
        }
    }

    /// Returns the tables of an array of tables.
    pub(crate) fn tables(&self, name: &str, context: &mut Context<'_>) -> Vec<Table<'t>> {
        let (Some(section), Some(Value { key: _, span, value })) = (section(name), self.value(name, context))
        else {
            return Vec::new();
        };
        let array = match value {
            Cow::Borrowed(DeValue::Array(array)) => array,
            // The default: no table at all.
            Cow::Owned(DeValue::Array(_)) => return Vec::new(),
            other => {
                let wrong = kind_of(&other);
                context.error_at_secret(
                    span,
                    format!(
                        "write {} with two pairs of brackets, for a list of tables; this is {wrong}",
                        section.header
                    ),
                );
                return Vec::new();
            }
        };
        let mut tables = Vec::new();
        for item in array.iter() {
            match item.get_ref() {
                DeValue::Table(table) => {
                    tables.push(Table::open(section, Cow::Borrowed(table), item.span(), context));
                }
                other => context.error_at_secret(
                    item.span(),
                    format!("{} must be a table, not {}", section.header, kind_of(other)),
                ),
            }
        }
        tables
    }
}

impl<'t> Value<'t> {
    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Returns the key's name.
    pub(crate) const fn name(&self) -> &'static str {
        self.key.name
    }

    pub(crate) fn string(&self, context: &mut Context<'_>) -> Option<String> {
        match self.value.as_str() {
            Some(text) if !text.is_empty() && !text.contains('\0') => Some(text.to_owned()),
            Some(_) => {
                context.error(
                    self.span(),
                    format!("\"{}\" must not be empty or hold a zero byte", self.key.name),
                );
                None
            }
            None => self.wrong_type(context),
        }
    }

    /// Reads one string, or a list of at least one, each with its place.
    pub(crate) fn strings(&self, context: &mut Context<'_>) -> Option<Vec<(Range<usize>, String)>> {
        let DeValue::Array(array) = &*self.value else {
            return self.string(context).map(|text| vec![(self.span(), text)]);
        };
        if array.is_empty() {
            context.error(self.span(), format!("\"{}\" must not be an empty list", self.key.name));
            return None;
        }
        let mut strings = Vec::new();
        for item in array.iter() {
            let item = Value { key: self.key, span: item.span(), value: Cow::Borrowed(item.get_ref()) };
            strings.push((item.span(), item.string(context)));
        }
        strings.into_iter().map(|(span, text)| Some((span, text?))).collect()
    }

    /// Reads a table from names to strings.
    pub(crate) fn string_map(&self, context: &mut Context<'_>) -> Option<BTreeMap<String, String>> {
        self.map(context, |value, context| value.string(context))
    }

    /// Reads a table from names to lists of strings.
    pub(crate) fn lists_map(&self, context: &mut Context<'_>) -> Option<BTreeMap<String, Vec<String>>> {
        self.map(context, |value, context| {
            Some(value.strings(context)?.into_iter().map(|(_, text)| text).collect())
        })
    }

    /// Reads a table from names to secret references.
    pub(crate) fn secret_map(&self, context: &mut Context<'_>) -> Option<BTreeMap<String, SecretRef>> {
        self.map(context, |value, context| value.secret(context))
    }

    fn map<T>(
        &self,
        context: &mut Context<'_>,
        read: impl Fn(&Value<'_>, &mut Context<'_>) -> Option<T>,
    ) -> Option<BTreeMap<String, T>> {
        let DeValue::Table(table) = &*self.value else {
            return self.wrong_type(context);
        };
        let mut map = BTreeMap::new();
        for (name, value) in table.iter() {
            let value = Value { key: self.key, span: value.span(), value: Cow::Borrowed(value.get_ref()) };
            map.insert(name.get_ref().to_string(), read(&value, context));
        }
        map.into_iter().map(|(name, value)| Some((name, value?))).collect()
    }

    /// Reads a date without a time: `2027-03-31`.
    pub(crate) fn date(&self, context: &mut Context<'_>) -> Option<Date> {
        match &*self.value {
            DeValue::Datetime(Datetime { date: Some(date), time: None, offset: None }) => {
                Some(Date { year: date.year, month: date.month, day: date.day })
            }
            DeValue::Datetime(_) => {
                context.error(
                    self.span(),
                    format!("\"{}\" must be a date without a time, like 2027-03-31", self.key.name),
                );
                None
            }
            DeValue::String(text) if text.parse::<Datetime>().is_ok() => {
                context.error(self.span(), format!("\"{}\" must be written without quotes", self.key.name));
                None
            }
            _ => self.wrong_type(context),
        }
    }

    pub(crate) fn boolean(&self, context: &mut Context<'_>) -> Option<bool> {
        match self.value.as_bool() {
            Some(value) => Some(value),
            None => self.wrong_type(context),
        }
    }

    pub(crate) fn number(&self, allowed: RangeInclusive<u64>, context: &mut Context<'_>) -> Option<u64> {
        let Some(integer) = self.value.as_integer() else {
            return self.wrong_type(context);
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        self.within(number, allowed, |bound| bound.to_string(), context)
    }

    /// Reads a share: a number from 0 to 1.
    pub(crate) fn share(&self, context: &mut Context<'_>) -> Option<Share> {
        let number = match &*self.value {
            DeValue::Integer(integer) => {
                u64::from_str_radix(integer.as_str(), integer.radix()).ok().map(|number| number as f64)
            }
            DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
            _ => return self.wrong_type(context),
        };
        let share = number.and_then(Share::read);
        if share.is_none() {
            let message = format!(
                "\"{}\" must be a share from 0 to 1, with at most six digits after the point",
                self.key.name
            );
            context.error(self.span(), message);
        }
        share
    }

    /// Reads `"16 MiB"`, or a plain number of bytes.
    pub(crate) fn bytes(&self, allowed: RangeInclusive<u64>, context: &mut Context<'_>) -> Option<u64> {
        let bytes = match &*self.value {
            DeValue::Integer(integer) => u64::from_str_radix(integer.as_str(), integer.radix()).ok(),
            DeValue::String(text) => match quantity::bytes(text) {
                Some(bytes) => Some(bytes),
                None => {
                    context.error(self.span(), format!("\"{text}\" is no size; write one like \"16 MiB\""));
                    return None;
                }
            },
            _ => return self.wrong_type(context),
        };
        self.within(bytes, allowed, quantity::show_bytes, context)
    }

    /// Reads `"10s"`.
    pub(crate) fn duration(
        &self,
        allowed: RangeInclusive<Duration>,
        context: &mut Context<'_>,
    ) -> Option<Duration> {
        let duration = match &*self.value {
            DeValue::String(text) => quantity::duration(text),
            DeValue::Integer(_) => None,
            _ => return self.wrong_type(context),
        };
        let Some(duration) = duration else {
            context.error(
                self.span(),
                format!("\"{}\" must be a time with its unit, like \"10s\", \"5m\" or \"1h\"", self.key.name),
            );
            return None;
        };
        self.within(Some(duration), allowed, quantity::show_duration, context)
    }

    fn within<T: PartialOrd + Copy>(
        &self,
        value: Option<T>,
        allowed: RangeInclusive<T>,
        show: impl Fn(T) -> String,
        context: &mut Context<'_>,
    ) -> Option<T> {
        let value = value.filter(|value| allowed.contains(value));
        if value.is_none() {
            let (least, most) = (show(*allowed.start()), show(*allowed.end()));
            context.error(self.span(), format!("\"{}\" must be from {least} to {most}", self.key.name));
        }
        value
    }

    pub(crate) fn secret(&self, context: &mut Context<'_>) -> Option<SecretRef> {
        let Some(text) = self.value.as_str() else {
            return self.wrong_type(context);
        };
        match SecretRef::parse_with(text, context.base(), &context.servers) {
            Ok(SecretRef::File(path)) => {
                context.readable(self.span(), &path.to_string_lossy(), PathKind::File);
                Some(SecretRef::File(path))
            }
            Ok(reference) => Some(reference),
            Err(SecretRefError::NoServer(section)) if context.unreadable.contains(&section) => None,
            // SECURITY: what is there instead may be the secret itself; it is not shown.
            Err(error) => {
                context.error_at_secret(self.span(), format!("\"{}\" {error}", self.key.name));
                None
            }
        }
    }

    pub(crate) fn path(&self, kind: PathKind, context: &mut Context<'_>) -> Option<PathBuf> {
        let text = self.string(context)?;
        Some(context.readable(self.span(), &text, kind))
    }

    fn wrong_type<T>(&self, context: &mut Context<'_>) -> Option<T> {
        let Key { name, kind, .. } = self.key;
        // SECURITY: a list or number may hold a secret too.
        context.error_at_secret(
            self.span(),
            format!("\"{name}\" must be {}, not {}", article(kind), kind_of(&self.value)),
        );
        None
    }
}

fn section(name: &str) -> Option<&'static Section> {
    keys::SECTIONS.iter().copied().find(|section| section.name == name)
}

fn unknown(section: &Section, name: &str) -> String {
    if let Some(later) = section.later.iter().find(|later| later.name == name) {
        return format!("\"{name}\" ({}) is not available in this version; remove it", later.what);
    }
    let header = section.header;
    let here = || section.keys.iter().map(|key| key.name);
    if let Some(nearest) = keys::nearest(name, here()) {
        return format!("unknown key \"{name}\" in {header}; the nearest known one is \"{nearest}\"");
    }
    let elsewhere = keys::SECTIONS.iter().find(|section| section.keys.iter().any(|key| key.name == name));
    if let Some(elsewhere) = elsewhere {
        return format!("unknown key \"{name}\" in {header}; it belongs in {}", elsewhere.header);
    }
    let known: Vec<_> = here().map(|key| format!("\"{key}\"")).collect();
    format!("unknown key \"{name}\" in {header}; known are {}", known.join(", "))
}

fn missing(section: &Section, key: &Key) -> String {
    match keys::SECTIONS.iter().find(|table| table.name == key.name && table.header.starts_with("[[")) {
        Some(table) => format!("there is no {}; at least one is needed", table.header),
        None => format!("{} lacks \"{}\" ({})", section.header, key.name, key.kind),
    }
}

fn article(kind: &str) -> String {
    match kind {
        "true or false" => kind.to_owned(),
        _ if kind.starts_with(['a', 'e', 'i', 'o']) => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
