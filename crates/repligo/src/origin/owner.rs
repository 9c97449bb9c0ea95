//! To which cluster a database belongs: the one whose lanes it holds. A cluster refuses the database of another.

use std::path::{Path, PathBuf};

use super::connection::connect_to_look;
use super::{OriginConfig, sqlite_path};

/// A database that nodes have written to before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Name of the origin.
    pub origin: String,
    /// The database.
    pub path: PathBuf,
    /// Ids of the clusters, 32 hex digits each; more than one only if somebody has copied rows.
    pub clusters: Vec<String>,
}

/// The databases that belong to a cluster already. Those that are new, or that cannot be read, are left out.
pub fn owned(configs: &[OriginConfig]) -> Vec<Owned> {
    let owned = |config: &OriginConfig| {
        let path = sqlite_path(&config.url).ok()?;
        let clusters = clusters(&path).ok().filter(|clusters| !clusters.is_empty())?;
        let origin = config.name.clone();
        Some(Owned {
            origin,
            path,
            clusters,
        })
    };
    configs.iter().filter_map(owned).collect()
}

/// Ids of the clusters that have written to a database; none if it is new.
pub fn clusters(path: &Path) -> rusqlite::Result<Vec<String>> {
    let connection = connect_to_look(path)?;
    let mut statement = connection.prepare("SELECT DISTINCT cluster FROM repligo_lane ORDER BY cluster")?;
    let rows = statement.query_map([], |row| row.get(0))?;
    rows.collect()
}
