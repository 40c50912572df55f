//! The RFCs' requirements, on the wire: the same assertions with the XDP program attached and without it.
//!
//! With it, the kernel gives every answer that it may give (see [`site::Site::extended`]); without it, the daemon
//! gives all. The comment above each test names the requirements that it shows; `tests/CONFORMANCE.md` has all of
//! them.

mod addressing;
mod fields;
mod overload;
mod parameters;
mod relays;
mod site;
mod states;
