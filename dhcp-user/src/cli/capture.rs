//! `capture`: frames that came and left, as pcapng or a line each.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Stdout, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{DataLink, PcapError};
use serde_json::value::RawValue;

use super::Exit;
use super::daemon::Whom;
use super::output::{complain, finish, remark};
use super::words::{hw_address, prefix};
use crate::capture::{Direction, Filter, Item, Packet};
use crate::control::{self, ClientError, Outcome, Request};

/// Which frames to capture, and where they go.
#[derive(Clone, Debug, clap::Args)]
pub struct Capture {
    #[command(flatten)]
    of: Messages,
    /// Only frames of this interface
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// Write pcapng to this file, `-` for standard output, instead of a line for each frame
    #[arg(short, long, value_name = "FILE")]
    write: Option<PathBuf>,
    #[command(flatten)]
    whom: Whom,
    /// Print JSON, an object for each frame
    #[arg(long, conflicts_with = "write")]
    json: bool,
}

/// Which messages to capture; all that are not excluded.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Messages {
    /// Only messages of the client with this hardware address
    #[arg(long, value_name = "MAC", value_parser = hw_address)]
    mac: Option<[u8; 6]>,
    /// Only messages about this address
    #[arg(long)]
    address: Option<Ipv4Addr>,
    /// Only messages about addresses in this prefix, or by a relay there
    #[arg(long, value_name = "PREFIX", value_parser = prefix)]
    subnet: Option<(Ipv4Addr, u8)>,
    /// Only messages that came through this relay
    #[arg(long, value_name = "ADDRESS")]
    relay: Option<Ipv4Addr>,
}

impl Capture {
    /// The capture that Wireshark reads from a FIFO.
    pub(super) fn into_fifo(fifo: PathBuf, of: Messages, whom: Whom) -> Self {
        Self { of, interface: None, write: Some(fifo), whom, json: false }
    }

    /// Captures until the daemon ends, or nobody reads.
    #[must_use]
    pub fn run(self) -> Exit {
        let mut to = match self.write.as_deref().map(open) {
            None if self.json => To::Json(io::stdout()),
            None => To::Lines(io::stdout()),
            Some(Ok(to)) => To::Pcapng(Box::new(to)),
            Some(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Exit::Done,
            Some(Err(error)) => {
                return complain(Exit::Usage, format_args!("can't write the capture: {error}"));
            }
        };
        let filter = Filter {
            hw_address: self.of.mac,
            address: self.of.address,
            subnet: self.of.subnet,
            relay: self.of.relay,
            interface: self.interface,
        };
        let socket = match self.whom.socket() {
            Ok(socket) => socket,
            Err(why) => return complain(Exit::Unreachable, why),
        };
        let mut missed = 0;
        let mut has_begun = false;
        let captured = control::ask(&socket, &Request::Capture { filter }, |item| {
            match serde_json::from_str(item.get())? {
                Item::Packet(packet) => to.packet(&packet, item)?,
                Item::Missed(more) => {
                    missed += more;
                    remark(format_args!("xdhcpd: {missed} frames came too fast and are left out"));
                }
                Item::Begun { without_kernel: Some(why) } => {
                    remark(format_args!("xdhcpd: capturing without the kernel's answers: {why}"));
                }
                Item::Begun { without_kernel: None } if !has_begun => {
                    has_begun = true;
                    remark("xdhcpd: capturing");
                }
                Item::Begun { .. } => {}
            }
            Ok(())
        });
        match captured {
            Ok(Outcome::Done) => Exit::Done,
            Ok(Outcome::No(why)) => complain(Exit::No, why),
            Ok(Outcome::Refused(why)) => complain(Exit::Usage, why),
            Ok(Outcome::Stuck(why)) => complain(Exit::Unreachable, why),
            Err(ClientError::Output(error)) => finish(Exit::Done, Err(error)),
            Err(error) => complain(Exit::Unreachable, error),
        }
    }
}

/// Where frames go.
enum To {
    Lines(Stdout),
    Json(Stdout),
    Pcapng(Box<Pcapng>),
}

impl To {
    fn packet(&mut self, packet: &Packet, item: &RawValue) -> io::Result<()> {
        match self {
            Self::Lines(to) => {
                let Packet { at, interface, direction, comment, len, .. } = packet;
                let direction = if *direction == Direction::In { "in " } else { "out" };
                writeln!(to, "{at} {direction} {interface} {len} octets: {comment}")?;
                to.flush()
            }
            Self::Json(to) => {
                writeln!(to, "{item}")?;
                to.flush()
            }
            Self::Pcapng(to) => to.packet(packet),
        }
    }
}

/// The destination of pcapng. A file always ends with a whole block.
enum Sink {
    File(File),
    Stdout(Stdout),
}

/// A pcapng section: its writer, and the interfaces that are described in it.
struct Pcapng {
    /// Writes a block into memory, from where it goes out whole.
    blocks: PcapNgWriter<Vec<u8>>,
    sink: Sink,
    /// Octets that the sink has taken.
    written: u64,
    interfaces: Vec<String>,
}

fn open(path: &Path) -> io::Result<Pcapng> {
    let sink =
        if path == Path::new("-") { Sink::Stdout(io::stdout()) } else { Sink::File(File::create(path)?) };
    let blocks = PcapNgWriter::new(Vec::new()).map_err(other)?;
    let mut pcapng = Pcapng { blocks, sink, written: 0, interfaces: Vec::new() };
    pcapng.put()?;
    Ok(pcapng)
}

impl Pcapng {
    fn packet(&mut self, packet: &Packet) -> io::Result<()> {
        let known = self.interfaces.iter().position(|name| *name == packet.interface);
        let number = match known {
            Some(number) => number,
            None => self.describe(&packet.interface)?,
        };
        let since = Duration::try_from(packet.at.as_duration()).unwrap_or_default();
        // Inbound and outbound, as the flags of a packet have it.
        let way = if packet.direction == Direction::In { 1 } else { 2 };
        let block = EnhancedPacketBlock {
            interface_id: u32::try_from(number).unwrap_or(u32::MAX),
            timestamp: since,
            original_len: u32::try_from(packet.len).unwrap_or(u32::MAX),
            data: Cow::Owned(octets(&packet.frame)),
            options: vec![
                EnhancedPacketOption::Comment(Cow::Borrowed(&packet.comment)),
                EnhancedPacketOption::Flags(way),
            ],
        };
        self.blocks.write_pcapng_block(block).map_err(other)?;
        self.put()
    }

    /// Describes an interface; gives its number.
    fn describe(&mut self, name: &str) -> io::Result<usize> {
        let block = InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            snaplen: 0,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Owned(name.to_owned())),
                // Nanoseconds.
                InterfaceDescriptionOption::IfTsResol(9),
            ],
        };
        self.blocks.write_pcapng_block(block.into_owned()).map_err(other)?;
        self.interfaces.push(name.to_owned());
        Ok(self.interfaces.len() - 1)
    }

    /// Has what was made go out.
    fn put(&mut self) -> io::Result<()> {
        let made = std::mem::take(self.blocks.get_mut());
        let put = match &mut self.sink {
            Sink::Stdout(to) => to.write_all(&made).and_then(|()| to.flush()),
            Sink::File(file) => file.write_all(&made).inspect_err(|_| {
                // What is there stays readable; a device can't be cut, and need not be.
                let _ = file.set_len(self.written);
            }),
        };
        self.written += made.len() as u64;
        put
    }
}

fn other(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        error => io::Error::other(error),
    }
}

/// The octets of hexadecimal digits, up to the first other character.
fn octets(hex: &str) -> Vec<u8> {
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = hex.as_bytes().chunks_exact(2);
    pairs
        .map_while(|pair| match *pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_read_up_to_what_is_none() {
        assert_eq!(octets("00ff1a"), [0, 0xff, 0x1a]);
        assert_eq!(octets("00zz11"), [0]);
    }
}
