//! Build and operations tasks of xdhcpd.
fn main() {}
