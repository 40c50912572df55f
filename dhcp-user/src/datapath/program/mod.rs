//! The XDP program in the kernel: loads it, pins it, adopts it from an earlier daemon, attaches it to interfaces.
//!
//! Owns the loaded object, the pins and the attachments. May use the memory of `leases/`, the data of `interfaces/`,
//! and the frames that `frames/` has to send. Invariant: however the daemon ends, an attached program has its maps
//! pinned beside it, and all of them are of one instance.
//!
//! ```text
//! kernel.rs      loads the program over pinned or new maps, and sets its interfaces and addresses
//! object.rs      the BPF object: its maps and their sizes
//! pins.rs        the pins of all that outlives the daemon
//! adoption.rs    takes over what an earlier daemon left there
//! attachment.rs  the program on interfaces (occupant.rs: others' programs; offload.rs, transmission.rs: limits of drivers)
//! capture.rs     the program that copies frames, while somebody captures
//! diagnosis.rs   the program's log of frames, in names
//! holding.rs     holds open what is pinned, and pins it again where the pins are gone
//! identity.rs    which object a descriptor stands for
//! neighbours.rs  others' programs: one that calls ours, one that ours calls
//! live_frames.rs many frames sent by a system call, through the program
//! ```

pub mod adoption;
pub mod attachment;
pub mod capture;
pub mod diagnosis;
mod holding;
mod identity;
pub mod kernel;
pub mod live_frames;
pub mod neighbours;
pub mod object;
pub mod occupant;
pub mod offload;
pub mod pins;
pub mod transmission;
