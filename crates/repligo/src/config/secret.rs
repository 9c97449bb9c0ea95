//! The password of the default user: from a key, or from a file that only its owner can read.
//!
//! A password on the command line is seen by every user of the machine, so the file is the way to give it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::error::{Origin, Problem};
use super::layers::Layered;
use super::refusals::{path, place, text};

/// Key of the password itself.
const PLAIN: &str = "requirepass";
/// Key of the file.
const FILE: &str = "requirepass-file";
/// A password file holds one line; this bounds what is taken of a wrong one.
const PASSWORD_BYTES_MAX: usize = 4096;

/// The password, if one is set. Of the two keys the one of the higher layer holds.
pub(super) fn settle(layered: &Layered, problems: &mut Vec<Problem>) -> Option<String> {
    let plain = text(layered, PLAIN);
    let Some(file) = path(layered, FILE) else {
        return plain;
    };
    let origin = place(layered, FILE);
    if plain.is_some() {
        let (of_plain, of_file) = (layer(place(layered, PLAIN)), layer(origin));
        if of_plain == of_file {
            let what = format!("{PLAIN} and {FILE} are both given");
            problems.push(Problem::new(origin, what, format!("leave {PLAIN} out")));
        }
        if of_plain >= of_file {
            return plain;
        }
    }
    match read(&file) {
        Ok(password) => Some(password),
        Err((what, remedy)) => {
            let what = format!("password file {}: {what}", file.display());
            problems.push(Problem::new(origin, what, remedy));
            // So that it is not told as well that there is none.
            Some(String::new())
        }
    }
}

/// The secret in the file that this key names, if it is given.
pub(super) fn of_file(layered: &Layered, key: &str, problems: &mut Vec<Problem>) -> Option<String> {
    let file = path(layered, key)?;
    let secret = read(&file).map_err(|(what, remedy)| {
        let what = format!("{key} {}: {what}", file.display());
        problems.push(Problem::new(place(layered, key), what, remedy));
    });
    secret.ok()
}

fn layer(origin: &Origin) -> u8 {
    match origin {
        Origin::Flag(_) => 3,
        Origin::Environment(_) => 2,
        Origin::File { .. } => 1,
        Origin::Default | Origin::Derived(_) => 0,
    }
}

/// Whether nobody can read the file who should not: its owner alone, and where root has made it for this node
/// to read, as orchestrators do, a group too. The same rule as PostgreSQL's for the keys of its server.
fn is_private(mode: u32, owner: u32, own: u32) -> bool {
    let forbidden = if owner == 0 && own != 0 { 0o037 } else { 0o077 };
    mode & forbidden == 0
}

fn too_open(path: &Path, mode: u32, of_root: bool) -> (String, String) {
    let what = format!("mode {mode:o} lets other users of this machine read it");
    let remedy = if of_root {
        format!(
            "chmod 640 {} with a group of this node; of a secret of Kubernetes set defaultMode: 0440 and fsGroup, \
             of Docker mode: 0440 and gid",
            path.display()
        )
    } else {
        format!("chmod 600 {}", path.display())
    };
    (what, remedy)
}

/// What the file says, or what is wrong with it and what to do.
fn read(path: &Path) -> Result<String, (String, String)> {
    const REMEDY: &str = "write the secret into its first line, as plain text";
    if let Ok(metadata) = std::fs::metadata(path) {
        let mode = metadata.mode() & 0o777;
        // The owner of a process' own page is the user that it runs as; without it nothing is forgiven to root.
        let own = std::fs::metadata("/proc/self").map_or(0, |process| process.uid());
        if !is_private(mode, metadata.uid(), own) {
            return Err(too_open(path, mode, metadata.uid() == 0 && own != 0));
        }
    }
    let bytes = std::fs::read(path).map_err(|error| {
        let remedy = "make it, readable by the user that runs the node (chmod 600)";
        (error.to_string(), remedy.to_owned())
    })?;
    let wrong = |what: &str| Err((what.to_owned(), REMEDY.to_owned()));
    let Ok(text) = String::from_utf8(bytes) else {
        return wrong("it is not UTF-8");
    };
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line.len() {
        0 => wrong("it is empty"),
        PASSWORD_BYTES_MAX.. => wrong("it is too long for a password"),
        _ if line.contains('\n') => wrong("it has more than one line"),
        _ => Ok(line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::layers::Sources;
    use super::super::refusals;
    use super::*;
    use crate::private;

    /// The password that a node takes from this file and these flags, or why it does not start.
    fn given(
        content: &[u8],
        mode: u32,
        flags: &[(&str, &str)],
        environment: &[(&str, &str)],
    ) -> Result<String, String> {
        let thread = std::thread::current();
        let name = thread
            .name()
            .and_then(|name| name.rsplit(':').next())
            .unwrap_or("x")
            .to_owned();
        let file = std::env::temp_dir().join(format!("repligo-secret-{}-{name}", std::process::id()));
        private::write(&file, content).expect("temporary file");
        fs::set_permissions(&file, Permissions::from_mode(mode)).expect("ours");
        let owned = |(name, text): &(&str, &str)| {
            (
                name.to_string(),
                text.replace("FILE", &file.display().to_string()),
            )
        };
        let layered = Layered::read(&Sources {
            flags: flags.iter().map(owned).collect(),
            environment: environment
                .iter()
                .map(owned)
                .map(|(name, text)| (name.into(), text.into()))
                .collect(),
            ..Default::default()
        })
        .expect("well formed");
        let settings = refusals::settle(&layered).map_err(|problems| problems.to_string());
        fs::remove_file(&file).expect("ours");
        settings.map(|settings| settings.requirepass.unwrap_or_default())
    }

    #[test]
    fn a_password_file_is_one_line_for_its_owner_alone() {
        let flags = [
            ("requirepass-file", "FILE"),
            ("listen", "0.0.0.0:1"),
            ("admin-listen", "127.0.0.1:2"),
        ];
        assert_eq!(
            given("s p\u{e4}\r\n".as_bytes(), 0o400, &flags, &[]).as_deref(),
            Ok("s p\u{e4}")
        );
        for (content, mode, part) in [
            (b"x\n".as_slice(), 0o640, "chmod 600"),
            (b"x\n", 0o604, "mode 604 lets other users"),
            (b"\n", 0o600, "it is empty"),
            (b"a\nb\n", 0o600, "more than one line"),
            (b"\xff\n", 0o600, "not UTF-8"),
        ] {
            let text = given(content, mode, &flags, &[]).expect_err("refused");
            assert!(
                text.contains(part) && !text.contains("no password"),
                "{part}:\n{text}"
            );
        }
    }

    #[test]
    fn a_group_may_read_what_root_has_made_for_it() {
        let check = |mode, owner, own, expect| {
            assert_eq!(is_private(mode, owner, own), expect, "{mode:o} {owner} {own}")
        };
        let (root, node, other) = (0, 10_001, 10_002);
        check(0o600, node, node, true);
        check(0o640, node, node, false);
        check(0o440, root, node, true);
        check(0o640, root, node, true);
        check(0o444, root, node, false);
        check(0o660, root, node, false);
        check(0o640, root, root, false);
        check(0o640, other, node, false);
        let (_, remedy) = too_open(Path::new("/run/secrets/x"), 0o444, true);
        assert!(
            remedy.contains("defaultMode: 0440") && remedy.contains("chmod 640"),
            "{remedy}"
        );
    }

    #[test]
    fn of_two_passwords_that_of_the_higher_layer_holds() {
        let file = [("requirepass-file", "FILE")];
        let both = [("requirepass-file", "FILE"), ("requirepass", "flag")];
        assert_eq!(
            given(b"file", 0o600, &file, &[("REPLIGO_REQUIREPASS", "env")]).as_deref(),
            Ok("file")
        );
        let variable = [("REPLIGO_REQUIREPASS_FILE", "FILE")];
        assert_eq!(
            given(b"file", 0o600, &both[1..], &variable).as_deref(),
            Ok("flag")
        );
        let text = given(b"file", 0o600, &both, &[]).expect_err("refused");
        assert!(text.contains("are both given"), "{text}");
    }
}
