//! The requirements that a test's comment claims to show.

use std::fmt;

use anyhow::{Context, Result, ensure};

use super::requirements::Strength;

/// That a test shows a requirement: `RFC 2131 §4.2, MUST (client-id)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) rfc: u16,
    pub(super) section: String,
    pub(super) strength: Strength,
    pub(super) id: String,
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RFC {} §{}, {} ({})", self.rfc, self.section, self.strength, self.id)
    }
}

/// All claims in a doc comment. A section without a strength after it is a reference, not a claim.
///
/// # Errors
/// When a strength follows a section, but RFC or name of the requirement is missing.
pub(super) fn read(doc: &str) -> Result<Vec<Claim>> {
    let words: Vec<&str> = doc.split_whitespace().collect();
    let line = words.join(" ");
    let parts: Vec<&str> = line.split('§').collect();
    let claims: Result<Vec<_>> = parts.windows(2).map(|pair| made(pair[0], pair[1])).collect();
    Ok(claims?.concat())
}

/// The claims whose section `after` begins with, and whose RFC `before` ends with: one for each name in parentheses.
fn made(before: &str, after: &str) -> Result<Vec<Claim>> {
    let Some((section, rest)) = after.split_once(", ") else { return Ok(Vec::new()) };
    let Some((strength, rest)) = Strength::split_from(rest) else { return Ok(Vec::new()) };
    let text = || format!("§{section}, {strength}");
    ensure!(section.chars().all(|c| c.is_ascii_digit() || c == '.'), "{}: this is no section", text());
    let number = before.trim_end().rsplit(' ').next().unwrap_or_default();
    let rfc = number.parse().ok().filter(|_| before.trim_end().ends_with(&format!("RFC {number}")));
    let rfc: u16 = rfc.with_context(|| format!("{}: of which RFC?", text()))?;
    let ids = rest.strip_prefix(" (").and_then(|rest| rest.split_once("):"));
    let (ids, _) = ids.with_context(|| format!("{}: which requirement, in parentheses?", text()))?;
    let claim = |id: &str| Claim { rfc, section: section.to_owned(), strength, id: id.to_owned() };
    Ok(ids.split(", ").map(claim).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(doc: &str) -> Vec<String> {
        read(doc).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn claims_are_told_from_references() {
        let doc = "RFC 2131 §4.2, MUST (a, b): c. RFC 3046\n §2.2, SHALL NOT\n (x-y): d, as of RFC 2132 §9.3, and §1.";
        let claims = ["RFC 2131 §4.2, MUST (a)", "RFC 2131 §4.2, MUST (b)", "RFC 3046 §2.2, SHALL NOT (x-y)"];
        assert_eq!(printed(doc), claims);
        assert_eq!(printed("RFC 2131 §4.1: nothing is claimed. §5, neither."), Vec::<String>::new());
    }

    #[test]
    fn half_a_claim_is_an_error() {
        for doc in ["RFC 2131 §4.2, MUST: x", "§4.2, MUST (id): x", "RFC 2131 table 3 §4.2, MUST (id): x"]
        {
            assert!(read(doc).is_err(), "{doc}");
        }
    }
}
