//! Whose a database is: the cluster that has rows in the table of lanes.

use repligo_core::origin::OriginError;
use rusqlite::{Connection, Error, ErrorCode};

use super::failure::{Failure, Stage, sort};
use super::sqlite::StoreSettings;

/// True if this cluster has taken lanes over, false if nobody has.
///
/// # Errors
/// Another cluster has.
pub(super) fn is_ours(connection: &Connection, settings: &StoreSettings) -> Result<bool, Failure> {
    // Two looks at the ends of the primary key.
    let sql = "SELECT (SELECT min(cluster) FROM repligo_lane), (SELECT max(cluster) FROM repligo_lane)";
    let owners = connection.prepare_cached(sql).and_then(|mut statement| {
        statement.query_row([], |row| {
            Ok([row.get::<_, Option<String>>(0)?, row.get::<_, Option<String>>(1)?])
        })
    });
    let owners = match owners {
        Ok(owners) => owners,
        // There is no such table before the first takeover.
        Err(Error::SqlInputError { .. }) => return Ok(false),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::Unknown) => return Ok(false),
        Err(error) => return Err(sort(&error, Stage::Frame)),
    };
    let mut owners = owners.iter().flatten();
    match owners.clone().find(|owner| **owner != settings.cluster) {
        Some(other) => Err(Failure::Origin(OriginError::Foreign(format!(
            "{} belongs to cluster {other}, this is cluster {}; two clusters must not write one database: give this \
             one its own file, or, if the other is gone for good, run DELETE FROM repligo_lane WHERE \
             cluster='{other}'",
            settings.path.display(),
            settings.cluster
        )))),
        None => Ok(owners.next().is_some()),
    }
}
