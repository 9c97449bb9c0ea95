//! What SQLite's errors mean for a lane: the data, the database's state, or the mapping.

use repligo_core::origin::OriginError;
use repligo_core::origin::plan::TransactionOutcome;
use rusqlite::{Error, ErrorCode};

/// Where in a transaction an error came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Opening, beginning, preparing, and everything on the lane tables.
    Frame,
    /// Writing or reading back the row at this position.
    Row(usize),
    /// COMMIT itself.
    Commit,
}

/// Why a transaction is not in the database, or may not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The data does not fit; the position of the row if it is known.
    Data(String, Option<usize>),
    /// Anything else.
    Origin(OriginError),
}

impl From<Failure> for OriginError {
    /// A data error where no data was written means that the lane tables are not ours.
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Data(detail, _) => Self::Configuration(detail),
            Failure::Origin(error) => error,
        }
    }
}

impl From<Failure> for TransactionOutcome {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Data(detail, row) => Self::DataError { detail, row },
            Failure::Origin(error) => Self::Failed(error),
        }
    }
}

/// Sorts an error of SQLite.
pub fn sort(error: &Error, stage: Stage) -> Failure {
    let text = message(error);
    let row = match stage {
        Stage::Row(row) => Some(row),
        Stage::Frame | Stage::Commit => None,
    };
    let Some(code) = error.sqlite_error_code() else {
        // Not from the database: a column of another type than this file expects.
        return match row {
            Some(_) => Failure::Data(text, row),
            None => Failure::Origin(OriginError::Configuration(text)),
        };
    };
    match code {
        ErrorCode::ConstraintViolation
        | ErrorCode::TypeMismatch
        | ErrorCode::TooBig
        | ErrorCode::ParameterOutOfRange => Failure::Data(text, row),
        // While a statement runs the generic code means that an expression failed on this data, for
        // instance a CHECK that parses JSON; a missing table or column shows when it is prepared.
        ErrorCode::Unknown if row.is_some() => Failure::Data(text, row),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Failure::Origin(OriginError::Down(format!(
            "{text}; another process holds the lock"
        ))),
        // At COMMIT too: if the transaction is there after all, the lane's compare-and-set finds it at the next try. As
        // an unknown outcome it would be tried for ever, and nobody told that the disk is full.
        ErrorCode::DiskFull => Failure::Origin(OriginError::Down(text)),
        // The commit record may be in the write-ahead log although SQLite could not sync it.
        _ if stage == Stage::Commit => Failure::Origin(OriginError::Unknown(text)),
        ErrorCode::CannotOpen
        | ErrorCode::SystemIoFailure
        | ErrorCode::ReadOnly
        | ErrorCode::OutOfMemory
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::OperationInterrupted
        | ErrorCode::OperationAborted
        | ErrorCode::SchemaChanged => Failure::Origin(OriginError::Down(text)),
        _ => Failure::Origin(OriginError::Configuration(text)),
    }
}

/// What SQLite said, without the statement that rusqlite repeats.
pub fn message(error: &Error) -> String {
    match error {
        Error::SqliteFailure(_, Some(text)) => text.clone(),
        Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn sorted(code: std::ffi::c_int, stage: Stage) -> Failure {
        sort(
            &Error::SqliteFailure(ffi::Error::new(code), Some("said".to_owned())),
            stage,
        )
    }

    #[test]
    fn a_full_disk_is_told_wherever_it_comes_up_and_other_ends_of_a_commit_are_unknown() {
        let down = Failure::Origin(OriginError::Down("said".to_owned()));
        for stage in [Stage::Frame, Stage::Row(1), Stage::Commit] {
            assert_eq!(sorted(ffi::SQLITE_FULL, stage), down);
        }
        let unknown = Failure::Origin(OriginError::Unknown("said".to_owned()));
        assert_eq!(sorted(ffi::SQLITE_IOERR, Stage::Commit), unknown);
        assert_eq!(sorted(ffi::SQLITE_IOERR, Stage::Row(1)), down);
    }
}
