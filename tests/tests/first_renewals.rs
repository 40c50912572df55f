//! Devices of every kind that the shapes describe, on a wire: their first renewals are answered in the kernel, but for those that
//! `docs/predictions.md` names.

#[path = "../devices/mod.rs"]
mod shape;

use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use system_tests::client::{Client, Lease, Request, granted};
use system_tests::paths::SERVER;
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wire::Kind;

use shape::{Device, Message, Shape, shapes};

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.250"]
lease-time = "1h"
options = { routers = ["10.0.0.1"], domain-name-servers = ["10.0.0.53"], domain-name = "example.org" }
"#;

/// Which messages of a device the kernel answers: the first renewal, a rebinding, the reboot if there is one.
type Answered = (bool, bool, Option<bool>);

/// The same of the first and the second device of a kind, as the page has it.
type Foretold = [Answered; 2];

/// The table of those that are not always answered in the kernel.
fn documented() -> BTreeMap<String, Foretold> {
    let page = include_str!("../../dhcp-user/docs/predictions.md");
    let row = |line: &str| -> Option<(String, Foretold)> {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let name = cells.next()?;
        // `kkkk k k`: renewals, rebinding, reboot.
        let lives = [cells.next()?, cells.next()?].map(|cell| {
            let signs = cell.strip_prefix('`')?.strip_suffix('`')?;
            let is_kernel = |at: usize| signs.as_bytes().get(at).map(|sign| *sign == b'k');
            let reboots = signs.as_bytes().get(7) != Some(&b' ');
            Some((is_kernel(0)?, is_kernel(5)?, is_kernel(7).filter(|_| reboots)))
        });
        let [Some(first), Some(second)] = lives else { return None };
        Some((name.to_lowercase(), [first, second]))
    };
    page.lines().filter_map(row).collect()
}

struct Lived<'a> {
    server: &'a Server<'a>,
    client: Client<'a>,
    device: Device,
}

impl Lived<'_> {
    /// The message as a device of this shape sends it.
    fn shaped(&mut self, shape: &Shape, message: Message) -> Request {
        let lease = Lease { address: self.device.address, server: SERVER, seconds: 3600 };
        let mut request = match message {
            Message::Discover | Message::Select => self.client.discovering(),
            Message::Renew if !shape.broadcasts => self.client.renewing(&lease),
            Message::Renew | Message::Rebind => self.client.rebinding(&lease),
            Message::Reboot => self.client.rebooting(lease.address),
        };
        request.message.options = shape.area(message, &self.device);
        if shape.without_ciaddr {
            request.message.ciaddr = Ipv4Addr::UNSPECIFIED;
        }
        self.device.sent += 1;
        request
    }

    /// Whether the kernel grants it.
    fn is_granted_by_the_kernel(&mut self, shape: &Shape, message: Message) -> Result<bool> {
        let before = self.server.stats()?.all_kernel_acked()?;
        let request = self.shaped(shape, message);
        let lease = granted(&self.client.exchange(&request)?)?;
        ensure!(lease.address == self.device.address, "{lease:?}");
        Ok(self.server.stats()?.all_kernel_acked()? > before)
    }

    fn lives(&mut self, shape: &Shape) -> Result<Answered> {
        let discover = self.shaped(shape, Message::Discover);
        let offer = self.client.exchange(&discover)?;
        ensure!(offer.kind == Kind::Offer, "{:?}", offer.kind);
        self.device.address = offer.message.yiaddr;
        let select = self.shaped(shape, Message::Select);
        granted(&self.client.exchange(&select)?)?;
        let renewal = self.is_granted_by_the_kernel(shape, Message::Renew)?;
        let rebinding = self.is_granted_by_the_kernel(shape, Message::Rebind)?;
        let reboot = shape.reboots().then(|| self.is_granted_by_the_kernel(shape, Message::Reboot));
        Ok((renewal, rebinding, reboot.transpose()?))
    }
}

#[test]
fn first_renewals_and_reboots_are_the_kernels_as_the_page_says() -> Result<()> {
    let lan = Lan::new("first", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let mut documented = documented();
    let shapes = shapes();
    let (mut hits, mut of) = ([0, 0], [0, 0]);
    for (number, shape) in (0_u16..).zip(&shapes) {
        let otherwise = documented.remove(&shape.name.to_lowercase());
        if otherwise.is_some() {
            // A server that has met nobody: others may have been of the same kind, by their first messages.
            server.stop()?;
            server.start_again()?;
        }
        for which in 0..2 {
            let client = lan.client(1 + 2 * number + u16::try_from(which)?);
            let (mac, address) = (client.mac, Ipv4Addr::UNSPECIFIED);
            let sent = 1000 * (1 + u32::try_from(which)?);
            let device = Device { mac, address, server: SERVER, sent };
            let saw = Lived { server: &server, client, device }.lives(shape);
            let saw = saw.with_context(|| format!("{}, device {which}", shape.name))?;
            let due = otherwise.map_or((true, true, shape.reboots().then_some(true)), |told| told[which]);
            ensure!(saw == due, "{}, device {which}: {saw:?}, not {due:?}", shape.name);
            hits[which] += usize::from(saw.0);
            of[which] += 1;
        }
    }
    ensure!(documented.is_empty(), "no shapes: {documented:?}");
    println!(
        "first renewals answered in the kernel: {} of {}, then {} of {}",
        hits[0], of[0], hits[1], of[1]
    );
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}
