//! Debian packages, installed without starting the services they carry.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// An executable, or a file by its path, that must be there, and the package that brings it.
pub(crate) struct Tool {
    pub(crate) executable: &'static str,
    pub(crate) package: &'static str,
}

/// The package manager; refreshes its lists once, and only if something has to be installed.
#[derive(Default)]
pub(crate) struct Apt {
    refreshed: bool,
}

/// Installs `$@`. While it runs, a policy forbids services to start, unless the machine already has a policy.
const INSTALL: &str = r#"
set -e
policy=/usr/sbin/policy-rc.d
if ! [ -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get install --quiet=2 --option Dpkg::Use-Pty=0 --no-install-recommends "$@" > /dev/null
"#;

/// Disables the services that the packages `$@` brought, so that the next boot doesn't start them either: scripts, and units
/// that have none (NetworkManager's).
const DISABLE_SERVICES: &str = r#"
for package in "$@"; do
    for script in $(dpkg --listfiles "$package" | sed --quiet 's|^/etc/init.d/\(..*\)|\1|p'); do
        echo "setup: keeping service $script from starting at boot"
        update-rc.d "$script" disable
    done
    command -v systemctl > /dev/null || continue
    for unit in $(dpkg --listfiles "$package" | sed --quiet 's|^\(/usr\)\{0,1\}/lib/systemd/system/\([^/@]*\.[a-z]*\)$|\2|p'); do
        [ "$(systemctl is-enabled "$unit" 2> /dev/null)" = enabled ] || continue
        echo "setup: keeping unit $unit from starting at boot"
        systemctl --quiet disable "$unit"
    done
done
"#;

impl Apt {
    /// Installs packages that are known to be missing.
    ///
    /// # Errors
    /// When there is no apt, no root, or a package can't be had.
    pub(crate) fn install(&mut self, packages: &[&str]) -> Result<()> {
        self.refresh().with_context(|| format!("can't install {}", packages.join(", ")))?;
        println!("setup: installing Debian packages {}", packages.join(", "));
        as_root_script(INSTALL, packages)?;
        as_root_script(DISABLE_SERVICES, packages)
    }

    /// The version that would be installed, e.g. `1.96.0+dfsg1-1`, or `None` if the package is not to be had.
    ///
    /// # Errors
    /// When there is no apt or no root.
    pub(crate) fn candidate(&mut self, package: &str) -> Result<Option<String>> {
        self.refresh()?;
        let policy = process::output(Command::new("apt-cache").args(["policy", package]))?;
        let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "));
        Ok(version.filter(|version| *version != "(none)").map(str::to_owned))
    }

    fn refresh(&mut self) -> Result<()> {
        if self.refreshed {
            return Ok(());
        }
        if process::find("apt-get").is_none() {
            bail!("this machine has no apt-get: install what is missing with its own package manager");
        }
        println!("setup: refreshing the package lists");
        if let Err(error) = process::run(process::as_root("apt-get")?.args(["update", "--quiet=2"])) {
            println!("setup: {error:#}; going on with the lists as they are");
        }
        self.refreshed = true;
        Ok(())
    }
}

fn as_root_script(script: &str, arguments: &[&str]) -> Result<()> {
    process::run(process::as_root("/bin/sh")?.args(["-c", script, "setup"]).args(arguments))
}
