//! A folder in which an earlier `dev` has run: its nodes come back with their data.

use std::path::Path;

use crate::disk::META_FILE;

/// Refuses to start fewer nodes than the folder has: the others would be missing in their cluster.
///
/// # Errors
/// How many there are, and what to do.
pub fn check(dir: &Path, nodes: u16) -> Result<(), String> {
    let is_there = |number: &u16| dir.join(format!("n{number}")).join(META_FILE).exists();
    let there = (1u16..).take_while(is_there).count();
    if there <= usize::from(nodes) {
        return Ok(());
    }
    Err(format!(
        "the folder holds a cluster of {there} nodes, and {nodes} are to be started\n  where: {}\n  do: give --nodes \
         {there} to start it again with its data, or another --dir for a new one",
        dir.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_more_nodes_is_refused() {
        let dir = std::env::temp_dir().join(format!("repligo-used-{}", std::process::id()));
        assert_eq!(check(&dir, 1), Ok(()), "a folder that is not there");
        for name in ["n1", "n2", "n3"] {
            std::fs::create_dir_all(dir.join(name)).expect("folder");
            std::fs::write(dir.join(name).join(META_FILE), "x").expect("file");
        }
        assert_eq!(check(&dir, 3), Ok(()));
        assert_eq!(check(&dir, 5), Ok(()), "two more ask to join");
        let text = check(&dir, 1).expect_err("two would be missing");
        assert!(
            text.contains("a cluster of 3 nodes") && text.contains("--nodes 3"),
            "{text}"
        );
        std::fs::remove_dir_all(&dir).expect("removed");
    }
}
