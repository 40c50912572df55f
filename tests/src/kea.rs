//! Kea's DHCPv4 server, from `kea-dhcp4-server`, as a neighbour on the link.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::process::Process;
use crate::server::Home;
use crate::topology::SERVER_IF;
use crate::wait::{PROMPT, until};

const INSTALLED: &str = "/usr/sbin/kea-dhcp4";

/// A running Kea. Its directory is gone with the world it runs in.
#[derive(Debug)]
pub struct Kea {
    process: Process,
    leases: PathBuf,
}

impl Kea {
    /// Starts it; `subnet` is what the one entry of `subnet4` has between its braces.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(home: &Home, subnet: &str) -> Result<Self> {
        fs::create_dir_all(&home.dir)?;
        // Debian's AppArmor profile confines the installed path to the system's own directories.
        let program = home.dir.join("kea-dhcp4");
        fs::copy(INSTALLED, &program)
            .with_context(|| format!("{INSTALLED} (is kea-dhcp4-server installed?)"))?;
        let leases = home.dir.join("kea-leases4.csv");
        let config = home.dir.join("kea-dhcp4.conf");
        let path = leases.display();
        fs::write(
            &config,
            format!(
                r#"{{ "Dhcp4": {{
    "interfaces-config": {{ "interfaces": ["{SERVER_IF}"] }},
    "lease-database": {{ "type": "memfile", "name": "{path}", "lfc-interval": 0 }},
    "subnet4": [{{ {subnet} }}],
    "loggers": [{{ "name": "kea-dhcp4", "severity": "INFO",
                   "output_options": [{{ "output": "stdout" }}] }}]
}} }}"#
            ),
        )?;
        let mut command = home.namespace.command(&program.display().to_string());
        command.arg("-c").arg(&config);
        command.envs(["KEA_PIDFILE_DIR", "KEA_LOCKFILE_DIR"].map(|name| (name, &home.dir)));
        let log = home.dir.join("kea.log");
        // What it said when it ran before would be taken for its word now.
        let _ = fs::remove_file(&log);
        let mut process = Process::start("kea-dhcp4", command, &log)?;
        until("Kea to come up", PROMPT, || {
            if !process.is_running()? {
                bail!("Kea ended at once:\n{}", process.log());
            }
            Ok(process.log().contains("DHCP4_STARTED").then_some(()))
        })?;
        Ok(Self { process, leases })
    }

    /// Its configuration and its leases, as another server would be given them.
    #[must_use]
    pub fn files(&self) -> (PathBuf, PathBuf) {
        (self.leases.with_file_name("kea-dhcp4.conf"), self.leases.clone())
    }

    /// Ends it. What it has said is in its files.
    ///
    /// # Errors
    /// When it can't be ended.
    pub fn stop(mut self) -> Result<()> {
        self.process.kill()
    }

    /// Keeps to itself what it has said, when it ends.
    pub fn hush(&mut self) {
        self.process.hush();
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The addresses it has leased.
    ///
    /// # Errors
    /// When its file is not as it is documented: a line per change, the last one of an address counting, its valid
    /// lifetime 0 where the lease is gone and its state 0 where it is in use.
    pub fn leased(&self) -> Result<Vec<Ipv4Addr>> {
        let file = fs::read_to_string(&self.leases)?;
        let mut all = BTreeMap::new();
        for line in file.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let [address, _, _, lifetime, .., state, _context] = fields[..] else {
                bail!("Kea's lease file has the line {line}");
            };
            all.insert(address.parse()?, lifetime != "0" && state == "0");
        }
        Ok(all.into_iter().filter_map(|(address, held)| held.then_some(address)).collect())
    }
}
