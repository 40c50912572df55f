//! xdhcpd.toml(5).

use super::TABLES;

const HEAD: &str = r#".TH xdhcpd.toml 5 "" "xdhcpd" "File formats"
.SH NAME
xdhcpd.toml \- configuration of xdhcpd(8)
.SH DESCRIPTION
One TOML file. Unknown keys are errors. \fBxdhcpd check-config\fR \fIFILE\fR says everything that is wrong with a file, and where.
Durations are written as in "90s" or "1h 30m". Options have Kea's names; any other is code-224 = "hex:...".
"#;

const TAIL: &str = r".SH FILES
/etc/xdhcpd/xdhcpd.toml
.SH SEE ALSO
.BR xdhcpd (8),
.BR xdhcpd-check-config (8)
";

/// The page, in the language of man.
#[must_use]
pub fn manual() -> String {
    let mut page = HEAD.to_owned();
    for table in TABLES {
        page += &format!(".SH {}\n", escaped(&plain(table.heading()).to_uppercase()));
        for key in table.keys() {
            let facts = format!(
                "{}; default: {}; since {}",
                key.kind.described(),
                key.default.described(),
                key.since
            );
            page += &format!(".TP\n.B {}\n{}\n.br\n{}.\n", escaped(key.name), text(key.what), text(&facts));
        }
    }
    page + TAIL
}

/// A line of text, escaped so that its beginning is no request to troff.
fn text(line: &str) -> String {
    format!("\\&{}", escaped(&plain(line)))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

/// Without what only the page for browsers understands: code marks, and links but for their text.
fn plain(marked: &str) -> String {
    let mut out = String::new();
    let mut rest = marked;
    while let Some((before, (name, after))) =
        rest.split_once('[').and_then(|(before, link)| Some((before, link.split_once("](")?)))
    {
        out = out + before + name;
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    (out + rest).replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_their_text() {
        assert_eq!(plain("see [Security](security.md) and `a`"), "see Security and a");
        assert_eq!(plain("`[200, 100]` (outer first)"), "[200, 100] (outer first)");
    }
}
