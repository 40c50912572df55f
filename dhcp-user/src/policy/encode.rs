//! Options written into the space that the client has for them (RFC 2131 §4.1, RFC 2132 §9.3, RFC 3396).

use crate::message::options::code;

/// What an option area in `file` and `sname` can hold.
pub(super) const FILE: usize = 128;
pub(super) const SNAME: usize = 64;
/// What most answers take.
const USUAL: usize = 128;
/// What option 52 takes.
const OVERLOAD_LENGTH: usize = 3;

/// The value of an option.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// A message type.
    Octet([u8; 1]),
    /// An address, or a time in seconds.
    Word([u8; 4]),
    /// Anything.
    Text(&'a [u8]),
}

impl AsRef<[u8]> for Value<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Octet(octet) => octet,
            Self::Word(word) => word,
            Self::Text(text) => text,
        }
    }
}

/// The options of one answer, before they are written, in the order they go out.
#[derive(Debug, Default)]
pub(super) struct Composed<'a> {
    /// What there is no answer without.
    pub(super) head: Vec<(u8, Value<'a>)>,
    /// What is left out if there is no room for it.
    pub(super) rest: Vec<(u8, Value<'a>)>,
    /// What comes back as it was sent; there is no answer without it either.
    pub(super) echoes: Vec<(u8, &'a [u8])>,
    /// What the relay said. It is left out if there is no room for all of it, and is never put into an overloaded
    /// field (RFC 3046 §2.2).
    pub(super) agent_information: Option<&'a [u8]>,
}

/// Where the answer's own text leaves room for options.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Octets of the option area, after the cookie, END included.
    pub(super) area: usize,
    /// Whether `file` is free for options.
    pub(super) file: bool,
    /// Whether `sname` is free for options.
    pub(super) sname: bool,
}

/// Written options.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// The option area, through END.
    pub(super) area: Vec<u8>,
    /// Options in `file`, through END; empty if there are none.
    pub(super) file: Vec<u8>,
    /// Options in `sname`, through END; empty if there are none.
    pub(super) sname: Vec<u8>,
    /// Codes that found no room.
    pub(super) left_out: Vec<u8>,
}

/// Writes `options`, overloading `file` and `sname` only if the area is too small; `None` if even that isn't enough for
/// what there is no answer without.
pub(super) fn write(options: &Composed<'_>, room: Room) -> Option<Written> {
    let mut out = Written { area: Vec::with_capacity(USUAL), ..Written::default() };
    let needed = total(&options.head) + total(&options.echoes) + 1;
    let free = room.area.checked_sub(needed)?;
    let agent = options.agent_information.filter(|value| length(value) + OVERLOAD_LENGTH <= free);
    if agent.is_none() && options.agent_information.is_some() {
        out.left_out.push(code::AGENT_INFORMATION);
    }
    let free = free - agent.map_or(0, length);
    options.head.iter().for_each(|(code, value)| put(&mut out.area, *code, value.as_ref()));
    if total(&options.rest) <= free {
        options.rest.iter().for_each(|(code, value)| put(&mut out.area, *code, value.as_ref()));
    } else {
        overload(&options.rest, room, free, &mut out);
    }
    options.echoes.iter().for_each(|(code, value)| put(&mut out.area, *code, value));
    agent.into_iter().for_each(|value| put(&mut out.area, code::AGENT_INFORMATION, value));
    out.area.push(code::END);
    Some(out)
}

/// Writes what there is room for: `free` octets of the area, then the fields.
fn overload(options: &[(u8, Value<'_>)], room: Room, free: usize, out: &mut Written) {
    let area = out.area.len() + free.saturating_sub(OVERLOAD_LENGTH);
    for (code, value) in options {
        let value = value.as_ref();
        let needed = length(value);
        if out.area.len() + needed <= area {
            put(&mut out.area, *code, value);
        } else if room.file && out.file.len() + needed < FILE {
            put(&mut out.file, *code, value);
        } else if room.sname && out.sname.len() + needed < SNAME {
            put(&mut out.sname, *code, value);
        } else {
            out.left_out.push(*code);
        }
    }
    let used = u8::from(!out.file.is_empty()) | u8::from(!out.sname.is_empty()) << 1;
    for field in [&mut out.file, &mut out.sname] {
        if !field.is_empty() {
            field.push(code::END);
        }
    }
    if used != 0 {
        put(&mut out.area, code::OVERLOAD, &[used]);
    }
}

fn total<T: AsRef<[u8]>>(options: &[(u8, T)]) -> usize {
    options.iter().map(|(_, value)| length(value.as_ref())).sum()
}

/// What an option of this value takes, codes and lengths included.
fn length(value: &[u8]) -> usize {
    value.len() + 2 * value.len().div_ceil(255).max(1)
}

/// One option; a value of more than 255 octets as several of the same code (RFC 3396 §6).
fn put(out: &mut Vec<u8>, code: u8, value: &[u8]) {
    if value.is_empty() {
        out.extend([code, 0]);
    }
    for part in value.chunks(255) {
        out.extend([code, u8::try_from(part.len()).unwrap_or(u8::MAX)]);
        out.extend_from_slice(part);
    }
}
