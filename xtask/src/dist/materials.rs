//! The bill of materials: CycloneDX 1.5 as JSON, made from `cargo metadata` and `Cargo.lock`.
//!
//! It lists what is in the binary: crates that are linked or that run when it is built, and SQLite, which one
//! of them brings as C. Test tools and benches are not in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{Plan, failed, said};
use crate::run::{Failure, Outcome, root};

/// The document as text.
pub fn bill(plan: &Plan) -> Outcome<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = [
        "metadata",
        "--format-version=1",
        "--locked",
        "--filter-platform",
        &plan.target,
    ];
    let metadata: Value = serde_json::from_str(&said(Command::new(cargo).args(arguments))?)
        .map_err(|error| Failure::new(format!("cargo metadata: {error}")))?;
    let packages: BTreeMap<&str, &Value> = items(&metadata["packages"])
        .filter_map(|package| Some((package["id"].as_str()?, package)))
        .collect();
    let own = packages
        .iter()
        .find(|(_, package)| package["name"] == "repligo")
        .map(|(id, _)| *id)
        .ok_or_else(|| Failure::new("cargo metadata does not know the package repligo"))?;
    let built = built(&plan.target)?;
    let graph = reachable(&metadata, own, &|id| built.contains(&named(packages[id])));
    let checksums = checksums()?;
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    for (id, needs) in &graph {
        let package = packages[id];
        if *id != own {
            components.push(component(package, &checksums));
        }
        let mut needs: Vec<String> = needs.iter().map(|id| reference(packages[id])).collect();
        if package["name"] == "libsqlite3-sys" {
            let sqlite = sqlite(package)?;
            needs.push(sqlite["bom-ref"].as_str().unwrap_or_default().to_owned());
            components.push(sqlite);
        }
        dependencies.push(json!({ "ref": reference(package), "dependsOn": needs }));
    }
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": timestamp(&plan.epoch)?,
            "component": component(packages[own], &checksums),
        },
        "components": components,
        "dependencies": dependencies,
    });
    serde_json::to_string_pretty(&document)
        .map(|text| text + "\n")
        .map_err(|error| Failure::new(format!("the bill of materials: {error}")))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Name and version of everything that a build of the binary compiles: `cargo metadata` also lists what
/// only other members of the workspace switch on.
fn built(target: &str) -> Outcome<BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = [
        "tree",
        "--locked",
        "--package",
        "repligo",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
    ];
    let output = said(Command::new(cargo).args(tree).args(["--target", target]))?;
    let lines = output.lines().filter_map(|line| line.split_once(" v"));
    Ok(lines
        .map(|(name, rest)| format!("{name} {}", rest.split(' ').next().unwrap_or_default()))
        .collect())
}

fn named(package: &Value) -> String {
    let text = |field: &str| package[field].as_str().unwrap_or_default();
    format!("{} {}", text("name"), text("version"))
}

/// Everything that is needed to build and run `start`, with what each needs; not what only tests need.
fn reachable<'a>(
    metadata: &'a Value,
    start: &'a str,
    is_built: &dyn Fn(&str) -> bool,
) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let nodes: BTreeMap<&str, &Value> = items(&metadata["resolve"]["nodes"])
        .filter_map(|node| Some((node["id"].as_str()?, node)))
        .collect();
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut open = vec![start];
    while let Some(id) = open.pop() {
        if found.contains_key(id) {
            continue;
        }
        let is_shipped = |need: &&Value| items(&need["dep_kinds"]).any(|kind| kind["kind"] != "dev");
        let needs: BTreeSet<&str> = items(&nodes[id]["deps"])
            .filter(is_shipped)
            .filter_map(|need| need["pkg"].as_str())
            .filter(|id| is_built(id))
            .collect();
        open.extend(&needs);
        found.insert(id, needs);
    }
    found
}

fn reference(package: &Value) -> String {
    let text = |field: &str| package[field].as_str().unwrap_or_default().to_owned();
    format!("pkg:cargo/{}@{}", text("name"), text("version"))
}

fn component(package: &Value, checksums: &BTreeMap<(String, String), String>) -> Value {
    let text = |field: &str| package[field].as_str().unwrap_or_default().to_owned();
    let own = package["name"] == "repligo";
    let mut component = json!({
        "type": if own { "application" } else { "library" },
        "bom-ref": reference(package),
        "name": text("name"),
        "version": text("version"),
        "purl": reference(package),
    });
    if let Some(licence) = package["license"].as_str() {
        // Old manifests write a slash where SPDX wants OR.
        component["licenses"] =
            json!([{ "expression": licence.replace(" / ", " OR ").replace('/', " OR ") }]);
    }
    if let Some(sum) = checksums.get(&(text("name"), text("version"))) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
    }
    component
}

/// SQLite's sources lie beside the crate that compiles them.
fn sqlite(package: &Value) -> Outcome<Value> {
    let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
    let header = manifest.with_file_name("sqlite3").join("sqlite3.h");
    let text = fs::read_to_string(&header).map_err(|error| failed(&header, error))?;
    let version = text
        .lines()
        .find(|line| line.starts_with("#define SQLITE_VERSION "))
        .and_then(|line| line.split('"').nth(1))
        .ok_or_else(|| Failure::new(format!("{} names no version", header.display())))?;
    let reference = format!("pkg:generic/sqlite@{version}");
    Ok(json!({
        "type": "library",
        "bom-ref": reference,
        "name": "sqlite",
        "version": version,
        "purl": reference,
        "licenses": [{ "license": { "id": "blessing" } }],
    }))
}

/// SHA-256 of each crate's archive, by name and version.
fn checksums() -> Outcome<BTreeMap<(String, String), String>> {
    let path = root().join("Cargo.lock");
    let text = fs::read_to_string(&path).map_err(|error| failed(&path, error))?;
    let mut found = BTreeMap::new();
    for package in text.split("[[package]]").skip(1) {
        let field = |name: &str| {
            let start = format!("{name} = \"");
            let line = package.lines().find_map(|line| line.strip_prefix(start.as_str()));
            line.map(|rest| rest.trim_end_matches('"').to_owned())
        };
        if let (Some(name), Some(version), Some(sum)) = (field("name"), field("version"), field("checksum")) {
            found.insert((name, version), sum);
        }
    }
    Ok(found)
}

fn timestamp(epoch: &str) -> Outcome<String> {
    let text = said(Command::new("date").args(["-u", "-d", &format!("@{epoch}"), "+%Y-%m-%dT%H:%M:%SZ"]))?;
    Ok(text.trim().to_owned())
}
