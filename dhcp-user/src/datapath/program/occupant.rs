//! Foreign XDP programs on an interface: their owners, and how the operator removes them.

use std::collections::HashMap;
use std::sync::OnceLock;

use aya::programs::{loaded_links, loaded_programs};
use dhcp_ebpf::abi::programs;

use crate::datapath::interfaces::netlink::{Attached, Occupant};

/// The programs that existed when this process could still read all of them, by id: the name of each, and the link
/// that holds it.
static KNOWN: OnceLock<HashMap<u32, Known>> = OnceLock::new();

#[derive(Debug, Default)]
struct Known {
    name: Option<String>,
    link: Option<u32>,
}

/// Looks at all programs and links there are: before the right to (`CAP_SYS_ADMIN`) is given up.
pub fn look_around() {
    let _ = KNOWN.set(all());
}

fn all() -> HashMap<u32, Known> {
    let mut all: HashMap<u32, Known> = HashMap::new();
    for program in loaded_programs().filter_map(Result::ok) {
        all.entry(program.id()).or_default().name =
            program.name_as_str().filter(|name| !name.is_empty()).map(str::to_owned);
    }
    for link in loaded_links().filter_map(Result::ok) {
        all.entry(link.program_id()).or_default().link = Some(link.id());
    }
    all
}

/// The data of a program: read now if possible, else from the start.
fn known(program: u32) -> Option<Known> {
    let now = all().remove(&program);
    now.or_else(|| {
        KNOWN.get()?.get(&program).map(|known| Known { name: known.name.clone(), link: known.link })
    })
}

/// Describes the program that occupies `interface`, and what to do about it.
#[must_use]
pub fn described(interface: &str, occupant: Occupant) -> String {
    let Occupant { attached, program } = occupant;
    let known = known(program);
    let name = known.as_ref().and_then(|known| known.name.as_deref());
    let is_ours = name.is_some_and(is_ours);
    let whose = match name {
        Some(_) if is_ours => format!("a program of another xdhcpd (id {program}, {})", attached.name()),
        _ => named(occupant),
    };
    let mode = match attached {
        Attached::Native => "xdpdrv",
        Attached::Generic => "xdpgeneric",
    };
    let by_netlink = format!("run `ip link set dev {interface} {mode} off`");
    let advice = match known.as_ref().map(|known| known.link) {
        Some(Some(_)) if is_ours => {
            "stop it and run `xdhcpd detach --pin-dir DIR` with its pin directory".to_owned()
        }
        Some(Some(link)) => format!("end whatever put it there, or run `bpftool link detach id {link}`"),
        // Attached by netlink: it stays when its process is killed, and nothing pins it.
        Some(None) => format!("unless somebody needs it, {by_netlink}"),
        // A daemon that serves has given up the right to look, and this came since.
        None => format!(
            "`bpftool prog show id {program}` says whose it is; unless somebody needs it, {by_netlink}, or where that is \
             refused `bpftool link detach` with the id that `bpftool link` shows"
        ),
    };
    format!("{whose} is attached to {interface}: {advice}")
}

/// The name and number of the program that occupies an interface.
#[must_use]
pub fn named(occupant: Occupant) -> String {
    let Occupant { attached, program } = occupant;
    match known(program).and_then(|known| known.name) {
        Some(name) => format!("the XDP program {name} (id {program}, {})", attached.name()),
        None => format!("an XDP program (id {program}, {})", attached.name()),
    }
}

/// Whether a program of this name is one of an xdhcpd, which may have been killed while somebody captured.
fn is_ours(name: &str) -> bool {
    let ours = [programs::XDHCPD, programs::XDHCPD_NEXT, programs::CAPTURING, programs::CAPTURING_NEXT];
    ours.contains(&name)
}

/// Whether the program is one of an xdhcpd, by its name.
#[must_use]
pub fn is_xdhcpd(occupant: &Occupant) -> bool {
    known(occupant.program).is_some_and(|known| known.name.as_deref().is_some_and(is_ours))
}
