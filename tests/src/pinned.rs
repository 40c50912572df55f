//! A pinned BPF map, read and written behind the server's back through `bpftool`.

use anyhow::{Context, Result};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

use crate::process::run;

/// An array map, by its pin.
#[derive(Clone, Debug)]
pub struct PinnedArray(pub PathBuf);

impl PinnedArray {
    /// The octets of an element.
    ///
    /// # Errors
    /// When there is no such element, or `bpftool` says something else than it used to.
    pub fn read(&self, index: u32) -> Result<Vec<u8>> {
        let printed = run(&mut self.bpftool("lookup", index))?;
        let found: Value = serde_json::from_str(&printed)?;
        let octets = found["value"].as_array().with_context(|| format!("no value: {printed}"))?;
        let octet = |octet: &Value| -> Option<u8> {
            u8::from_str_radix(octet.as_str()?.strip_prefix("0x")?, 16).ok()
        };
        octets.iter().map(octet).collect::<Option<_>>().with_context(|| format!("no octets: {printed}"))
    }

    /// Writes an element over.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn write(&self, index: u32, octets: &[u8]) -> Result<()> {
        let mut command = self.bpftool("update", index);
        command.args(["value", "hex"]).args(octets.iter().map(|octet| format!("{octet:02x}")));
        run(&mut command).map(drop)
    }

    fn bpftool(&self, what: &str, index: u32) -> Command {
        let mut command = Command::new("bpftool");
        command.args(["--json", "map", what, "pinned"]).arg(&self.0).args(["key", "hex"]);
        command.args(index.to_ne_bytes().map(|octet| format!("{octet:02x}")));
        command
    }
}
