//! Attachments: the interfaces that have the program, and the mode of each.
//!
//! Native XDP runs in the driver, generic XDP in the stack. The program needs frames in one piece, so a driver takes
//! it only if frames are no longer than one of its buffers (about 3.5 kB), and refuses a larger MTU while it is
//! attached. The stack makes one piece of any frame.
//!
//! A bond that takes a native program puts it into its ports' drivers, where frames come from the port: the program would know
//! none of them. In the stack they come from the bond.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use aya::Ebpf;
use aya::programs::XdpMode as Mode;
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::XdpLink;

use super::diagnosis::{Named, NamedLog};
use super::holding::Holding;
use super::object::{Rest, xdp};
use super::pins::{LinkPin, Pins};
use super::transmission::Counts;
use super::{neighbours, occupant, offload, transmission};
use crate::config::XdpMode;
use crate::datapath::interfaces::netlink::{self, Attached};
use crate::reason;

/// Attaches the program to interfaces and detaches it. A driver may take its time, and waits for the holder of the
/// kernel's lock on interfaces: this is for a thread that nobody waits for.
pub struct Attacher {
    ebpf: Ebpf,
    rest: Rest,
    pins: Pins,
    holding: Holding,
}

/// By what way frames come to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// It is attached.
    Attached(Attached),
    /// Another's program calls it.
    External,
}

impl Reached {
    /// The name that `status` uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attached(attached) => attached.name(),
            Self::External => "external",
        }
    }
}

/// The result of attaching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachment {
    /// How frames of the interface come to the program; `None`: not at all, since it would not see them as they came.
    pub reached: Option<Reached>,
    /// Why so, where it is not what was asked for or where there was a choice.
    pub why: Option<String>,
    /// Its driver's counts of answers at that time.
    pub sent: Counts,
}

/// By what way an interface is to be attached, and why where that was to be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Way {
    mode: XdpMode,
    why: Option<String>,
}

impl Attacher {
    pub(super) fn new(ebpf: Ebpf, rest: Rest, pins: Pins, directory: File) -> Result<Self> {
        let mut holding = Holding::of(pins.clone(), directory)?;
        if rest == Rest::HandedOn {
            holding.hold_neighbours([pins.next().path().to_owned()])?;
        }
        Ok(Self { ebpf, rest, pins, holding })
    }

    /// Sees to it that all is pinned where it was. Says of how many pins that was not so.
    ///
    /// # Errors
    /// When it can't be pinned again. It lives on until the daemon ends.
    pub fn keep_pinned(&mut self) -> Result<usize> {
        self.holding.keep()
    }

    /// Attaches the program to an interface, or puts it in the place of the one attached by an earlier daemon.
    ///
    /// # Errors
    /// When the interface's driver, or another program there, doesn't let it.
    pub fn attach(&mut self, interface: &str, ifindex: u32, wanted: XdpMode) -> Result<Attachment> {
        let mut attachment = self.attach_by(interface, ifindex, wanted)?;
        if matches!(attachment.reached, Some(Reached::Attached(Attached::Native) | Reached::External)) {
            attachment.sent = Counts::of(interface).unwrap_or_default();
        }
        Ok(attachment)
    }

    fn attach_by(&mut self, interface: &str, ifindex: u32, wanted: XdpMode) -> Result<Attachment> {
        let pin = self.pins.link(interface, ifindex);
        if wanted == XdpMode::External {
            return self.be_called(interface, &pin);
        }
        if let Some(offload) = whole_frames(interface) {
            self.holding.release(&pin)?;
            let why = format!(
                "the driver takes VLAN tags off ({offload}) and can't be told not to, so that nobody can tell in the driver \
                 which link a frame is from: the daemon answers alone"
            );
            tracing::warn!(interface, why, "not attached");
            return Ok(Attachment { why: Some(why), ..Attachment::default() });
        }
        let bond = netlink::is_bond(ifindex)?;
        let Way { mode: wanted, mut why } =
            way(interface, wanted, bond, transmission::driver(interface).ok())?;
        for stale in
            self.pins.links()?.iter().filter(|stale| stale.interface == interface && stale.ifindex != ifindex)
        {
            tracing::warn!(interface, "removing an attachment to an interface of this name that is gone");
            self.holding.release(stale)?;
        }
        if let Ok(pinned) = PinnedLink::from_pin(&pin.path) {
            match self.take_over(pinned, ifindex, wanted) {
                Ok(Some(attached)) => {
                    self.holding.hold(&pin)?;
                    let chosen = if why.is_none() { Attached::Native } else { Attached::Generic };
                    if wanted == XdpMode::Auto && attached != chosen {
                        why = Some("it was found attached so".to_owned());
                    }
                    return Ok(Attachment {
                        reached: Some(Reached::Attached(attached)),
                        why,
                        ..Attachment::default()
                    });
                }
                Ok(None) => tracing::info!(interface, "`xdp` is another now: attaching anew"),
                Err(error) => tracing::warn!(
                    interface,
                    error = reason::told(&error),
                    "a pinned attachment can't be taken over; attaching anew"
                ),
            }
            self.holding.release(&pin)?;
        }
        if let Some(other) = netlink::occupant(ifindex)? {
            bail!("{}", occupant::described(interface, other));
        }
        let attached = match wanted {
            XdpMode::Native => self.attach_anew(&pin, Mode::Driver).map(|()| Attached::Native).context(
                "no native XDP here: the driver doesn't support it, or not with this MTU or these queues; \
                     `xdp = \"generic\"` attaches to every interface",
            )?,
            XdpMode::Auto if why.is_none() => match self.attach_anew(&pin, Mode::Driver) {
                Ok(()) => Attached::Native,
                Err(error) => {
                    let error = reason::told(&error);
                    tracing::info!(interface, error, "no native XDP here, trying generic");
                    why = Some(format!("the driver doesn't take the program: {error}"));
                    self.attach_anew(&pin, Mode::Skb)?;
                    Attached::Generic
                }
            },
            XdpMode::Auto | XdpMode::Generic => {
                self.attach_anew(&pin, Mode::Skb)?;
                Attached::Generic
            }
            XdpMode::External | XdpMode::Off => bail!("{interface} is configured not to be attached"),
        };
        Ok(Attachment { reached: Some(Reached::Attached(attached)), why, ..Attachment::default() })
    }

    /// Has another's program on the interface call this one, as soon as its owner puts it there.
    fn be_called(&mut self, interface: &str, pin: &LinkPin) -> Result<Attachment> {
        if let Some(offload) = whole_frames(interface) {
            bail!(
                "{interface}: the driver takes VLAN tags off ({offload}) and can't be told not to, so that a program can't tell \
                 which link a frame is from: set `xdp = \"off\"`, and don't have our program called"
            );
        }
        self.holding.release(pin)?;
        // Made anew they would be others than those in the other program's array.
        self.holding.keep()?;
        neighbours::provide_entry(&self.pins)?;
        self.holding.hold_neighbours(neighbours::called_by(&self.pins))?;
        self.answer_calls()?;
        Ok(Attachment { reached: Some(Reached::External), ..Attachment::default() })
    }

    /// Puts this program into the place of the one that others' programs go on with.
    fn answer_calls(&mut self) -> Result<()> {
        let program = xdp(&mut self.ebpf, self.rest.answering())?;
        self.pins.entry().put(program.fd()?.as_fd()).context("answering another's program")
    }

    /// Others' programs are to call this one no more.
    ///
    /// # Errors
    /// When a pin can't be removed.
    pub fn refuse_calls(&self) -> Result<()> {
        if self.pins.entry().is_there() {
            tracing::info!(
                "no interface has `xdp = \"external\"` any more: others' programs can't call ours"
            );
        }
        self.pins.remove_entry()
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
        let program = xdp(&mut self.ebpf, self.rest.answering())?;
        let id = program.attach_to_link(link)?;
        // The pin holds the attachment; this descriptor need not.
        drop(FdLink::try_from(program.take_link(id)?)?);
        Ok(())
    }

    fn attach_anew(&mut self, pin: &LinkPin, mode: Mode) -> Result<()> {
        let LinkPin { interface, ifindex, path } = pin;
        let program = xdp(&mut self.ebpf, self.rest.answering())?;
        let id = program
            .attach_to_if_index(*ifindex, mode)
            .with_context(|| format!("attaching to {interface} by {}", attached_by(mode).name()))?;
        let link = program.take_link(id)?;
        let Ok(link) = FdLink::try_from(link) else {
            bail!("{interface}: this kernel attaches XDP programs only by netlink, which can't be pinned");
        };
        link.pin(path).with_context(|| format!("pinning the attachment to {interface}"))?;
        self.holding.hold(pin)
    }

    /// Takes the program off an interface, if it is there.
    ///
    /// # Errors
    /// When the pin of its attachment can't be removed.
    pub fn detach(&mut self, interface: &str, ifindex: u32) -> Result<()> {
        self.holding.release(&self.pins.link(interface, ifindex))
    }

    /// Starts to log the program's decisions, if it was loaded with a diagnosis.
    ///
    /// # Errors
    /// When the program's log ring can't be opened.
    pub fn log(&mut self) -> Result<aya_log::EbpfLogger<NamedLog>> {
        let log = Named(log::logger());
        aya_log::EbpfLogger::init_with_logger(&mut self.ebpf, log).context("opening the XDP program's log")
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
        if self.pins.entry().is_there() { self.answer_calls() } else { Ok(()) }
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

/// Checks that no daemon serves by the pins in `dir`: it would attach again, and needs its maps.
///
/// # Errors
/// When one does.
pub fn check_unserved(dir: &Path) -> Result<()> {
    if Pins::at(dir).is_held() {
        bail!(
            "a running xdhcpd has its maps in {}, and attaches again: stop it first, then detach",
            dir.display()
        );
    }
    Ok(())
}

/// Removes attachments and maps of the instance whose pins are in `dir`; with `interface`, only its attachment.
///
/// Gives the names of the interfaces that were detached, and of those that had others' programs call ours the pin.
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
        if pins.entry().is_there() {
            gone.push(pins.callable().display().to_string());
        }
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
    if !pins.links()?.iter().any(ours) && !pins.entry().is_there() {
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

/// Has the program see frames as they came; the offload that takes tags off all the same, if there is one.
fn whole_frames(interface: &str) -> Option<String> {
    let offloads = match offload::see_frames_as_they_came(interface) {
        Ok(offloads) => offloads,
        Err(error) => {
            tracing::warn!(interface, %error, "the driver's offloads can't be looked at");
            return None;
        }
    };
    if !offloads.turned_off.is_empty() {
        tracing::info!(interface, offloads = ?offloads.turned_off, "turned off: the program must see frames as they came");
    }
    if !offloads.stayed.is_empty() {
        tracing::warn!(interface, offloads = ?offloads.stayed, "can't be turned off");
    }
    offloads.hides_tags().map(str::to_owned)
}

/// By what way an interface is attached for which `wanted` is configured.
///
/// `auto` with a reason is the stack, unless an attachment is found. Without one it is the driver where that takes it.
fn way(interface: &str, wanted: XdpMode, bond: bool, driver: Option<String>) -> Result<Way> {
    match wanted {
        XdpMode::Auto if bond => {
            let why = Some("a native program would meet a bond's frames at its ports only".to_owned());
            Ok(Way { mode: XdpMode::Generic, why })
        }
        XdpMode::Native if bond => bail!(
            "{interface} is a bond, whose frames a native program meets at its ports only: set `xdp = \"generic\"`, or \
             have the ports served instead, with `server-id`"
        ),
        XdpMode::Auto => Ok(Way {
            mode: XdpMode::Auto,
            why: match driver {
                Some(driver) => transmission::doubts(&driver),
                None => Some("its driver is not known".to_owned()),
            },
        }),
        XdpMode::Native | XdpMode::Generic | XdpMode::External | XdpMode::Off => {
            if wanted == XdpMode::Native && driver.is_some_and(|driver| transmission::forgets(&driver)) {
                tracing::warn!(
                    interface,
                    "its driver forgets the program whenever the interface goes down, and nobody answers from then on: set \
                     `xdp = \"auto\"`"
                );
            }
            Ok(Way { mode: wanted, why: None })
        }
    }
}

const fn attached_by(mode: Mode) -> Attached {
    if matches!(mode, Mode::Driver) { Attached::Native } else { Attached::Generic }
}

/// The mode in which the program is attached to an interface now, by the kernel's report.
fn attached_mode(ifindex: u32) -> Result<Attached> {
    Ok(netlink::occupant(ifindex)?.context("the program is attached no longer")?.attached)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bond_is_attached_in_the_stack_or_not_at_all() {
        let of_bond = |wanted| way("bond0", wanted, true, Some("bonding".to_owned()));
        assert_eq!(of_bond(XdpMode::Auto).unwrap().mode, XdpMode::Generic);
        assert_eq!(of_bond(XdpMode::Generic).unwrap().mode, XdpMode::Generic);
        let refused = of_bond(XdpMode::Native).unwrap_err().to_string();
        assert!(refused.contains("bond0") && refused.contains("`xdp = \"generic\"`"), "{refused}");
    }

    #[test]
    fn what_is_asked_for_is_done_and_a_choice_goes_by_what_is_known_of_the_driver() {
        let of = |wanted, driver: &str| way("eth0", wanted, false, Some(driver.to_owned())).unwrap();
        assert_eq!(of(XdpMode::Auto, "ixgbe"), Way { mode: XdpMode::Auto, why: None });
        assert!(of(XdpMode::Auto, "veth").why.is_some_and(|why| why.contains("veth")));
        assert_eq!(of(XdpMode::Native, "veth"), Way { mode: XdpMode::Native, why: None });
        assert!(way("eth0", XdpMode::Auto, false, None).unwrap().why.is_some());
    }
}
