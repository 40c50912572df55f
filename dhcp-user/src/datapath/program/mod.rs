//! The XDP program in the kernel: loaded, pinned, adopted from an earlier daemon, attached to interfaces.
//!
//! Owns the loaded object, the pins and the attachments. May use the memory of `leases/`, what `interfaces/` says, and the
//! frames that `frames/` has to send. Invariant: whatever ends the daemon, a program that is attached has its maps pinned
//! beside it, and all of them are of one instance.
//!
//! ```text
//! kernel.rs      loads the program over pinned or new maps, and tells it of interfaces and addresses
//! object.rs      the BPF object: its maps and their sizes
//! pins.rs        where all that outlives the daemon is pinned
//! adoption.rs    what an earlier daemon left there
//! attachment.rs  the program on interfaces (occupant.rs: others' programs; offload.rs, transmission.rs: what drivers can't do)
//! capture.rs     the program that copies frames, while somebody captures
//! diagnosis.rs  what the program says of frames, in names
//! live_frames.rs many frames sent by a system call, through the program
//! ```

pub mod adoption;
pub mod attachment;
pub mod capture;
pub mod diagnosis;
pub mod kernel;
pub mod live_frames;
pub mod object;
pub mod occupant;
pub mod offload;
pub mod pins;
pub mod transmission;
