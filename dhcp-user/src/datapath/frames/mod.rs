//! Frames in and out: up from the program or by packet sockets, and out by sockets or the kernel.
//!
//! Owns the sockets and the frames that wait to leave. May use `leases/` for answers as bytes. Invariant: every lost
//! frame, on the way up or out, is counted where it is lost, and a link that takes nothing holds up no other.
//!
//! ```text
//! ring.rs           frames up from the program (fill.rs: how many wait there)
//! packet_socket.rs  frames in without it (lost.rs: those without room)
//! frame.rs          replies as frames
//! outbox.rs         frames out, by a thread of their own when there are many
//! departure.rs      which way they leave (sender.rs: a packet socket for each link; unsent.rs: failures)
//! echo_socket.rs    ICMP echo, for probes
//! watch.rs          descriptors that the runtime watches
//! ```

pub mod departure;
pub mod echo_socket;
pub mod fill;
pub mod frame;
mod lost;
pub mod outbox;
pub mod packet_socket;
pub mod ring;
pub mod sender;
pub mod unsent;
pub mod watch;
