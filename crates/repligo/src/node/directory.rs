//! The data directory at a start: what it gives, and whether the node may go on with it.

use repligo_core::contract::{Boot, Durability};

use super::topology::Topology;
use super::{NodeConfig, NodeError};
use crate::disk::{DirectoryLock, Disk, Forming, OpenOptions};
use crate::telemetry::process;

/// What the directory gave: the disk to write to, or only its lock.
pub(super) enum Directory {
    Disk(Box<(Disk, Boot)>),
    Lock(Option<DirectoryLock>),
    /// It may have forgotten something: it is left as it is until the node is admitted as a new member.
    SetAside(Box<OpenOptions>, DirectoryLock),
}

/// Opens the directory, or refuses what would not become what the start asks for.
pub(super) fn open_directory(config: &NodeConfig, topology: &Topology) -> Result<Directory, NodeError> {
    let refused = |error: crate::disk::DiskError| NodeError::Disk(error.to_string());
    if config.durability == Durability::None {
        // Nothing is kept, but two nodes must not believe that they own one directory.
        let lock = config
            .data_dir
            .exists()
            .then(|| DirectoryLock::acquire_without_data(&config.data_dir));
        return Ok(Directory::Lock(lock.transpose().map_err(refused)?));
    }
    let mut options = OpenOptions::new(
        &config.data_dir,
        config.durability,
        &config.name,
        topology.membership(),
    );
    options.clustered = topology.is_cluster();
    options.key = process::random_u128();
    options.map = Some(config.origin.clone());
    let (disk, recovered) = match Disk::open(options.clone()) {
        Ok(opened) => opened,
        Err(error) if error.is_forgetful() && topology.has_contacts() => {
            tracing::error!("{error}");
            // What is there stays there until the node is admitted; then the membership comes from the others.
            // Nobody else may touch it meanwhile, `cluster recover` least of all.
            let lock = DirectoryLock::acquire(&config.data_dir).map_err(refused)?;
            return Ok(Directory::SetAside(Box::new(options), lock));
        }
        Err(error) => return Err(refused(error)),
    };
    for note in &recovered.notes {
        tracing::warn!("{note}");
    }
    let meta = disk.meta();
    let refusal = if topology.joins() && meta.is_founder_alone() {
        Some(NodeError::Settings(topology.refuse_founder(&config.data_dir)))
    } else if meta.is_unreachable() && topology.has_contacts() {
        Some(NodeError::Settings(topology.refuse_line(&config.data_dir)))
    } else {
        let is_removed =
            matches!(meta.forming, Forming::Formed { .. }) && meta.membership.get(meta.peer).is_none();
        is_removed.then_some(NodeError::Removed)
    };
    if let Some(refusal) = refusal {
        // It was opened and nothing was done with it: no stop that could have lost anything.
        disk.close().map_err(refused)?;
        return Err(refusal);
    }
    Ok(Directory::Disk(Box::new((disk, recovered.boot))))
}
