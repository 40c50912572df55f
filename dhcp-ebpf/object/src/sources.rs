//! Everything that goes into an object: sources, versions of what they depend on, and the profile.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use crate::Program;

/// Name and text of each part, in an order that is always the same.
pub(crate) fn of(program: &Program, workspace: &Path) -> io::Result<Vec<(String, String)>> {
    let package = fs::read_to_string(workspace.join(program.directory).join("Cargo.toml"))?;
    let lock = fs::read_to_string(workspace.join("Cargo.lock"))?;
    let common = fs::read_to_string(workspace.join("Cargo.toml"))?;
    let own_profile = format!("[profile.release.package.{}]", program.package);
    let mut parts = vec![
        ("versions".to_owned(), versions(&lock, &dependencies(&package))),
        (
            "profile".to_owned(),
            sections(&common, |header| header == "[profile.release]" || header == own_profile),
        ),
        // Tests depend on more; the object doesn't.
        ("package".to_owned(), sections(&package, |header| header != "[dev-dependencies]")),
    ];
    add_files(&workspace.join(program.directory), Path::new("src"), &mut parts)?;
    Ok(parts)
}

/// Every file below `dir`, by its path from `root`.
fn add_files(root: &Path, dir: &Path, parts: &mut Vec<(String, String)>) -> io::Result<()> {
    let mut names: Vec<_> =
        fs::read_dir(root.join(dir))?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
    names.sort();
    for name in names {
        let path = dir.join(name);
        if root.join(&path).is_dir() {
            add_files(root, &path, parts)?;
        } else {
            parts.push((path.display().to_string(), fs::read_to_string(root.join(&path))?));
        }
    }
    Ok(())
}

/// The sections of a `Cargo.toml` whose header is wanted, without comments and empty lines.
fn sections(manifest: &str, wanted: impl Fn(&str) -> bool) -> String {
    let mut within = false;
    let mut text = String::new();
    for line in manifest.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('[') {
            within = wanted(line);
        }
        if within {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// The packages that a package's own code depends on.
fn dependencies(package: &str) -> Vec<String> {
    let lines = sections(package, |header| header == "[dependencies]");
    let names = lines.lines().filter(|line| !line.starts_with('['));
    names.filter_map(|line| Some(line.split(['.', ' ', '=']).next()?.to_owned())).collect()
}

/// Name, version and checksum of the packages named and of all that they depend on.
fn versions(lock: &str, roots: &[String]) -> String {
    let packages: Vec<Locked> = lock.split("[[package]]").skip(1).map(Locked::read).collect();
    let mut of_name: BTreeMap<&str, Vec<&Locked>> = BTreeMap::new();
    for package in &packages {
        of_name.entry(package.name).or_default().push(package);
    }
    let mut found = BTreeSet::new();
    let mut ahead: Vec<&str> = roots.iter().map(String::as_str).collect();
    while let Some(dependency) = ahead.pop() {
        // Where there are several versions, the lock file names the one: `name version`.
        let mut words = dependency.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next());
        for package in of_name.get(name).into_iter().flatten() {
            if version.is_none_or(|version| version == package.version)
                && found.insert((package.name, package.version, package.checksum))
            {
                ahead.extend(&package.dependencies);
            }
        }
    }
    found.iter().map(|(name, version, checksum)| format!("{name} {version} {checksum}\n")).collect()
}

/// A package in a lock file. Cargo writes those in one form only, a key a line.
struct Locked<'t> {
    name: &'t str,
    version: &'t str,
    checksum: &'t str,
    dependencies: Vec<&'t str>,
}

impl<'t> Locked<'t> {
    fn read(entry: &'t str) -> Self {
        let field = |key: &str| {
            let mut lines = entry.lines().filter_map(|line| line.split_once(" = "));
            lines.find(|(name, _)| *name == key).map_or("", |(_, value)| value.trim_matches('"'))
        };
        let listed = entry.lines().filter_map(|line| line.strip_prefix(" \"")?.strip_suffix("\","));
        Self {
            name: field("name"),
            version: field("version"),
            checksum: field("checksum"),
            dependencies: listed.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
version = 4

[[package]]
name = "aya-ebpf"
version = "0.2.1"
checksum = "aa"
dependencies = [
 "cty 0.2.0",
]

[[package]]
name = "cty"
version = "0.1.0"
checksum = "bb"

[[package]]
name = "cty"
version = "0.2.0"
checksum = "cc"

[[package]]
name = "proptest"
version = "1.0.0"
checksum = "dd"
"#;

    #[test]
    fn only_versions_of_what_the_program_depends_on_count() {
        assert_eq!(versions(LOCK, &["aya-ebpf".into()]), "aya-ebpf 0.2.1 aa\ncty 0.2.0 cc\n");
    }

    #[test]
    fn dependencies_of_tests_are_left_out() {
        let package = "[dependencies]\n# why\naya-ebpf = { workspace = true }\nlog.workspace = true\n\n\
                       [dev-dependencies]\nproptest = \"1\"\n";
        assert_eq!(dependencies(package), ["aya-ebpf", "log"]);
    }
}
