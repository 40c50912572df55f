//! A draft's subnets: their prefixes, the ranges of their pools, and the reservations of each.

use std::net::Ipv4Addr;

use super::draft::{Block, quoted};
use super::origin::At;

/// Whether the subnet that `blocks` begin with has this address.
pub(super) fn holds(blocks: &[Block], address: Ipv4Addr) -> bool {
    let prefix =
        blocks.first().and_then(|block| block.value("prefix")).map(|prefix| prefix.trim_matches('"'));
    let range = prefix.and_then(prefix_of);
    range.is_some_and(|(first, last)| (first..=last).contains(&address.to_bits()))
}

/// Gives a pool its range, `FIRST - LAST` or a prefix, without what is given to nobody here.
pub(super) fn pool_range(block: &mut Block, at: &At, prefix: Option<&str>, written: &str) {
    let Some((prefix, (first, last))) = prefix.and_then(prefix_of).zip(ends(written)) else {
        return block.needed(at, "range", quoted(written));
    };
    let inner = (first.max(prefix.0.saturating_add(1)), last.min(prefix.1.saturating_sub(1)));
    if inner != (first, last) {
        block
            .note(at, format!("\"{written}\": the subnet's first and last address are given to nobody here"));
    }
    let [first, last] = [inner.0, inner.1].map(Ipv4Addr::from_bits);
    block.needed(at, "range", quoted(&format!("{first} - {last}")));
}

/// A prefix without bits beyond its length, which Kea takes and we don't.
pub(super) fn canonical(written: &str) -> String {
    let len = written.split_once('/').map_or("", |(_, len)| len.trim());
    prefix_of(written)
        .map_or_else(|| written.to_owned(), |(first, _)| format!("{}/{len}", Ipv4Addr::from_bits(first)))
}

/// The first and the last address of a prefix.
pub(super) fn prefix_of(written: &str) -> Option<(u32, u32)> {
    let (address, len) = written.split_once('/')?;
    let address = address.trim().parse::<Ipv4Addr>().ok()?.to_bits();
    let mask = u32::MAX.checked_shl(32_u32.checked_sub(len.trim().parse().ok()?)?).unwrap_or(0);
    Some((address & mask, address | !mask))
}

/// The first and the last address of a pool: `FIRST - LAST`, or a prefix.
fn ends(written: &str) -> Option<(u32, u32)> {
    let ends = written.split_once('-').and_then(|(first, last)| {
        let [first, last] = [first, last].map(|end| end.trim().parse::<Ipv4Addr>().map(Ipv4Addr::to_bits));
        Some((first.ok()?, last.ok()?))
    });
    ends.or_else(|| prefix_of(written))
}

/// The interfaces that the operator names, or one whose name is to be put right, and why.
pub(super) fn interface_blocks(named: &[String], at: &At, why: &str) -> Vec<Block> {
    let block = |name: &str| {
        let mut block = Block::new("[[interface]]", at);
        block.needed(at, "name", quoted(name));
        block
    };
    if !named.is_empty() {
        return named.iter().map(|name| block(name)).collect();
    }
    let mut placeholder = block("eth0");
    placeholder.note(at, format!("{why}: put the name right, or import with --interface NAME"));
    vec![placeholder]
}
