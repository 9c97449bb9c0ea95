//! The Debian package, built by `dpkg-deb` from a staging folder. Its scripts, control file and configuration
//! lie in `packaging/debian`; only what depends on the build is filled in here.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Plan, copy, copy_files, failed, said, write};
use crate::run::{Failure, Outcome, root, run};

const MAINTAINER: &str = "Repligo developers <repligo@users.noreply.github.com>";

/// Makes `repligo_VERSION_ARCHITECTURE.deb`.
pub fn package(plan: &Plan) -> Outcome<PathBuf> {
    let tree = plan.staging.join("debian");
    let architecture = said(Command::new("dpkg").arg("--print-architecture"))?;
    let architecture = architecture.trim();
    copy(&plan.binary, &tree.join("usr/bin/repligo"))?;
    copy(
        &packaging("debian/repligo.toml"),
        &tree.join("etc/repligo/repligo.toml"),
    )?;
    let unit = "repligo.service";
    copy(
        &packaging("systemd").join(unit),
        &tree.join("lib/systemd/system").join(unit),
    )?;
    shell_files(plan, &tree)?;
    documents(plan, &tree)?;
    control(plan, &tree, architecture)?;
    set_modes(&tree)?;
    let path = plan
        .out
        .join(format!("repligo_{}_{architecture}.deb", plan.version));
    run(Command::new("dpkg-deb")
        .args(["--root-owner-group", "-Zxz", "--build"])
        .args([&tree, &path])
        .env("SOURCE_DATE_EPOCH", &plan.epoch))?;
    Ok(path)
}

fn packaging(name: &str) -> PathBuf {
    root().join("packaging").join(name)
}

/// Completions where each shell looks for them, and manual pages.
fn shell_files(plan: &Plan, tree: &Path) -> Outcome {
    let places = [
        ("repligo.bash", "usr/share/bash-completion/completions/repligo"),
        ("repligo.zsh", "usr/share/zsh/vendor-completions/_repligo"),
        ("repligo.fish", "usr/share/fish/vendor_completions.d/repligo.fish"),
    ];
    for (from, to) in places {
        copy(&plan.completions().join(from), &tree.join(to))?;
    }
    let pages = tree.join("usr/share/man/man1");
    for page in copy_files(&plan.pages(), &pages)? {
        compress(&pages.join(page.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

fn documents(plan: &Plan, tree: &Path) -> Outcome {
    let folder = tree.join("usr/share/doc/repligo");
    copy(&root().join("README.md"), &folder.join("README.md"))?;
    copy_files(&root().join("docs"), &folder.join("docs"))?;
    copy(&plan.materials(), &folder.join("repligo.cdx.json"))?;
    copy(&root().join("CHANGELOG.md"), &folder.join("CHANGELOG.md"))?;
    let when = said(Command::new("date").args(["-u", "-R", "-d", &format!("@{}", plan.epoch)]))?;
    let version = &plan.version;
    let entry = format!("repligo ({version}) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n");
    write(
        &folder.join("changelog"),
        &format!("{entry} -- {MAINTAINER}  {when}"),
    )?;
    compress(&folder.join("changelog"))?;
    let licence = root().join("LICENSE");
    let text = fs::read_to_string(&licence).map_err(|error| failed(&licence, error))?;
    write(&folder.join("copyright"), &copyright(&text))?;
    copy(
        &packaging("debian/lintian-overrides"),
        &tree.join("usr/share/lintian/overrides/repligo"),
    )
}

/// The licence in the form that Debian's tools read.
fn copyright(licence: &str) -> String {
    let mut lines = licence.lines().map(str::trim_end);
    let owner = lines.clone().find_map(|line| line.strip_prefix("Copyright (c) "));
    let body: Vec<String> = lines
        .by_ref()
        .skip_while(|line| !line.starts_with("Permission"))
        .map(|line| {
            if line.is_empty() {
                " .".to_owned()
            } else {
                format!(" {line}")
            }
        })
        .collect();
    format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: repligo\n\n\
         Files: *\nCopyright: {}\nLicense: Expat\n{}\n",
        owner.unwrap_or("the developers of Repligo"),
        body.join("\n")
    )
}

fn control(plan: &Plan, tree: &Path, architecture: &str) -> Outcome {
    let folder = tree.join("DEBIAN");
    for name in ["conffiles", "postinst", "prerm", "postrm"] {
        copy(&packaging("debian").join(name), &folder.join(name))?;
    }
    let size = said(Command::new("du").args(["-sk", "--apparent-size"]).arg(tree))?;
    let size = size.split('\t').next().unwrap_or("0");
    let template = packaging("debian/control.in");
    let text = fs::read_to_string(&template).map_err(|error| failed(&template, error))?;
    let text = text
        .replace("@VERSION@", &plan.version)
        .replace("@MAINTAINER@", MAINTAINER)
        .replace("@ARCHITECTURE@", architecture)
        .replace("@INSTALLED_SIZE@", size)
        .replace("@LIBRARIES@", &libraries(&plan.binary)?);
    write(&folder.join("control"), &text)?;
    let sums = said(
        Command::new("sh")
            .args([
                "-c",
                "find etc usr lib -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum",
            ])
            .current_dir(tree),
    )?;
    write(&folder.join("md5sums"), &sums)
}

/// The C library that the program was linked with decides where it runs: the newest symbol that it asks for.
fn libraries(binary: &Path) -> Outcome<String> {
    let symbols = said(Command::new("objdump").arg("-T").arg(binary))?;
    let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
        let digits = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        let (major, minor) = digits.split_once('.')?;
        Some((
            major.parse::<u32>().ok()?,
            minor.split('.').next()?.parse::<u32>().ok()?,
        ))
    });
    let (major, minor) = versions
        .max()
        .ok_or_else(|| Failure::new("the binary names no version of the C library"))?;
    Ok(format!("libc6 (>= {major}.{minor}), libgcc-s1 (>= 4.2)"))
}

fn compress(path: &Path) -> Outcome {
    run(Command::new("gzip").args(["-9", "-n", "-f"]).arg(path))
}

/// Modes do not depend on the umask of whoever builds.
fn set_modes(folder: &Path) -> Outcome {
    for entry in fs::read_dir(folder)
        .map_err(|error| failed(folder, error))?
        .flatten()
    {
        let path = entry.path();
        let is_script = path.parent().is_some_and(|parent| parent.ends_with("DEBIAN"))
            && ["postinst", "prerm", "postrm"]
                .iter()
                .any(|name| path.ends_with(name));
        let mode = if path.is_dir() || is_script || path.ends_with("usr/bin/repligo") {
            0o755
        } else {
            0o644
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(|error| failed(&path, error))?;
        if path.is_dir() {
            set_modes(&path)?;
        }
    }
    Ok(())
}
