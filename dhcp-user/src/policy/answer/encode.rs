//! Options written into the space that the client has for them (RFC 2131 §4.1, RFC 2132 §9.3, RFC 3396).

use dhcp_ebpf::slot::MAX_BODY;

use crate::message::options::code;
pub(in crate::policy) use crate::policy::site::subnet::BEFORE_OPTIONS;

/// The octets of options that `file` can hold.
pub(in crate::policy) const FILE: usize = 128;
pub(in crate::policy) const SNAME: usize = 64;
/// The octets before the options if `sname` or `file` is written: both, and the cookie.
const FIELDS: usize = SNAME + FILE + 4;
/// The options that get room first, in this order: without them a client has no network.
const FIRST: [u8; 5] =
    [code::SUBNET_MASK, code::ROUTERS, code::RENEWAL_TIME, code::REBINDING_TIME, code::CLIENT_MACHINE];
/// The octets that most answers take.
const USUAL: usize = 128;
/// The octets of option 52.
const OVERLOAD_LENGTH: usize = 3;

/// The value of an option.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) enum Value<'a> {
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
pub(in crate::policy) struct Composed<'a> {
    /// The options that every answer must have.
    pub(in crate::policy) head: Vec<(u8, Value<'a>)>,
    /// The options that are left out if there is no room for them.
    pub(in crate::policy) rest: Vec<(u8, Value<'a>)>,
    /// The echoed options, as they were sent; every answer must have these, too.
    pub(in crate::policy) echoes: Vec<(u8, &'a [u8])>,
    /// The relay information. It is left out if there is no room for all of it, and is never put into an overloaded
    /// field (RFC 3046 §2.2).
    pub(in crate::policy) agent_information: Option<&'a [u8]>,
}

/// The use of `file` or `sname`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Field {
    /// The answer's own text.
    Text,
    /// Options, if there is need.
    Options,
    /// Nothing.
    Nothing,
}

/// Where there is room for options.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Room {
    /// Octets of options after the cookie, END included, that client and link take.
    pub(in crate::policy) area: usize,
    pub(in crate::policy) file: Field,
    pub(in crate::policy) sname: Field,
}

impl Room {
    /// Octets of the option area: a frame of ours has no more than this after the fixed fields.
    fn area(self, fields: bool) -> usize {
        self.area.min(if fields { MAX_BODY - FIELDS } else { MAX_BODY })
    }

    fn has_text(self) -> bool {
        [self.file, self.sname].contains(&Field::Text)
    }
}

/// Written options.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::policy) struct Written {
    /// The option area, through END.
    pub(in crate::policy) area: Vec<u8>,
    /// Where in the area what comes back as it was sent begins: behind it is END alone.
    pub(in crate::policy) echoes_at: usize,
    /// Options in `file`, through END; empty if there are none.
    pub(in crate::policy) file: Vec<u8>,
    /// Options in `sname`, through END; empty if there are none.
    pub(in crate::policy) sname: Vec<u8>,
    /// Codes that found no room.
    pub(in crate::policy) left_out: Vec<u8>,
}

/// Where an option goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OptionField {
    Area,
    File,
    Sname,
    Nowhere,
}

/// Writes `options`. It overloads `file` and `sname` only if the area is too small, and then leaves out options
/// without room. `None` if there is no room for the options that every answer must have.
pub(in crate::policy) fn write(options: &Composed<'_>, room: Room) -> Option<Written> {
    let mut out = Written { area: Vec::with_capacity(USUAL), ..Written::default() };
    let needed = total(&options.head) + total(&options.echoes) + 1;
    let free = room.area(room.has_text()).checked_sub(needed)?;
    let agent = options.agent_information.filter(|value| length(value) + OVERLOAD_LENGTH <= free);
    if agent.is_none() && options.agent_information.is_some() {
        out.left_out.push(code::AGENT_INFORMATION);
    }
    let free = free - agent.map_or(0, length);
    options.head.iter().for_each(|(code, value)| put(&mut out.area, *code, value.as_ref()));
    if total(&options.rest) <= free {
        options.rest.iter().for_each(|(code, value)| put(&mut out.area, *code, value.as_ref()));
    } else {
        shorten(&options.rest, room, free, &mut out);
    }
    out.echoes_at = out.area.len();
    options.echoes.iter().for_each(|(code, value)| put(&mut out.area, *code, value));
    agent.into_iter().for_each(|value| put(&mut out.area, code::AGENT_INFORMATION, value));
    out.area.push(code::END);
    Some(out)
}

/// Writes the options that have room: in `free` octets of the area, then in the fields. They keep their order.
fn shorten(options: &[(u8, Value<'_>)], room: Room, free: usize, out: &mut Written) {
    for ((code, value), place) in options.iter().zip(places(options, room, free)) {
        match place {
            OptionField::Area => put(&mut out.area, *code, value.as_ref()),
            OptionField::File => put(&mut out.file, *code, value.as_ref()),
            OptionField::Sname => put(&mut out.sname, *code, value.as_ref()),
            OptionField::Nowhere => out.left_out.push(*code),
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

/// Where each of the options goes: those in [`FIRST`] choose first, the others in their order. The fields are used if more
/// has room with them: written, they take from what a frame carries, and no option is cut in two for them.
fn places(options: &[(u8, Value<'_>)], room: Room, free: usize) -> Vec<OptionField> {
    let field = |of: Field, octets: usize| if of == Field::Options { octets - 1 } else { 0 };
    let (file, sname) = (field(room.file, FILE), field(room.sname, SNAME));
    let mut by_rank: Vec<_> = options.iter().enumerate().collect();
    by_rank.sort_by_key(|(_, (code, _))| FIRST.iter().position(|first| first == code).unwrap_or(FIRST.len()));
    let fill = |area: usize, file: usize, sname: usize| {
        let mut left = [(OptionField::Area, area), (OptionField::File, file), (OptionField::Sname, sname)];
        let place = |(_, (_, value)): &(usize, &(u8, Value<'_>))| {
            let needed = length(value.as_ref());
            let found = left.iter_mut().find(|(_, left)| needed <= *left);
            found.map_or(OptionField::Nowhere, |(there, left)| {
                *left -= needed;
                *there
            })
        };
        by_rank.iter().map(place).collect::<Vec<_>>()
    };
    let alone = fill(free, 0, 0);
    let cost = OVERLOAD_LENGTH + room.area(room.has_text()) - room.area(true);
    let is_there = |place: &OptionField| *place != OptionField::Nowhere;
    let overloaded = free.checked_sub(cost).filter(|_| file + sname > 0).map(|area| fill(area, file, sname));
    let better = overloaded.filter(|with| with.iter().map(is_there).gt(alone.iter().map(is_there)));

    let mut places = vec![OptionField::Nowhere; options.len()];
    for ((at, _), place) in by_rank.iter().zip(better.unwrap_or(alone)) {
        if let Some(there) = places.get_mut(*at) {
            *there = place;
        }
    }
    places
}

fn total<T: AsRef<[u8]>>(options: &[(u8, T)]) -> usize {
    options.iter().map(|(_, value)| length(value.as_ref())).sum()
}

/// The octets of an option with this value, codes and lengths included.
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
