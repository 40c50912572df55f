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
    let link = loaded_links().find_map(|link| match link {
        Ok(link) => (link.program_id() == program).then_some(Ok(link)),
        Err(error) => Some(Err(error)),
    });
    let mode = match attached {
        Attached::Native => "xdpdrv",
        Attached::Generic => "xdpgeneric",
    };
    let by_netlink = format!("run `ip link set dev {interface} {mode} off`");
    let advice = match link {
        Some(Ok(_)) if is_ours => {
            "stop it and run `xdhcpd detach --pin-dir DIR` with its pin directory".to_owned()
        }
        Some(Ok(link)) => {
            format!("end whatever put it there, or run `bpftool link detach id {}`", link.id())
        }
        // A daemon that serves has given up the right to look.
        Some(Err(_)) => format!(
            "`bpftool prog show id {program}` says whose it is; unless somebody needs it, {by_netlink}, or where that is \
             refused `bpftool link detach` with the id that `bpftool link` shows"
        ),
        // Attached by netlink: it stays when its process is killed, and nothing pins it.
        None => format!("unless somebody needs it, {by_netlink}"),
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
