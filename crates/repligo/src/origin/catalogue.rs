//! Reads SQLite's catalogue and says whether a mapping fits it: table, columns, unique key, collation,
//! affinity, columns that no write would fill, and rows that change behind our back ([`super::reach`]).
//! Each finding says what to change.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use repligo_core::origin::pattern::KeyKind;
use repligo_core::origin::{Mode, OriginMap, Policy};
use rusqlite::{Connection, OptionalExtension};

use super::connection::connect_to_look;
use super::failure::message;
use super::reach::{self, Readers};
use super::statements::{Statements, quoted};
use crate::suggest;

#[derive(Debug)]
struct Column {
    name: String,
    declared: String,
    not_null: bool,
    has_default: bool,
    in_primary_key: bool,
    generated: bool,
}

/// One thing that does not fit.
pub struct Misfit<'a> {
    /// The keyspace, where it is about one.
    pub keyspace: Option<&'a str>,
    /// It is about the table that the keyspace names, not about a column.
    pub is_table: bool,
    /// What is wrong and what to do.
    pub text: String,
}

impl Misfit<'_> {
    /// It is about the database.
    pub fn of_origin(text: String) -> Self {
        Misfit {
            keyspace: None,
            is_table: false,
            text,
        }
    }
}

/// Opens the file once and checks every keyspace of `origin` against it: what to tell the operator before
/// a node starts, with the keyspace where it is about one. Empty when all is well.
pub fn check<'a>(path: &Path, map: &'a OriginMap, origin: u16) -> Vec<Misfit<'a>> {
    if !path.exists() {
        let text = format!(
            "{} does not exist; create the database and its tables first, for instance with sqlite3",
            path.display()
        );
        return vec![Misfit::of_origin(text)];
    }
    let mine = |policy: &&Policy| policy.origin == origin;
    let writes = map
        .policies()
        .iter()
        .filter(mine)
        .any(|policy| policy.mode == Mode::WriteThrough);
    let denied = denied(path, writes);
    if !denied.is_empty() {
        return denied.into_iter().map(Misfit::of_origin).collect();
    }
    let connection = match connect_to_look(path) {
        Ok(connection) => connection,
        Err(error) => {
            let text = format!("{} cannot be opened: {}", path.display(), message(&error));
            return vec![Misfit::of_origin(text)];
        }
    };
    let mut findings = Vec::new();
    let mut readers = None;
    for (keyspace, policy) in (0u16..).zip(map.policies()) {
        if policy.origin != origin {
            continue;
        }
        let found = match inspect(&connection, map, keyspace, &mut readers) {
            Ok(Ok(_)) => continue,
            Ok(Err(found)) => found,
            Err(error) => vec![message(&error)],
        };
        // Where there is no table to write to, nothing else was looked at.
        let kind = kind_of(&connection, policy).ok().flatten();
        let is_table = kind.is_none_or(|kind| kind == "view" && policy.mode == Mode::WriteThrough);
        findings.extend(found.into_iter().map(|text| Misfit {
            keyspace: Some(policy.name.as_str()),
            is_table,
            text,
        }));
    }
    findings
}

/// What this process may not do with the file and its folder, in which SQLite keeps the journal beside it.
fn denied(path: &Path, writes: bool) -> Vec<String> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let wanted = if writes {
        vec![
            (path, libc::R_OK | libc::W_OK, "read and written"),
            (
                folder,
                libc::W_OK | libc::X_OK,
                "written, as SQLite's journal has to be in it",
            ),
        ]
    } else {
        vec![(path, libc::R_OK, "read")]
    };
    let refused = wanted.into_iter().filter(|(path, access, _)| !may(path, *access));
    refused
        .map(|(path, _, what)| {
            format!(
                "{} cannot be {what}: the user as whom this runs has no permission; give it to that user, for instance \
                 with chown",
                path.display()
            )
        })
        .collect()
}

fn may(path: &Path, access: libc::c_int) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: the path is a string that ends with NUL and outlives the call.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), access, libc::AT_EACCESS) == 0 }
}

/// Checks one keyspace. `Ok(Err(findings))` lists what does not fit; the outer error is SQLite's.
/// `readers` is what all keyspaces of the origin read, gathered when it is first needed.
pub fn inspect(
    connection: &Connection,
    map: &OriginMap,
    keyspace: u16,
    readers: &mut Option<Readers>,
) -> rusqlite::Result<Result<Statements, Vec<String>>> {
    let policy = map.policy(keyspace);
    let kind = kind_of(connection, policy)?;
    let writes = policy.mode == Mode::WriteThrough;
    match kind.as_deref() {
        None => {
            return Ok(Err(vec![missing_table(connection, policy)?]));
        }
        Some("view") if writes => {
            let text = "is a view; map a table, or use mode = \"read-through\"";
            return Ok(Err(vec![format!("{} {text}", policy.table)]));
        }
        Some(_) => {}
    }
    let columns = columns(connection, &policy.table)?;
    let mut findings = Vec::new();
    check_columns(policy, &columns, &mut findings);
    if findings.is_empty() && kind.as_deref() == Some("table") {
        check_key(connection, policy, &columns, &mut findings)?;
    }
    if writes {
        check_unfilled(policy, &columns, &mut findings);
    }
    if !findings.is_empty() {
        return Ok(Err(findings));
    }
    let blob = policy
        .value
        .columns()
        .first()
        .and_then(|name| find(&columns, name))
        .is_some_and(|column| column.declared.contains("BLOB"));
    let statements = Statements::new(policy, blob);
    if writes {
        if readers.is_none() {
            *readers = Some(Readers::of(connection, map, policy.origin)?);
        }
        if let Some(readers) = readers {
            findings = reach::check(connection, map, keyspace, (&statements, readers))?;
        }
    }
    Ok(if findings.is_empty() {
        Ok(statements)
    } else {
        Err(findings)
    })
}

/// `table`, `view`, or nothing by that name.
fn kind_of(connection: &Connection, policy: &Policy) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached(
            "SELECT type FROM sqlite_schema WHERE name=?1 COLLATE NOCASE AND type IN ('table','view')",
        )?
        .query_row([&policy.table], |row| row.get(0))
        .optional()
}

/// A table that is not there: the one that may be meant, the ones that there are, and how it would be made.
fn missing_table(connection: &Connection, policy: &Policy) -> rusqlite::Result<String> {
    let tables: Vec<String> = connection
        .prepare_cached(
            "SELECT name FROM sqlite_schema WHERE type IN ('table','view') AND name NOT LIKE 'sqlite!_%' ESCAPE '!' \
             AND name NOT LIKE 'repligo!_%' ESCAPE '!' ORDER BY name LIMIT 20",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let near = suggest::nearest(&policy.table, tables.iter().map(String::as_str));
    let near = near.map_or(String::new(), |near| format!("did you mean `{near}`? "));
    let there = match tables.as_slice() {
        [] => String::new(),
        _ => format!("{near}The database has: {}. Or ", tables.join(", ")),
    };
    Ok(format!(
        "table {} does not exist; {there}create it, for instance: {}",
        policy.table,
        suggestion(policy)
    ))
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Column>> {
    connection
        .prepare(&format!("PRAGMA table_xinfo({})", quoted(table)))?
        .query_map([], |row| {
            Ok(Column {
                name: row.get(1)?,
                declared: row
                    .get::<_, Option<String>>(2)?
                    .unwrap_or_default()
                    .to_uppercase(),
                not_null: row.get(3)?,
                has_default: row.get::<_, Option<String>>(4)?.is_some(),
                in_primary_key: row.get::<_, i64>(5)? > 0,
                generated: row.get::<_, i64>(6)? >= 2,
            })
        })?
        .collect()
}

fn find<'a>(columns: &'a [Column], name: &str) -> Option<&'a Column> {
    columns
        .iter()
        .find(|column| column.name.eq_ignore_ascii_case(name))
}

fn check_columns(policy: &Policy, columns: &[Column], findings: &mut Vec<String>) {
    let table = &policy.table;
    let keys = policy.key.iter().map(|key| &key.column);
    for name in keys.chain(policy.value.columns()) {
        match find(columns, name) {
            None => {
                let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
                let names = names.join(", ");
                findings.push(format!(
                    "table {table} has no column {name} (it has: {names}); add it or change the mapping"
                ));
            }
            Some(column) if column.generated && policy.mode == Mode::WriteThrough => findings.push(format!(
                "column {table}.{name} is generated and cannot be written; map another column"
            )),
            Some(_) => {}
        }
    }
    for key in &policy.key {
        let Some(column) = find(columns, &key.column) else {
            continue;
        };
        let affinity = affinity(&column.declared);
        let (fits, wanted) = match key.kind {
            KeyKind::Integer => (affinity != "REAL", "INTEGER"),
            KeyKind::Text | KeyKind::Uuid => (matches!(affinity, "TEXT" | "BLOB"), "TEXT"),
        };
        if !fits {
            findings.push(format!(
                "column {table}.{} is declared {}, in which two keys could become one value; declare it {wanted}, or change the type in the pattern",
                key.column, column.declared
            ));
        }
    }
}

/// SQLite's rules for the affinity of a declared type, in their order. A column without a type has none,
/// which SQLite calls BLOB.
fn affinity(declared: &str) -> &'static str {
    let has = |word: &str| declared.contains(word);
    if has("INT") {
        "INTEGER"
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        "TEXT"
    } else if has("BLOB") || declared.is_empty() || has("ANY") {
        "BLOB"
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        "REAL"
    } else {
        "NUMERIC"
    }
}

/// The key columns must be exactly one primary key or full unique index, compared byte by byte.
fn check_key(
    connection: &Connection,
    policy: &Policy,
    columns: &[Column],
    findings: &mut Vec<String>,
) -> rusqlite::Result<()> {
    let mut wanted: Vec<String> = policy.key.iter().map(|key| key.column.to_lowercase()).collect();
    wanted.sort();
    let table = &policy.table;
    let names = wanted.join(", ");
    let mut primary: Vec<String> = columns
        .iter()
        .filter(|column| column.in_primary_key)
        .map(|column| column.name.to_lowercase())
        .collect();
    primary.sort();
    let mut statement = connection.prepare(&format!("PRAGMA index_list({})", quoted(table)))?;
    let indexes: Vec<String> = statement
        .query_map([], |row| {
            let whole = row.get::<_, bool>(2)? && !row.get::<_, bool>(4)?;
            Ok(whole.then_some(row.get::<_, String>(1)?))
        })?
        .filter_map(Result::transpose)
        .collect::<rusqlite::Result<_>>()?;
    let mut folded = None;
    for index in indexes {
        let mut parts: Vec<(Option<String>, String)> = connection
            .prepare(&format!("PRAGMA index_xinfo({})", quoted(&index)))?
            .query_map([], |row| {
                let is_key: bool = row.get(5)?;
                Ok(is_key.then_some((row.get(2)?, row.get(4)?)))
            })?
            .filter_map(Result::transpose)
            .collect::<rusqlite::Result<_>>()?;
        parts.sort();
        let mut found: Vec<String> = parts
            .iter()
            .filter_map(|(name, _)| name.as_ref().map(|name| name.to_lowercase()))
            .collect();
        found.sort();
        if found == wanted {
            match parts.iter().find(|(_, collation)| collation != "BINARY") {
                None => return Ok(()),
                Some((_, collation)) => folded = Some(collation.clone()),
            }
        }
    }
    if let Some(collation) = folded {
        findings.push(format!(
            "the unique key ({names}) of table {table} compares with {collation}, so two keys could share a row; declare the columns COLLATE BINARY"
        ));
    } else if primary != wanted {
        // An INTEGER PRIMARY KEY is the row id itself and has no index of its own.
        findings.push(format!(
            "the columns ({names}) of table {table} are not its primary key and have no unique index of exactly these columns; add one: CREATE UNIQUE INDEX {} ON {}({})",
            quoted(&format!("{table}_key")),
            quoted(table),
            policy.key.iter().map(|key| quoted(&key.column)).collect::<Vec<_>>().join(", ")
        ));
    }
    Ok(())
}

/// Columns that a new row must have and that no write of the keyspace fills.
fn check_unfilled(policy: &Policy, columns: &[Column], findings: &mut Vec<String>) {
    for column in columns {
        let mapped = policy
            .key
            .iter()
            .any(|key| key.column.eq_ignore_ascii_case(&column.name))
            || policy
                .value
                .columns()
                .iter()
                .any(|name| name.eq_ignore_ascii_case(&column.name));
        // A row id fills itself.
        let row_id = column.in_primary_key && column.declared == "INTEGER";
        if column.not_null && !column.has_default && !column.generated && !mapped && !row_id {
            findings.push(format!(
                "column {}.{} is NOT NULL, has no default and is not mapped, so no new row could be written; give it a default or map it",
                policy.table, column.name
            ));
        }
    }
}

fn suggestion(policy: &Policy) -> String {
    let mut columns: Vec<String> = policy
        .key
        .iter()
        .map(|key| {
            let declared = match key.kind {
                KeyKind::Integer => "INTEGER",
                KeyKind::Text | KeyKind::Uuid => "TEXT",
            };
            format!("{} {declared} NOT NULL", quoted(&key.column))
        })
        .collect();
    columns.extend(policy.value.columns().iter().map(|column| quoted(column)));
    let keys: Vec<String> = policy.key.iter().map(|key| quoted(&key.column)).collect();
    format!(
        "CREATE TABLE {} ({}, PRIMARY KEY ({}))",
        quoted(&policy.table),
        columns.join(", "),
        keys.join(", ")
    )
}
