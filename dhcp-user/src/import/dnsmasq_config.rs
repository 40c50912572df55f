//! dnsmasq's configuration, as far as it is about DHCP: `dnsmasq.conf`.

use super::dnsmasq_hosts::hosts;
use super::dnsmasq_options::{boot, option};
use super::dnsmasq_ranges::Range;
use super::dnsmasq_syntax::{Files, Line, Wanted, parse};
use super::dnsmasq_tags::Tags;
use super::draft::{Block, Draft, quoted};
use super::draft_subnets::interface_blocks;
use super::origin::{At, Unreadable};

/// Reads `file` and those it names; `interfaces` are those to serve, instead of the file's.
///
/// # Errors
/// [`Unreadable`] if one of them can't be read.
pub fn dnsmasq_config(file: &str, interfaces: &[String], files: &Files<'_>) -> Result<Draft, Unreadable> {
    let lines = parse(file, files)?;
    let start = At::start_of(file);
    let mut server = Block::new("[server]", &start);
    let mut tags = Tags::of(&lines);
    let mut ranges = Vec::new();
    let (mut served, mut authoritative, mut domain, mut bootp) = (Vec::new(), None, Vec::new(), false);
    for line in &lines {
        match line.key.as_str() {
            "interface" => {
                served.extend(line.parts().into_iter().map(|name| (line.at.clone(), name.to_owned())));
            }
            "dhcp-authoritative" => authoritative = Some(line.at.clone()),
            "bootp-dynamic" => bootp = true,
            "domain" => domain.push(line),
            "dhcp-range" => match Range::of(line) {
                Ok(range) => ranges.push(range),
                Err(why) => server.note(&line.at, format!("{}: {why}", line.shown())),
            },
            "dhcp-host" | "dhcp-option" | "dhcp-option-force" | "dhcp-boot" => {}
            _ if Tags::has(line) => {}
            "dhcp-ignore" => {
                if let Err(why) = tags.ignore_tagged(line) {
                    server.note(&line.at, format!("{}: {why}", line.shown()));
                }
            }
            _ => server.note(&line.at, format!("{}: {}", line.shown(), meaning(line))),
        }
    }
    let of_ranges: Vec<&str> = ranges.iter().flat_map(|range| &range.sets).map(String::as_str).collect();
    for line in lines
        .iter()
        .filter(|line| matches!(line.key.as_str(), "dhcp-option" | "dhcp-option-force" | "dhcp-boot"))
    {
        let wanted = Wanted::of(line);
        match tags.home(&wanted, &of_ranges) {
            Ok(home) => home.push(line.clone()),
            Err(why) => server.note(&line.at, format!("{}: {why}", line.shown())),
        }
    }
    for line in std::mem::take(&mut tags.everybody) {
        if line.key == "dhcp-boot" {
            tags.boot.push(line);
        } else {
            option(&mut server, &line);
        }
    }
    for line in domain {
        match line.parts().as_slice() {
            [name] if !server.has("options.domain-name") => {
                server.key(&line.at, "options.domain-name", quoted(name));
            }
            _ => server
                .note(&line.at, format!("{}: write options.domain-name into the [[subnet]]", line.shown())),
        }
    }
    let mut blocks = Vec::new();
    let mut subnets: Vec<Vec<Block>> = Vec::new();
    for range in &ranges {
        let prefix = range.prefix();
        let same = |blocks: &&mut Vec<Block>| {
            blocks.first().and_then(|block| block.value("prefix")) == Some(quoted(&prefix).as_str())
        };
        if let Some(home) = subnets.iter_mut().find(same) {
            home.extend(range.pool(&mut tags));
            continue;
        }
        let mut block = Block::new("[[subnet]]", &range.at);
        range.subnet(&mut block, authoritative.as_ref(), bootp);
        for line in &tags.boot {
            boot(&mut block, line);
        }
        if !server.has("options.routers") {
            block.note(&range.at, "dnsmasq names itself as the router and the DNS server where no option does: write options.routers and options.domain-name-servers");
        }
        subnets.push(std::iter::once(block).chain(range.pool(&mut tags)).collect());
    }
    hosts(&lines, &mut tags, &mut subnets, &mut server);
    tags.classes(&mut blocks);
    tags.unused(&mut server);
    let named: Vec<String> =
        served.iter().map(|(_, name)| name.clone()).filter(|name| name != "lo").collect();
    let interface_at = served.first().map_or(start, |(at, _)| at.clone());
    let interfaces = if interfaces.is_empty() { &named } else { interfaces };
    let interfaces = interface_blocks(interfaces, &interface_at, "no interface is named there");
    let mut all = vec![server];
    all.extend(interfaces);
    all.extend(blocks);
    all.extend(subnets.into_iter().flatten());
    Ok(Draft { blocks: all })
}

fn meaning(line: &Line) -> &'static str {
    match line.key.as_str() {
        "dhcp-leasefile" | "leasefile-ro" => {
            "leases are kept below [server] state-dir; bring them along with `xdhcpd import-leases`"
        }
        "dhcp-script" | "dhcp-luascript" | "script-arp" | "script-on-renewal" | "dhcp-scriptuser" => {
            "programs that are run for leases aren't brought along"
        }
        "dhcp-lease-max" => "the pools are the limit",
        "dhcp-sequential-ip" => "addresses are given in an order of the server's own",
        "no-ping" => "addresses are probed as `probe` says",
        "dhcp-no-override" => "options 66 and 67 and the fields of the header are each set by their own key",
        "dhcp-rapid-commit" => "the two-message exchange (RFC 4039) isn't spoken",
        "dhcp-fqdn"
        | "dhcp-client-update"
        | "dhcp-generate-names"
        | "dhcp-ignore-names"
        | "dhcp-ignore-clid" => "names aren't written into the DNS by this server",
        "dhcp-relay"
        | "dhcp-proxy"
        | "dhcp-alternate-port"
        | "dhcp-broadcast"
        | "dhcp-pxe-vendor"
        | "dhcp-ttl"
        | "dhcp-reply-delay"
        | "dhcp-duid" => "there is no such setting here; what it did isn't done",
        "pxe-service" | "pxe-prompt" => {
            "PXE menus aren't made; give boot-file-name to a [[class]] by architecture"
        }
        "read-ethers" => "/etc/ethers isn't read: write reservations",
        "except-interface"
        | "no-dhcp-interface"
        | "no-dhcpv4-interface"
        | "listen-address"
        | "bind-interfaces"
        | "bind-dynamic" => "only interfaces with an [[interface]] are served",
        "enable-ra" | "ra-param" | "dhcp-prefix-class" => {
            "DHCPv6 and router advertisements are another server's"
        }
        "enable-tftp" | "tftp-root" | "tftp-secure" | "tftp-no-fail" | "tftp-unique-root" => {
            "files are another server's: name it with next-server"
        }
        "log-dhcp" | "log-facility" | "log-queries" | "log-async" | "quiet-dhcp" => {
            "messages go to standard error, and so to the journal"
        }
        "user" | "group" | "pid-file" => "the unit says as whom the daemon runs",
        "tag-if" => "tags aren't computed here; write the [[class]] out",
        key if key.starts_with("dhcp") => "there is no such setting here; what it did isn't done",
        _ => "it is about the DNS, or unknown, and not this server's",
    }
}
