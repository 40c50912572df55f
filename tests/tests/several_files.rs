//! A configuration of several files, with reservations in one of their own: served from, and read again.

use anyhow::{Result, ensure};
use std::net::Ipv4Addr;
use system_tests::paths::SERVER;
use system_tests::process::run;
use system_tests::server::{Server, Xdp, cli};
use system_tests::topology::Lan;

const SUBNET: &str = "[[subnet]]\nprefix = \"10.0.0.0/24\"\npools = [\"10.0.0.10 - 10.0.0.20\"]\nreservations-file = \"many.csv\"\n";

/// Lines for `many` clients that don't exist, and one for each of `ours`.
fn lines(many: u32, ours: &[(u16, &str)], lan: &Lan) -> String {
    let mut text = String::from("hw-address,address\n");
    let address = |n: u32| Ipv4Addr::from_bits(Ipv4Addr::new(10, 1, 0, 1).to_bits() + n);
    for n in 0..many {
        let [_, a, b, c] = n.to_be_bytes();
        text.push_str(&format!("06:00:00:{a:02x}:{b:02x}:{c:02x},{}\n", address(n)));
    }
    for (n, address) in ours {
        let mac = lan.client(*n).mac.map(|octet| format!("{octet:02x}")).join(":");
        text.push_str(&format!("{mac},{address}\n"));
    }
    text
}

#[test]
fn a_subnet_in_a_file_of_its_own_is_served_and_its_reservations_are_read_again() -> Result<()> {
    let lan = Lan::new("several", SERVER, 24)?;
    let far = "[[subnet]]\nprefix = \"10.1.0.0/16\"\nreservations-file = \"far.csv\"\n";
    lan.world.write("b-near.toml", SUBNET)?;
    lan.world.write("a-far.toml", far)?;
    lan.world.write("far.csv", &lines(20_000, &[], &lan))?;
    lan.world.write("many.csv", &lines(0, &[(1, "10.0.0.77")], &lan))?;
    let server = Server::with_settings(&lan, Xdp::Native, "include = [\"?-*.toml\"]\n[server]\n", "")?;
    ensure!(lan.client(1).dora()?.address == Ipv4Addr::new(10, 0, 0, 77));
    ensure!(lan.client(2).dora()?.address != Ipv4Addr::new(10, 0, 0, 78));

    lan.world.write("many.csv", &lines(0, &[(1, "10.0.0.77"), (3, "10.0.0.78")], &lan))?;
    run(&mut server.cli(&["reload"])?)?;
    ensure!(lan.client(3).dora()?.address == Ipv4Addr::new(10, 0, 0, 78));
    let checked = run(cli()?.arg("check-config").arg(lan.world.dir().join("xdhcpd.toml")))?;
    ensure!(checked.contains("20002 reservations"), "{checked}");
    Ok(())
}
