//! A `[[hook]]` table: a program that is run for each event of some kinds.

use std::num::NonZeroUsize;

use super::section::Section;
use super::value::Value;
use crate::events::{ENDS, EVENT_KINDS};

/// A program that is run for each event of some kinds. Durations are in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// For events of these kinds.
    pub events: Vec<&'static str>,
    /// The program, and its arguments.
    pub command: Vec<String>,
    /// It may take so long.
    pub timeout: u32,
    /// So many of it may run at a time.
    pub at_once: NonZeroUsize,
    /// So many events may wait for it.
    pub queue: NonZeroUsize,
}

impl Hook {
    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let events = section.required("events", "[\"granted\", \"ended\"]", |value| {
            let kinds = value.each("kinds of events", kinds)?.concat();
            if kinds.is_empty() { value.refuse("name at least one kind of events") } else { Some(kinds) }
        });
        let command = section.required("command", "[\"/usr/local/lib/xdhcpd/dns-update\"]", command);
        let timeout = section.or("timeout", 10, Value::some_seconds);
        let at_once = section.or("at-once", NonZeroUsize::MIN, |value| count(value, 64));
        let queue = section.or("queue", NonZeroUsize::new(1000)?, |value| count(value, 100_000));
        section.finish();
        Some(Self { events: events?, command: command?, timeout: timeout?, at_once: at_once?, queue: queue? })
    }
}

fn kinds(value: Value<'_>) -> Option<Vec<&'static str>> {
    let all = || EVENT_KINDS.iter().map(|kind| kind.name);
    match value.text("a kind of events")? {
        "all" => Some(all().collect()),
        "ended" => Some(ENDS.to_vec()),
        name => match all().find(|kind| *kind == name) {
            Some(kind) => Some(vec![kind]),
            None => {
                let known: Vec<&str> = all().collect();
                value.refuse(format!(
                    "\"{name}\" is no kind of events: there are \"all\", \"ended\" (whatever ends a lease), {}",
                    known.join(", ")
                ))
            }
        },
    }
}

fn command(value: Value<'_>) -> Option<Vec<String>> {
    let words = value.each("words", |word| {
        let text = word.text("a word of the command")?;
        if text.contains('\0') {
            word.refuse("no word of a command has a zero in it")
        } else {
            Some(text.to_owned())
        }
    })?;
    match words.first() {
        Some(program) if program.starts_with('/') => Some(words),
        Some(program) => {
            value.refuse(format!("\"{program}\" is not an absolute path: no shell looks for it"))
        }
        None => value.refuse("name a program"),
    }
}

fn count(value: Value<'_>, most: i64) -> Option<NonZeroUsize> {
    NonZeroUsize::new(usize::try_from(value.integer(1..=most)?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(hook: &str) -> Result<Vec<Hook>, String> {
        let text = format!(
            "[[interface]]\nname = \"eth0\"\n[[subnet]]\nprefix = \"192.0.2.0/24\"\npools = [\"192.0.2.10 - 192.0.2.20\"]\n{hook}"
        );
        Config::parse(&text, "f").map(|config| config.hooks).map_err(|errors| errors[0].to_string())
    }

    #[test]
    fn a_hook_names_events_and_a_program() {
        assert_eq!(parse(""), Ok(vec![]));
        let hooks = parse("[[hook]]\nevents = [\"granted\", \"ended\"]\ncommand = [\"/bin/h\", \"x\"]");
        let hooks = hooks.expect("a hook");
        assert_eq!(hooks[0].events[..3], ["granted", "released", "released-by-operator"]);
        assert_eq!((hooks[0].timeout, hooks[0].at_once.get(), hooks[0].queue.get()), (10, 1, 1000));
        assert_eq!(hooks[0].command, ["/bin/h", "x"]);
        for (wrong, said) in [
            ("events = [\"grant\"]\ncommand = [\"/h\"]", "is no kind of events"),
            ("events = []\ncommand = [\"/h\"]", "at least one kind"),
            ("events = [\"all\"]\ncommand = [\"h\"]", "absolute path"),
            ("events = [\"all\"]\ncommand = []", "name a program"),
            ("events = [\"all\"]", "lacks `command`"),
            ("events = [\"all\"]\ncommand = [\"/h\"]\nat-once = 0", "1"),
        ] {
            let error = parse(&format!("[[hook]]\n{wrong}")).expect_err(wrong);
            assert!(error.contains(said), "{wrong}: {error}");
        }
    }
}
