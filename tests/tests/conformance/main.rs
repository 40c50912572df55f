//! What the RFCs ask, on the wire: the same assertions with the XDP program attached and without it.
//!
//! With it, every answer that the kernel may give is the kernel's (see [`site::Site::extended`]); without it, all are the
//! daemon's. Above each test stands what it shows; `tests/CONFORMANCE.md` is the whole.

mod addressing;
mod fields;
mod overload;
mod parameters;
mod relays;
mod site;
mod states;
