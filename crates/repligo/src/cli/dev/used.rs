//! A folder that is in use: an earlier `dev` has run in it, and its nodes come back with their data, or it is the
//! data directory of a single node.

use std::path::Path;

use crate::disk::{META_FILE, is_member};

/// Refuses to start fewer nodes than the folder has: the others would be missing in their cluster. Refuses the data
/// directory of a node, whose data the new cluster would not have.
///
/// # Errors
/// How many there are, and what to do.
pub fn check(dir: &Path, nodes: u16) -> Result<(), String> {
    if dir.join(META_FILE).exists() {
        return Err(format!(
            "the folder is the data directory of a single node, which `dev` does not start\n  where: {}\n  do: give \
             another --dir, or start that node with `repligo serve`",
            dir.display()
        ));
    }
    let there = members(dir);
    if there <= usize::from(nodes) {
        return Ok(());
    }
    Err(format!(
        "the folder holds a cluster of {there} nodes, and {nodes} are to be started\n  where: {}\n  do: give --nodes \
         {there} to start it again with its data, or another --dir for a new one",
        dir.display()
    ))
}

/// How many nodes the cluster of a folder has. A directory behind the last member is of a node that was to be added and
/// was not.
fn members(dir: &Path) -> usize {
    let folders = || (1u16..).map(|number| dir.join(format!("n{number}")));
    let there = folders()
        .take_while(|folder| folder.join(META_FILE).exists())
        .count();
    let last = folders()
        .take(there)
        .enumerate()
        .filter(|(_, folder)| is_member(folder))
        .last();
    // Where none is, the cluster has not formed yet, and those that are there have promised to.
    last.map_or(there, |(position, _)| position + 1)
}

/// What is to be said before a cluster is started with more nodes than it has.
pub fn growth(dir: &Path, nodes: u16) -> Option<String> {
    let (there, nodes) = (members(dir), usize::from(nodes));
    if there == 0 || there >= nodes {
        return None;
    }
    let added: Vec<String> = (there + 1..=nodes).map(|number| format!("n{number}")).collect();
    Some(format!(
        "this folder holds a cluster of {there} nodes; {} {} added to it: {}",
        added.join(", "),
        if added.len() == 1 { "is" } else { "are" },
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
        assert_eq!(growth(&dir, 3), None);
        let text = growth(&dir, 5).expect("two more");
        assert!(text.contains("a cluster of 3 nodes; n4, n5 are added"), "{text}");
        let text = check(&dir, 1).expect_err("two would be missing");
        assert!(
            text.contains("a cluster of 3 nodes") && text.contains("--nodes 3"),
            "{text}"
        );
        std::fs::remove_dir_all(&dir).expect("removed");
    }

    #[test]
    fn the_data_directory_of_a_node_is_refused() {
        let dir = std::env::temp_dir().join(format!("repligo-used-single-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("folder");
        assert_eq!(check(&dir, 3), Ok(()), "an empty folder");
        std::fs::write(dir.join(META_FILE), "x").expect("file");
        let text = check(&dir, 3).expect_err("it has data of another kind");
        assert!(
            text.contains("of a single node") && text.contains("another --dir"),
            "{text}"
        );
        std::fs::remove_dir_all(&dir).expect("removed");
    }
}
