//! The members as the directory knows them: kept in `meta` while the node runs, so that the next start finds the
//! others and knows what it was.

use std::sync::PoisonError;

use repligo_core::membership::Membership;

use super::error::DiskError;
use super::handle::{DiskHandle, Job, Shared};
use super::meta::Meta;
use super::space::write_meta;

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
