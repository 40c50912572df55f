//! What is known of a reload before it is done.

use std::collections::BTreeSet;

use dhcp_ebpf::abi::RUN;

use super::changes_for_a_restart;
use crate::config::{Config, XdpMode};
use crate::server::equipment::capacity::{leasable, sizes};

/// Why a server that was started with `old` refuses to go over to `new`; nothing if it doesn't, as far as the configurations
/// tell.
#[must_use]
pub fn refusals(old: &Config, new: &Config) -> Vec<String> {
    let mut why = Vec::new();
    let fixed = changes_for_a_restart(old, new);
    if !fixed.is_empty() {
        why.push(format!("{} can't be changed while the server runs", fixed.join(", ")));
    }
    let is_wanted = |config: &Config| config.interfaces.iter().any(|served| served.xdp != XdpMode::Off);
    if !is_wanted(old) && is_wanted(new) {
        why.push("no interface had the XDP program until now".to_owned());
    }
    let blocks =
        |config: &Config| leasable(config).map(|address| address.to_bits() >> 8).collect::<BTreeSet<_>>();
    let (had, room) = (blocks(old), sizes(old).slots / RUN);
    let more = blocks(new).difference(&had).count();
    if had.len() + more > room as usize {
        why.push(format!(
            "the lease table has no room for {more} more blocks of {RUN} addresses: it holds {room}"
        ));
    }
    why
}
