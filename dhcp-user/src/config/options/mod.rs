//! DHCP options as the operator names them, and as they go on the wire.

mod encode;
mod raw;
mod registry;
mod shown;

use std::collections::BTreeMap;

use dhcp_ebpf::slot::MAX_BODY;

use super::section::nearest;
use super::value::Value;
use registry::{Kind, REGISTRY};
pub use shown::{Form, form, shown};

/// Options by code, each value in wire form without code and length.
///
/// A value may be longer than 255 octets: it is split (RFC 3396) when an answer is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct OptionSet(pub BTreeMap<u8, Vec<u8>>);

impl OptionSet {
    /// The value of option `code`.
    #[must_use]
    pub fn get(&self, code: u8) -> Option<&[u8]> {
        self.0.get(&code).map(Vec::as_slice)
    }

    /// These options with those of `over` in place of the same codes.
    #[must_use]
    pub fn overridden_by(&self, over: &Self) -> Self {
        let mut merged = self.clone();
        merged.0.extend(over.0.iter().map(|(code, value)| (*code, value.clone())));
        merged
    }
}

/// The name of option `code` in a configuration and in messages, or `code-N` if it has none.
#[must_use]
pub fn option_name(code: u8) -> String {
    REGISTRY
        .iter()
        .find(|option| option.code == code)
        .map_or_else(|| format!("code-{code}"), |option| option.name.to_owned())
}

/// No answer has room for a longer value. Our longest frame has so many octets of options, less those that every
/// answer needs first: types and times, addresses, an identifier.
const LONGEST: usize = MAX_BODY - 112;

/// Options without a name that are no configuration either: RFC 6704, section 3.1; RFC 6926, section 6.2.
const FORCERENEW_NONCE: u8 = 145;
const BULK_LEASEQUERY: std::ops::RangeInclusive<u8> = 151..=157;

/// Reads an `options` table: names as Kea has them, or `code-N`.
pub(super) fn read(value: Value<'_>) -> Option<OptionSet> {
    let section = value.section("options")?;
    let mut options = BTreeMap::new();
    let mut sound = true;
    for (key, value) in section.entries() {
        let name = key.get_ref().as_ref();
        let (code, kind) = match known(name) {
            Ok(known) => known,
            Err(message) => {
                section.refuse(&key.span(), message);
                sound = false;
                continue;
            }
        };
        match encode::encode(kind, value) {
            Some(octets) if octets.len() > LONGEST => {
                sound = false;
                section.refuse(
                    &value.span(),
                    format!(
                        "`{name}` takes {} octets, more than an answer has room for ({LONGEST})",
                        octets.len()
                    ),
                );
            }
            Some(octets) => {
                if let Err(why) = check_raw(name, code, &octets) {
                    sound = false;
                    section.refuse(&value.span(), format!("`{name}` {why}"));
                }
                if options.insert(code, octets).is_some() {
                    sound = false;
                    section.refuse(
                        &key.span(),
                        format!("option {code} is set twice, by name and by code: remove one"),
                    );
                }
            }
            None => sound = false,
        }
    }
    sound.then_some(OptionSet(options))
}

/// The code and kind of the option that the operator calls `name`, or why there is none to set.
fn known(name: &str) -> Result<(u8, Kind), String> {
    let (code, kind) = match name.strip_prefix("code-").map(str::parse::<u8>) {
        Some(Ok(code @ 1..=254)) => (code, Kind::Octets),
        Some(_) => return Err(format!("`{name}` is not an option: codes go from code-1 to code-254")),
        None => match REGISTRY.iter().find(|option| option.name == name) {
            Some(option) => (option.code, option.kind),
            None => return Err(unknown(name)),
        },
    };
    match REGISTRY.iter().find(|option| option.code == code).map(|option| option.kind) {
        None if code == FORCERENEW_NONCE => {
            Err(format!("`{name}` can't be set: it would promise what the server doesn't do"))
        }
        None if BULK_LEASEQUERY.contains(&code) => {
            Err(format!("`{name}` can't be set: it belongs to the answers to a bulk leasequery"))
        }
        Some(Kind::Ours(why)) => Err(format!("`{name}` can't be set: {why}")),
        _ => Ok((code, kind)),
    }
}

/// Checks that a value written by code could be written by name.
fn check_raw(name: &str, code: u8, octets: &[u8]) -> Result<(), String> {
    let named = REGISTRY.iter().find(|option| option.code == code && option.name != name);
    let Some(named) = named else { return Ok(()) };
    raw::check(named.kind, octets).map_err(|why| format!("(`{}`) {why}", named.name))
}

fn unknown(name: &str) -> String {
    let advice = match nearest(name, REGISTRY.iter().map(|option| option.name)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "names are Kea's; any other option is code-N = \"hex:…\"".to_owned(),
    };
    format!("unknown option `{name}`: {advice}")
}
