//! Options written into the space that the client has for them (RFC 2131 §4.1, RFC 2132 §9.3, RFC 3396).

use crate::message::options::code;

/// What an option area in `file` and `sname` can hold.
pub(super) const FILE: usize = 128;
pub(super) const SNAME: usize = 64;

/// The options of one answer, before they are written.
#[derive(Debug, Default)]
pub(super) struct Composed<'a> {
    /// In the order they go out.
    pub(super) ordered: Vec<(u8, std::borrow::Cow<'a, [u8]>)>,
    /// What goes last, whatever else has to be left out: the echoes.
    pub(super) last: Vec<(u8, &'a [u8])>,
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

/// Writes `options`, overloading `file` and `sname` only if the area is too small.
pub(super) fn write(options: &Composed<'_>, room: Room) -> Written {
    let last: usize = options.last.iter().map(|(_, value)| length(value)).sum::<usize>() + 1;
    let whole: usize = options.ordered.iter().map(|(_, value)| length(value)).sum();
    let mut out = Written::default();
    if whole + last <= room.area {
        options.ordered.iter().for_each(|(code, value)| put(&mut out.area, *code, value));
    } else {
        overload(options, room, last, &mut out);
    }
    options.last.iter().for_each(|(code, value)| put(&mut out.area, *code, value));
    out.area.push(code::END);
    out
}

fn overload(options: &Composed<'_>, room: Room, last: usize, out: &mut Written) {
    const OVERLOAD_LENGTH: usize = 3;
    let area = room.area.saturating_sub(last + OVERLOAD_LENGTH);
    for (code, value) in &options.ordered {
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
