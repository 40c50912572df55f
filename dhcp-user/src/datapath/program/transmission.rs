//! Whether frames that the XDP program sends (`XDP_TX`) leave by the driver: known drivers, and the drivers'
//! counters.
//!
//! A driver that can't send such a frame drops it after the program has returned. The program never learns of it, and
//! counts an answer; only the driver's own counters show the loss. Over veth that is the rule: a frame sent back
//! arrives only if the far end runs an XDP program too, or has its NAPI on for another reason.

use std::io;

use crate::datapath::interfaces::ethtool::Device;

/// Drivers of the kernel's tree that send a program's answers, whatever is configured on the far end.
const KNOWN: [&str; 27] = [
    "atlantic",
    "bnxt_en",
    "ena",
    "fsl_dpaa2_eth",
    "fsl_enetc",
    "gve",
    "hv_netvsc",
    "i40e",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "mana",
    "mlx4_en",
    "mlx5_core",
    "mtk_soc_eth",
    "mvneta",
    "mvpp2",
    "nfp",
    "octeontx2-nicpf",
    "qede",
    "rvu_nicpf",
    "rvu_nicvf",
    "sfc",
    "st_gmac",
    "virtio_net",
];

/// Drivers that send it, but forget the program when the interface goes down, though the kernel has it attached still (seen on
/// Linux 6.12): then nobody hears requests.
const FORGETFUL: [&str; 1] = ["vmxnet3"];

/// What speaks against putting the program into a driver that nobody has asked for by name.
#[must_use]
pub fn doubts(driver: &str) -> Option<String> {
    if forgets(driver) {
        return Some(format!("driver {driver} forgets a native program when the interface goes down"));
    }
    let is_known = KNOWN.contains(&driver);
    (!is_known).then(|| format!("driver {driver} is not known to send what a native program answers"))
}

/// Whether a driver has to be given the program anew each time that the interface was down.
#[must_use]
pub fn forgets(driver: &str) -> bool {
    FORGETFUL.contains(&driver)
}

/// The name of an interface's driver.
///
/// # Errors
/// When there is no such interface, or its driver doesn't say.
pub fn driver(interface: &str) -> io::Result<String> {
    Device::named(interface)?.driver()
}

/// A driver's counts of frames that XDP programs sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames that it took.
    pub taken: u64,
    /// Frames that it dropped instead of sending them.
    pub failed: u64,
}

/// How many frames a driver lost because of the program on it, which never sees that: they could not be given to it, or it
/// gave no verdict that the driver takes. Zero where the driver doesn't count them.
///
/// # Errors
/// When there is no such interface.
pub fn exceptions(interface: &str) -> io::Result<u64> {
    Ok(exceptions_among(&Device::named(interface)?.statistics()?))
}

/// `rx_queue_0_xdp_aborted`, `queue_1_rx_xdp_invalid`, `rx_xdp_errs`, `xdp_exception`: what is sent is not among them.
fn exceptions_among(statistics: &[(String, u64)]) -> u64 {
    let is_one = |name: &str| {
        let sends = ["xdp_tx", "xdp_xmit", "xdp_redirect"].iter().any(|word| name.contains(word));
        let fails = ["abort", "invalid", "exception", "err"].iter().any(|word| name.contains(word));
        name.contains("xdp") && fails && !sends
    };
    statistics.iter().filter(|(name, _)| is_one(name)).fold(0, |sum, (_, count)| sum.saturating_add(*count))
}

impl Counts {
    /// As the driver has them now; zero where it doesn't count such frames.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn of(interface: &str) -> io::Result<Self> {
        Ok(Self::among(&Device::named(interface)?.statistics()?))
    }

    /// The counts since `before`. If the driver's counters began anew since, all their counts are new.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        let since = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
        Self { taken: since(self.taken, before.taken), failed: since(self.failed, before.failed) }
    }

    /// Drivers name their counters as they like, each queue's its own: `rx_queue_0_xdp_tx_errors`, `rx_xdp_tx_err`,
    /// `tx_queue_1_xdp_tx_drops`, `rx_xdp_tx_full`.
    ///
    /// Frames of `ndo_xdp_xmit` (`xdp_xmit`) are not among them: their sender learns which were taken.
    fn among(statistics: &[(String, u64)]) -> Self {
        let mut counts = Self::default();
        for (name, value) in statistics.iter().filter(|(name, _)| name.contains("xdp_tx")) {
            let fails = ["err", "drop", "full"].iter().any(|word| name.contains(word));
            let counter = if fails { &mut counts.failed } else { &mut counts.taken };
            *counter = counter.saturating_add(*value);
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_interface_is_not_known_to_send_and_a_card_is() {
        for driver in ["veth", "tun", "bridge", "bonding", "macvlan", "netkit", "dummy", "N/A", ""] {
            assert!(doubts(driver).is_some_and(|why| why.contains("not known")), "{driver}");
        }
        for driver in ["i40e", "mlx5_core", "virtio_net", "igb"] {
            assert_eq!(doubts(driver), None);
        }
    }

    #[test]
    fn a_driver_that_forgets_the_program_is_not_taken_by_itself() {
        let why = doubts("vmxnet3");
        assert!(why.is_some_and(|why| why.contains("forgets")));
    }

    #[test]
    fn counters_are_found_by_what_drivers_call_them() {
        let counted = |names: &[(&str, u64)]| {
            let all: Vec<_> = names.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
            let Counts { taken, failed } = Counts::among(&all);
            (taken, failed)
        };
        let veth =
            [("rx_queue_0_xdp_tx", 3), ("rx_queue_0_xdp_tx_errors", 4), ("tx_queue_0_xdp_xmit_errors", 9)];
        assert_eq!(counted(&veth), (3, 4));
        assert_eq!(
            counted(&[
                ("rx_xdp_tx_xmit", 5),
                ("rx_xdp_tx_err", 1),
                ("rx_xdp_tx_full", 2),
                ("rx_xdp_drop", 7)
            ]),
            (5, 3)
        );
        assert_eq!(counted(&[("tx_queue_0_xdp_tx_drops", 2), ("tx_queue_1_xdp_tx_drops", 3)]), (0, 5));
        assert_eq!(counted(&[("rx_queue_0_xdp_drops", 8), ("tx_errors", 8)]), (0, 0));
    }

    #[test]
    fn exceptions_are_told_from_what_is_sent_and_what_was_dropped_on_purpose() {
        let all = [
            ("rx_queue_0_xdp_aborted", 1),
            ("queue_3_rx_xdp_invalid", 2),
            ("rx_xdp_errs", 4),
            ("rx_xdp_exception", 8),
            ("rx_xdp_drop", 100),
            ("rx_queue_0_xdp_tx_errors", 100),
            ("tx_queue_0_xdp_xmit_errors", 100),
            ("rx_xdp_redirect_errors", 100),
            ("rx_errors", 100),
        ];
        let all: Vec<_> = all.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        assert_eq!(exceptions_among(&all), 15);
    }

    #[test]
    fn a_driver_that_begins_anew_has_counted_all_it_says() {
        let before = Counts { taken: 10, failed: 10 };
        assert_eq!(Counts { taken: 12, failed: 13 }.since(before), Counts { taken: 2, failed: 3 });
        assert_eq!(Counts { taken: 12, failed: 1 }.since(before), Counts { taken: 2, failed: 1 });
    }
}
