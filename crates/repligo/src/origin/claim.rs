//! Whose a database is: the cluster that has rows in the table of lanes.

use repligo_core::origin::OriginError;
use rusqlite::{Connection, Error, ErrorCode};

use super::failure::{Failure, Stage, sort};
use super::sqlite::StoreSettings;

/// This cluster has taken lanes over, or nobody has.
///
/// # Errors
/// Another cluster has.
pub(super) fn refuse_other_clusters(
    connection: &Connection,
    settings: &StoreSettings,
) -> Result<(), Failure> {
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
        Err(Error::SqlInputError { .. }) => return Ok(()),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::Unknown) => return Ok(()),
        Err(error) => return Err(sort(&error, Stage::Frame)),
    };
    let mut owners = owners.iter().flatten();
    match owners.find(|owner| **owner != settings.cluster) {
        Some(other) => Err(Failure::Origin(OriginError::Configuration(format!(
            "{} belongs to cluster {other}, this is cluster {}; two clusters must not write one database: give this \
             one its own file, or, if the other is gone for good, run DELETE FROM repligo_lane WHERE \
             cluster='{other}'",
            settings.path.display(),
            settings.cluster
        )))),
        None => Ok(()),
    }
}
