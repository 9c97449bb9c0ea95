//! Installs what the tests need and only what is missing: Debian packages, a Python venv, an npm folder.
//! Versions stand in `tests/tools.json` alone. Starts no system service: the Redis that we compare with
//! is run from `redis-tools`, which carries the server's program under another name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::run::{Failure, Outcome, root, run};

/// Where everything that is not a Debian package goes.
pub fn tools() -> PathBuf {
    root().join(".tools")
}

/// The Python that runs the tests.
pub fn python() -> PathBuf {
    tools().join("venv/bin/python")
}

/// A program of the peers that only the benchmark needs.
pub fn peer_program(name: &str) -> String {
    tools()
        .join("peers/usr/bin")
        .join(name)
        .to_string_lossy()
        .into_owned()
}

/// Where their shared libraries are, as the dynamic linker wants to be told.
pub fn peer_libraries() -> String {
    let folders = fs::read_dir(tools().join("peers/usr/lib"))
        .into_iter()
        .flatten()
        .flatten();
    let paths: Vec<String> = folders
        .filter(|entry| entry.file_name().to_string_lossy().ends_with("-linux-gnu"))
        .map(|entry| entry.path().to_string_lossy().into_owned())
        .collect();
    paths.join(":")
}

/// Installs what `cargo xtask bench` needs. The peers are unpacked below `.tools/peers`, not installed:
/// Debian's packages would create users and start system services, which would take ports and CPU from
/// whoever measures, and unpacking needs no root.
pub fn install_bench() -> Outcome {
    let wanted = read_versions()?;
    fs::create_dir_all(tools().join("bin"))
        .map_err(|error| Failure::new(format!("cannot create .tools: {error}")))?;
    install_packages(&missing_packages(&wanted["debian"]))?;
    check_versions(&wanted["debian"])?;
    link_redis_server()?;
    unpack("peers", &entries(&wanted["debian_bench_peers"]))
}

/// Unpacks Debian packages below `.tools` instead of installing them: see [`install_bench`].
fn unpack(name: &str, wanted: &[(String, String)]) -> Outcome {
    let lines: Vec<String> = wanted
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let folder = tools().join(name);
    let stamp = folder.join("packages");
    if fs::read_to_string(&stamp).is_ok_and(|text| text == lines.join("\n")) {
        return Ok(());
    }
    println!(
        "xtask: unpacking Debian packages into .tools/{name}: {}",
        lines.join(", ")
    );
    let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", folder.display()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(failed)?;
    let download = || {
        let mut command = Command::new("apt-get");
        command.args(["download", "-qq"]).current_dir(&folder);
        command.args(wanted.iter().map(|(name, _)| name));
        command.status().is_ok_and(|status| status.success())
    };
    // The lists of a fresh machine are empty; filling them is all that may need root.
    if !download() && (run(Command::new("apt-get").args(["update", "-qq"])).is_err() || !download()) {
        let names: Vec<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
        return Err(Failure::new(format!(
            "apt-get download {} failed; run `apt-get update` as root and try again",
            names.join(" ")
        )));
    }
    for entry in fs::read_dir(&folder).map_err(failed)?.flatten() {
        if entry.path().extension().is_some_and(|end| end == "deb") {
            check_archive(&entry.path(), wanted)?;
            run(Command::new("dpkg-deb").arg("-x").args([&entry.path(), &folder]))?;
            fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    fs::write(&stamp, lines.join("\n")).map_err(failed)
}

fn check_archive(archive: &Path, wanted: &[(String, String)]) -> Outcome {
    let output = Command::new("dpkg-deb")
        .args(["--show", "--showformat", "${Package} ${Version}"])
        .arg(archive)
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let (name, found) = text.split_once(' ').unwrap_or_default();
    match wanted.iter().find(|(wanted, _)| wanted == name) {
        Some((_, version)) if found.starts_with(version.as_str()) => Ok(()),
        _ => Err(Failure::new(format!(
            "{} holds {text}, which is not in tests/tools.json",
            archive.display()
        ))),
    }
}

/// Installs whatever is missing, and says what and why.
pub fn install() -> Outcome {
    let wanted = read_versions()?;
    fs::create_dir_all(tools().join("bin"))
        .map_err(|error| Failure::new(format!("cannot create .tools: {error}")))?;
    let mut packages = missing_packages(&wanted["debian"]);
    if !works("python3", &["-c", "import venv, ensurepip"]) {
        packages.extend(missing_packages(&wanted["debian_python"]));
    }
    if !works("node", &["--version"]) || !works("npm", &["--version"]) {
        packages.extend(missing_packages(&wanted["debian_node"]));
    }
    install_packages(&packages)?;
    check_versions(&wanted["debian"])?;
    link_redis_server()?;
    unpack("unpacked", &entries(&wanted["debian_unpacked"]))?;
    install_python(&wanted["python"])?;
    let node_20 = node_major().is_some_and(|major| major >= 20);
    install_npm(&wanted[if node_20 { "npm" } else { "npm_before_node_20" }])
}

fn read_versions() -> Outcome<Value> {
    let path = root().join("tests/tools.json");
    let text =
        fs::read_to_string(&path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    serde_json::from_str(&text).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

fn entries(value: &Value) -> Vec<(String, String)> {
    let pairs = value.as_object().into_iter().flatten();
    pairs
        .filter_map(|(name, version)| Some((name.clone(), version.as_str()?.to_owned())))
        .collect()
}

fn works(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

fn installed_version(package: &str) -> Option<String> {
    let output = Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status} ${Version}", package])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.strip_prefix("installed ").map(str::to_owned)
}

fn missing_packages(wanted: &Value) -> Vec<String> {
    entries(wanted)
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| installed_version(name).is_none())
        .collect()
}

fn install_packages(packages: &[String]) -> Outcome {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    let line = format!("apt-get update && apt-get install -y --no-install-recommends {list}");
    if !works("sh", &["-c", "test $(id -u) = 0"]) {
        return Err(Failure {
            message: format!("the tests need Debian packages; run as root: {line}"),
            code: 2,
        });
    }
    println!("xtask: installing Debian packages that the tests need: {list}");
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    run(command
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(packages))
}

fn check_versions(wanted: &Value) -> Outcome {
    for (name, version) in entries(wanted) {
        let found = installed_version(&name).unwrap_or_else(|| "nothing".to_owned());
        if !found.starts_with(&version) {
            return Err(Failure::new(format!(
                "{name} is {found}, the tests are written for {version}… (tests/tools.json)"
            )));
        }
    }
    Ok(())
}

/// The server's program looks at its own name to know what it is.
fn link_redis_server() -> Outcome {
    let link = tools().join("bin/redis-server");
    if link.exists() {
        return Ok(());
    }
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink("/usr/bin/redis-check-rdb", &link)
        .map_err(|error| Failure::new(format!("{}: {error}", link.display())))
}

fn install_python(wanted: &Value) -> Outcome {
    let requirements: Vec<String> = entries(wanted)
        .iter()
        .map(|(name, version)| format!("{name}=={version}"))
        .collect();
    let stamp = tools().join("venv/requirements");
    if fs::read_to_string(&stamp).is_ok_and(|text| text == requirements.join("\n")) {
        return Ok(());
    }
    println!(
        "xtask: installing Python packages that the tests need: {}",
        requirements.join(" ")
    );
    let _ = fs::remove_dir_all(tools().join("venv"));
    run(Command::new("python3").args(["-m", "venv", ".tools/venv"]))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(python()).args(pip).args(&requirements))?;
    fs::write(&stamp, requirements.join("\n"))
        .map_err(|error| Failure::new(format!("{}: {error}", stamp.display())))
}

fn node_major() -> Option<u32> {
    let output = Command::new("node").arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.trim()
        .trim_start_matches('v')
        .split('.')
        .next()?
        .parse()
        .ok()
}

fn install_npm(wanted: &Value) -> Outcome {
    let packages: Vec<String> = entries(wanted)
        .iter()
        .map(|(name, version)| format!("{name}@{version}"))
        .collect();
    let folder = tools().join("npm");
    let stamp = folder.join("packages");
    if fs::read_to_string(&stamp).is_ok_and(|text| text == packages.join("\n")) {
        return Ok(());
    }
    println!(
        "xtask: installing npm packages that the tests need: {}",
        packages.join(" ")
    );
    let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", folder.display()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(failed)?;
    fs::write(folder.join("package.json"), "{\"private\":true}\n").map_err(failed)?;
    let npm = [
        "--prefix",
        ".tools/npm",
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
    ];
    run(Command::new("npm").args(npm).args(&packages))?;
    fs::write(&stamp, packages.join("\n")).map_err(failed)
}
