//! Debian's kernels, taken out of their packages and never installed.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use super::Kernel;
use crate::{process, workspace};

/// The kernels to be tried: the one of this Debian release, and the newest that its package lists have.
///
/// # Errors
/// When a package can't be had, or the lists know only one kernel.
pub(crate) fn kernels() -> Result<Vec<Kernel>> {
    let own = depends("linux-image-amd64")?;
    let listed =
        process::output(Command::new("apt-cache").args(["search", "--names-only", "^linux-image-[0-9]"]))?;
    let newest = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.ends_with("-amd64") && !name.contains("cloud") && !name.contains("-rt-"))
        .filter(|name| name.contains("+deb"))
        .max_by_key(|name| numbers(name))
        .context(
            "the package lists know no newer kernel than the release's own: add bookworm-backports or \
             bookworm-security to apt's sources",
        )?;
    [own.as_str(), newest].into_iter().map(unpacked).collect()
}

/// The package that a package of no content leads to.
fn depends(package: &str) -> Result<String> {
    let said = process::output(Command::new("apt-cache").args(["depends", package]))?;
    let name = said.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    Ok(name.with_context(|| format!("{package} leads to no kernel"))?.trim().to_owned())
}

/// The numbers in a name, in order: what is newer has larger ones.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// A package's files in a directory of their own, fetched once.
pub(super) fn extracted(package: &str) -> Result<PathBuf> {
    let place = workspace::target_dir().join("kernels");
    let tree = place.join(package);
    if tree.exists() {
        return Ok(tree);
    }
    println!("fetching {package}");
    let half = place.join(format!("{package}.part"));
    let _ = fs::remove_dir_all(&half);
    fs::create_dir_all(&half)?;
    process::run(
        Command::new("apt-get")
            .args(["download", "--quiet=2", "--option=APT::Sandbox::User=root", package])
            .current_dir(&half),
    )?;
    let deb = fs::read_dir(&half)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("apt-get has not brought {package}"))?;
    process::run(Command::new("dpkg-deb").arg("--extract").arg(&deb).arg(&half))?;
    fs::remove_file(deb)?;
    fs::rename(&half, &tree)?;
    Ok(tree)
}

fn unpacked(package: &str) -> Result<Kernel> {
    let tree = extracted(package)?;
    let version = package.strip_prefix("linux-image-").unwrap_or(package).to_owned();
    process::run(Command::new("depmod").arg("--basedir").arg(&tree).arg(&version))
        .with_context(|| format!("the modules of {version}"))?;
    Ok(Kernel { version, tree })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_has_the_largest_numbers() {
        let names = [
            "linux-image-6.12.9+deb12-amd64",
            "linux-image-6.12.117+deb12-amd64",
            "linux-image-6.1.0-57-amd64",
        ];
        assert_eq!(names.into_iter().max_by_key(|name| numbers(name)), Some(names[1]));
    }
}
