//! Which version of a server is installed, and from where.

use std::fs;
use std::process::Command;

use system_tests::process::run;

/// A package and its version, if it is installed.
pub(crate) fn package(name: &str) -> Option<String> {
    let version = run(Command::new("dpkg-query").args(["-W", "-f", "${Version}", name])).ok()?;
    (!version.trim().is_empty()).then(|| version.trim().to_owned())
}

/// The version in short and the distribution: "2.2 (Debian 12)".
pub(super) fn in_short(name: &str) -> Option<String> {
    let short = short(&package(name)?);
    Some(distribution().map_or_else(|| short.clone(), |from| format!("{short} ({from})")))
}

/// The first two numbers of a package's version.
fn short(version: &str) -> String {
    let upstream = version.split_once(':').map_or(version, |(_, after)| after);
    let numbers: Vec<&str> = upstream.split(|letter: char| !letter.is_ascii_digit()).take(2).collect();
    numbers.join(".")
}

fn distribution() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(value.trim_matches('"').to_owned())
    };
    let name = field("NAME")?;
    Some(format!("{} {}", name.split(' ').next()?, field("VERSION_ID")?))
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn a_version_is_told_by_its_first_two_numbers() {
        assert_eq!(short("2.2.0-6"), "2.2");
        assert_eq!(short("1:4.4.3-P1"), "4.4");
        assert_eq!(short("2.90-4~deb12u1"), "2.90");
    }
}
