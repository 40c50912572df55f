//! The kernel's side of the packet logic's traits.
pub mod capture;
pub mod live;
pub mod maps;
pub mod neighbours;
pub mod packet;
pub mod ring;
