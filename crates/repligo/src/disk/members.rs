//! The members as the directory knows them: kept in `meta` while the node runs, so that the next start finds the
//! others and knows what it was.

use std::path::Path;
use std::sync::PoisonError;

use repligo_core::membership::Membership;

use super::error::DiskError;
use super::handle::{DiskHandle, Job, Shared};
use super::meta::{self, Forming, Meta};
use super::space::write_meta;
use super::storage::Directory;

/// Whether the node of a directory is a member of a cluster, as far as the directory knows; a running node is not
/// disturbed. One whose `meta` cannot be read may be.
pub fn is_member(dir: &Path) -> bool {
    match meta::read(&Directory::new(dir.to_path_buf())) {
        Ok(None) => false,
        Ok(Some(meta)) => {
            matches!(meta.forming, Forming::Formed { .. }) && meta.membership.get(meta.peer).is_some()
        }
        Err(_) => true,
    }
}

impl Shared {
    pub(super) fn meta(&self) -> Meta {
        self.meta.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stores the members, durably.
    pub(super) fn keep(&self, membership: Membership) -> Result<(), DiskError> {
        let meta = Meta {
            membership,
            ..self.meta()
        };
        write_meta(&*self.storage, &meta)?;
        *self.meta.lock().unwrap_or_else(PoisonError::into_inner) = meta;
        Ok(())
    }
}

impl DiskHandle {
    /// Keeps the members beside the log, for the next start; behind what was queued before.
    pub fn keep_members(&self, membership: Membership) {
        self.shared.queues().jobs.push(Job::Members(membership));
        self.shared.log_work.notify_one();
    }
}
