//! Parity: the loaded XDP program, the host's build of the packet logic and the daemon's own encoder get the same frame and
//! the same leases. Verdict, counter and frame are the same of the first two always; where they answer, the daemon gives
//! the same frame.
//!
//! ```text
//! shape, place     real clients' messages, and where clients are
//! draft, change    a message, and what may be otherwise about it
//! host, loaded     the packet logic, once here and once in the kernel
//! world            server, clients, and steps; what is different is an error
//! run              steps by the million; what fails is shrunk to a few
//! case             failures that were, by name
//! seed             where a run begins
//! ```

pub mod case;
pub mod change;
pub mod draft;
pub mod host;
pub mod loaded;
pub mod location;
pub mod run;
pub mod seed;
#[path = "../../../devices/mod.rs"]
#[allow(clippy::expect_used, reason = "shared with the daemon's own tests")]
pub(crate) mod shape;
pub mod world;
