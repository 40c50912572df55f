//! `cargo xtask conformance`: which test shows which requirement of which RFC, as one table.
//!
//! `tests/conformance/*.toml` have the RFCs' requirements on a server. The comment above a test names those that the
//! test shows:
//!
//! ```text
//! /// RFC 2131 §4.2, MUST (client-id): the client identifier is the key, whatever the hardware address.
//! ```
//!
//! A requirement without a test, or without one at the required place, is an error; so is a test that claims a
//! requirement which does not exist.

mod claims;
mod requirements;
mod sources;
mod table;

use std::{collections::BTreeSet, fs, process::ExitCode};

use anyhow::{Context, Result};

use crate::workspace;
use claims::Claim;
use requirements::{Requirement, Rfc, Shown};
use sources::{Place, Test};

/// The table, from the workspace's directory.
const TABLE: &str = "tests/CONFORMANCE.md";

/// Writes the table; prints what is wrong with the claims, and fails if something is.
pub(crate) fn main() -> Result<ExitCode> {
    let (table, faults) = generate()?;
    let path = workspace::root().join(TABLE);
    fs::write(&path, table).with_context(|| format!("can't write {}", path.display()))?;
    for fault in &faults {
        eprintln!("{fault}");
    }
    println!("wrote {TABLE}: {} faults", faults.len());
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The table as it should be, and what is wrong with the claims.
fn generate() -> Result<(String, Vec<String>)> {
    let root = workspace::root();
    let rfcs = requirements::read(&root.join("tests/conformance"))?;
    let (tests, mut faults) = sources::tests(&root)?;
    faults.extend(compare(&rfcs, &tests));
    Ok((table::render(&rfcs, &tests), faults))
}

/// What is claimed and not required, and what is required and not shown.
fn compare(rfcs: &[Rfc], tests: &[Test]) -> Vec<String> {
    let mut faults: Vec<String> = Vec::new();
    for test in tests {
        let unknown = test.claims.iter().filter_map(|claim| Some((claim, refuted(rfcs, claim)?)));
        faults.extend(unknown.map(|(claim, why)| format!("{}: {claim}: {why}", test.name)));
    }
    for rfc in rfcs {
        let missing = rfc.requirement.iter().filter_map(|wanted| {
            lacking(wanted, &places(rfc, wanted, tests))
                .map(|lack| format!("RFC {} §{} ({}): {lack}", rfc.number, wanted.section, wanted.id))
        });
        faults.extend(missing);
    }
    faults
}

/// Why `claim` is about no requirement, if it isn't.
fn refuted(rfcs: &[Rfc], claim: &Claim) -> Option<String> {
    let Some(rfc) = rfcs.iter().find(|rfc| rfc.number == claim.rfc) else {
        return Some("there are no requirements of this RFC".to_owned());
    };
    let Some(wanted) = rfc.requirement.iter().find(|wanted| wanted.id == claim.id) else {
        return Some("there is no such requirement".to_owned());
    };
    if !wanted.sections().any(|section| section == claim.section) {
        return Some(format!("the requirement is of §{}", wanted.section));
    }
    (wanted.strength != claim.strength).then(|| format!("it is a {}", wanted.strength))
}

/// Where `wanted` is shown.
fn places(rfc: &Rfc, wanted: &Requirement, tests: &[Test]) -> BTreeSet<Place> {
    shown_by(rfc, wanted, tests).flat_map(|test| test.places.iter().copied()).collect()
}

/// The tests that show `wanted`.
fn shown_by<'a>(rfc: &Rfc, wanted: &Requirement, tests: &'a [Test]) -> impl Iterator<Item = &'a Test> {
    let (number, id) = (rfc.number, wanted.id.clone());
    tests.iter().filter(move |test| test.claims.iter().any(|claim| claim.rfc == number && claim.id == id))
}

/// Where `wanted` would have to be shown, and isn't.
fn lacking(wanted: &Requirement, places: &BTreeSet<Place>) -> Option<&'static str> {
    let wire = places.contains(&Place::DaemonPath) && places.contains(&Place::KernelPath);
    match wanted.shown {
        _ if wanted.otherwise.is_some() => None,
        Shown::Anywhere => places.is_empty().then_some("no test shows it"),
        Shown::Wire => (!wire).then_some("not shown on the wire both with the XDP program and without it"),
        Shown::Kernel => (!wire || !places.contains(&Place::KernelAnswer))
            .then_some("not shown on the wire for an answer of the kernel's and for one of the daemon's"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_is_shown_and_the_table_is_up_to_date() {
        let (table, faults) = generate().unwrap();
        assert_eq!(faults, Vec::<String>::new());
        let committed = fs::read_to_string(workspace::root().join(TABLE)).unwrap();
        assert!(committed == table, "{TABLE} is out of date: run `cargo xtask conformance` and commit it");
    }

    fn rfc(requirements: &str) -> Vec<Rfc> {
        let head = "number = 1\ntitle = \"One\"\n";
        vec![requirements::parse(&format!("{head}requirement = [{requirements}]")).unwrap()]
    }

    fn test(doc: &str, places: &[Place]) -> Test {
        let claims = claims::read(doc).unwrap();
        Test { name: "t".to_owned(), file: "f".into(), claims, places: places.iter().copied().collect() }
    }

    const PLAIN: &str = r#"{ id = "a", section = "2, 3", strength = "MUST", text = "x" }"#;

    #[test]
    fn a_requirement_that_no_test_shows_is_a_fault() {
        assert_eq!(compare(&rfc(PLAIN), &[]), ["RFC 1 §2, 3 (a): no test shows it"]);
        let shown = test("RFC 1 §3, MUST (a): it is so.", &[Place::Core]);
        assert_eq!(compare(&rfc(PLAIN), &[shown]), Vec::<String>::new());
    }

    #[test]
    fn a_claim_of_what_is_not_required_is_a_fault() {
        for (claim, fault) in [
            ("RFC 2 §3, MUST (a): x", "no requirements of this RFC"),
            ("RFC 1 §3, MUST (b): x", "no such requirement"),
            ("RFC 1 §4, MUST (a): x", "the requirement is of §2, 3"),
            ("RFC 1 §3, SHOULD (a): x", "it is a MUST"),
        ] {
            let faults = compare(&rfc(PLAIN), &[test(claim, &[Place::Core])]);
            assert!(faults[0].contains(fault), "{claim}: {faults:?}");
        }
    }

    #[test]
    fn where_a_requirement_has_to_be_shown_counts() {
        let kernel = PLAIN.replace("text", "shown = \"kernel\", text");
        let wire = PLAIN.replace("text", "shown = \"wire\", text");
        let faults = |wanted: &str, places: &[Place]| {
            compare(&rfc(wanted), &[test("RFC 1 §2, MUST (a): x", places)]).len()
        };
        let both = [Place::DaemonPath, Place::KernelPath];
        assert_eq!(
            (faults(&wire, &[Place::Core]), faults(&wire, &both[..1]), faults(&wire, &both)),
            (1, 1, 0)
        );
        let all = [Place::DaemonPath, Place::KernelPath, Place::KernelAnswer];
        assert_eq!((faults(&kernel, &both), faults(&kernel, &all)), (1, 0));
        let otherwise = kernel.replace("text", "otherwise = \"because\", text");
        assert_eq!(compare(&rfc(&otherwise), &[]), Vec::<String>::new());
    }
}
