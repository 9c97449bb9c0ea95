//! How the nodes of one machine share its cores.

use crate::config;

/// The flags that give each of so many nodes its part of the cores; none where the words say it, or a file may.
pub fn flags(nodes: usize, words: &[String]) -> Vec<String> {
    let says = |flag: &str| {
        let given = |word: &String| word == flag || word.starts_with(&format!("{flag}="));
        words.iter().any(given)
    };
    if nodes < 2 || says("--workers") || says("--config") {
        return Vec::new();
    }
    let each = (config::default_workers() / nodes).max(1);
    vec!["--workers".to_owned(), each.to_string()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(nodes: usize, words: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        flags(nodes, &words)
    }

    #[test]
    fn nodes_share_the_cores_unless_told_otherwise() {
        assert_eq!(of(64, &[]), ["--workers", "1"]);
        assert_eq!(of(2, &[])[1], (config::default_workers() / 2).max(1).to_string());
        assert!(
            of(1, &[]).is_empty(),
            "a node that is alone has all of them, as without dev"
        );
        assert!(of(3, &["--workers", "4"]).is_empty() && of(3, &["--workers=4"]).is_empty());
        assert!(of(3, &["--config", "repligo.toml"]).is_empty());
    }
}
