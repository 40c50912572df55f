//! XDP programs that are on an interface and are not this daemon's: whose they are, and how the operator gets rid of them.

use aya::programs::{loaded_links, loaded_programs};
use dhcp_ebpf::abi::programs;

use super::attachment::Attached;
use super::netlink::Occupant;

/// Describes the program that occupies `interface`, and what to do about it.
#[must_use]
pub fn described(interface: &str, occupant: Occupant) -> String {
    let Occupant { attached, program } = occupant;
    let name = name_of(program);
    let is_ours = name.as_deref() == Some(programs::XDHCPD);
    let whose = match name {
        Some(_) if is_ours => format!("a program of another xdhcpd (id {program}, {})", attached.name()),
        Some(name) => format!("the XDP program {name} (id {program}, {})", attached.name()),
        None => format!("an XDP program (id {program}, {})", attached.name()),
    };
    let link = loaded_links().filter_map(Result::ok).find(|link| link.program_id() == program);
    let advice = match link {
        Some(_) if is_ours => {
            "stop it and run `xdhcpd detach --pin-dir DIR` with its pin directory".to_owned()
        }
        Some(link) => {
            format!("end whatever put it there, or run `bpftool link detach id {}`", link.id())
        }
        // Attached by netlink: it stays when its process is killed, and nothing pins it.
        None => {
            let mode = match attached {
                Attached::Native => "xdpdrv",
                Attached::Generic => "xdpgeneric",
            };
            format!("unless somebody needs it, run `ip link set dev {interface} {mode} off`")
        }
    };
    format!("{whose} is attached to {interface}: {advice}")
}

/// Whether the program is one of an xdhcpd, by its name.
#[must_use]
pub fn is_xdhcpd(occupant: &Occupant) -> bool {
    name_of(occupant.program).as_deref() == Some(programs::XDHCPD)
}

fn name_of(program: u32) -> Option<String> {
    let info = loaded_programs().filter_map(Result::ok).find(|info| info.id() == program)?;
    info.name_as_str().filter(|name| !name.is_empty()).map(str::to_owned)
}
