//! The socket file through which clients of the same machine connect.
//!
//! Whoever may open the file may connect, so its mode is its access control. The file is created for its
//! owner alone and opened up afterwards: it is never wider than asked for, not even for an instant.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::options::ListenError;
use crate::config::UnixSocket;

/// Bits that a socket file must not have at its creation: all but reading and writing by its owner.
const UMASK: libc::mode_t = 0o177;

/// A bound socket file; removed when dropped, unless another file has taken its place.
#[derive(Debug)]
pub struct SocketFile {
    listener: UnixListener,
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// Binds the file with its mode. One that a dead process left behind is replaced.
    ///
    /// # Errors
    /// Something else lies there, a live process listens there, or
    /// the system refuses.
    pub fn bind(socket: &UnixSocket) -> Result<Self, ListenError> {
        let refused = |(source, remedy): (io::Error, &'static str)| ListenError {
            what: "unix socket",
            address: socket.path.display().to_string(),
            source,
            remedy,
        };
        make_way(&socket.path).map_err(refused)?;
        bind(&socket.path, socket.mode).map_err(|error| {
            let remedy = remedy(&error);
            refused((error, remedy))
        })
    }

    /// Where clients connect.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A listener of its own for the accepting task.
    pub fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }

    /// Refuses new clients from now on and removes the file.
    pub fn close(&self) {
        use std::os::fd::AsRawFd;
        // SAFETY: the descriptor is open; shutting a listening socket down refuses its connections, also
        // through the copy that the accepting task is about to drop.
        unsafe { libc::shutdown(self.listener.as_raw_fd(), libc::SHUT_RDWR) };
        // A successor may have bound the path anew: its file stays.
        if fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.close();
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Removes a socket file that nobody listens on.
fn make_way(path: &Path) -> Result<(), (io::Error, &'static str)> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        let error = io::Error::new(io::ErrorKind::AlreadyExists, "the path exists and is no socket");
        return Err((
            error,
            "choose another path with --unix-socket, or move the file away",
        ));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| {
                (
                    error,
                    "remove the socket file, or choose another path with --unix-socket",
                )
            })
        }
        Err(error) => Err((
            error,
            "give the node the right to the socket file, or choose another path with --unix-socket",
        )),
        Ok(_) => Err((
            io::Error::from(io::ErrorKind::AddrInUse),
            "another process listens there: stop it, or choose another path with --unix-socket",
        )),
    }
}

fn bind(path: &Path, mode: u32) -> io::Result<SocketFile> {
    // SAFETY: umask cannot fail and touches no memory. Files that other threads create in between get less
    // than they asked for, never more.
    let before = unsafe { libc::umask(UMASK) };
    let bound = UnixListener::bind(path);
    // SAFETY: as above.
    unsafe { libc::umask(before) };
    let listener = bound?;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    listener.set_nonblocking(true)?;
    Ok(SocketFile {
        listener,
        path: path.to_path_buf(),
        identity: identity(&fs::symlink_metadata(path)?),
    })
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "create the folder first, or choose another path with --unix-socket",
        io::ErrorKind::PermissionDenied => {
            "choose a path in a folder that the node may write to, with --unix-socket"
        }
        io::ErrorKind::AddrInUse => "another process has just bound it: stop it, or choose another path",
        _ => "choose a path of at most 107 bytes on a local file system with --unix-socket",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("repligo-unix-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("a folder for the test");
            Self(path)
        }

        fn socket(&self, mode: u32) -> UnixSocket {
            UnixSocket {
                path: self.0.join("s"),
                mode,
            }
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_file_has_its_mode_and_goes_with_the_listener() {
        let folder = Folder::new("mode");
        for mode in [0o600, 0o660, 0o777] {
            let socket = folder.socket(mode);
            let bound = SocketFile::bind(&socket).expect("a free path");
            let found = fs::symlink_metadata(bound.path()).expect("it is bound");
            assert_eq!(found.permissions().mode() & 0o777, mode);
            drop(bound);
            assert!(!socket.path.exists());
        }
    }

    #[test]
    fn what_a_dead_process_left_is_replaced_and_what_lives_is_not() {
        let folder = Folder::new("left");
        let socket = folder.socket(0o600);
        drop(UnixListener::bind(&socket.path).expect("a free path"));
        assert!(socket.path.exists(), "the standard listener leaves its file");
        let first = SocketFile::bind(&socket).expect("nobody listens there");
        let text = SocketFile::bind(&socket).expect_err("it is taken").to_string();
        assert!(text.contains("another process listens there"), "{text}");
        assert!(text.contains("--unix-socket"), "{text}");
        drop(first);
        fs::write(&socket.path, "precious").expect("writable");
        let text = SocketFile::bind(&socket).expect_err("a file").to_string();
        assert!(text.contains("is no socket"), "{text}");
        assert_eq!(fs::read_to_string(&socket.path).expect("kept"), "precious");
    }

    #[test]
    fn a_successors_file_is_not_removed() {
        let folder = Folder::new("successor");
        let socket = folder.socket(0o600);
        let first = SocketFile::bind(&socket).expect("a free path");
        fs::remove_file(&socket.path).expect("removable");
        let second = SocketFile::bind(&socket).expect("free again");
        drop(first);
        assert!(socket.path.exists());
        drop(second);
    }

    #[test]
    fn a_missing_folder_is_told_with_a_remedy() {
        let socket = UnixSocket {
            path: PathBuf::from("/nonexistent-folder/s"),
            mode: 0o600,
        };
        let text = SocketFile::bind(&socket).expect_err("no folder").to_string();
        assert!(text.contains("create the folder first"), "{text}");
    }
}
