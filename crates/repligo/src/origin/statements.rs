//! The SQL of a mapped keyspace, and how its keys and values become parameters and come back.
//!
//! Rule for raw values: a column declared with `BLOB` in its type gets a BLOB; any other gets TEXT when
//! the value is UTF-8 and a BLOB when it is not. What comes back is the bytes of TEXT or BLOB, the
//! decimal form of a number, and the empty string for NULL. A row always is a key, whatever it holds.

use bytes::Bytes;
use repligo_core::origin::json::{Scalar, render_real, render_row};
use repligo_core::origin::pattern::KeyPart;
use repligo_core::origin::{Policy, ValueMapping};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Row, Statement};

/// The statements of one keyspace.
#[derive(Clone, Debug)]
pub struct Statements {
    /// Writes one row: key columns, then value columns.
    pub upsert: String,
    /// Deletes one row: key columns.
    pub delete: String,
    /// Reads the value columns of one row: key columns.
    pub select: String,
    /// The raw value column is declared as a BLOB.
    pub blob: bool,
}

/// An identifier as SQL wants it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Statements {
    /// The SQL for `policy`; `blob` says that its raw value column is declared as a BLOB.
    pub fn new(policy: &Policy, blob: bool) -> Self {
        let table = quoted(&policy.table);
        let keys: Vec<String> = policy.key.iter().map(|key| quoted(&key.column)).collect();
        let values: Vec<String> = policy
            .value
            .columns()
            .iter()
            .map(|column| quoted(column))
            .collect();
        let places: Vec<String> = (1..=keys.len() + values.len()).map(|n| format!("?{n}")).collect();
        let sets: Vec<String> = values.iter().map(|v| format!("{v}=excluded.{v}")).collect();
        // With the table before it a name is that of a column and nothing else.
        let matches: Vec<String> = keys
            .iter()
            .zip(1..)
            .map(|(key, n)| format!("{table}.{key}=?{n}"))
            .collect();
        let selected: Vec<String> = values.iter().map(|value| format!("{table}.{value}")).collect();
        let matches = matches.join(" AND ");
        Self {
            upsert: format!(
                "INSERT INTO {table}({}) VALUES({}) ON CONFLICT({}) DO UPDATE SET {}",
                [&keys[..], &values[..]].concat().join(","),
                places.join(","),
                keys.join(","),
                sets.join(","),
            ),
            delete: format!("DELETE FROM {table} WHERE {matches}"),
            select: format!("SELECT {} FROM {table} WHERE {matches}", selected.join(",")),
            blob,
        }
    }
}

/// Binds the key columns; returns how many there are. The core has checked that the key fits.
pub fn bind_key(statement: &mut Statement<'_>, policy: &Policy, key: &[u8]) -> rusqlite::Result<usize> {
    let mut bound = 0;
    let mut result = Ok(());
    let fits = policy.pattern.split(key, |part| {
        bound += 1;
        let value = match part {
            KeyPart::Integer(number) => ValueRef::Integer(number),
            KeyPart::Text(text) => ValueRef::Text(text.as_bytes()),
        };
        if result.is_ok() {
            result = statement.raw_bind_parameter(bound, ToSqlOutput::Borrowed(value));
        }
    });
    result?;
    fits.map_err(|rule| rusqlite::Error::ToSqlConversionFailure(rule.into()))?;
    Ok(bound)
}

/// Binds the value columns after `bound` key columns.
pub fn bind_value(
    statement: &mut Statement<'_>,
    (policy, blob): (&Policy, bool),
    bound: usize,
    value: &[u8],
) -> rusqlite::Result<()> {
    let mut bind = |index: usize, value: ValueRef<'_>| {
        statement.raw_bind_parameter(bound + 1 + index, ToSqlOutput::Borrowed(value))
    };
    match &policy.value {
        ValueMapping::Raw { .. } => {
            let text = !blob && std::str::from_utf8(value).is_ok();
            bind(
                0,
                if text {
                    ValueRef::Text(value)
                } else {
                    ValueRef::Blob(value)
                },
            )
        }
        ValueMapping::Json { .. } => {
            let row = policy
                .value
                .scalars(value)
                .map_err(|rule| rusqlite::Error::ToSqlConversionFailure(rule.into()))?;
            for (index, scalar) in row.iter().enumerate() {
                bind(
                    index,
                    match scalar {
                        Scalar::Null => ValueRef::Null,
                        Scalar::Boolean(value) => ValueRef::Integer(i64::from(*value)),
                        Scalar::Integer(value) => ValueRef::Integer(*value),
                        Scalar::Real(value) => ValueRef::Real(*value),
                        Scalar::Text(value) => ValueRef::Text(value.as_bytes()),
                    },
                )?;
            }
            Ok(())
        }
    }
}

/// The value of a row as a GET returns it; the columns are those of [`Statements::select`].
pub fn read_value(row: &Row<'_>, mapping: &ValueMapping) -> rusqlite::Result<Bytes> {
    match mapping {
        ValueMapping::Raw { .. } => Ok(match row.get_ref(0)? {
            ValueRef::Null => Bytes::new(),
            ValueRef::Integer(number) => Bytes::from(number.to_string()),
            ValueRef::Real(number) => Bytes::from(render_real(number)),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Bytes::copy_from_slice(bytes),
        }),
        ValueMapping::Json { members, .. } => {
            let mut scalars = Vec::with_capacity(members.len());
            for (index, member) in members.iter().enumerate() {
                scalars.push(scalar(row.get_ref(index)?).ok_or_else(|| {
                    let rule = format!("member {member} holds bytes that are not UTF-8 text");
                    rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Blob, rule.into())
                })?);
            }
            Ok(Bytes::from(render_row(members, &scalars)))
        }
    }
}

fn scalar(value: ValueRef<'_>) -> Option<Scalar> {
    Some(match value {
        ValueRef::Null => Scalar::Null,
        ValueRef::Integer(number) => Scalar::Integer(number),
        ValueRef::Real(number) => Scalar::Real(number),
        ValueRef::Text(bytes) => Scalar::Text(std::str::from_utf8(bytes).ok()?.to_owned()),
        ValueRef::Blob(_) => return None,
    })
}
