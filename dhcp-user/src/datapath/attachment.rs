//! Attachments: where the program is, and by what way frames come to it.
//!
//! Native XDP runs in the driver, generic XDP in the stack. The program looks at frames in one piece, so a driver takes it only
//! where frames are no longer than one of its buffers (about 3.5 kB), and then refuses a larger MTU as long as it is there. The
//! stack makes one piece of any frame.
//!
//! A bond that takes a native program puts it into its ports' drivers, where frames come from the port: the program would know
//! none of them. In the stack they come from the bond.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use aya::programs::XdpMode as Mode;
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::XdpLink;

use super::kernel::{Kernel, xdp};
use super::netlink::{self, Occupant};
use super::pins::{LinkPin, Pins};
use super::{occupant, offload};
use crate::config::XdpMode;

/// How an interface is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// In the driver.
    Native,
    /// In the stack.
    Generic,
}

impl Attached {
    fn of(mode: Mode) -> Self {
        if matches!(mode, Mode::Driver) { Self::Native } else { Self::Generic }
    }

    /// The name that `status` uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

impl Kernel {
    /// Attaches the program to an interface, or puts it in the place of the one attached by an earlier daemon.
    ///
    /// # Errors
    /// When the interface's driver, or another program there, doesn't let it.
    pub fn attach(&mut self, interface: &str, ifindex: u32, wanted: XdpMode) -> Result<Attached> {
        match offload::see_frames_as_they_came(interface) {
            Ok(true) => tracing::info!(
                interface,
                "turned off VLAN tag stripping and LRO: the program must see whole frames"
            ),
            Ok(false) => {}
            Err(error) => tracing::warn!(
                interface, %error,
                "VLAN tag stripping or LRO can't be turned off; don't serve tagged subnets on this interface"
            ),
        }
        let wanted = if netlink::is_bond(ifindex)? { of_bond(interface, wanted)? } else { wanted };
        let pin = self.pins.link(interface, ifindex);
        for stale in
            self.pins.links()?.iter().filter(|stale| stale.interface == interface && stale.ifindex != ifindex)
        {
            tracing::warn!(interface, "removing an attachment to an interface of this name that is gone");
            stale.detach()?;
        }
        if let Ok(pinned) = PinnedLink::from_pin(&pin.path) {
            match self.take_over(pinned, ifindex, wanted) {
                Ok(Some(attached)) => return Ok(attached),
                Ok(None) => tracing::info!(interface, "`xdp` is another now: attaching anew"),
                Err(error) => tracing::warn!(
                    interface,
                    error = format!("{error:#}"),
                    "a pinned attachment can't be taken over; attaching anew"
                ),
            }
            pin.detach()?;
        }
        if let Some(other) = netlink::occupant(ifindex)? {
            bail!("{}", occupant::described(interface, other));
        }
        match wanted {
            XdpMode::Native => self.attach_anew(&pin, Mode::Driver).map(|()| Attached::Native).context(
                "no native XDP here: the driver doesn't support it, or not with this MTU or these queues; \
                     `xdp = \"generic\"` attaches to every interface",
            ),
            XdpMode::Generic => self.attach_anew(&pin, Mode::Skb).map(|()| Attached::Generic),
            XdpMode::Auto => match self.attach_anew(&pin, Mode::Driver) {
                Ok(()) => Ok(Attached::Native),
                Err(error) => {
                    tracing::info!(
                        interface,
                        error = format!("{error:#}"),
                        "no native XDP here, trying generic"
                    );
                    self.attach_anew(&pin, Mode::Skb).map(|()| Attached::Generic)
                }
            },
            XdpMode::Off => bail!("{interface} is configured not to be attached"),
        }
    }

    /// Goes on with a pinned link; none if it is attached in another way than `wanted`.
    fn take_over(&mut self, pinned: PinnedLink, ifindex: u32, wanted: XdpMode) -> Result<Option<Attached>> {
        let attached = attached_mode(ifindex)?;
        match (wanted, attached) {
            (XdpMode::Native, Attached::Generic) | (XdpMode::Generic, Attached::Native) => Ok(None),
            _ => self.replace(pinned).map(|()| Some(attached)),
        }
    }

    /// Puts this program into a pinned link, atomically: each frame meets the one or the other.
    fn replace(&mut self, pinned: PinnedLink) -> Result<()> {
        let link = XdpLink::try_from(FdLink::from(pinned))?;
        let program = xdp(&mut self.ebpf)?;
        let id = program.attach_to_link(link)?;
        // The pin holds the attachment; this descriptor need not.
        drop(FdLink::try_from(program.take_link(id)?)?);
        Ok(())
    }

    fn attach_anew(&mut self, pin: &LinkPin, mode: Mode) -> Result<()> {
        let LinkPin { interface, ifindex, path } = pin;
        let program = xdp(&mut self.ebpf)?;
        let id = program
            .attach_to_if_index(*ifindex, mode)
            .with_context(|| format!("attaching to {interface} by {}", Attached::of(mode).name()))?;
        let link = program.take_link(id)?;
        let Ok(link) = FdLink::try_from(link) else {
            bail!("{interface}: this kernel attaches XDP programs only by netlink, which can't be pinned");
        };
        link.pin(path).with_context(|| format!("pinning the attachment to {interface}"))?;
        Ok(())
    }

    /// Whether the program on an interface is the one that this daemon has loaded.
    #[must_use]
    pub fn is_ours(&self, occupant: Occupant) -> bool {
        occupant.program == self.program
    }

    /// Puts this program into every attachment of an earlier daemon's.
    pub(super) fn replace_everywhere(&mut self) -> Result<()> {
        for pin in self.pins.links()? {
            let replaced =
                PinnedLink::from_pin(&pin.path).map_err(Into::into).and_then(|link| self.replace(link));
            if let Err(error) = replaced {
                tracing::warn!(interface = pin.interface, %error, "a pinned attachment can't be taken over");
                pin.detach()?;
            }
        }
        Ok(())
    }

    /// Takes the program off interfaces that are not `wanted` to have it any more.
    ///
    /// # Errors
    /// When the pin of an attachment can't be removed.
    pub fn stay_on(&self, wanted: &[&str]) -> Result<()> {
        for pin in self.pins.links()?.iter().filter(|pin| !wanted.contains(&pin.interface.as_str())) {
            pin.detach()?;
            tracing::info!(interface = pin.interface, "detached: it is not to have the program any more");
        }
        Ok(())
    }
}

/// Removes attachments and maps of the instance whose pins are in `dir`; with `interface`, only its attachment.
///
/// Gives the names of the interfaces that were detached.
///
/// # Errors
/// When a pin can't be removed.
pub fn detach(dir: &Path, interface: Option<&str>) -> Result<Vec<String>> {
    let pins = Pins::at(dir);
    let links = pins.links()?;
    let mut gone = Vec::new();
    for link in links.iter().filter(|link| interface.is_none_or(|name| link.interface == name)) {
        link.detach()?;
        gone.push(link.interface.clone());
    }
    if gone.len() == links.len() {
        pins.remove_all()?;
    }
    Ok(gone)
}

/// Takes the program of an earlier daemon off `interfaces`, which are to be served without. Leaves alone what a running
/// daemon has attached.
///
/// # Errors
/// When a pin can't be removed.
pub fn leave(dir: &Path, interfaces: &[&str]) -> Result<()> {
    let pins = Pins::at(dir);
    let ours = |pin: &LinkPin| interfaces.contains(&pin.interface.as_str());
    if !pins.links()?.iter().any(ours) {
        return Ok(());
    }
    let Ok(_held) = pins.hold() else { return Ok(()) };
    for interface in interfaces {
        for gone in detach(dir, Some(interface))? {
            tracing::info!(interface = gone, "detached: it is not to have the program any more");
        }
    }
    Ok(())
}

/// By what way a bond is attached for which `wanted` is configured.
fn of_bond(interface: &str, wanted: XdpMode) -> Result<XdpMode> {
    match wanted {
        XdpMode::Auto => Ok(XdpMode::Generic),
        XdpMode::Native => bail!(
            "{interface} is a bond, whose frames a native program meets at its ports only: set `xdp = \"generic\"`, or \
             have the ports served instead, with `server-id`"
        ),
        XdpMode::Generic | XdpMode::Off => Ok(wanted),
    }
}

/// How the program is attached to an interface now, as the kernel tells it.
fn attached_mode(ifindex: u32) -> Result<Attached> {
    Ok(netlink::occupant(ifindex)?.context("the program is attached no longer")?.attached)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bond_is_attached_in_the_stack_or_not_at_all() {
        assert_eq!(of_bond("bond0", XdpMode::Auto).unwrap(), XdpMode::Generic);
        assert_eq!(of_bond("bond0", XdpMode::Generic).unwrap(), XdpMode::Generic);
        let refused = of_bond("bond0", XdpMode::Native).unwrap_err().to_string();
        assert!(refused.contains("bond0") && refused.contains("`xdp = \"generic\"`"), "{refused}");
    }
}
