//! The shapes in `shapes.txt`, read, and the option areas that a device of a shape sends.

use std::net::Ipv4Addr;

/// Which of its messages a device sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Discover,
    Select,
    Renew,
    Rebind,
    Reboot,
}

/// A kind of device, by what it asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    pub(crate) name: String,
    /// It sends renewals to all.
    pub(crate) broadcasts: bool,
    /// Its renewals leave ciaddr out.
    pub(crate) without_ciaddr: bool,
    class: String,
    list: Vec<u8>,
    discover: String,
    select: String,
    renew: String,
    rebind: Option<String>,
    reboot: Option<String>,
}

/// One device and what it was told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Device {
    pub(crate) mac: [u8; 6],
    pub(crate) address: Ipv4Addr,
    pub(crate) server: Ipv4Addr,
    /// How many messages it sent before: what changes each time follows from this.
    pub(crate) sent: u32,
}

/// All shapes there are.
pub(crate) fn shapes() -> Vec<Shape> {
    let mut shapes: Vec<Shape> = Vec::new();
    let lines = include_str!("shapes.txt").lines().map(str::trim);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "device" {
            shapes.push(Shape { name: rest.to_owned(), ..Shape::default() });
            continue;
        }
        let shape = shapes.last_mut().expect("a device before what it does");
        match word {
            "class" => rest.clone_into(&mut shape.class),
            "list" => shape.list = rest.split(' ').map(|code| code.parse().expect("a code")).collect(),
            "discover" => rest.clone_into(&mut shape.discover),
            "select" => rest.clone_into(&mut shape.select),
            "renew" => rest.clone_into(&mut shape.renew),
            "rebind" => shape.rebind = Some(rest.to_owned()),
            "reboot" => shape.reboot = Some(rest.to_owned()),
            "broadcasts" => shape.broadcasts = true,
            "without-ciaddr" => shape.without_ciaddr = true,
            other => panic!("{}: {other}", shape.name),
        }
    }
    shapes
}

impl Shape {
    /// Whether it asks for its address again when it was switched off.
    pub(crate) fn reboots(&self) -> bool {
        self.reboot.is_some()
    }

    /// The option area, END included, of one of its messages.
    pub(crate) fn area(&self, message: Message, device: &Device) -> Vec<u8> {
        let tokens = match message {
            Message::Discover => &self.discover,
            Message::Select => &self.select,
            Message::Renew => &self.renew,
            Message::Rebind => self.rebind.as_ref().unwrap_or(&self.renew),
            Message::Reboot => self.reboot.as_ref().expect("a device that reboots"),
        };
        let kind = if message == Message::Discover { 1 } else { 3 };
        let mut area = Vec::new();
        for token in tokens.split(' ') {
            if let Some(total) = token.strip_prefix("fill:") {
                area.resize(total.parse::<usize>().expect("a number") - 1, 0);
            } else if let Some(zeros) = token.strip_prefix("pad*") {
                area.resize(area.len() + zeros.parse::<usize>().expect("a number"), 0);
            } else {
                let (code, value) = self.option(token, kind, device);
                area.extend([code, u8::try_from(value.len()).expect("short")]);
                area.extend(value);
            }
        }
        area.push(255);
        area
    }

    fn option(&self, token: &str, kind: u8, device: &Device) -> (u8, Vec<u8>) {
        let code = |text: &str| text.parse().unwrap_or_else(|_| panic!("{}: {token}", self.name));
        if let Some((number, octets)) = token.split_once('~') {
            let octets = octets.parse().unwrap_or(4);
            let changing = (0x5eed_0000 - 977 * device.sent).to_be_bytes();
            return (code(number), changing.into_iter().cycle().take(octets).collect());
        }
        if let Some((number, value)) = token.split_once('=') {
            let number = code(number);
            return (number, given(number, value, device));
        }
        let host = format!("dev-{}", u32::from(device.mac[5]) * 37);
        let code = code(token);
        let value = match code {
            12 => host.into_bytes(),
            50 => device.address.octets().to_vec(),
            53 => vec![kind],
            54 => device.server.octets().to_vec(),
            55 => self.list.clone(),
            60 => self.class.clone().into_bytes(),
            61 => [&[1][..], &device.mac].concat(),
            80 => Vec::new(),
            81 => [&[0, 0, 0][..], host.as_bytes()].concat(),
            93 => vec![0, 7],
            94 => vec![1, 3, 16],
            97 => [&[0, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7][..], &device.mac].concat(),
            other => panic!("{}: {other} has no value of its own", self.name),
        };
        (code, value)
    }
}

/// The value that a token gives.
fn given(code: u8, value: &str, device: &Device) -> Vec<u8> {
    if value == "duid" {
        return [&[255][..], &device.mac[2..], &[0, 1, 0, 1, 0x2a, 0, 0, 1], &device.mac].concat();
    }
    if let Some(hex) = value.strip_prefix("hex:") {
        return hex
            .as_bytes()
            .chunks(2)
            .map(|pair| {
                u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal")
            })
            .collect();
    }
    let number: u32 = value.parse().expect("a number");
    let width = match code {
        51 => 4,
        57 => 2,
        _ => 1,
    };
    number.to_be_bytes()[4 - width..].to_vec()
}
