//! The release tarball: one folder with everything, unpacked and run anywhere with the same C library.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Plan, copy, copy_files};
use crate::run::{Outcome, root, run};

/// Makes `repligo-VERSION-TARGET.tar.gz`.
pub fn tarball(plan: &Plan) -> Outcome<PathBuf> {
    let folder = plan.staging.join(plan.name());
    copy(&plan.binary, &folder.join("repligo"))?;
    copy_files(&plan.completions(), &folder.join("completions"))?;
    copy_files(&plan.pages(), &folder.join("man"))?;
    copy(&plan.materials(), &folder.join("repligo.cdx.json"))?;
    for name in ["README.md", "CHANGELOG.md", "ARCHITECTURE.md", "LICENSE"] {
        copy(&root().join(name), &folder.join(name))?;
    }
    copy_files(&root().join("docs"), &folder.join("docs"))?;
    for name in ["systemd", "docker", "kubernetes", "haproxy"] {
        let packaging = Path::new("packaging").join(name);
        copy_files(&root().join(&packaging), &folder.join(&packaging))?;
    }
    let path = plan.out.join(format!("{}.tar.gz", plan.name()));
    let tar = plan.staging.join("archive.tar");
    let same = [
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mode=u+rw,go-w,a+rX",
    ];
    run(Command::new("tar")
        .args(same)
        .arg(format!("--mtime=@{}", plan.epoch))
        .arg("--create")
        .arg("--file")
        .arg(&tar)
        .arg("--directory")
        .arg(&plan.staging)
        .arg(plan.name()))?;
    // Without -n the time of packing would be in it.
    run(Command::new("gzip").args(["-9", "-n", "-f"]).arg(&tar))?;
    copy(&tar.with_extension("tar.gz"), &path)?;
    Ok(path)
}
