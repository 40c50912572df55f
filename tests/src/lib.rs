//! Harness of the whole-system tests: private worlds to run a server in, and clients to ask it with.
//!
//! It knows the server only from outside: frames on a wire, its command line, its JSON. Lengths, checksums and
//! options are read here by plain arithmetic of its own, so that a mistake shared by kernel and daemon still shows.

pub mod answer;
pub mod arp;
pub mod browser;
pub mod client;
pub mod confine;
pub mod echo;
pub mod etcd;
pub mod expect;
pub mod faults;
pub mod full_disk;
pub mod http;
pub mod inject;
pub mod kea;
pub mod load;
pub mod mangle;
pub mod namespace;
pub mod nic;
pub mod packet;
pub mod pass;
pub mod paths;
pub mod perfdhcp;
pub mod picture;
pub mod pinned;
pub mod process;
pub mod program;
pub mod pty;
pub mod real;
pub mod request;
pub mod resident;
pub mod scene;
pub mod segment;
pub mod server;
pub mod topology;
pub mod wait;
pub mod wire;
pub mod world;
