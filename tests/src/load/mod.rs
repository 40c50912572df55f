//! Clients by the million: DORA, renewals, releases at any rate, sent and judged in the kernel.
//!
//! ```text
//!   server namespace               client namespace
//!   ┌───────────────┐              ┌──────────────────────────────────────────────────┐
//!   │ the server    │     veth     │  receive (XDP): judges every reply,              │
//!   │          srv0 │══════════════│  cli0    answers an OFFER with its REQUEST       │
//!   └───────────────┘              │  renew, discover, … (BPF_PROG_TEST_RUN with live │
//!                                  │          frames): write a request, XDP_TX        │
//!                                  └──────────────────────────────────────────────────┘
//! ```
//!
//! A client is a number: its hardware address follows from it, and one word of shared memory says how far it has come.
//! Renewals go through the clients in order, which is no order for the server: they got their leases shuffled.

mod exchange;
mod frames;
mod held;
mod histogram;
mod memory;
mod object;
mod observe;
mod report;
mod run;
mod sender;
mod template;

pub use held::Held;
pub use histogram::Histogram;
pub use load_ebpf::counts::Count;
pub use load_ebpf::lane::Lane;
pub use report::{Counts, Report, WrongReplies};
pub use sender::Pace;
pub use template::{Form, Relay, Sorts, Way};

use anyhow::{Context, Result};
use load_ebpf::client::Word;
use load_ebpf::lane::{CELLS, SORTS};
use load_ebpf::programs;
use nix::net::if_::if_nametoindex;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::client::ServerAddress;
use crate::namespace::{End, Namespace};
use crate::pass::Pass;
use crate::topology::{CLIENT_IF, Lan};
use object::Object;
use template::{LaneCells, Templates, as_number, templates};

/// The clients' end of the reflector's link.
const REFLECTED_IF: &str = "cli1";
/// The reflector's own end, in the server's namespace.
pub const REFLECTOR_IF: &str = "srv1";
/// How often counters are looked at while something runs.
const LOOK: Duration = Duration::from_millis(2);

/// Who the clients are.
#[derive(Clone, Debug)]
pub struct Crowd {
    /// How many there may be.
    pub clients: u32,
    /// The first address that the server may give.
    pub first_address: Ipv4Addr,
    /// How many addresses there are from it to the last that the server may give.
    pub addresses: u32,
    /// How they reach the server. Of clients that are mixed, only some are behind the relay.
    pub way: Way,
    /// What they send.
    pub sorts: Sorts,
}

/// A stream of requests.
#[derive(Clone, Debug)]
pub struct Stream {
    /// What is asked.
    pub lane: Lane,
    /// Whom.
    pub target: Target,
    /// Which clients ask.
    pub clients: Range<u32>,
    /// How fast.
    pub pace: Pace,
    /// Whose turn it is first, of clients that look for a lease.
    pub turn: u32,
    /// After how long clients that look for a lease in vain begin anew, if they do.
    pub again_after: Option<Duration>,
    /// Whether answers are timed, which costs the clients' side some 30 ns a request.
    pub timed: bool,
}

impl Stream {
    /// Renewals of clients 0 to `clients`, timed unless they are sent at full rate.
    #[must_use]
    pub fn renewals(clients: u32, pace: Pace) -> Self {
        let timed = pace != Pace::Full;
        Self {
            lane: Lane::Renew,
            target: Target::Server,
            clients: 0..clients,
            pace,
            turn: 0,
            again_after: None,
            timed,
        }
    }

    /// Clients that look for a lease, and begin anew after two seconds in vain.
    #[must_use]
    pub fn newcomers(clients: Range<u32>, pace: Pace) -> Self {
        Self {
            lane: Lane::Discover,
            target: Target::Server,
            turn: clients.start,
            clients,
            pace,
            again_after: Some(Duration::from_secs(2)),
            timed: true,
        }
    }
}

/// Where a stream is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The server.
    Server,
    /// A link of its own, whose far end sends every frame back as it is: the most that any server could do.
    Reflector,
}

/// The clients' end of a link to a server.
#[derive(Clone, Copy, Debug)]
pub struct ClientEnd<'a> {
    /// Where the interface is.
    pub namespace: &'a Namespace,
    /// Its name.
    pub interface: &'a str,
    /// The program on it, which the generator's takes the place of.
    pub pass: &'a Pass,
    /// Queues of the link each way.
    pub queues: usize,
    /// How clients address the server.
    pub server: ServerAddress,
    /// Who counts what does not leave.
    pub drops: Drops,
}

/// Who counts requests that the interface does not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drops {
    /// The interface itself, as veth does: that costs nothing.
    Told,
    /// The kernel is watched: drivers of NICs do not agree on what they tell.
    Traced,
}

impl<'a> From<&'a Lan> for ClientEnd<'a> {
    fn from(lan: &'a Lan) -> Self {
        Self {
            namespace: &lan.clients,
            interface: CLIENT_IF,
            pass: &lan.pass,
            queues: lan.queues,
            server: lan.server_address,
            drops: Drops::Told,
        }
    }
}

/// The link to the reflector.
#[derive(Debug)]
struct Reflector {
    ifindex: u32,
    _near: Pass,
    far: Pass,
}

/// The generator on the clients' end of a link.
#[derive(Debug)]
pub struct Load<'a> {
    end: ClientEnd<'a>,
    object: Object,
    to_server: u32,
    reflector: Option<Reflector>,
    _in_use: InUse,
    cpus: Vec<usize>,
    crowd: Crowd,
}

impl<'a> Load<'a> {
    /// Puts the receiving program on the clients' end of a link. What concerns nobody of the crowd still passes.
    ///
    /// # Errors
    /// Without the generator's BPF object, or when the kernel refuses.
    pub fn new(end: impl Into<ClientEnd<'a>>, crowd: Crowd) -> Result<Self> {
        let end = end.into();
        let mut object = Object::load(crowd.clients, crowd.addresses)?;
        end.pass.replace(object.program(programs::RECEIVE)?.fd()?)?;
        let to_server = end
            .namespace
            .enter(|| if_nametoindex(end.interface))?
            .with_context(|| format!("no interface {} for the clients", end.interface))?;
        if end.drops == Drops::Traced {
            object.trace_drops(to_server)?;
        }
        object.pool.write(0, &[as_number(crowd.first_address)]);
        // One CPU to a queue: then what it sends is received on it, too, and no queue overflows behind its back.
        let cpus = allowed_cpus()?.into_iter().take(end.queues).collect();
        let in_use = keep_in_use(&object)?;
        let load = Self { end, object, to_server, reflector: None, _in_use: in_use, cpus, crowd };
        load.set_lanes()?;
        Ok(load)
    }

    /// Makes a second link like the first, with a reflector at its far end.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn add_reflector(&mut self, lan: &Lan) -> Result<()> {
        let [near, far] = [(REFLECTED_IF, 3), (REFLECTOR_IF, 4)];
        let end = |(name, last)| End { name, mac: [0x02, 0x52, 0, 0, 0, last], address: None };
        lan.clients.join_by(self.cpus.len(), &end(near), &lan.server, &end(far))?;
        let program = |name| -> Result<_> { Ok(self.object.program(name)?.fd()?) };
        let near_end = Pass::attach_other(&lan.clients, near.0, program(programs::RECEIVE)?)?;
        let far = Pass::attach_other(&lan.server, far.0, program(programs::REFLECT)?)?;
        let ifindex = lan.clients.enter(|| if_nametoindex(near.0))??;
        self.reflector = Some(Reflector { ifindex, _near: near_end, far });
        Ok(())
    }

    /// Puts the floor in the reflector's place while `work` is done.
    ///
    /// # Errors
    /// Without a reflector, or when the kernel refuses.
    pub fn on_the_floor<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let far = &self.reflector.as_ref().context("there is no reflector")?.far;
        far.replace(self.object.program(programs::FLOOR)?.fd()?)?;
        let done = work();
        far.replace(self.object.program(programs::REFLECT)?.fd()?)?;
        done
    }

    /// Who the clients are.
    #[must_use]
    pub fn crowd(&self) -> &Crowd {
        &self.crowd
    }

    fn set_lanes(&self) -> Result<()> {
        self.set_lane(Lane::Discover, |templates| templates.discover())?;
        self.set_lane(Lane::Select, |templates| templates.select())?;
        self.set_lane(Lane::Release, |templates| templates.release())?;
        self.set_lane(Lane::Decline, |templates| templates.decline())?;
        self.renew_by(Form::Renewing)
    }

    /// From now on clients extend their leases in this form.
    ///
    /// # Errors
    /// When the request would be longer than the generator's frames.
    pub fn renew_by(&self, form: Form) -> Result<()> {
        self.set_lane(Lane::Renew, |templates| templates.renew(form))
    }

    /// Makes the frames of a lane, one for each sort of clients.
    fn set_lane(&self, lane: Lane, cells: impl Fn(&Templates<'_>) -> Result<LaneCells>) -> Result<()> {
        let all = templates(self.end.server, &self.crowd.way, self.crowd.sorts);
        for (sort, templates) in all.iter().enumerate() {
            self.object.lanes.write((lane as usize * SORTS + sort) * CELLS, &cells(templates)?);
        }
        Ok(())
    }

    /// Octets before the IP header of every request.
    fn link_header(&self) -> usize {
        14 + 4 * self.crowd.way.tags.len()
    }

    /// A cell that all sorts of clients share.
    fn lane_cell(&self, lane: Lane, cell: usize) -> &AtomicU64 {
        self.frame_cell(lane, 0, cell)
    }

    fn frame_cell(&self, lane: Lane, sort: usize, cell: usize) -> &AtomicU64 {
        &self.object.lanes.cells()[(lane as usize * SORTS + sort) * CELLS + cell]
    }

    fn client_cells(&self, number: u32) -> [&AtomicU64; 2] {
        let cells = self.object.clients.cells();
        let at = 2 * number as usize;
        [&cells[at], &cells[at + 1]]
    }

    /// The address of a client, if it has a lease.
    #[must_use]
    pub fn address_of(&self, client: u32) -> Option<Ipv4Addr> {
        let word = Word(self.client_cells(client)[0].load(Ordering::Acquire));
        word.has_lease().then(|| Ipv4Addr::from(word.address().to_ne_bytes()))
    }
}

/// The sending programs on interfaces that are never up, in a namespace of their own.
#[derive(Debug)]
struct InUse {
    _attached: Vec<Pass>,
    /// Last, because the interfaces live in it.
    _namespace: Namespace,
}

/// Attaches the sending programs somewhere.
///
/// The kernel has a list of XDP programs in use, by which calls of them are made direct. A test run of a program that is
/// not in it adds it and takes it out again, and waits each time until no CPU runs the old list: some ten milliseconds.
fn keep_in_use(object: &Object) -> Result<InUse> {
    let namespace = Namespace::new()?;
    let lanes = [Lane::Discover, Lane::Renew, Lane::Release, Lane::Decline];
    for [lane, other] in [[lanes[0], lanes[1]], [lanes[2], lanes[3]]] {
        namespace.ip(&format!("link add {} type veth peer name {}", lane.program(), other.program()))?;
    }
    let attach = |lane: Lane| {
        let program = object.program(lane.program())?;
        Pass::attach_other(&namespace, lane.program(), program.fd()?)
    };
    let attached = lanes.into_iter().map(attach).collect::<Result<_>>()?;
    Ok(InUse { _attached: attached, _namespace: namespace })
}

fn allowed_cpus() -> Result<Vec<usize>> {
    let set = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).context("cannot tell the CPUs")?;
    Ok((0..object::cpus()?).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect())
}
