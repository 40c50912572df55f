//! An `[[interface]]`: where frames come in.

use std::num::NonZeroU32;

use super::probe::Probe;
use super::section::Section;
use super::value::Value;

/// The longest name the kernel gives an interface (`IFNAMSIZ` less the final zero).
const LONGEST_NAME: usize = 15;

/// An interface that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's name of it.
    pub name: String,
    /// How the XDP program is attached.
    pub xdp: XdpMode,
    /// Whether addresses of its subnets are probed, if it is to be otherwise than the server has it.
    pub probe: Option<Probe>,
    /// Messages a second that begin something new, of each link (untagged, or by VLAN ids), that are looked at.
    pub rate_limit: Option<NonZeroU32>,
    /// The same of each port of a relay.
    pub circuit_rate_limit: Option<NonZeroU32>,
    /// Whether option 82 is believed that comes without a relay: the switches there see to it that no client sends any.
    pub trust_agent_information: bool,
}

/// How the XDP program is attached to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver where that is known to send what the program answers, else in the stack.
    Auto,
    /// In the driver, or not at all.
    Native,
    /// In the stack (skb mode).
    Generic,
    /// Not attached: another's program, which is, calls it.
    External,
    /// Not attached: the daemon answers everything.
    Off,
}

impl XdpMode {
    const ALL: [Self; 5] = [Self::Auto, Self::Native, Self::Generic, Self::External, Self::Off];

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Generic => "generic",
            Self::External => "external",
            Self::Off => "off",
        }
    }
}

impl Interface {
    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let name = section.required("name", "\"eth0\"", interface_name);
        let xdp =
            section.or("xdp", XdpMode::Auto, |v| v.one_of(XdpMode::ALL.map(|mode| (mode.name(), mode))));
        let probe = section.optional("probe", Probe::read);
        let rate_limit = section.optional("rate-limit", Value::rate);
        let circuit_rate_limit = section.optional("circuit-rate-limit", Value::rate);
        let trust_agent_information = section.or("trust-agent-information", false, Value::boolean);
        section.finish();
        Some(Self {
            name: name?,
            xdp: xdp?,
            probe: probe?,
            rate_limit: rate_limit?,
            circuit_rate_limit: circuit_rate_limit?,
            trust_agent_information: trust_agent_information?,
        })
    }
}

fn interface_name(value: Value<'_>) -> Option<String> {
    let text = value.text("an interface's name")?;
    let fits = (1..=LONGEST_NAME).contains(&text.len());
    if fits
        && text != "."
        && text != ".."
        && !text.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
    {
        Some(text.to_owned())
    } else {
        value.refuse(format!(
            "\"{}\" can't be an interface: a name has 1 to {LONGEST_NAME} octets without space, '/' and ':' (see `ip link`)",
            text.escape_default()
        ))
    }
}
