//! `check-config --explain-diff`: what a reload from one configuration to another does, and to which leases.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Exit;
use super::output::{complain, finish, remark};
use super::serve::load;
use crate::clock::BootNanos;
use crate::config::difference::{Difference, Key, What, differences};
use crate::config::{Config, Pool, option_name, shown_option};
use crate::control::{self, Outcome, Portable, Request, Treated};
use crate::datapath::interfaces::netlink;
use crate::files::{self, Within};
use crate::reason;
use crate::rehearsal::{self, Changed, Fate, Item, Rehearsed};
use crate::server;

/// So many of a kind are shown to people; JSON has all.
const SHOWN: usize = 20;

/// Where the leases are from that a reload would meet.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Leases {
    /// With --explain-diff: take the leases from what `xdhcpd export` has printed
    #[arg(long, value_name = "FILE", requires = "explain_diff")]
    leases: Option<PathBuf>,
    /// With --explain-diff: take them from the daemon with this control socket [default: that of OLD]
    #[arg(long = "control", value_name = "SOCKET", requires = "explain_diff", conflicts_with_all = ["leases", "stored"])]
    socket: Option<PathBuf>,
    /// With --explain-diff: take them from the store of OLD, whose daemon has been stopped
    #[arg(long, requires = "explain_diff", conflicts_with = "leases")]
    stored: bool,
}

/// Explains the way from `old` to `new`.
pub(super) fn explain(old: &Path, new: &Path, leases: &Leases, in_json: bool) -> Exit {
    let both = load(old).and_then(|before| Ok((before, load(new)?)));
    let (before, after) = match both {
        Ok(both) => both,
        Err(error) => return complain(Exit::No, reason::told(&error)),
    };
    let leased = match leases.read(&before) {
        Ok(leased) => Ok(leased),
        // Whoever names a source means it.
        Err(why) if leases.is_named() => return complain(Exit::No, why),
        Err(why) => Err(why),
    };
    let here: Vec<_> =
        netlink::namespace().unwrap_or_default().links.into_iter().map(|link| link.facts).collect();
    let now = BootNanos::now().floor();
    let explained = Explained {
        differences: differences(&before, &after),
        refusals: server::refusals(&before, &after),
        lost: rehearsal::lost(&before, &after),
        contested: rehearsal::contested(&before, &after),
        classes_untold: [&before, &after].into_iter().any(asks_what_no_lease_tells),
        rehearsed: leased.map(|leased| rehearsal::rehearse(&before, &after, &leased, &here, now)),
    };
    let mut to = io::stdout().lock();
    let printed = if in_json { writeln!(to, "{}", explained.json()) } else { explained.print(&mut to) };
    finish(Exit::Done, printed)
}

impl Leases {
    const fn is_named(&self) -> bool {
        self.leases.is_some() || self.socket.is_some() || self.stored
    }

    /// The leases there are.
    fn read(&self, before: &Config) -> Result<Vec<Portable>, String> {
        let mut all = Vec::new();
        if let Some(file) = &self.leases {
            let read = if file.as_os_str() == "-" {
                io::read_to_string(Within::of(io::stdin(), files::LIST))
            } else {
                files::text(file, files::LIST)
            };
            let text = read.map_err(|error| format!("can't read {}: {error}", file.display()))?;
            for (number, line) in (1_u32..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
                let lease = serde_json::from_str(line)
                    .map_err(|error| format!("{}:{number}: no lease: {error}", file.display()))?;
                all.push(lease);
            }
        } else if self.stored {
            let exported = server::export_stopped(before, |lease| {
                all.push(lease);
                Ok(())
            });
            exported.map_err(|error| reason::told(&error))?.map_err(|error| error.to_string())?;
        } else {
            let socket = self.socket.as_ref().unwrap_or(&before.server.control_socket);
            let outcome = control::ask(socket, &Request::Export, |lease| {
                all.push(serde_json::from_str(lease.get())?);
                Ok(())
            });
            match outcome.map_err(|error| error.to_string())? {
                Outcome::Done => {}
                Outcome::No(why) | Outcome::Refused(why) | Outcome::Stuck(why) => return Err(why),
            }
        }
        // An address may come twice: what was said last counts.
        let last: BTreeMap<Ipv4Addr, Portable> =
            all.into_iter().map(|lease| (lease.address, lease)).collect();
        Ok(last.into_values().filter(|lease| lease.state != Treated::Free).collect())
    }
}

/// Whether a class asks for what is in no lease.
fn asks_what_no_lease_tells(config: &Config) -> bool {
    config.classes.iter().any(|class| {
        let asked = &class.matches;
        !asked.vendor_class.is_empty() || !asked.user_class.is_empty() || !asked.architecture.is_empty()
    })
}

/// What is to be said.
struct Explained {
    differences: Vec<Difference>,
    refusals: Vec<String>,
    lost: Vec<Pool>,
    contested: Vec<(Ipv4Addr, String)>,
    classes_untold: bool,
    rehearsed: Result<Rehearsed, String>,
}

impl Explained {
    fn print(&self, to: &mut impl Write) -> io::Result<()> {
        if self.differences.is_empty() {
            writeln!(to, "no differences")?;
        }
        let mut more: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for difference in &self.differences {
            let word = match &difference.what {
                What::Added => "added",
                What::Removed => "removed",
                What::Changed(_) => "changed",
            };
            let count = more.entry((difference.table, word)).or_default();
            *count = count.saturating_add(1);
            if *count <= SHOWN {
                writeln!(to, "{}", described(difference))?;
            }
        }
        for ((table, word), count) in more.iter().filter(|(_, count)| **count > SHOWN) {
            writeln!(to, "and {} more of {table} {word} (--json has all)", count.saturating_sub(SHOWN))?;
        }
        match &self.rehearsed {
            Ok(rehearsed) => self.print_leases(rehearsed, to)?,
            Err(why) => {
                remark(format_args!("the leases aren't known: {why}"));
                for range in self.lost.iter().take(SHOWN) {
                    writeln!(
                        to,
                        "leases in {} end: no pool and no reservation has these addresses",
                        range_of(*range)
                    )?;
                }
                for (address, key) in self.contested.iter().take(SHOWN) {
                    writeln!(to, "a lease of {address} ends, unless it is that of {key}")?;
                }
                if !self.differences.is_empty() {
                    writeln!(to, "for other leases what is changed holds from their next renewal on")?;
                }
            }
        }
        for why in &self.refusals {
            writeln!(to, "a reload is refused: {why}: restart the daemon instead")?;
        }
        Ok(())
    }

    fn print_leases(&self, rehearsed: &Rehearsed, to: &mut impl Write) -> io::Result<()> {
        writeln!(to, "leases: {} go on, {} end", rehearsed.kept, rehearsed.ended)?;
        for (fate, addresses) in &rehearsed.fates {
            let ranges = rehearsal::runs(addresses.iter().copied());
            let mut shown: Vec<String> = ranges.iter().take(SHOWN).map(|range| range_of(*range)).collect();
            if ranges.len() > SHOWN {
                shown.push("…".to_owned());
            }
            writeln!(to, "  {} {}: {}", addresses.len(), told(fate), shown.join(", "))?;
        }
        writeln!(
            to,
            "  the kernel forgets its answers for {}: the daemon answers their next renewal",
            rehearsed.asked_anew
        )?;
        for (why, count) in &rehearsed.strange {
            remark(format_args!("{count} leases are none of the former configuration: {why}"));
        }
        if self.classes_untold {
            remark(
                "no lease tells a vendor-class, user-class or architecture: its client is taken to be in no such class",
            );
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let differences: Vec<Value> = self.differences.iter().map(difference).collect();
        let mut all = json!({
            "differences": differences,
            "restart-needed": self.refusals,
            "addresses-lost": self.lost.iter().map(|range| range_of(*range)).collect::<Vec<_>>(),
        });
        let leases = match &self.rehearsed {
            Ok(rehearsed) => json!({
                "kept": rehearsed.kept,
                "ended": rehearsed.ended,
                "asked-anew": rehearsed.asked_anew,
                "fates": rehearsed.fates.iter().map(fate).collect::<Vec<_>>(),
                "not-of-the-former": rehearsed.strange,
            }),
            Err(why) => json!({
                "unknown": why,
                "contested": self.contested.iter().map(|(address, key)| json!({"address": address, "unless": key})).collect::<Vec<_>>(),
            }),
        };
        if let Some(all) = all.as_object_mut() {
            all.insert("leases".to_owned(), leases);
        }
        all
    }
}

fn range_of(range: Pool) -> String {
    if range.first == range.last { range.first.to_string() } else { range.to_string() }
}

fn described(difference: &Difference) -> String {
    let Difference { table, name, subnet, what } = difference;
    let of = subnet.as_ref().map(|subnet| format!(" of {subnet}")).unwrap_or_default();
    let name = if name.is_empty() { format!("[{table}]") } else { format!("{table} {name}") };
    match what {
        What::Added => format!("{name}{of}: added"),
        What::Removed => format!("{name}{of}: removed"),
        What::Changed(keys) => {
            let keys: Vec<String> =
                keys.iter().map(|key| step(&key.name, key.from.as_deref(), key.to.as_deref())).collect();
            format!("{name}{of}: {}", keys.join("; "))
        }
    }
}

fn step(name: &str, from: Option<&str>, to: Option<&str>) -> String {
    match (from, to) {
        (Some(from), Some(to)) => format!("{name} {from} → {to}"),
        (Some(from), None) => format!("{name} {from} → none"),
        (None, to) => format!("{name} none → {}", to.unwrap_or("none")),
    }
}

fn difference(difference: &Difference) -> Value {
    let Difference { table, name, subnet, what } = difference;
    let (word, keys) = match what {
        What::Added => ("added", &[][..]),
        What::Removed => ("removed", &[][..]),
        What::Changed(keys) => ("changed", &keys[..]),
    };
    let keys: Vec<Value> =
        keys.iter().map(|Key { name, from, to }| json!({"key": name, "from": from, "to": to})).collect();
    json!({"table": table, "name": name, "subnet": subnet, "change": word, "keys": keys})
}

/// What becomes of leases, in words.
fn told(fate: &Fate) -> String {
    match fate {
        Fate::Ends => "end; nobody else gets the address before its promise is over".to_owned(),
        Fate::Refused => "get a NAK at their next renewal".to_owned(),
        Fate::Unanswered(why) => format!("get no answer to their next renewal ({why})"),
        Fate::Changed(all) => {
            let all: Vec<String> = all
                .iter()
                .map(|one| {
                    let (name, from, to) = parts(one);
                    step(&name, from.as_deref(), to.as_deref())
                })
                .collect();
            format!("get at their next renewal, as far as they ask for it: {}", all.join("; "))
        }
        Fate::Same => "stay as they are".to_owned(),
        Fate::Untold => {
            "can't be told of: the former configuration doesn't renew them either, as far as they show"
                .to_owned()
        }
    }
}

fn parts(changed: &Changed) -> (String, Option<String>, Option<String>) {
    let Changed { what, from, to } = changed;
    match what {
        Item::Option(code) => {
            let shown = |value: &Option<Vec<u8>>| value.as_deref().map(|value| shown_option(*code, value));
            let seconds = |value: &Option<Vec<u8>>| {
                let four = value.as_deref().and_then(|value| value.try_into().ok());
                four.map(|four| format!("{}s", u32::from_be_bytes(four)))
            };
            match code {
                51 => ("lease-time".to_owned(), seconds(from), seconds(to)),
                58 => ("renew-time".to_owned(), seconds(from), seconds(to)),
                59 => ("rebind-time".to_owned(), seconds(from), seconds(to)),
                code => (option_name(*code), shown(from), shown(to)),
            }
        }
        Item::Field(name) => {
            let text = |value: &Option<Vec<u8>>| {
                value.as_deref().map(|value| String::from_utf8_lossy(value).into_owned())
            };
            ((*name).to_owned(), text(from), text(to))
        }
    }
}

fn fate((fate, addresses): (&Fate, &Vec<Ipv4Addr>)) -> Value {
    let (word, why, changes) = match fate {
        Fate::Ends => ("ends", None, &[][..]),
        Fate::Refused => ("refused", None, &[][..]),
        Fate::Unanswered(why) => ("unanswered", Some(*why), &[][..]),
        Fate::Changed(changes) => ("changed", None, &changes[..]),
        Fate::Same => ("same", None, &[][..]),
        Fate::Untold => ("untold", None, &[][..]),
    };
    let changes: Vec<Value> = changes
        .iter()
        .map(parts)
        .map(|(name, from, to)| json!({"key": name, "from": from, "to": to}))
        .collect();
    json!({"fate": word, "why": why, "changes": changes, "addresses": addresses})
}
