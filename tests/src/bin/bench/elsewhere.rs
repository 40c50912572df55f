//! A server that somebody else has started, behind a NIC of this machine: `--iface`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use system_tests::load::{Count, Crowd, Lane, Load, Sorts, Way};
use system_tests::nic::Nic;

use crate::asking::Asking;
use crate::unable::Unable;
use crate::{Scale, site, step};

/// Clients that find out whether the server gets along with the generator.
const FIRST_COMERS: u32 = 1_000;
/// New leases a second that any server keeps up with.
const FEW: f64 = 200.0;
/// Clients that release at once.
const AT_ONCE: u32 = 32;
/// How long first comers may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The NIC, and what is known of the server.
pub(crate) struct Elsewhere {
    nic: Nic,
    way: Way,
    sorts: Sorts,
    /// How many clients it has addresses for.
    clients: u32,
    /// New leases per second that it keeps up with, as far as was seen.
    leases: Cell<f64>,
    given_back: Cell<u32>,
}

/// The generator on a link. What its clients hold of a server elsewhere they give back in the end.
pub(crate) struct Clients<'a> {
    load: Load<'a>,
    of: Option<&'a Elsewhere>,
}

impl Elsewhere {
    /// Takes a NIC, and lets some clients get a lease of the server behind it.
    ///
    /// # Errors
    /// When that can't be done: a sentence says why.
    pub(crate) fn open(interface: &str, clients: u32, asking: Asking) -> Result<Self> {
        step(&format!("looking for a server on {interface}"));
        let way = asking.way();
        let nic = Nic::open(interface, &way.tags)?;
        nic.concerns.iter().for_each(|concern| eprintln!("warning: {concern}"));
        let elsewhere = Self {
            nic,
            way,
            sorts: asking.sorts(),
            clients,
            leases: Cell::new(FEW),
            given_back: Cell::new(0),
        };
        elsewhere.first_comers()?;
        elsewhere.given_back.take();
        Ok(elsewhere)
    }

    fn first_comers(&self) -> Result<()> {
        let clients = self.clients.min(FIRST_COMERS);
        let load = self.load(clients)?;
        let report = load.dora(0..clients, site::WINDOW, PATIENCE).with_context(|| {
            let counts = load.counts();
            if counts.of(Count::Bound) > 0 {
                "not all get a lease: has the server addresses for so many (--clients)?"
            } else if counts.of(Count::Unsent) > 0 {
                "the driver does not send what a program does (ndo_xdp_xmit; over veth, the other end needs an XDP program)"
            } else {
                "the server has offered an address, but clients that ask from the kernel get none: does the NIC hide VLAN \
                 tags from a program (`ethtool -K … rxvlan off`)?"
            }
        });
        self.has_leased(report.with_context(|| self.nic.in_words())?.rate(Count::Bound));
        Ok(())
    }

    /// So many clients.
    ///
    /// # Errors
    /// [`Unable`] when the server has not the addresses, or this machine not the memory.
    pub(crate) fn load(&self, clients: u32) -> Result<Clients<'_>> {
        ensure!(
            clients <= self.clients,
            Unable(format!(
                "this takes {clients} clients: give --clients {clients}, if the server has so many addresses"
            ))
        );
        let crowd = Crowd { sorts: self.sorts, ..self.nic.crowd(clients, self.way.clone()) };
        site::enough_memory_for_clients(&crowd)?;
        Ok(Clients { load: Load::new(&self.nic, crowd)?, of: Some(self) })
    }

    /// How many clients it has addresses for.
    pub(crate) fn clients(&self) -> u32 {
        self.clients
    }

    /// As many clients as it surely serves within a few seconds, and one to spare.
    #[expect(clippy::cast_possible_truncation, reason = "bounded")]
    pub(crate) fn a_few(&self, scale: Scale) -> u32 {
        (self.leases.get() * scale.of(0.5, 5.0)).clamp(1_000.0, 1e6).min(f64::from(self.clients - 1)) as u32
    }

    /// What its clients are not that others are.
    pub(crate) fn lacks(&self) -> Option<&'static str> {
        (self.sorts == Sorts::Mixed).then_some(
            "No client is behind a relay: the server's net is another's, and no address in it is a relay's.",
        )
    }

    /// The link, for the report.
    pub(crate) fn link(&self) -> String {
        [&[self.nic.in_words()], self.nic.concerns.as_slice()].concat().join(". ")
    }

    /// What has become of the leases since this was asked last, if there were any.
    pub(crate) fn aftermath(&self) -> Option<String> {
        let count = self.given_back.take();
        (count > 0).then(|| {
            format!(
                "{count} leases were given back in the end. A RELEASE is not acknowledged, and a client may have missed \
                 its ACK: what the server still holds of these clients runs out."
            )
        })
    }

    /// It has leased so many addresses a second.
    pub(crate) fn has_leased(&self, rate: f64) {
        self.leases.set(self.leases.get().max(rate));
    }

    /// Lets clients release what they hold, half as fast as the server leases: none of these messages is repeated.
    fn give_back(&self, load: &Load<'_>) -> Result<()> {
        let mut groups: BTreeMap<u32, u32> = BTreeMap::new();
        for lease in load.held() {
            *groups.entry(lease.client / AT_ONCE).or_default() += 1;
        }
        let held: u32 = groups.values().sum();
        if held == 0 {
            return Ok(());
        }
        step(&format!("{held} leases are given back"));
        let began = Instant::now();
        let mut released = 0.0;
        for (group, held) in groups {
            let clients = group * AT_ONCE..((group + 1) * AT_ONCE).min(load.crowd().clients);
            load.ask(Lane::Release, clients)?;
            released += f64::from(held);
            let due = Duration::from_secs_f64(2.0 * released / self.leases.get());
            thread::sleep(due.saturating_sub(began.elapsed()));
        }
        self.given_back.set(self.given_back.get() + held);
        Ok(())
    }
}

impl<'a> From<Load<'a>> for Clients<'a> {
    /// Clients of a server that ends with them.
    fn from(load: Load<'a>) -> Self {
        Self { load, of: None }
    }
}

impl<'a> Deref for Clients<'a> {
    type Target = Load<'a>;

    fn deref(&self) -> &Load<'a> {
        &self.load
    }
}

impl Drop for Clients<'_> {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.of.map(|elsewhere| elsewhere.give_back(&self.load)) {
            eprintln!("leases are left on the server: {error:#}");
        }
    }
}
