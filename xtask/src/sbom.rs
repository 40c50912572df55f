//! The software bill of materials: every crate inside the daemon, as CycloneDX 1.5.
//!
//! It is made of what Cargo resolves for this platform, and of the checksums in Cargo.lock. It has no time and no serial
//! number, so that the same sources make the same octets.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{build, process, workspace};

/// The package that the daemon is built of.
const DAEMON: &str = "dhcp-user";

/// What `cargo metadata` says, as far as it is looked at.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

/// Without a name it is a dependency of the program, not of its build or its tests.
#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// The bill, as JSON.
///
/// # Errors
/// When Cargo can't resolve the workspace, or Cargo.lock can't be read.
pub(crate) fn cyclonedx() -> Result<String> {
    let mut cargo = build::cargo();
    cargo.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &platform()?]);
    let metadata: Metadata = serde_json::from_str(&process::output(&mut cargo)?).context("cargo metadata")?;
    let lock = std::fs::read_to_string(workspace::root().join("Cargo.lock")).context("Cargo.lock")?;
    let lock: Lock = toml::from_str(&lock).context("Cargo.lock")?;
    Ok(serde_json::to_string_pretty(&bill(&metadata, &lock)?)? + "\n")
}

fn platform() -> Result<String> {
    let version = process::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc doesn't say which platform this is")
}

fn bill(metadata: &Metadata, lock: &Lock) -> Result<Value> {
    let packages: BTreeMap<&str, &Package> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let nodes: BTreeMap<&str, &Node> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let daemon = metadata.packages.iter().find(|package| package.name == DAEMON).context("no daemon")?;
    let mut inside = BTreeSet::from([daemon.id.as_str()]);
    let mut open = vec![daemon.id.as_str()];
    while let Some(node) = open.pop().and_then(|id| nodes.get(id)) {
        open.extend(used(node).filter(|id| inside.insert(id)));
    }
    let named = |id: &&str| packages.get(*id).copied();
    let components = inside.iter().filter(|id| **id != daemon.id).filter_map(named);
    let dependencies = inside.iter().filter_map(|id| nodes.get(*id)).map(|node| {
        let on: BTreeSet<String> =
            used(node).filter_map(|id| packages.get(id)).map(|package| reference(package)).collect();
        json!({ "ref": packages.get(node.id.as_str()).map(|package| reference(package)), "dependsOn": on })
    });
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": component(daemon, "application", lock) },
        "components": components.map(|package| component(package, "library", lock)).collect::<Vec<_>>(),
        "dependencies": dependencies.collect::<Vec<_>>(),
    }))
}

/// What is linked into a package or expanded in it.
fn used(node: &Node) -> impl Iterator<Item = &str> {
    let is_inside = |dependency: &&Dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
    node.deps.iter().filter(is_inside).map(|dependency| dependency.pkg.as_str())
}

fn reference(Package { name, version, .. }: &Package) -> String {
    format!("pkg:cargo/{name}@{version}")
}

fn component(package: &Package, kind: &str, lock: &Lock) -> Value {
    let Package { name, version, license, source, .. } = package;
    let locked = lock.package.iter().find(|locked| locked.name == *name && locked.version == *version);
    let checksum = locked.and_then(|locked| locked.checksum.as_deref());
    let mut component = json!({
        "type": kind,
        "bom-ref": reference(package),
        "name": if kind == "application" { "xdhcpd" } else { name },
        "version": version,
        "purl": reference(package),
    });
    if let Some(license) = license {
        component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
    }
    if let Some(checksum) = checksum {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    if let Some(source) = source {
        component["properties"] = json!([{ "name": "cargo:source", "value": source }]);
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is inside is there with its checksum, what only tests or builds is not, and all that is named is there.
    #[test]
    fn every_crate_inside_the_daemon_and_no_other_is_listed() {
        let bill: Value = serde_json::from_str(&cyclonedx().expect("a bill")).expect("JSON");
        let components = bill["components"].as_array().expect("components");
        let has = |name: &str| components.iter().find(|component| component["name"] == name);
        for name in ["aya", "tokio", "dhcproto", "clap"] {
            let hash = &has(name).unwrap_or_else(|| panic!("no {name}"))["hashes"][0]["content"];
            assert_eq!(hash.as_str().map(str::len), Some(64), "{name}");
        }
        assert!(has("dhcp-ebpf").is_some_and(|ours| ours["hashes"].is_null()));
        assert!(has("proptest").is_none() && has("system-tests").is_none() && has("xtask").is_none());
        let mut known: BTreeSet<&str> = components.iter().filter_map(|one| one["bom-ref"].as_str()).collect();
        known.extend(bill["metadata"]["component"]["bom-ref"].as_str());
        for dependency in bill["dependencies"].as_array().expect("dependencies") {
            let on = dependency["dependsOn"].as_array().expect("a list");
            let all = on.iter().chain([&dependency["ref"]]).filter_map(Value::as_str);
            all.for_each(|one| assert!(known.contains(one), "{one}"));
        }
    }
}
