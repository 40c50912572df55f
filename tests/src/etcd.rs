//! One member of etcd, from `etcd-server`, that several daemons agree by.

use anyhow::{Result, bail};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

use crate::namespace::Namespace;
use crate::process::{Process, output, run};
use crate::wait::{PROMPT, until};

const CLIENT_PORT: u16 = 2379;

/// A running member. Its directory is gone with the world it runs in.
#[derive(Debug)]
pub struct Etcd<'a> {
    /// The process, to be stopped and killed.
    pub process: Process,
    namespace: &'a Namespace,
    url: String,
}

impl<'a> Etcd<'a> {
    /// Starts it in `namespace`, reachable at `address`, with its files in `dir`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(namespace: &'a Namespace, address: Ipv4Addr, dir: &PathBuf) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let url = format!("http://{address}:{CLIENT_PORT}");
        let mut command = namespace.command("etcd");
        command.arg("--data-dir").arg(dir.join("data"));
        for (option, value) in [("--listen-client-urls", &url), ("--advertise-client-urls", &url)] {
            command.args([option, value]);
        }
        command.args(["--listen-peer-urls", "http://127.0.0.1:2380", "--log-level", "warn"]);
        command.args(["--initial-advertise-peer-urls", "http://127.0.0.1:2380"]);
        command.args(["--initial-cluster", "default=http://127.0.0.1:2380"]);
        let mut process = Process::start("etcd", command, &dir.join("etcd.log"))?;
        process.hush();
        let mut this = Self { process, namespace, url };
        until("etcd to come up", PROMPT, || {
            if !this.process.is_running()? {
                bail!("etcd ended at once:\n{}", this.process.log());
            }
            let healthy = output(this.ctl().args(["endpoint", "health"]))?;
            Ok(healthy.status.success().then_some(()))
        })?;
        Ok(this)
    }

    /// Where it is spoken to.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The names of the keys that begin so.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let names = run(self.ctl().args(["get", "--prefix", "--keys-only", prefix]))?;
        Ok(names.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    /// Sets a key.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn put(&self, key: &str, value: &str) -> Result<()> {
        run(self.ctl().args(["put", key, value])).map(drop)
    }

    fn ctl(&self) -> Command {
        let mut command = self.namespace.command("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &self.url, "--dial-timeout", "2s"]);
        command
    }
}
