//! What `dev` keeps in files of its folder, so that it stands on no command line: the password of the nodes,
//! and the secret by which they know each other.

use std::path::{Path, PathBuf};

use crate::private;
use crate::tls::secret::Secret;

/// Name of the file with the password of the nodes, if they have one.
pub const PASSWORD_FILE: &str = "requirepass";
/// Name of the file with the secret of the cluster.
const SECRET_FILE: &str = "cluster.secret";
/// Flags after which the nodes know each other, or need not.
const KNOWN_BY: [&str; 3] = ["cluster-secret-file", "peer-cert", "insecure-peers"];

/// Where the secret of the cluster goes, unless the flags of the nodes say how they know each other.
pub fn cluster_secret(dir: &Path, flags: &[String]) -> Option<PathBuf> {
    let says = |word: &String| {
        let name = word.strip_prefix("--").unwrap_or_default();
        KNOWN_BY.contains(&name.split('=').next().unwrap_or_default())
    };
    (!flags.iter().any(says)).then(|| dir.join(SECRET_FILE))
}

/// Makes the secret, unless there is one from an earlier run.
///
/// # Errors
/// The file cannot be written.
pub fn keep_secret(path: &Path) -> std::io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    private::write(path, Secret::random().to_hex() + "\n")
}

/// Every user of the machine sees command lines: what one says as a password goes, and the file comes in its place.
pub fn take_password(argv: &mut Vec<String>, file: &str) -> Option<String> {
    const FLAG: &str = "--requirepass";
    let position = argv
        .iter()
        .position(|word| word == FLAG || word.starts_with("--requirepass="))?;
    let word = argv.remove(position);
    let password = match word.strip_prefix("--requirepass=") {
        Some(password) => password.to_owned(),
        None => argv.remove(position),
    };
    argv.splice(
        position..position,
        ["--requirepass-file".to_owned(), file.to_owned()],
    );
    Some(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_get_a_secret_unless_they_were_told_how_to_know_each_other() {
        let dir = Path::new("/d");
        let of = |flags: &[&str]| {
            let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
            cluster_secret(dir, &flags)
        };
        assert_eq!(of(&["--maxclients", "5"]), Some("/d/cluster.secret".into()));
        for flag in ["--insecure-peers", "--cluster-secret-file=x", "--peer-cert"] {
            assert_eq!(of(&[flag]), None, "{flag}");
        }
    }
}
