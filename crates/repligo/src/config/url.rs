//! URLs of origins: which are possible, which file they mean, and how they are shown.

use std::path::Path;

/// Checks the scheme, and makes a relative SQLite path relative to the file it stands in.
///
/// # Errors
/// What is wrong with the URL, and what to do.
pub fn resolve(url: &str, file: &Path) -> Result<String, (String, &'static str)> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        // sqlite:///absolute is a common spelling; sqlite://host would not mean anything.
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path == ":memory:" {
            return Err((
                format!("`{url}` names no file"),
                "write sqlite:PATH; all nodes must open the same file, so memory is not possible",
            ));
        }
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let absolute = std::path::absolute(folder.join(path)).unwrap_or_else(|_| folder.join(path));
        return Ok(format!("sqlite:{}", absolute.display()));
    }
    let scheme = url.split(':').next().unwrap_or_default();
    match scheme {
        "postgres" | "postgresql" | "mysql" => Err((
            format!("{scheme} origins are not built yet"),
            "use sqlite:PATH until they are",
        )),
        _ => Err((format!("`{url}` has no known scheme"), "write sqlite:PATH")),
    }
}

/// The URL without a password.
pub fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_string();
    };
    match rest.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{host}")
        }
        None => url.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check =
            |url: &str, expect: Result<&str, &str>| match (resolve(url, Path::new("/c/r.toml")), expect) {
                (Ok(resolved), Ok(expected)) => assert_eq!(resolved, expected),
                (Err((what, _)), Err(part)) => assert!(what.contains(part), "{url}: {what}"),
                (got, expected) => panic!("{url}: {got:?}, expected {expected:?}"),
            };
        check("sqlite:a.db", Ok("sqlite:/c/a.db"));
        check("sqlite:/d/a.db", Ok("sqlite:/d/a.db"));
        check("sqlite:///d/a.db", Ok("sqlite:/d/a.db"));
        check("sqlite:", Err("names no file"));
        check("sqlite::memory:", Err("names no file"));
        check("postgres://h/d", Err("not built yet"));
        check("app.db", Err("no known scheme"));
    }

    #[test]
    fn passwords_are_not_shown() {
        let check = |url: &str, expect: &str| assert_eq!(shown(url), expect);
        check("postgres://app:secret@db/app", "postgres://app@db/app");
        check("postgres://app@db/app", "postgres://app@db/app");
        check("sqlite:/var/app.db", "sqlite:/var/app.db");
    }
}
