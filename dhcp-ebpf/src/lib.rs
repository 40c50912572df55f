//! The packet logic of xdhcpd and the memory it shares with the daemon.
//!
//! One library, two lives: compiled for the BPF target it is the inside of the XDP program
//! (`src/main.rs` and `src/kernel/` are only its edge), compiled for the host it is tested, simulated and used
//! by the daemon, so that both sides write the same bytes and judge a lease the same way.
#![no_std]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod abi;
pub mod checksum;
pub mod frame;
pub mod leads;
pub mod lease;
pub mod publish;
pub mod question;
pub mod renewal;
pub mod reply;
pub mod request;
pub mod slot;
pub mod verdict;
pub mod wire;
