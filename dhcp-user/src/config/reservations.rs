//! The reservations of a subnet, those of its tables and those of its file; clients and addresses are unique.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::class_names::ClassNames;
use super::errors::{Errors, Span};
use super::kept_reservations;
use super::prefix::Prefix;
use super::reservation::{Reservation, ReservationKey};
use super::reservations_file;
use super::value::Value;

/// Where a reservation stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ReservationSource {
    /// In the configuration.
    Here(Span),
    /// On this line of a file of reservations.
    InFile(Arc<str>, usize),
}

/// The reservations read so far.
#[derive(Default)]
pub(super) struct Reservations {
    pub(super) all: Vec<(Reservation, ReservationSource)>,
    clients: HashMap<ReservationKey, ReservationSource>,
    addresses: HashMap<Ipv4Addr, ReservationSource>,
    /// The name of the subnet's file, as messages have it.
    pub(super) file: String,
}

impl Reservations {
    /// Reads the tables.
    pub(super) fn tables(
        &mut self,
        value: Value<'_>,
        prefix: Option<Prefix>,
        classes: &ClassNames,
    ) -> Option<()> {
        let read = value.each_section("subnet.reservation", |section| {
            let client_at = section.place(&["hw-address", "client-id", "circuit-id", "remote-id"]);
            let address_at = section.place(&["address"]);
            let errors = section.errors();
            let reservation = Reservation::read(section, classes)?;
            if let Some(message) =
                self.claim_client(errors, &reservation, &ReservationSource::Here(client_at.clone()))
            {
                errors.refuse(&client_at, message);
            }
            let place = ReservationSource::Here(address_at.clone());
            if let Some(message) = self.claim_address(errors, &reservation, &place, prefix) {
                errors.refuse(&address_at, message);
            }
            self.all.push((reservation, place));
            Some(())
        });
        read.map(drop)
    }

    /// Reads the file that `value` names.
    pub(super) fn file(
        &mut self,
        value: Value<'_>,
        prefix: Option<Prefix>,
        classes: &ClassNames,
    ) -> Option<()> {
        let errors = value.errors();
        let path = reservations_file::path(value)?;
        self.file = path.display().to_string();
        let file: Arc<str> = self.file.as_str().into();
        reservations_file::read(value, &path, classes, |line, reservation| {
            let place = ReservationSource::InFile(Arc::clone(&file), line);
            let wrong = self
                .claim_client(errors, &reservation, &place)
                .or_else(|| self.claim_address(errors, &reservation, &place, prefix));
            self.all.push((reservation, place));
            wrong.map_or(Ok(()), Err)
        })
    }

    /// Takes those that the daemon keeps.
    pub(super) fn kept(
        &mut self,
        errors: &Errors<'_>,
        lines: &mut kept_reservations::Lines,
        prefix: Prefix,
        classes: &ClassNames,
    ) {
        for (line, object) in lines.take(prefix) {
            let read = reservations_file::of_object(object, classes).and_then(|reservation| {
                let place = ReservationSource::InFile(Arc::clone(&lines.file), line);
                let wrong = self
                    .claim_client(errors, &reservation, &place)
                    .or_else(|| self.claim_address(errors, &reservation, &place, Some(prefix)));
                self.all.push((reservation, place));
                wrong.map_or(Ok(()), Err)
            });
            if let Err(message) = read {
                errors.refuse_at(lines.error(line, message));
            }
        }
    }

    fn claim_client(
        &mut self,
        errors: &Errors<'_>,
        reservation: &Reservation,
        place: &ReservationSource,
    ) -> Option<String> {
        let earlier = self.clients.insert(reservation.key.clone(), place.clone())?;
        let earlier = self.says(errors, &earlier, place);
        Some(format!("{} has a reservation on {earlier} already: remove one of them", reservation.key))
    }

    fn claim_address(
        &mut self,
        errors: &Errors<'_>,
        reservation: &Reservation,
        place: &ReservationSource,
        prefix: Option<Prefix>,
    ) -> Option<String> {
        let address = reservation.address?;
        if let Some(earlier) = self.addresses.insert(address, place.clone()) {
            let earlier = self.says(errors, &earlier, place);
            return Some(format!("{address} is reserved on {earlier} already: give each client its own"));
        }
        let prefix = prefix.filter(|prefix| !prefix.hosts().contains(address))?;
        Some(format!("{address} is not an address that a host in {prefix} can have ({})", prefix.hosts()))
    }

    /// Where an earlier one is, for a message about a later one.
    fn says(&self, errors: &Errors<'_>, earlier: &ReservationSource, later: &ReservationSource) -> String {
        match (earlier, later) {
            (ReservationSource::Here(earlier), ReservationSource::Here(later)) => {
                errors.where_is(earlier, later)
            }
            (ReservationSource::Here(earlier), ReservationSource::InFile(..)) => {
                let there = errors.at(earlier, String::new());
                format!("line {} of {}", there.line, there.file)
            }
            (ReservationSource::InFile(file, line), ReservationSource::InFile(here, _)) if file == here => {
                format!("line {line}")
            }
            (ReservationSource::InFile(file, line), _) => format!("line {line} of {file}"),
        }
    }
}
