//! The daemon's side of the packet path: the kernel part, the memory shared with it, frames in and out.
//!
//! ```text
//! kernel.rs    loads, pins; adopts what is pinned (adoption.rs, pins.rs)
//! attachment.rs   the program on interfaces (netlink.rs, occupant.rs; ethtool.rs: offload.rs, transmission.rs)
//! table.rs     the slots that the kernel answers from (memory.rs, answers.rs, chunks.rs, notes.rs, hints.rs)
//! ring.rs      frames up from the program;  packet_socket.rs  frames in without it
//! outbox.rs    frames out (departure.rs: by a packet socket of the link's, sender.rs, or by live_frames.rs from the kernel)
//! echo_socket.rs  ICMP echo, for probes;  lost.rs  what their sockets had no room for
//! frame.rs     replies as frames (body.rs: answers as bytes)
//! ```

pub mod adoption;
pub mod answers;
pub mod attachment;
pub mod body;
pub mod chunks;
pub mod departure;
pub mod echo_socket;
pub mod ethtool;
pub mod frame;
pub mod hints;
pub mod kernel;
pub mod live_frames;
mod lost;
pub mod memory;
pub mod netlink;
pub mod notes;
pub mod occupant;
pub mod offload;
pub mod outbox;
pub mod packet_socket;
pub mod pins;
pub mod ring;
pub mod sender;
pub mod table;
#[cfg(test)]
mod tests;
pub mod transmission;
pub mod watch;
