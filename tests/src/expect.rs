//! What a test may expect of a running server: the kernel answers a lease, the audit finds nothing.

use anyhow::{Result, ensure};

use crate::client::{Client, Lease};
use crate::server::Server;
use crate::wait::{PROMPT, until};

/// Rebinds `lease` until the kernel answers.
///
/// # Errors
/// If it does not in time.
pub fn kernel_answers(server: &Server, client: &Client, lease: &Lease) -> Result<()> {
    let before = server.stats()?.kernel_acked("rebinding")?;
    until("the kernel to answer", PROMPT, || {
        client.rebind(lease)?;
        Ok((server.stats()?.kernel_acked("rebinding")? > before).then_some(()))
    })
}

/// Audits the server.
///
/// # Errors
/// If the audit finds something.
pub fn is_consistent(server: &Server) -> Result<()> {
    let audit = server.json(&["audit"])?;
    ensure!(audit["consistent"] == true, "{audit}");
    Ok(())
}
