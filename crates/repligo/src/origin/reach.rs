//! What a write of a keyspace changes besides its own row: by triggers, by actions of foreign keys, by
//! conflict clauses that delete rows, or because the table is mapped or viewed by another keyspace. Nobody
//! would drop the cached copies of such rows, so such a mapping is refused.
//!
//! It reads no SQL but for conflict clauses, which SQLite tells nobody: what a statement reads and writes,
//! SQLite says itself when it prepares it, all that triggers and foreign keys set off included.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use repligo_core::origin::{OriginMap, Policy};
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, OptionalExtension};

use super::statements::{Statements, quoted};

/// One thing that a prepared statement may do. Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    Read(String, String),
    Insert(String),
    Update(String, String),
    Delete(String),
}

/// An action, and the innermost trigger or view that causes it.
type Step = (Action, Option<String>);

/// What all keyspaces of one origin have cached: table → keyspace → columns.
#[derive(Debug, Default)]
pub struct Readers {
    tables: BTreeMap<String, BTreeMap<u16, Columns>>,
}

#[derive(Debug, Default)]
struct Columns {
    names: BTreeSet<String>,
    /// One of them is computed, possibly from any column.
    generated: bool,
}

impl Readers {
    /// Asks SQLite what the loads of each keyspace read. One whose table does not fit is left out: it is
    /// refused for that.
    pub fn of(connection: &Connection, map: &OriginMap, origin: u16) -> rusqlite::Result<Self> {
        let mut new = Self::default();
        for (keyspace, policy) in (0u16..).zip(map.policies()) {
            if policy.origin != origin {
                continue;
            }
            let select = Statements::new(policy, false).select;
            for (action, _) in steps(connection, &select).unwrap_or_default() {
                if let Action::Read(table, column) = action {
                    let readers = new.tables.entry(table).or_default();
                    readers.entry(keyspace).or_default().names.insert(column);
                }
            }
        }
        for (table, readers) in &mut new.tables {
            let generated = generated_columns(connection, table)?;
            for columns in readers.values_mut() {
                columns.generated = columns.names.iter().any(|name| generated.contains(name));
            }
        }
        Ok(new)
    }
}

/// A change that a write of a keyspace causes, and how.
struct Change {
    table: String,
    /// The column; without one, whole rows come or go.
    column: Option<String>,
    cause: Cause,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    /// The write itself.
    Own,
    Trigger(String),
    ForeignKey,
    /// A conflict clause of the table deletes the rows that are in the way.
    Replace,
}

/// Everything that changes with a write of `keyspace` and that a keyspace has cached, but for the written
/// row itself. Each finding says what to change.
pub fn check(
    connection: &Connection,
    map: &OriginMap,
    keyspace: u16,
    (statements, readers): (&Statements, &Readers),
) -> rusqlite::Result<Vec<String>> {
    let policy = map.policy(keyspace);
    let mut findings = BTreeSet::new();
    for change in changes(connection, statements)? {
        for (reader, columns) in readers.tables.get(&change.table).into_iter().flatten() {
            let own = *reader == keyspace && change.cause == Cause::Own;
            let seen = change
                .column
                .as_ref()
                .is_none_or(|column| columns.generated || columns.names.contains(column));
            if seen && !own {
                findings.insert(finding(policy, &change, map.policy(*reader)));
            }
        }
    }
    Ok(findings.into_iter().collect())
}

fn changes(connection: &Connection, statements: &Statements) -> rusqlite::Result<Vec<Change>> {
    let mut changes = Vec::new();
    for sql in [&statements.upsert, &statements.delete] {
        let alone = without_foreign_keys(connection, |connection| steps(connection, sql))?;
        let mut caused = steps(connection, sql)?;
        for step in &alone {
            if let Some(at) = caused.iter().position(|other| other == step) {
                caused.swap_remove(at);
            }
        }
        let alone = alone.into_iter().map(|(action, by)| {
            let cause = by.map_or(Cause::Own, Cause::Trigger);
            (action, cause)
        });
        let caused = caused.into_iter().map(|(action, _)| (action, Cause::ForeignKey));
        for (action, cause) in alone.chain(caused) {
            changes.extend(change(connection, action, cause)?);
        }
    }
    Ok(changes)
}

/// The change that an action is, and the rows that go because they are in its way.
fn change(connection: &Connection, action: Action, cause: Cause) -> rusqlite::Result<Vec<Change>> {
    let (table, column, adds) = match action {
        Action::Read(..) => return Ok(Vec::new()),
        Action::Insert(table) => (table, None, true),
        Action::Update(table, column) => (table, Some(column), true),
        Action::Delete(table) => (table, None, false),
    };
    let mut changes = Vec::new();
    if adds && replaces(connection, &table, &cause)? {
        changes.push(Change {
            table: table.clone(),
            column: None,
            cause: match &cause {
                Cause::Trigger(_) => cause.clone(),
                _ => Cause::Replace,
            },
        });
    }
    changes.push(Change { table, column, cause });
    Ok(changes)
}

/// Whether a conflict clause of the table, or of the trigger that writes it, deletes other rows.
fn replaces(connection: &Connection, table: &str, cause: &Cause) -> rusqlite::Result<bool> {
    if definition(connection, "table", table)?.is_some_and(|sql| has_replace_clause(&sql)) {
        return Ok(true);
    }
    let Cause::Trigger(name) = cause else {
        return Ok(false);
    };
    let sql = definition(connection, "trigger", name)?;
    Ok(sql.is_some_and(|sql| words(&sql).iter().any(|word| word == "REPLACE")))
}

fn definition(connection: &Connection, kind: &str, name: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT sql FROM sqlite_schema WHERE type=?1 AND name=?2 COLLATE NOCASE")?
        .query_row([kind, name], |row| row.get(0))
        .optional()
        .map(Option::flatten)
}

/// `ON CONFLICT REPLACE` of anything but NOT NULL, where it puts in the default.
fn has_replace_clause(sql: &str) -> bool {
    let words = words(sql);
    let clause = ["ON", "CONFLICT", "REPLACE"];
    (0..words.len())
        .any(|at| words[at..].starts_with(&clause.map(str::to_owned)) && (at == 0 || words[at - 1] != "NULL"))
}

/// The words of a statement in upper case, without what stands in quotes or in comments.
fn words(sql: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let skipped = match first {
            '\'' | '"' | '`' => Some((1, first.to_string())),
            '[' => Some((1, "]".to_owned())),
            '-' if rest.starts_with("--") => Some((2, "\n".to_owned())),
            '/' if rest.starts_with("/*") => Some((2, "*/".to_owned())),
            _ => None,
        };
        if let Some((opening, end)) = skipped {
            let inner = &rest[opening..];
            let length = inner.find(&end).map_or(inner.len(), |at| at + end.len());
            rest = &inner[length..];
            continue;
        }
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        if length == 0 {
            rest = &rest[first.len_utf8()..];
        } else {
            words.push(rest[..length].to_uppercase());
            rest = &rest[length..];
        }
    }
    words
}

/// What SQLite says that a statement may do, as often as it does it.
fn steps(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<Step>> {
    let gathered: Arc<Mutex<Vec<Step>>> = Arc::default();
    let gather = Arc::clone(&gathered);
    connection.authorizer(Some(move |context: AuthContext<'_>| {
        let name = str::to_lowercase;
        let action = match context.action {
            AuthAction::Read {
                table_name,
                column_name,
            } => Action::Read(name(table_name), name(column_name)),
            AuthAction::Insert { table_name } => Action::Insert(name(table_name)),
            AuthAction::Update {
                table_name,
                column_name,
            } => Action::Update(name(table_name), name(column_name)),
            AuthAction::Delete { table_name } => Action::Delete(name(table_name)),
            _ => return Authorization::Allow,
        };
        let step = (action, context.accessor.map(str::to_owned));
        gather.lock().unwrap_or_else(PoisonError::into_inner).push(step);
        Authorization::Allow
    }))?;
    let prepared = connection.prepare(sql).map(drop);
    connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
    prepared?;
    Ok(std::mem::take(
        &mut *gathered.lock().unwrap_or_else(PoisonError::into_inner),
    ))
}

/// Runs `work` while SQLite ignores foreign keys; it may be within a transaction, but must write nothing.
fn without_foreign_keys<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let switch = DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY;
    let enforced = connection.db_config(switch)?;
    connection.set_db_config(switch, false)?;
    let result = work(connection);
    connection.set_db_config(switch, enforced)?;
    result
}

fn generated_columns(connection: &Connection, table: &str) -> rusqlite::Result<BTreeSet<String>> {
    connection
        .prepare(&format!("PRAGMA table_xinfo({})", quoted(table)))?
        .query_map([], |row| {
            let generated = row.get::<_, i64>(6)? >= 2;
            Ok(generated.then_some(row.get::<_, String>(1)?.to_lowercase()))
        })?
        .filter_map(Result::transpose)
        .collect()
}

fn finding(policy: &Policy, change: &Change, reader: &Policy) -> String {
    let (table, other) = (&change.table, &reader.name);
    let what = match &change.column {
        Some(column) => format!("column {table}.{column}"),
        None => format!("rows of table {table}"),
    };
    let (cause, remedy) = match &change.cause {
        Cause::Own => {
            return format!(
                "a write changes table {table}, which keyspace {other} reads too, and would leave its cached \
                 rows as they were; map each table in one keyspace, or make both read-through"
            );
        }
        Cause::Trigger(name) => (format!("trigger {name}"), format!("drop trigger {name}")),
        Cause::ForeignKey => (
            "the action of a foreign key".to_owned(),
            format!(
                "declare the foreign keys that lead to table {table} without ON DELETE and ON UPDATE actions"
            ),
        ),
        Cause::Replace => (
            "ON CONFLICT REPLACE".to_owned(),
            format!("declare the unique columns of table {table} without ON CONFLICT REPLACE"),
        ),
    };
    format!(
        "a write to table {} also changes {what} by {cause}, and keyspace {other} would keep the cached rows \
         as they were, since such changes are not followed yet; {remedy}, or use mode = \"read-through\" \
         with a cache_ttl",
        policy.table
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflict_clauses_are_told_from_names_texts_and_comments() {
        let check = |sql: &str, expect: bool| assert_eq!(has_replace_clause(sql), expect, "{sql}");
        check("CREATE TABLE t(a UNIQUE ON CONFLICT REPLACE)", true);
        check(
            "CREATE TABLE t(a, unique (a) on /* well */ conflict\n replace)",
            true,
        );
        check("CREATE TABLE t(a NOT NULL ON CONFLICT REPLACE DEFAULT 1)", false);
        check("CREATE TABLE t(a UNIQUE ON CONFLICT IGNORE)", false);
        check(
            "CREATE TABLE t(a DEFAULT 'x'' ON CONFLICT REPLACE') -- ON CONFLICT REPLACE",
            false,
        );
        check(
            "CREATE TABLE t(\"ON CONFLICT REPLACE\", [ON CONFLICT REPLACE], `ON CONFLICT REPLACE`)",
            false,
        );
        check("CREATE TABLE t(a) -- unfinished ON CONFLICT REPLACE", false);
        check("CREATE TABLE \"unfinished", false);
    }
}
