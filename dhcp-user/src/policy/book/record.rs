//! Converts between policy's state of an address and its stored record.

use std::net::Ipv4Addr;

use dhcp_ebpf::abi::Link;
use dhcp_ebpf::lease::BootSecs;

use super::Book;
use super::binding::{AnsweredBy, Binding, Particulars, Party, Station};
use super::quarantine::Probation;
use super::state::State;
use crate::policy::site::Site;
use crate::policy::site::place::Place;
use crate::store::{HwAddr, Record, Standing};

impl Book {
    /// The record of the address at `place`.
    pub(in crate::policy) fn record(&self, site: &Site, place: Place) -> Record {
        let probation = self.probation(place);
        let owner = self.binding(place);
        let standing = match self.state(place) {
            State::Leased => Standing::Leased,
            State::Grace | State::Free | State::Offered | State::Reserved
                if owner.is_some_and(by_operator) =>
            {
                Standing::Ended
            }
            State::Grace => Standing::Grace,
            State::Quarantined => probation.map_or(Standing::Free, Probation::standing),
            State::Free | State::Offered | State::Reserved => Standing::Free,
        };
        let record = record_of(site, self.address(place), standing, self.recurrences(place), owner);
        match probation.and_then(|probation| probation.by) {
            Some(chaddr) => Record { chaddr, ..record },
            None => record,
        }
    }
}

/// The record of an address with this owner, or last owner.
pub(in crate::policy) fn record_of(
    site: &Site,
    address: Ipv4Addr,
    standing: Standing,
    recurrences: u32,
    owner: Option<&Binding>,
) -> Record {
    let blank = Record {
        address,
        standing,
        recurrences,
        client_id: None,
        chaddr: HwAddr::default(),
        interface: String::new(),
        vlan: (0, 0),
        giaddr: Ipv4Addr::UNSPECIFIED,
        server: Ipv4Addr::UNSPECIFIED,
        host_name: None,
        lease_time: 0,
        shortened: false,
        expiry: Default::default(),
        committed_until: Default::default(),
        kernel_renewals: 0,
        last_heard: Default::default(),
        agent_info: None,
        adopted: false,
        classes: Vec::new(),
    };
    match owner {
        Some(binding) => with_owner(site, blank, binding),
        None => blank,
    }
}

fn with_owner(site: &Site, record: Record, binding: &Binding) -> Record {
    let interface = site.subnets.interface(binding.link.ifindex);
    Record {
        client_id: binding.client_id().map(<[u8]>::to_vec),
        chaddr: binding.chaddr(),
        interface: interface.map(|interface| interface.name.clone()).unwrap_or_default(),
        vlan: (binding.link.outer, binding.link.inner),
        giaddr: binding.giaddr,
        server: binding.server,
        host_name: binding.host_name().map(str::to_owned),
        lease_time: binding.lease_time,
        shortened: binding.shortened,
        expiry: binding.expiry,
        committed_until: binding.committed_until,
        kernel_renewals: u64::from(binding.kernel_renewals),
        last_heard: binding.last_heard,
        agent_info: binding.agent_info().map(<[u8]>::to_vec),
        adopted: binding.adopted,
        classes: binding.classes().to_vec(),
        ..record
    }
}

/// The owner, or last owner, in `record`.
pub(in crate::policy) fn owner(site: &Site, record: &Record) -> Binding {
    let interface = site.subnets.interface_named(&record.interface);
    let (outer, inner) = record.vlan;
    Binding {
        particulars: Particulars::new(
            record.chaddr,
            record.client_id.as_deref(),
            record.agent_info.as_deref(),
            record.host_name.as_deref(),
        ),
        adopted: record.adopted,
        station: Station::Unknown,
        ended_by: (record.standing == Standing::Ended).then_some(Party::Operator),
        answered_by: AnsweredBy::Daemon,
        link: Link { ifindex: interface.map_or(0, |interface| interface.ifindex), outer, inner },
        giaddr: record.giaddr,
        server: record.server,
        lease_time: record.lease_time,
        shortened: record.shortened,
        expiry: record.expiry,
        granted_until: record.expiry,
        former_promise: BootSecs(0),
        committed_until: record.committed_until,
        last_heard: record.last_heard,
        kernel_renewals: u32::try_from(record.kernel_renewals).unwrap_or(u32::MAX),
        counted_in: record.classes.clone().into_boxed_slice(),
    }
}
/// Whether the operator has ended the lease, and its last owner is to learn of it.
pub(in crate::policy) fn by_operator(owner: &Binding) -> bool {
    owner.ended_by == Some(Party::Operator)
}

/// Whether `chaddr` is one that a record without an owner has.
pub(in crate::policy) fn nobody(chaddr: HwAddr) -> bool {
    chaddr.octets().is_empty()
}
