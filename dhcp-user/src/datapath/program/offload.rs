//! Receive offloads that an XDP program can't live with, turned off.

use std::io;

use crate::datapath::interfaces::ethtool::{Device, Feature};

/// The driver takes VLAN tags off before the program sees the frame: it would look untagged, or as if it had the inner tag only.
const TAKE_TAGS: [&str; 2] = ["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"];
/// The driver or the card merges frames.
const MERGE: [&str; 2] = ["rx-lro", "rx-gro-hw"];

/// What there is to know of an interface's offloads once they are off, as far as they can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Those that were turned off.
    pub turned_off: Vec<String>,
    /// Those that stayed on.
    pub stayed: Vec<String>,
}

impl Offloads {
    /// The offload that may have taken a tag from a frame, so that nobody can tell from the frame which link it is from.
    #[must_use]
    pub fn hides_tags(&self) -> Option<&str> {
        self.stayed.iter().map(String::as_str).find(|name| TAKE_TAGS.contains(name))
    }
}

/// Turns off, as far as the driver lets it, what keeps a program from seeing frames as they came.
///
/// # Errors
/// When the features can't be asked for.
pub fn see_frames_as_they_came(interface: &str) -> io::Result<Offloads> {
    let device = Device::named(interface)?;
    let before = device.features()?;
    let in_the_way = in_the_way(&before);
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

fn in_the_way(features: &[Feature]) -> Vec<&Feature> {
    let unwanted = |name: &str| TAKE_TAGS.contains(&name) || MERGE.contains(&name);
    features.iter().filter(|feature| feature.is_on && unwanted(&feature.name)).collect()
}

fn outcome(before: &[&Feature], after: &[Feature]) -> Offloads {
    let stayed: Vec<String> = in_the_way(after).iter().map(|feature| feature.name.clone()).collect();
    let names = before.iter().map(|feature| feature.name.clone());
    Offloads { turned_off: names.filter(|name| !stayed.contains(name)).collect(), stayed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(on: &[&str]) -> Vec<Feature> {
        let names = ["rx-checksum", "rx-vlan-hw-parse", "rx-vlan-stag-hw-parse", "rx-lro", "rx-gro-hw"];
        names.iter().map(|name| Feature::at(name, on.contains(name))).collect()
    }

    #[test]
    fn what_takes_tags_and_what_merges_frames_is_in_the_way_and_nothing_else() {
        let all = features(&["rx-checksum", "rx-vlan-stag-hw-parse", "rx-gro-hw"]);
        let names: Vec<&str> = in_the_way(&all).iter().map(|feature| feature.name.as_str()).collect();
        assert_eq!(names, ["rx-vlan-stag-hw-parse", "rx-gro-hw"]);
    }

    #[test]
    fn a_tag_that_may_have_been_taken_is_told_from_frames_that_may_have_been_merged() {
        let before = features(&["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse", "rx-lro"]);
        let merges = outcome(&in_the_way(&before), &features(&["rx-lro"]));
        assert_eq!(merges.turned_off, ["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"]);
        assert_eq!((merges.stayed.as_slice(), merges.hides_tags()), (&["rx-lro".to_owned()][..], None));
        let takes = outcome(&in_the_way(&before), &features(&["rx-vlan-stag-hw-parse"]));
        assert_eq!(takes.hides_tags(), Some("rx-vlan-stag-hw-parse"));
    }
}
