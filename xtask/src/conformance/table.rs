//! The table, for people.

use std::fmt::Write as _;

use super::requirements::{Requirement, Rfc};
use super::sources::{Place, Test};
use super::{places, shown_by};

const HEAD: &str = "\
# Conformance

What the RFCs ask of a DHCP server, and the tests that show it. `cargo xtask conformance` writes this file from
`conformance/*.toml` (what is asked) and from what stands above the tests (what each shows); a test fails if it is out of
date, if a requirement is shown by no test or not where it has to be, or if a test claims what nobody asks.

*stated* is what an RFC says of servers without a word of RFC 2119. What servers MAY do, and what is asked of clients and
relays, is left out. Where a test runs:

| | |
| --- | --- |
| core | the sans-IO policy, the message decoder, or the packet logic, by itself |
| daemon | on the wire, with `xdp = \"off\"`: the daemon answers everything |
| kernel | on the wire, with the XDP program attached; **●** where the test sees to it that the program answers |
";

/// The whole file.
pub(super) fn render(rfcs: &[Rfc], tests: &[Test]) -> String {
    let mut out = HEAD.to_owned();
    let all: Vec<&Requirement> = rfcs.iter().flat_map(|rfc| &rfc.requirement).collect();
    let otherwise = all.iter().filter(|wanted| wanted.otherwise.is_some()).count();
    let _ =
        writeln!(out, "\n{} requirements; {otherwise} of them met otherwise, with the reason.", all.len());
    for rfc in rfcs {
        let _ = writeln!(out, "\n## RFC {}: {}\n", rfc.number, rfc.title);
        if let Some(note) = &rfc.note {
            let _ = writeln!(out, "{note}\n");
        }
        let _ = writeln!(out, "| § | | Requirement | core | daemon | kernel | Shown by |");
        let _ = writeln!(out, "| --- | --- | --- | :-: | :-: | :-: | --- |");
        for wanted in &rfc.requirement {
            out.push_str(&row(rfc, wanted, tests));
        }
    }
    out
}

fn row(rfc: &Rfc, wanted: &Requirement, tests: &[Test]) -> String {
    let places = places(rfc, wanted, tests);
    let mark = |place| if places.contains(&place) { "○" } else { "" };
    let kernel = if places.contains(&Place::KernelAnswer) { "**●**" } else { mark(Place::KernelPath) };
    let otherwise = wanted.otherwise.as_ref().map(|why| format!(" *Otherwise:* {why}")).unwrap_or_default();
    let shown: Vec<String> = shown_by(rfc, wanted, tests)
        .map(|test| format!("[`{}`](../{})", test.name, test.file.display()))
        .collect();
    format!(
        "| {} | {} | {}{otherwise} | {} | {} | {kernel} | {} |\n",
        wanted.section,
        wanted.strength,
        wanted.text,
        mark(Place::Core),
        mark(Place::DaemonPath),
        shown.join("<br>"),
    )
}
