//! The program's log lines on each frame, with names instead of numbers.

use dhcp_ebpf::verdict::{Dropped, Passed, Renewal, Verdict, Why};
use log::{Log, Metadata, Record};
use nix::net::if_::if_indextoname;

/// A log that says in names what the program says in numbers, and hands it on.
#[derive(Debug)]
pub struct Named<L>(pub L);

/// Where the program's log goes.
pub type NamedLog = Named<&'static dyn Log>;

impl<L: Log> Log for Named<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let said = record.args().to_string();
        let said = in_names(&said, interface).unwrap_or(said);
        let (metadata, file) = (record.metadata().clone(), record.file());
        self.0.log(
            &Record::builder()
                .metadata(metadata)
                .file(file)
                .line(record.line())
                .args(format_args!("{said}"))
                .build(),
        );
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// `said` in names, if it is one of the program's two lines.
fn in_names(said: &str, interface: impl Fn(u32) -> String) -> Option<String> {
    let (what, on) = said.split_once(" ifindex=")?;
    let on = interface(on.trim().parse().ok()?);
    let became = if let Some(why) = what.strip_prefix("up why=") {
        format!("sent up to the daemon: {}", Why::from_number(why.parse().ok()?)?.name())
    } else {
        outcome(what.strip_prefix("decided counter=")?.parse().ok()?)?
    };
    Some(format!("a frame on {on} is {became}"))
}

fn outcome(counter: u32) -> Option<String> {
    let is_it = |verdict: Verdict| verdict.counter() == counter;
    let answered = Renewal::ALL.iter().find(|state| is_it(Verdict::Reply(**state)));
    let passed = || Passed::ALL.iter().find(|why| is_it(Verdict::Pass(**why)));
    let dropped = || Dropped::ALL.iter().find(|why| is_it(Verdict::Drop(**why)));
    let answered = answered.map(|state| format!("answered in the kernel: {}", state.name()));
    answered
        .or_else(|| passed().map(|why| format!("left to the host: {}", why.name())))
        .or_else(|| dropped().map(|why| format!("dropped: {}", why.name())))
}

fn interface(index: u32) -> String {
    let name = if_indextoname(index).ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| format!("interface {index}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_said_by_its_name() {
        let named = |said: &str| in_names(said, |index| format!("eth{index}"));
        for why in Why::ALL {
            let said = named(&format!("up why={} ifindex=7", *why as u32));
            assert_eq!(said, Some(format!("a frame on eth7 is sent up to the daemon: {}", why.name())));
        }
        let decided = |verdict: Verdict| named(&format!("decided counter={} ifindex=7", verdict.counter()));
        for state in Renewal::ALL {
            let said = decided(Verdict::Reply(*state)).expect("a name");
            assert_eq!(said, format!("a frame on eth7 is answered in the kernel: {}", state.name()));
        }
        for why in Passed::ALL {
            assert!(decided(Verdict::Pass(*why)).is_some_and(|said| said.ends_with(why.name())));
        }
        for why in Dropped::ALL {
            assert!(decided(Verdict::Drop(*why)).is_some_and(|said| said.ends_with(why.name())));
        }
        for other in ["up why=250 ifindex=7", "decided counter=9999 ifindex=7", "something else"] {
            assert_eq!(named(other), None);
        }
    }
}
