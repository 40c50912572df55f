//! Turns off receive offloads that change frames before the XDP program, or keep frames from the host.

use std::io;

use crate::datapath::interfaces::ethtool::{Device, Feature};

/// The driver takes VLAN tags off before the program sees the frame: it would look untagged, or as if it had the inner tag only.
const TAKE_TAGS: [&str; 2] = ["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"];
/// The driver or the card merges frames.
const MERGE: [&str; 2] = ["rx-lro", "rx-gro-hw"];

/// The card drops frames of VLANs that the host has no interface for, unless it is promiscuous.
const FILTER: [&str; 2] = ["rx-vlan-filter", "rx-vlan-stag-filter"];

/// The offloads of an interface after the attempt to turn them off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Those that were turned off.
    pub turned_off: Vec<String>,
    /// Those that stayed on.
    pub stayed: Vec<String>,
}

impl Offloads {
    /// The offload that may have taken a tag from a frame, so that the frame hides its link.
    #[must_use]
    pub fn hides_tags(&self) -> Option<&str> {
        self.stayed.iter().map(String::as_str).find(|name| TAKE_TAGS.contains(name))
    }
}

/// Turns off, as far as the driver allows it, the offloads that change frames before a program.
///
/// # Errors
/// When the features can't be asked for.
pub fn see_frames_as_they_came(interface: &str) -> io::Result<Offloads> {
    turn_off(interface, |name| TAKE_TAGS.contains(&name) || MERGE.contains(&name))
}

/// The offload by which the driver takes tags off at present, if it does.
///
/// # Errors
/// When the features can't be asked for.
pub fn takes_tags(interface: &str) -> io::Result<Option<String>> {
    let features = Device::named(interface)?.features()?;
    let takes = in_the_way(&features, |name| TAKE_TAGS.contains(&name));
    Ok(takes.first().map(|feature| feature.name.clone()))
}

/// Turns off, as far as the driver allows it, the offloads that keep tagged frames from the host.
///
/// # Errors
/// When the features can't be asked for.
pub fn let_tagged_pass(interface: &str) -> io::Result<Offloads> {
    turn_off(interface, |name| FILTER.contains(&name))
}

fn turn_off(interface: &str, unwanted: fn(&str) -> bool) -> io::Result<Offloads> {
    let device = Device::named(interface)?;
    let before = device.features()?;
    let in_the_way = in_the_way(&before, unwanted);
    if in_the_way.is_empty() {
        return Ok(Offloads::default());
    }
    // Each on its own: a driver that refuses one does the others. What came of it is seen below.
    for feature in &in_the_way {
        if let Err(error) = device.turn_off(&[feature]) {
            tracing::debug!(interface, feature = feature.name, %error, "an offload can't be turned off");
        }
    }
    Ok(outcome(&in_the_way, &device.features()?))
}

fn in_the_way(features: &[Feature], unwanted: fn(&str) -> bool) -> Vec<&Feature> {
    features.iter().filter(|feature| feature.is_on && unwanted(&feature.name)).collect()
}

/// The result for those that were on `before`.
fn outcome(before: &[&Feature], after: &[Feature]) -> Offloads {
    let is_on = |name: &str| after.iter().any(|feature| feature.is_on && feature.name == name);
    let names = before.iter().map(|feature| feature.name.clone());
    let (stayed, turned_off) = names.partition(|name| is_on(name));
    Offloads { turned_off, stayed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(on: &[&str]) -> Vec<Feature> {
        // What else a card does to frames that come leaves them as they are, or is no concern of a program.
        let names = [
            "rx-checksum",
            "rx-vlan-filter",
            "rx-vlan-hw-parse",
            "rx-vlan-stag-hw-parse",
            "rx-vlan-stag-filter",
            "rx-lro",
            "rx-gro",
            "rx-gro-hw",
            "rx-gro-list",
            "rx-udp-gro-forwarding",
            "rx-hashing",
            "rx-fcs",
            "rx-all",
            "rx-udp_tunnel-port-offload",
            "rx-ntuple-filter",
            "hw-tc-offload",
            "l2-fwd-offload",
            "tx-vlan-hw-insert",
            "tx-vlan-stag-hw-insert",
        ];
        names.iter().map(|name| Feature::at(name, on.contains(name) || on.is_empty())).collect()
    }

    fn named(features: &[&Feature]) -> Vec<String> {
        features.iter().map(|feature| feature.name.clone()).collect()
    }

    fn changes(name: &str) -> bool {
        TAKE_TAGS.contains(&name) || MERGE.contains(&name)
    }

    fn filters(name: &str) -> bool {
        FILTER.contains(&name)
    }

    #[test]
    fn what_takes_tags_merges_or_drops_frames_is_in_the_way_and_nothing_else() {
        let all = features(&[]);
        let changing = ["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse", "rx-lro", "rx-gro-hw"];
        assert_eq!(named(&in_the_way(&all, changes)), changing);
        assert_eq!(named(&in_the_way(&all, filters)), ["rx-vlan-filter", "rx-vlan-stag-filter"]);
        let some = features(&["rx-checksum", "rx-vlan-stag-hw-parse", "rx-gro-hw"]);
        assert_eq!(named(&in_the_way(&some, changes)), ["rx-vlan-stag-hw-parse", "rx-gro-hw"]);
        assert!(in_the_way(&some, filters).is_empty());
    }

    #[test]
    fn a_tag_that_may_have_been_taken_is_told_from_frames_that_may_have_been_merged() {
        let before = features(&["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse", "rx-lro"]);
        let merges = outcome(&in_the_way(&before, changes), &features(&["rx-lro"]));
        assert_eq!(merges.turned_off, ["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"]);
        assert_eq!((merges.stayed.as_slice(), merges.hides_tags()), (&["rx-lro".to_owned()][..], None));
        let takes = outcome(&in_the_way(&before, changes), &features(&["rx-vlan-stag-hw-parse"]));
        assert_eq!(takes.hides_tags(), Some("rx-vlan-stag-hw-parse"));
    }
}
