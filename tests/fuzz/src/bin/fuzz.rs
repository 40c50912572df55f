//! libFuzzer around one target, which `XDHCPD_FUZZ_TARGET` names: run by `cargo xtask fuzz`.
#![no_main]

use std::sync::LazyLock;

use fuzz::target::{self, Target};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("XDHCPD_FUZZ_TARGET").unwrap_or_default();
    let names = || target::ALL.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    target::named(&name).unwrap_or_else(|| panic!("XDHCPD_FUZZ_TARGET={name} is none of {}", names()))
});

fuzz_target!(|octets: &[u8]| (TARGET.run)(octets));
