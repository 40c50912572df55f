//! Each file says its one job, is not too long, and has a name that says what it is.

use super::{Findings, Source};

/// Lines of a file beyond which it is to be looked at.
const LONG: usize = 500;
/// Names that say nothing of what is behind them.
const EMPTY_NAMES: [&str; 8] = ["util", "utils", "helper", "helpers", "manager", "common", "misc", "stuff"];

pub(super) fn check(sources: &[Source], findings: &mut Findings) {
    for Source { path, text } in sources {
        let shown = path.display();
        if !text.starts_with("//! ") {
            findings.fault(format!("{shown}: the first line is to say the file's one job (`//! …`)"));
        }
        let lines = text.lines().count();
        if lines > LONG {
            findings.warn(format!("{shown}: {lines} lines; is it still one thing?"));
        }
        let names = path.iter().filter_map(|name| name.to_str());
        let stems = names.map(|name| name.strip_suffix(".rs").unwrap_or(name));
        for name in stems.flat_map(|stem| stem.split('_')).filter(|word| EMPTY_NAMES.contains(word)) {
            findings.fault(format!("{shown}: `{name}` says nothing of what is in it"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Findings {
        let mut findings = Findings::default();
        check(&[Source { path: path.into(), text: text.into() }], &mut findings);
        findings
    }

    #[test]
    fn a_file_without_a_head_or_with_an_empty_name_is_a_fault() {
        assert!(found("a/src/lease.rs", "//! Leases.\n").faults.is_empty());
        assert_eq!(found("a/src/lease.rs", "use std;\n//! Leases.\n").faults.len(), 1);
        assert_eq!(found("a/src/lease_util.rs", "//! Leases.\n").faults.len(), 1);
        assert_eq!(found("a/src/common/lease.rs", "//! Leases.\n").faults.len(), 1);
    }

    #[test]
    fn a_long_file_is_noted() {
        let text = format!("//! Leases.\n{}", "\n".repeat(LONG));
        let findings = found("a/src/lease.rs", &text);
        assert_eq!((findings.faults.len(), findings.warnings.len()), (0, 1));
    }
}
