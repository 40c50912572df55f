//! Request streams as files, for generators on other machines: `tests/NIC.md` says what to do with them.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;
use system_tests::load::Lane;
use system_tests::process::run;
use system_tests::topology::SERVER_MAC;
use system_tests::wire::Mac;

use crate::asking::Asking;
use crate::{site, step};

/// What `pcap` writes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Streams {
    /// `pcap`: hardware address of the server's NIC
    #[arg(long, value_parser = mac, default_value = "02:53:00:00:00:01", value_name = "MAC")]
    server_mac: Mac,
}

fn mac(text: &str) -> Result<Mac, String> {
    let octets: Result<Vec<u8>, _> = text.split(':').map(|octet| u8::from_str_radix(octet, 16)).collect();
    octets
        .ok()
        .and_then(|octets| octets.try_into().ok())
        .ok_or_else(|| "not like 02:53:00:00:00:01".to_owned())
}

/// Lets clients get leases of a server here, and writes what they would ask a server that honours the same leases.
///
/// # Errors
/// When clients get no leases, or a file can't be written.
pub(crate) fn write(streams: &Streams, clients: u32, asking: Asking, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let lan = site::lan("bench-pcap")?;
    let load = site::load(&lan, asking.by(site::crowd(2 * clients, 2 * clients)))?;
    let server = site::serve_as(&lan, 2 * clients, asking.subnet())?;
    site::lease_all(&load, clients)?;
    load.renew_by(asking.form())?;
    step("writing streams");
    let to_server = |mut frame: Vec<u8>| {
        if frame[..6] == SERVER_MAC {
            frame[..6].copy_from_slice(&streams.server_mac);
        }
        frame
    };
    stream(
        &dir.join("renew.pcap"),
        (0..clients).map(|client| to_server(load.frame(Lane::Renew, client, 1))),
    )?;
    let newcomers = clients..2 * clients;
    stream(
        &dir.join("discover.pcap"),
        newcomers.map(|client| to_server(load.frame(Lane::Discover, client, 1))),
    )?;
    save(&dir.join("leases.jsonl"), &run(&mut server.cli(&["export"])?)?)?;
    save(&dir.join("subnet.toml"), &site::subnet(2 * clients, asking.subnet()))
}

/// Writes frames one microsecond after the other (the format of libpcap 2.4, Ethernet).
fn stream(path: &Path, frames: impl Iterator<Item = Vec<u8>>) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    let mut file = BufWriter::new(File::create(path).with_context(context)?);
    let mut numbers = |numbers: &[u32], octets: &[u8]| -> std::io::Result<()> {
        numbers.iter().try_for_each(|number| file.write_all(&number.to_le_bytes()))?;
        file.write_all(octets)
    };
    // Magic number, version 2.4, no offset to UTC, no claim to accuracy, longest frame, Ethernet.
    numbers(&[0xa1b2_c3d4, 2 | 4 << 16, 0, 0, 65_535, 1], &[]).with_context(context)?;
    for (microsecond, frame) in (0_u32..).zip(frames) {
        let len = u32::try_from(frame.len())?;
        numbers(&[microsecond / 1_000_000, microsecond % 1_000_000, len, len], &frame)
            .with_context(context)?;
    }
    file.flush().with_context(context)?;
    println!("{}", path.display());
    Ok(())
}

fn save(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}
