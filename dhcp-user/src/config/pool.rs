//! An entry of `pools`: addresses that are leased dynamically, the classes that it admits, and its terms.
//!
//! ```toml
//! pools = ["192.0.2.10 - 192.0.2.99", { range = "192.0.2.100 - 192.0.2.199", allow = ["phones"], lease-time = "1d" }]
//! ```

use super::class_names::{ClassNames, ClassSet};
use super::disjoint::Disjoint;
use super::overrides::Overrides;
use super::prefix::{Pool, Prefix};
use super::value::Value;

/// Addresses that are leased dynamically.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicPool {
    /// The addresses.
    pub range: Pool,
    /// The classes that it admits.
    pub admits: Admission,
    /// The terms of their owners.
    pub overrides: Overrides,
}

/// The clients that a pool admits. A reservation holds whatever the pool around it admits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Admission {
    /// Clients in any of these classes; if it is empty, all.
    pub allow: ClassSet,
    /// But none in any of these.
    pub deny: ClassSet,
}

impl Admission {
    /// Whether classes don't matter.
    #[must_use]
    pub fn is_open(self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Whether a client that is in `classes` may have an address.
    #[must_use]
    pub fn admits(self, classes: ClassSet) -> bool {
        (self.allow.is_empty() || self.allow.meets(classes)) && !self.deny.meets(classes)
    }
}

impl From<Pool> for DynamicPool {
    /// A pool for everybody, on its subnet's terms.
    fn from(range: Pool) -> Self {
        Self { range, admits: Admission::default(), overrides: Overrides::default() }
    }
}

/// Pools that lie in `prefix` (if it is known), none overlapping another; lowest first.
pub(super) fn read(
    value: Value<'_>,
    prefix: Option<Prefix>,
    classes: &ClassNames,
) -> Option<Vec<DynamicPool>> {
    let mut claimed = Disjoint::default();
    let mut pools = value.each("address ranges", |value| {
        if value.is_table() {
            with_terms(value, prefix, classes, &mut claimed)
        } else {
            range(value, prefix, &mut claimed).map(DynamicPool::from)
        }
    })?;
    pools.sort_by_key(|pool| pool.range);
    Some(pools)
}

fn with_terms(
    value: Value<'_>,
    prefix: Option<Prefix>,
    classes: &ClassNames,
    claimed: &mut Disjoint,
) -> Option<DynamicPool> {
    let mut section = value.section("a pool")?;
    let range = section.required("range", "\"192.0.2.10 - 192.0.2.200\"", |v| range(v, prefix, claimed));
    let allow = section.or("allow", ClassSet::default(), |v| classes.set(v));
    let deny = section.or("deny", ClassSet::default(), |v| classes.set(v));
    let overrides = Overrides::read(&mut section);
    section.finish();
    let admits = Admission { allow: allow?, deny: deny? };
    Some(DynamicPool { range: range?, admits, overrides: overrides? })
}

fn range(value: Value<'_>, prefix: Option<Prefix>, claimed: &mut Disjoint) -> Option<Pool> {
    let range = value.pool()?;
    if let Some(prefix) = prefix {
        check_range(value, range, prefix)?;
    }
    match claimed.claim(range, value.span()) {
        Ok(()) => Some(range),
        Err((other, _)) => {
            value.refuse(format!("{range} overlaps the pool {other}: make them one, or end it earlier"))
        }
    }
}

fn check_range(value: Value<'_>, range: Pool, prefix: Prefix) -> Option<()> {
    if !prefix.contains(range.first) || !prefix.contains(range.last) {
        return value.refuse(format!("{range} is not inside the subnet's {prefix}"));
    }
    let hosts = prefix.hosts();
    if range.first < hosts.first || range.last > hosts.last {
        return value.refuse(format!(
            "{range} has the network or the broadcast address of {prefix} in it: the widest pool is \"{hosts}\""
        ));
    }
    Some(())
}
