//! The options that have a name: IANA's registry, by Kea's names.

/// The kind of an option's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One address.
    Address,
    /// The address of a host.
    Host,
    /// Addresses of hosts, one or more.
    Hosts,
    /// Addresses, one or more, of groups too.
    Addresses,
    /// A subnet mask.
    Mask,
    /// Addresses and their masks (RFC 2132, section 4.3).
    Filters,
    /// Destinations, each with its router (RFC 2132, section 5.8).
    ClassfulRoutes,
    /// A number of one octet.
    Unsigned8 { min: u8 },
    /// A number of one octet that is one of these.
    OneOf(&'static [u8]),
    /// A number of two octets.
    Unsigned16 { min: u16 },
    /// Numbers of two octets, one or more.
    Unsigned16s { min: u16 },
    /// A number of four octets.
    Unsigned32,
    /// A number of four octets, perhaps negative.
    Signed32,
    /// True or false.
    Boolean,
    /// Text without a final zero.
    Text,
    /// Octets, in hexadecimal: a value without a simpler form, or a vendor's.
    Octets,
    /// Octets, or a table of options inside this one (RFC 2132, section 8.4).
    Encapsulated,
    /// A domain name as in DNS messages.
    Name,
    /// Domain names, one or more, none compressed.
    Names,
    /// Domain names, compressed as in DNS messages (RFC 3397).
    SearchList,
    /// Destinations and their routers (RFC 3442).
    Routes,
    /// SIP servers, by address or by name (RFC 3361).
    SipServers,
    /// Nothing to configure, and why.
    Ours(&'static str),
}

/// An option that has a name.
pub(super) struct Named {
    pub(super) code: u8,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

const fn option(code: u8, name: &'static str, kind: Kind) -> Named {
    Named { code, name, kind }
}

/// All options that have a name, by code.
#[rustfmt::skip]
pub(super) const REGISTRY: &[Named] = &[
    option(1, "subnet-mask", Kind::Mask),
    option(2, "time-offset", Kind::Signed32),
    option(3, "routers", Kind::Hosts),
    option(4, "time-servers", Kind::Hosts),
    option(5, "name-servers", Kind::Hosts),
    option(6, "domain-name-servers", Kind::Hosts),
    option(7, "log-servers", Kind::Hosts),
    option(8, "cookie-servers", Kind::Hosts),
    option(9, "lpr-servers", Kind::Hosts),
    option(10, "impress-servers", Kind::Hosts),
    option(11, "resource-location-servers", Kind::Hosts),
    option(12, "host-name", Kind::Text),
    option(13, "boot-size", Kind::Unsigned16 { min: 0 }),
    option(14, "merit-dump", Kind::Text),
    option(15, "domain-name", Kind::Text),
    option(16, "swap-server", Kind::Host),
    option(17, "root-path", Kind::Text),
    option(18, "extensions-path", Kind::Text),
    option(19, "ip-forwarding", Kind::Boolean),
    option(20, "non-local-source-routing", Kind::Boolean),
    option(21, "policy-filter", Kind::Filters),
    option(22, "max-dgram-reassembly", Kind::Unsigned16 { min: 576 }),
    option(23, "default-ip-ttl", Kind::Unsigned8 { min: 1 }),
    option(24, "path-mtu-aging-timeout", Kind::Unsigned32),
    option(25, "path-mtu-plateau-table", Kind::Unsigned16s { min: 68 }),
    option(26, "interface-mtu", Kind::Unsigned16 { min: 68 }),
    option(27, "all-subnets-local", Kind::Boolean),
    option(28, "broadcast-address", Kind::Address),
    option(29, "perform-mask-discovery", Kind::Boolean),
    option(30, "mask-supplier", Kind::Boolean),
    option(31, "router-discovery", Kind::Boolean),
    option(32, "router-solicitation-address", Kind::Address),
    option(33, "static-routes", Kind::ClassfulRoutes),
    option(34, "trailer-encapsulation", Kind::Boolean),
    option(35, "arp-cache-timeout", Kind::Unsigned32),
    option(36, "ieee802-3-encapsulation", Kind::Boolean),
    option(37, "default-tcp-ttl", Kind::Unsigned8 { min: 1 }),
    option(38, "tcp-keepalive-interval", Kind::Unsigned32),
    option(39, "tcp-keepalive-garbage", Kind::Boolean),
    option(40, "nis-domain", Kind::Text),
    option(41, "nis-servers", Kind::Hosts),
    option(42, "ntp-servers", Kind::Addresses),
    option(43, "vendor-encapsulated-options", Kind::Encapsulated),
    option(44, "netbios-name-servers", Kind::Hosts),
    option(45, "netbios-dd-server", Kind::Hosts),
    option(46, "netbios-node-type", Kind::OneOf(&[1, 2, 4, 8])),
    option(47, "netbios-scope", Kind::Text),
    option(48, "font-servers", Kind::Hosts),
    option(49, "x-display-manager", Kind::Hosts),
    option(50, "dhcp-requested-address", Kind::Ours("only clients send it")),
    option(51, "dhcp-lease-time", Kind::Ours("write lease-time in the subnet")),
    option(52, "dhcp-option-overload", Kind::Ours("the server sets it where an answer needs it")),
    option(53, "dhcp-message-type", Kind::Ours("the server sets it")),
    option(54, "dhcp-server-identifier", Kind::Ours("write server-id in the subnet")),
    option(55, "dhcp-parameter-request-list", Kind::Ours("only clients send it")),
    option(56, "dhcp-message", Kind::Ours("the server says here why it refuses")),
    option(57, "dhcp-max-message-size", Kind::Ours("only clients send it")),
    option(58, "dhcp-renewal-time", Kind::Ours("write renew-time in the subnet")),
    option(59, "dhcp-rebinding-time", Kind::Ours("write rebind-time in the subnet")),
    option(60, "vendor-class-identifier", Kind::Text),
    option(61, "dhcp-client-identifier", Kind::Ours("the server echoes what the client sends")),
    option(62, "nwip-domain-name", Kind::Text),
    option(63, "nwip-suboptions", Kind::Octets),
    option(64, "nisplus-domain-name", Kind::Text),
    option(65, "nisplus-servers", Kind::Hosts),
    option(66, "tftp-server-name", Kind::Text),
    option(67, "boot-file-name", Kind::Text),
    option(68, "mobile-ip-home-agent", Kind::Hosts),
    option(69, "smtp-server", Kind::Hosts),
    option(70, "pop-server", Kind::Hosts),
    option(71, "nntp-server", Kind::Hosts),
    option(72, "www-server", Kind::Hosts),
    option(73, "finger-server", Kind::Hosts),
    option(74, "irc-server", Kind::Hosts),
    option(75, "streettalk-server", Kind::Hosts),
    option(76, "streettalk-directory-assistance-server", Kind::Hosts),
    option(77, "user-class", Kind::Octets),
    option(78, "slp-directory-agent", Kind::Octets),
    option(79, "slp-service-scope", Kind::Octets),
    option(80, "rapid-commit", Kind::Ours("it would promise an exchange that the server doesn't do")),
    option(81, "fqdn", Kind::Ours("an answer to it depends on what the client sends")),
    option(82, "dhcp-agent-options", Kind::Ours("the server echoes what the relay sends")),
    option(83, "isns", Kind::Octets),
    option(85, "nds-servers", Kind::Hosts),
    option(86, "nds-tree-name", Kind::Text),
    option(87, "nds-context", Kind::Text),
    option(88, "bcms-controller-names", Kind::Names),
    option(89, "bcms-controller-address", Kind::Hosts),
    option(90, "authenticate", Kind::Ours("an authenticated answer is different each time")),
    option(91, "client-last-transaction-time", Kind::Ours("it belongs to the answers to a leasequery")),
    option(92, "associated-ip", Kind::Ours("it belongs to the answers to a leasequery")),
    option(93, "client-system", Kind::Unsigned16s { min: 0 }),
    option(94, "client-ndi", Kind::Octets),
    option(97, "uuid-guid", Kind::Ours("the server echoes what a PXE client sends")),
    option(98, "uap-servers", Kind::Text),
    option(99, "geoconf-civic", Kind::Octets),
    option(100, "pcode", Kind::Text),
    option(101, "tcode", Kind::Text),
    option(108, "v6-only-preferred", Kind::Unsigned32),
    option(112, "netinfo-server-address", Kind::Hosts),
    option(113, "netinfo-server-tag", Kind::Text),
    option(114, "v4-captive-portal", Kind::Text),
    option(116, "auto-config", Kind::OneOf(&[0, 1])),
    option(117, "name-service-search", Kind::Unsigned16s { min: 0 }),
    option(118, "subnet-selection", Kind::Ours("the server echoes what the client sends")),
    option(119, "domain-search", Kind::SearchList),
    option(120, "sip-servers", Kind::SipServers),
    option(121, "classless-static-route", Kind::Routes),
    option(122, "cablelabs-client-configuration", Kind::Octets),
    option(123, "geoconf", Kind::Octets),
    option(124, "vivco-suboptions", Kind::Octets),
    option(125, "vivso-suboptions", Kind::Octets),
    option(136, "pana-agent", Kind::Hosts),
    option(137, "v4-lost", Kind::Name),
    option(138, "capwap-ac-v4", Kind::Hosts),
    option(139, "mos-addresses", Kind::Octets),
    option(140, "mos-names", Kind::Octets),
    option(141, "sip-ua-cs-domains", Kind::Names),
    option(142, "andsf-addresses", Kind::Hosts),
    option(143, "v4-sztp-redirect", Kind::Octets),
    option(144, "geoloc", Kind::Octets),
    option(146, "rdnss-selection", Kind::Octets),
    option(150, "tftp-server-address", Kind::Hosts),
    option(159, "v4-portparams", Kind::Octets),
    option(162, "v4-dnr", Kind::Octets),
    option(208, "pxelinux-magic", Kind::Octets),
    option(209, "pxelinux-config-file", Kind::Text),
    option(210, "pxelinux-path-prefix", Kind::Text),
    option(211, "pxelinux-reboot-time", Kind::Unsigned32),
    option(212, "option-6rd", Kind::Octets),
    option(213, "v4-access-domain", Kind::Name),
    option(220, "subnet-allocation", Kind::Octets),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_rise_and_names_are_unique() {
        assert!(REGISTRY.windows(2).all(|pair| pair[0].code < pair[1].code));
        let names: std::collections::HashSet<_> = REGISTRY.iter().map(|option| option.name).collect();
        assert_eq!(names.len(), REGISTRY.len());
        assert!(names.iter().all(|name| !name.starts_with("code-")));
    }
}
