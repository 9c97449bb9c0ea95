//! Who a tool says it is. Passwords come from files and from the environment, never from the command line, where
//! every user of the machine could read them.

use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use clap::{Arg, ArgMatches};

use super::failure::Failure;
use super::flags::value;
use super::tls::{self, ClientSide};
use super::wire::{Connection, WireError};

/// A password file holds one line; this bounds what is read of a wrong one.
const PASSWORD_BYTES_MAX: usize = 4096;

/// User and password, or nobody.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    user: Option<String>,
    password: Option<Vec<u8>>,
    tls: Option<ClientSide>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "…");
        write!(f, "Login({:?}, {password:?})", self.user)
    }
}

impl Login {
    /// The password of the file, else of the first of the variables that is set.
    ///
    /// # Errors
    /// The file cannot be read or is empty, or a user is given without a password.
    pub fn find(user: Option<&str>, file: Option<&str>, variables: &[&str]) -> Result<Login, Failure> {
        let password = match file {
            Some(path) => Some(read(path)?),
            None => variables
                .iter()
                .find_map(std::env::var_os)
                .map(OsStringExt::into_vec)
                .filter(|value| !value.is_empty()),
        };
        if let (Some(user), None) = (user, &password) {
            return Err(Failure::new(
                format!("user {user}: no password is given"),
                format!(
                    "give --password-file FILE, or set one of the variables {}",
                    variables.join(", ")
                ),
            ));
        }
        Ok(Login {
            user: user.map(str::to_string),
            password,
            tls: None,
        })
    }

    /// The same, over TLS if it is said how.
    pub fn over(self, tls: Option<ClientSide>) -> Login {
        Login { tls, ..self }
    }

    /// This user, or nobody in particular, with this password.
    pub fn of(user: Option<String>, password: Option<String>) -> Login {
        Login {
            user,
            password: password.map(String::into_bytes),
            tls: None,
        }
    }

    /// A connection that is logged in.
    ///
    /// # Errors
    /// Nobody listens, or the password is refused.
    pub fn open(&self, address: &str, timeout: Duration) -> Result<Connection, WireError> {
        let mut connection = Connection::open_with(address, timeout, self.tls.as_ref())?;
        match (&self.user, &self.password) {
            (Some(user), Some(password)) => {
                connection.expect(&[b"AUTH".as_slice(), user.as_bytes(), password])?;
            }
            (None, Some(password)) => {
                connection.expect(&[b"AUTH".as_slice(), password])?;
            }
            (_, None) => {}
        }
        Ok(connection)
    }
}

/// The arguments of a tool that talks to a node, for [`of_node`].
pub fn arguments() -> [Arg; 2] {
    [
        Arg::new("password-file")
            .long("password-file")
            .value_name("FILE")
            .help("File with the password of the node; it wins over --password"),
        Arg::new("password")
            .long("password")
            .value_name("PASSWORD")
            .env("REPLIGO_REQUIREPASS")
            .hide_env_values(true)
            .help(
                "Password of the node; other users of the machine can read it there, unlike in the variable",
            ),
    ]
}

/// Further ones of a tool that speaks TLS: the user, and what belongs to TLS.
pub fn secure_arguments() -> impl Iterator<Item = Arg> {
    let user = value("user", "NAME", "User to log in as [default: the default user]");
    std::iter::once(user).chain(tls::flags())
}

/// User and password of the node, the latter from a file, else from the option or the variable; over TLS if
/// [`secure_arguments`] say so.
///
/// # Errors
/// A file cannot be used, or a user is given without a password.
pub fn of_node(matches: &ArgMatches) -> Result<Login, Failure> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let user = text("user");
    let login = match (text("password-file"), text("password")) {
        (None, password @ Some(_)) => Login::of(user, password),
        (file, _) => Login::find(user.as_deref(), file.as_deref(), &["REPLIGO_REQUIREPASS"])?,
    };
    Ok(login.over(ClientSide::find(matches)?))
}

/// The password of a file, as text.
///
/// # Errors
/// The file cannot be read, is empty, has several lines, or is not UTF-8.
pub fn read_text(path: &str) -> Result<String, Failure> {
    String::from_utf8(read(path)?).map_err(|_| {
        Failure::new(
            format!("password file {path}: it is not UTF-8"),
            "write the password as text into its first line",
        )
    })
}

fn read(path: &str) -> Result<Vec<u8>, Failure> {
    let failed = |what: String| {
        Failure::new(
            format!("password file {path}: {what}"),
            "write the password into its first line, readable by you alone (chmod 600)",
        )
    };
    let mut bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    if bytes.ends_with(b"\n") {
        bytes.pop();
    }
    if bytes.ends_with(b"\r") {
        bytes.pop();
    }
    match bytes.len() {
        0 => Err(failed("it is empty".into())),
        PASSWORD_BYTES_MAX.. => Err(failed("it is too long for a password".into())),
        _ if bytes.contains(&b'\n') => Err(failed("it has more than one line".into())),
        _ => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_of_a_file_and_is_never_printed() {
        let path = std::env::temp_dir().join(format!("repligo-login-{}", std::process::id()));
        let name = path.display().to_string();
        let check = |content: &[u8]| {
            std::fs::write(&path, content).expect("temporary file");
            Login::find(Some("app"), Some(&name), &[])
        };
        let login = check(b"s p\xff\r\n").expect("valid");
        assert_eq!(login.password.as_deref(), Some(b"s p\xff".as_slice()));
        assert_eq!(format!("{login:?}"), "Login(Some(\"app\"), Some(\"…\"))");
        for (content, part) in [
            (b"".as_slice(), "empty"),
            (b"\n", "empty"),
            (b"a\nb\n", "more than one line"),
        ] {
            let text = check(content).expect_err("refused").to_string();
            assert!(text.contains(part) && text.contains(&name), "{text}");
        }
        std::fs::remove_file(&path).expect("removed");
        assert!(check_missing(&name).contains("No such file"));
    }

    fn check_missing(name: &str) -> String {
        Login::find(None, Some(name), &[])
            .expect_err("no file")
            .to_string()
    }

    #[test]
    fn a_user_without_a_password_is_refused() {
        let text = Login::find(Some("app"), None, &["REPLIGO_TEST_NO_SUCH_VARIABLE"])
            .expect_err("no password")
            .to_string();
        assert!(text.contains("app") && text.contains("--password-file"), "{text}");
    }
}
