//! The NICs of the emulated machine: two of each kind, joined by a wire that this kernel makes.
//!
//! A wire is a bridge with a tap at each end, so that NICs have the offloads and queues that they have in any virtual machine.

use std::process::Command;

use anyhow::Result;

use crate::process;

/// Makes the wires, then runs the machine.
const SCRIPT: &str = include_str!("wires.sh");

/// NICs that qemu emulates.
struct Nic {
    device: &'static str,
    /// The driver, and the test of it.
    driver: &'static str,
    queues: u8,
}

const NICS: [Nic; 5] = [
    Nic { device: "virtio-net-pci", driver: "virtio_net", queues: 1 },
    // Two for two processors, and two more that they send by out of a program.
    Nic { device: "virtio-net-pci", driver: "virtio_net", queues: 4 },
    Nic { device: "vmxnet3", driver: "vmxnet3", queues: 1 },
    Nic { device: "e1000e", driver: "e1000e", queues: 1 },
    Nic { device: "igb", driver: "igb", queues: 1 },
];

/// The NICs that this qemu has.
pub(super) struct Wires {
    has: Vec<&'static Nic>,
    lacks: Vec<&'static Nic>,
}

impl Wires {
    /// Looks which there can be.
    pub(super) fn of(emulator: &str) -> Result<Self> {
        let known = process::output(Command::new(emulator).args(["-device", "help"]))?;
        let (has, lacks) = NICS.iter().partition(|nic| known.contains(&format!("name \"{}\"", nic.device)));
        Ok(Self { has, lacks })
    }

    /// The drivers that can't be tried.
    pub(super) fn lacking(&self) -> Vec<&'static str> {
        self.lacks.iter().map(|nic| nic.driver).collect()
    }

    /// The beginning of a command that runs the emulator between the wires.
    pub(super) fn around(&self, emulator: &str) -> Result<Command> {
        let mut command = process::as_root("unshare")?;
        let pairs: Vec<String> = self
            .has
            .iter()
            .enumerate()
            .map(|(number, nic)| format!("{number}:{}", if nic.queues > 1 { "multi_queue" } else { "" }))
            .collect();
        command.args(["--net", "/bin/sh", "-c", SCRIPT, "wires", &pairs.join(" "), emulator]);
        Ok(command)
    }

    /// What the emulator is told of the NICs.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        for (number, Nic { device, queues, .. }) in self.has.iter().enumerate() {
            for side in [1, 2] {
                let end = format!("wire{number}-{side}");
                let queues_of = if *queues > 1 { format!(",queues={queues}") } else { String::new() };
                let several = if *queues > 1 { ",mq=on" } else { "" };
                let mac = format!("52:54:00:{number:02x}:00:{side:02x}");
                arguments.extend([
                    "-netdev".to_owned(),
                    format!("tap,id={end},ifname={end},script=no,downscript=no,vhost=off{queues_of}"),
                    // Each in a slot of its own: igb takes the place of many.
                    "-device".to_owned(),
                    format!("pcie-root-port,id=port-{end},chassis={}", 2 * number + side),
                    "-device".to_owned(),
                    // No boot ROM: nobody boots from the network.
                    format!("{device},bus=port-{end},netdev={end},mac={mac},romfile={several}"),
                ]);
            }
        }
        arguments
    }
}
