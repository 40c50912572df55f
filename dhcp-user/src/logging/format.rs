//! The form of a line: for people, for programs, for the journal; and which of them standard error is for.

use std::env;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write};
use std::os::linux::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};

/// Events of this target are worth a notice: more than what is usual, less than a warning.
pub const NOTICE: &str = "dhcp_user::notice";
/// Systemd's variable on the destination of standard error: device and inode of the stream (systemd.exec(5)).
const STREAM: &str = "JOURNAL_STREAM";
/// Where the journal takes entries with fields.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// An entry of the journal is cut at so many octets.
const LONGEST: usize = 8192;

/// How the log is to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// As fits what standard error is: the journal, or lines of text
    #[default]
    Auto,
    /// Lines of text, with colours on a terminal
    Text,
    /// Lines of text, each with its priority before it as systemd takes it: <4>
    Prefixed,
    /// An object of JSON a line
    Json,
}

/// The form that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text {
        colours: bool,
    },
    Prefixed,
    Json,
    /// Entries with fields, each a datagram.
    Journal,
}

impl Form {
    pub(super) fn of(wanted: LogFormat) -> Self {
        match wanted {
            LogFormat::Text => Self::Text { colours: has_colours(io::stderr().is_terminal()) },
            LogFormat::Prefixed => Self::Prefixed,
            LogFormat::Json => Self::Json,
            LogFormat::Auto if !is_the_journal() => Self::of(LogFormat::Text),
            LogFormat::Auto if Path::new(JOURNAL).exists() => Self::Journal,
            LogFormat::Auto => Self::Prefixed,
        }
    }

    /// A line, or an entry, that says something without fields.
    pub(super) fn line(self, weight: Weight, what: &str) -> Vec<u8> {
        match self {
            Self::Text { .. } => format!("{} {} {what}\n", Timestamp::now(), weight.padded()).into_bytes(),
            _ => self.render(&LogLine { weight, message: what.to_owned(), fields: Vec::new() }),
        }
    }

    /// As it is, without time or weight where that is the form.
    pub(super) fn plain(self, what: &str) -> Vec<u8> {
        match self {
            Self::Text { .. } => format!("{what}\n").into_bytes(),
            _ => self.line(Weight::Error, what),
        }
    }

    /// The text of an event.
    pub(super) fn event(self, event: &Event<'_>) -> Vec<u8> {
        let weight = Weight::of(event.metadata());
        let mut fields = Fields(LogLine { weight, message: String::new(), fields: Vec::new() });
        event.record(&mut fields);
        self.render(&fields.0)
    }

    fn render(self, entry: &LogLine) -> Vec<u8> {
        match self {
            Self::Text { .. } => entry.text().into_bytes(),
            Self::Prefixed => {
                // A line each has its own priority.
                let text = entry.text();
                let lines = text.lines().map(|line| format!("<{}>{line}\n", entry.weight.priority()));
                lines.collect::<String>().into_bytes()
            }
            Self::Json => entry.json(),
            Self::Journal => entry.entry(),
        }
    }
}

/// Whether colours may be used (https://no-color.org).
pub fn has_colours(is_terminal: bool) -> bool {
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    is_terminal && !is_set("NO_COLOR") && env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// Whether standard error is the stream that systemd has connected to the journal: it may have been redirected since.
fn is_the_journal() -> bool {
    let Some(stream) = env::var(STREAM).ok() else { return false };
    // What standard error is can be asked of the kernel by this name alone.
    let here = std::fs::metadata("/proc/self/fd/2").map(|found| (found.st_dev(), found.st_ino()));
    here.is_ok_and(|(device, inode)| stream == format!("{device}:{inode}"))
}

/// The weight of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    Error,
    Warning,
    Notice,
    Info,
    Debug,
}

impl Weight {
    fn of(metadata: &Metadata<'_>) -> Self {
        match *metadata.level() {
            Level::ERROR => Self::Error,
            Level::WARN => Self::Warning,
            Level::INFO if metadata.target() == NOTICE => Self::Notice,
            Level::INFO => Self::Info,
            _ => Self::Debug,
        }
    }

    /// As syslog(3) counts.
    const fn priority(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warning => 4,
            Self::Notice => 5,
            Self::Info => 6,
            Self::Debug => 7,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    const fn padded(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warning => " WARN",
            Self::Notice | Self::Info => " INFO",
            Self::Debug => "DEBUG",
        }
    }
}

/// One line, with its details.
struct LogLine {
    weight: Weight,
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl LogLine {
    fn text(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in &self.fields {
            // Writing to a string can't fail.
            let _ = match value {
                Value::String(value) => write!(text, " {name}={value}"),
                other => write!(text, " {name}={other}"),
            };
        }
        text
    }

    fn json(&self) -> Vec<u8> {
        let mut object = Map::new();
        object.insert("time".to_owned(), Timestamp::now().to_string().into());
        object.insert("level".to_owned(), self.weight.name().into());
        object.insert("message".to_owned(), self.message.clone().into());
        for (name, value) in &self.fields {
            object.entry(name.replace('_', "-")).or_insert_with(|| value.clone());
        }
        let mut line = Value::Object(object).to_string().into_bytes();
        line.push(b'\n');
        line
    }

    /// As the journal takes it (systemd's "Native Journal Protocol"): a field a line, those with line ends with their length.
    fn entry(&self) -> Vec<u8> {
        let mut entry = Vec::new();
        field(&mut entry, "PRIORITY", &self.weight.priority().to_string());
        field(&mut entry, "SYSLOG_IDENTIFIER", "xdhcpd");
        field(&mut entry, "MESSAGE", &self.text());
        for (name, value) in &self.fields {
            let name = format!(
                "XDHCPD_{}",
                name.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_")
            );
            match value {
                Value::String(value) => field(&mut entry, &name, value),
                other => field(&mut entry, &name, &other.to_string()),
            }
        }
        entry
    }
}

/// Adds a field to an entry, as far as there is room.
fn field(entry: &mut Vec<u8>, name: &str, value: &str) {
    let room = LONGEST.saturating_sub(entry.len()).saturating_sub(name.len());
    let end = (0..=value.len().min(room)).rev().find(|at| value.is_char_boundary(*at)).unwrap_or(0);
    let Some(value) = value.get(..end).filter(|value| !value.is_empty()) else { return };
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

struct Fields(LogLine);

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        // What came by way of the `log` crate has these of its own.
        if !field.name().starts_with("log.") {
            self.0.fields.push((field.name(), value));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.0.message = format!("{value:?}"),
            _ => self.add(field, format!("{value:?}").into()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.0.message),
            _ => self.add(field, value.into()),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}

/// The journal's socket, to which each page is a datagram.
#[derive(Debug)]
pub(super) struct Datagrams(UnixDatagram);

impl Datagrams {
    pub(super) fn to_the_journal() -> io::Result<Self> {
        Ok(Self(UnixDatagram::unbound()?))
    }
}

impl Write for Datagrams {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        // By its name each time: a journal that was started anew has another socket there.
        self.0.send_to(entry, JOURNAL)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> LogLine {
        let fields = vec![("address", Value::from("192.0.2.10")), ("lease_time", Value::from(600))];
        LogLine { weight: Weight::Warning, message: "declined".to_owned(), fields }
    }

    #[test]
    fn each_form_says_the_same() {
        let text = |form: Form| String::from_utf8(form.render(&entry())).expect("text");
        assert_eq!(text(Form::Prefixed), "<4>declined address=192.0.2.10 lease_time=600\n");
        let json: Value = serde_json::from_str(&text(Form::Json)).expect("JSON");
        assert_eq!((&json["level"], &json["message"]), (&"warning".into(), &"declined".into()));
        assert_eq!((&json["address"], &json["lease-time"]), (&"192.0.2.10".into(), &600.into()));
        let entry = text(Form::Journal);
        let due = "PRIORITY=4\nSYSLOG_IDENTIFIER=xdhcpd\nMESSAGE=declined address=192.0.2.10 lease_time=600\n\
                   XDHCPD_ADDRESS=192.0.2.10\nXDHCPD_LEASE_TIME=600\n";
        assert_eq!(entry, due);
    }

    #[test]
    fn lines_of_a_panic_are_one_entry_of_the_journal_and_each_has_its_prefix() {
        assert_eq!(Form::Prefixed.line(Weight::Error, "a\nb"), b"<3>a\n<3>b\n");
        let entry = Form::Journal.line(Weight::Error, "a\nb");
        assert!(entry.ends_with(b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n"), "{}", String::from_utf8_lossy(&entry));
    }

    #[test]
    fn an_entry_is_cut_where_it_is_too_long() {
        let entry = Form::Journal.line(Weight::Info, &"ä".repeat(LONGEST));
        assert!(entry.len() <= LONGEST + 16 && std::str::from_utf8(&entry).is_ok(), "{}", entry.len());
    }
}
