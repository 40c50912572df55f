//! The `[journal]` table: whether and where the lease journal is written.

use std::path::PathBuf;

use super::section::Section;
use super::server::absolute_path;
use super::value::Value;

const DAY: u32 = 24 * 60 * 60;
const MIB: u64 = 1 << 20;

/// Where the lease journal is, and how much of it is kept. Durations are in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// Its directory.
    pub directory: PathBuf,
    /// How long what is in it is kept.
    pub keep: u32,
    /// A file that has so many octets is followed by another.
    pub max_file_size: u64,
    /// So is one that is so old.
    pub rotate: u32,
}

impl Journal {
    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let directory = section.required("directory", "\"/var/lib/xdhcpd/journal\"", absolute_path);
        let keep = section.or("keep", 400 * DAY, Value::some_seconds);
        let max_file_size = section.or("max-file-size", 64 * MIB, Value::size);
        let rotate = section.or("rotate", DAY, Value::some_seconds);
        section.finish();
        Some(Self { directory: directory?, keep: keep?, max_file_size: max_file_size?, rotate: rotate? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(journal: &str) -> Result<Option<Journal>, String> {
        let text = format!(
            "[[interface]]\nname = \"eth0\"\n[[subnet]]\nprefix = \"192.0.2.0/24\"\npools = [\"192.0.2.10 - 192.0.2.20\"]\nlease-time = \"1h\"\n{journal}"
        );
        let config = Config::parse(&text, "f");
        config.map(|config| config.journal).map_err(|errors| errors[0].to_string())
    }

    #[test]
    fn a_journal_is_kept_where_it_is_asked_for() {
        assert_eq!(parse(""), Ok(None));
        let journal =
            |max_file_size| Journal { directory: "/j".into(), keep: 400 * DAY, max_file_size, rotate: DAY };
        assert_eq!(parse("[journal]\ndirectory = \"/j\""), Ok(Some(journal(64 * MIB))));
        let sized = |size: &str| parse(&format!("[journal]\ndirectory = \"/j\"\nmax-file-size = \"{size}\""));
        assert_eq!(sized("64KiB"), Ok(Some(journal(64 << 10))));
        for wrong in ["1 KiB", "64", "many MiB", "99999999999999999 GiB"] {
            assert!(sized(wrong).is_err_and(|error| error.contains("is not a size")), "{wrong}");
        }
        assert!(parse("[journal]\nkeep = \"1d\"").is_err_and(|error| error.contains("lacks `directory`")));
    }
}
