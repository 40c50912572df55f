//! Attaching: a thread of its own attaches the program to interfaces and detaches it. A driver may take its time, and
//! waits for the holder of the kernel's lock on interfaces. Meanwhile the daemon listens on the interface, and all
//! else goes on.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::listening::is_listened_on;
use super::tagged::let_pass;
use super::transmission::Transmission;
use crate::config::{self, XdpMode};
use crate::control::Xdp;
use crate::datapath::interfaces::netlink::{LinkState, Occupant};
use crate::datapath::program::attachment::{Attacher, Attachment};
use crate::events::EventRecord;
use crate::reason;
use crate::server::Server;
use crate::server::equipment::absent::is_there;
use crate::server::process::beside::Beside;

/// So many orders may wait: further ones are given again after another look. The orders of a reload always have room.
const ORDERS: usize = 1024;
/// For how long one is under way before that is trouble.
const LATE: Duration = Duration::from_secs(2);
/// How long the last one has when the daemon ends.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the thread looks whether all is pinned.
const LOOK: Duration = Duration::from_secs(2);
/// How long it waits before it tries again to attach where nothing is in the way, first and at most.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Work {
    Attach(XdpMode),
    Detach,
    /// The card passes on what is tagged from now on.
    PassTagged,
}

/// The purpose of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Purpose {
    /// A look found the interface without the program, and this there.
    Found(Option<Occupant>),
    /// Answers did not leave by the driver.
    Lossy,
    /// The interface is gone. Nobody waits for it.
    Gone,
    /// Nobody waits for its result, which it logs itself.
    Aside,
    /// A reload goes on when it is done: the interface is attached another way, or taken in.
    Regrouping,
    /// A reload ends when it is done: the interface is served no more.
    Leaving,
}

/// One interface, by the name and the index that it had.
#[derive(Clone, Debug)]
pub(in crate::server) struct Order {
    pub(in crate::server) interface: String,
    pub(in crate::server) ifindex: u32,
    pub(in crate::server) work: Work,
    pub(in crate::server) purpose: Purpose,
}

/// The result of an order.
pub(in crate::server) struct Done {
    order: Order,
    result: Result<Attachment>,
}

/// The thread, and its orders.
#[derive(Default)]
pub(in crate::server) struct Attaching {
    /// `None`: it is not started yet.
    thread: Option<Thread>,
    /// In order, the first of them under way.
    waiting: VecDeque<(String, u32, Work)>,
    /// Since when that is.
    since: Option<Instant>,
    /// Why program, maps and attachments are not pinned, if they aren't.
    unpinned: Arc<Mutex<Option<String>>>,
    /// Interfaces that could not be attached to although nothing is in the way: when each is tried again, and how long that
    /// was put off.
    again: BTreeMap<u32, (Instant, Duration)>,
}

struct Thread {
    orders: Sender<Order>,
    done: UnboundedReceiver<Done>,
    ended: Receiver<()>,
}

impl Attaching {
    /// Starts the thread; without an attacher there is no program.
    ///
    /// # Errors
    /// When the process may have no more threads.
    pub(in crate::server) fn begin(beside: &Beside, attacher: Option<Attacher>) -> Result<Self> {
        let (orders, taken) = channel();
        let (given, done) = unbounded_channel();
        let (ends, ended) = channel();
        let unpinned = Arc::<Mutex<Option<String>>>::default();
        let told = Arc::clone(&unpinned);
        beside.thread("attach", move || {
            work(attacher, &taken, &given, &told);
            drop(ends);
        })?;
        Ok(Self { thread: Some(Thread { orders, done, ended }), unpinned, ..Self::default() })
    }

    /// Has it done after all that was ordered before; false if there is no room.
    fn order(&mut self, order: Order) -> bool {
        let is_awaited = matches!(order.purpose, Purpose::Regrouping | Purpose::Leaving);
        let Some(thread) = self.thread.as_ref().filter(|_| is_awaited || self.waiting.len() < ORDERS) else {
            return false;
        };
        self.waiting.push_back((order.interface.clone(), order.ifindex, order.work));
        self.since.get_or_insert_with(Instant::now);
        // If the thread is no more the daemon is about to end.
        thread.orders.send(order).is_ok()
    }

    /// The result of the first waiting order; waits for ever when there is none.
    pub(in crate::server) async fn done(&mut self) -> Done {
        let Some(thread) = &mut self.thread else { return pending().await };
        let Some(done) = thread.done.recv().await else { return pending().await };
        self.waiting.pop_front();
        self.since = self.waiting.front().map(|_| Instant::now());
        done
    }

    /// Whether the program is to be put on an interface or taken off, or is being so.
    pub(in crate::server) fn concerns(&self, ifindex: u32) -> bool {
        self.waiting.iter().any(|(_, waiting, work)| *waiting == ifindex && *work != Work::PassTagged)
    }

    /// Whether an interface that could not be attached to is to be tried again.
    fn is_due(&self, ifindex: u32) -> bool {
        self.again.get(&ifindex).is_some_and(|(next, _)| *next <= Instant::now())
    }

    /// It could not be attached to; later it may be.
    fn put_off(&mut self, ifindex: u32) {
        let wait = self.again.get(&ifindex).map_or(FIRST_WAIT, |(_, wait)| (*wait * 2).min(LONGEST_WAIT));
        self.again.insert(ifindex, (Instant::now() + wait, wait));
    }

    /// Orders that take their time and pins that are gone, in words.
    pub(in crate::server) fn trouble(&self) -> Option<String> {
        let unpinned = self.unpinned.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let all: Vec<String> = unpinned.into_iter().chain(self.late()).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// The order that takes its time, in words.
    fn late(&self) -> Option<String> {
        let ((interface, ..), since) = self.waiting.front().zip(self.since)?;
        let waits = since.elapsed();
        (waits >= LATE).then(|| {
            format!(
                "the kernel has not attached the program to {interface}, or taken it off, for {} s: its driver takes its \
                 time, or somebody has the kernel's lock on interfaces; all else goes on",
                waits.as_secs()
            )
        })
    }

    /// Drops the waiting orders, and waits a while for the one under way.
    pub(in crate::server) fn end(&mut self) {
        let Some(Thread { orders, done, ended }) = self.thread.take() else { return };
        drop((orders, done));
        if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let interface = self.waiting.front().map(|(interface, ..)| interface);
            tracing::warn!(
                interface,
                "an attachment is under way still; the next start looks at what came of it"
            );
        }
    }
}

fn work(
    mut attacher: Option<Attacher>,
    orders: &Receiver<Order>,
    done: &UnboundedSender<Done>,
    unpinned: &Mutex<Option<String>>,
) {
    loop {
        let order = match orders.recv_timeout(LOOK) {
            Ok(order) => Some(order),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if let Some(attacher) = &mut attacher {
            keep_pinned(attacher, unpinned);
        }
        let Some(order) = order else { continue };
        // Nobody waits any more: the daemon ends.
        if done.is_closed() {
            return;
        }
        let Order { interface, ifindex, work, .. } = &order;
        let result = match (work, &mut attacher) {
            (Work::Attach(wanted), Some(attacher)) => attacher.attach(interface, *ifindex, *wanted),
            (Work::Detach, Some(attacher)) => {
                attacher.detach(interface, *ifindex).map(|()| Attachment::default())
            }
            (Work::Attach(_) | Work::Detach, None) => Ok(Attachment::default()),
            (Work::PassTagged, _) => {
                let_pass(interface);
                Ok(Attachment::default())
            }
        };
        if done.send(Done { order, result }).is_err() {
            return;
        }
    }
}

/// Pins what is not pinned any more, and keeps why it can't be.
fn keep_pinned(attacher: &mut Attacher, unpinned: &Mutex<Option<String>>) {
    let why = match attacher.keep_pinned() {
        Ok(0) => None,
        Ok(pins) => {
            tracing::warn!(pins, "pins of program, maps or attachments were gone: they are pinned again");
            None
        }
        Err(error) => Some(format!(
            "what the kernel answers by is not pinned any more: renewals go on, and end with the daemon: {}",
            reason::told(&error)
        )),
    };
    let mut told = unpinned.lock().unwrap_or_else(PoisonError::into_inner);
    if *told != why {
        if let Some(why) = &why {
            tracing::error!("{why}");
        }
        *told = why;
    }
}

impl Server {
    /// Has the program put on an interface. It is listened on until that is done.
    pub(super) fn have_attached(&mut self, state: &LinkState, wanted: XdpMode) {
        if self.kernel.is_none() || wanted == XdpMode::Off {
            return;
        }
        self.order_for(state, Work::Attach(wanted), Purpose::Found(state.xdp));
    }

    /// Has the program put into the stack instead of the driver.
    pub(super) fn have_attached_in_the_stack(&mut self, interface: &str, ifindex: u32) {
        let state = self.seen.links.iter().find(|state| state.facts.ifindex == ifindex);
        let state = state.filter(|state| state.facts.name == interface).cloned();
        if let Some(state) = state.filter(|_| !self.attaching.concerns(ifindex) && !self.is_regrouping()) {
            self.order_for(&state, Work::Attach(XdpMode::Generic), Purpose::Lossy);
        }
    }

    /// Has the program taken off an interface that is gone.
    pub(super) fn have_left(&mut self, interface: &str, ifindex: u32) {
        self.have_detached(interface, ifindex, Purpose::Gone);
    }

    /// Has this done to an interface that is there; false if there is no room for more orders.
    pub(in crate::server) fn order_for(&mut self, state: &LinkState, work: Work, purpose: Purpose) -> bool {
        let facts = &state.facts;
        let (name, ifindex) = (facts.name.clone(), facts.ifindex);
        if let (Work::Attach(_), Some(kernel)) = (work, &mut self.kernel)
            && let Err(error) = kernel.know_interface(ifindex, facts.mac)
        {
            tracing::warn!(interface = name, "{error:#}; its requests go to the host's stack");
        }
        let is_ordered = self.attaching.order(Order { interface: name, ifindex, work, purpose });
        if !is_ordered {
            let interface = &facts.name;
            tracing::warn!(
                interface,
                "too many interfaces wait to be attached to; it is tried again with the next look"
            );
        }
        is_ordered
    }

    /// Has the program taken off an interface that is gone or served no more; false if that is not to be waited for.
    pub(in crate::server) fn have_detached(
        &mut self,
        interface: &str,
        ifindex: u32,
        purpose: Purpose,
    ) -> bool {
        let Some(kernel) = &mut self.kernel else { return false };
        if let Err(error) = kernel.forget_interface(ifindex) {
            tracing::warn!(interface, "{}", reason::told(&error));
        }
        let order = Order { interface: interface.to_owned(), ifindex, work: Work::Detach, purpose };
        let is_ordered = self.attaching.order(order);
        if !is_ordered {
            tracing::warn!(
                interface,
                "the program may still be attached: too many interfaces wait for the kernel"
            );
        }
        is_ordered
    }

    /// Has the card of an interface pass on what is tagged, if a subnet is on a VLAN.
    pub(super) fn let_tagged_pass(&mut self, interface: &str, ifindex: u32) {
        if self.config.subnets.iter().any(|subnet| subnet.vlan.outer != 0) {
            let (interface, work, purpose) = (interface.to_owned(), Work::PassTagged, Purpose::Aside);
            self.attaching.order(Order { interface, ifindex, work, purpose });
        }
    }

    /// The same of all interfaces, for another configuration.
    pub(in crate::server) fn let_tagged_pass_everywhere(&mut self) {
        let there = self.interfaces.values().map(|served| &served.facts).filter(|facts| is_there(facts));
        let there: Vec<_> = there.map(|facts| (facts.name.clone(), facts.ifindex)).collect();
        there.iter().for_each(|(interface, ifindex)| self.let_tagged_pass(interface, *ifindex));
    }

    /// Applies the result of an order.
    pub(in crate::server) fn attached(&mut self, done: Done) {
        let Done { order: Order { interface, ifindex, purpose, .. }, result } = done;
        match purpose {
            Purpose::Found(there) => self.attached_as_found(&interface, ifindex, there, result),
            Purpose::Lossy => self.attached_in_the_stack(&interface, ifindex, result),
            Purpose::Gone => warn_of_rest(&interface, &result),
            Purpose::Aside => {}
            Purpose::Regrouping => self.regrouped(result),
            Purpose::Leaving => {
                warn_of_rest(&interface, &result);
                self.one_has_left();
            }
        }
    }

    /// Whether an interface is served, by this name and index: it may be gone since, or be another.
    fn is_served(&self, interface: &str, ifindex: u32) -> bool {
        self.interfaces.get(&ifindex).is_some_and(|served| served.facts.name == interface)
    }

    fn attached_as_found(
        &mut self,
        interface: &str,
        ifindex: u32,
        there: Option<Occupant>,
        result: Result<Attachment>,
    ) {
        if !self.is_served(interface, ifindex) {
            return;
        }
        let attachment = match result {
            Ok(attachment) => {
                self.attaching.again.remove(&ifindex);
                attachment
            }
            Err(error) => {
                let why = reason::told(&error);
                let is_known =
                    self.interfaces.get(&ifindex).is_some_and(|served| served.why.as_ref() == Some(&why));
                if !is_known {
                    tracing::warn!(interface, error = why, "not attached; the daemon answers alone");
                }
                // What is in the way is waited for; of anything else nobody tells when it is over.
                if there.is_none() {
                    self.attaching.put_off(ifindex);
                }
                if is_known && there.is_none() {
                    return;
                }
                Attachment { why: Some(why), ..Attachment::default() }
            }
        };
        self.change_over(ifindex, attachment, there);
    }

    fn attached_in_the_stack(&mut self, interface: &str, ifindex: u32, result: Result<Attachment>) {
        if !self.is_served(interface, ifindex) {
            return;
        }
        match result {
            Ok(mut attachment) => {
                attachment.why = Some("answers did not leave by the driver".to_owned());
                let told = EventRecord {
                    interface: Some(interface.to_owned()),
                    detail: Some("attached in the stack: answers did not leave by the driver".to_owned()),
                    ..EventRecord::now("xdp-changed")
                };
                self.events.tell(told);
                self.change_over(ifindex, attachment, None);
            }
            Err(error) => {
                tracing::warn!(interface, error = reason::told(&error), "can't be attached in the stack");
            }
        }
    }

    /// The program may have been taken off, or may be attachable now. An offload that takes tags off may have been
    /// turned on by somebody else, so that frames hide their link.
    pub(super) fn follow_attachment(
        &mut self,
        configured: &config::Interface,
        state: &LinkState,
        tag_taker: Option<&String>,
    ) {
        let ifindex = state.facts.ifindex;
        let (Some(kernel), Some(served)) = (&self.kernel, self.interfaces.get(&ifindex)) else { return };
        let is_ours = served.xdp == Xdp::External || state.xdp.is_some_and(|there| kernel.is_ours(there));
        // What is under way is waited for.
        let is_awaited = self.attaching.concerns(ifindex) || self.is_regrouping();
        let tag_taker = tag_taker.filter(|_| is_ours && served.xdp != Xdp::Off);
        let is_well = is_ours && tag_taker.is_none();
        let is_refused = served.refused == Some(state.xdp) && !self.attaching.is_due(ifindex);
        if configured.xdp == XdpMode::Off || is_well || is_awaited || is_refused {
            return;
        }
        let interface = &configured.name;
        if let Some(offload) = tag_taker {
            tracing::warn!(
                interface,
                offload,
                "turned on by somebody: the program must see frames as they came"
            );
            let detail = format!("somebody has turned {offload} on, which takes tags off: it is to be off");
            self.events.tell(EventRecord {
                interface: Some(interface.clone()),
                detail: Some(detail),
                ..EventRecord::now("xdp-changed")
            });
            self.listen_meanwhile(ifindex);
        } else if served.xdp != Xdp::Off {
            tracing::warn!(interface, "the XDP program was taken off; attaching it again");
            self.listen_meanwhile(ifindex);
        }
        self.have_attached(state, configured.xdp);
    }

    /// An interface has not got the program; it is tried again with the next look.
    pub(in crate::server) fn listen_meanwhile(&mut self, ifindex: u32) {
        self.change_over(ifindex, Attachment::default(), None);
        if let Some(served) = self.interfaces.get_mut(&ifindex) {
            served.refused = None;
        }
    }

    /// An interface is attached another way from now on, or no longer because of what is `there`.
    pub(in crate::server) fn change_over(
        &mut self,
        ifindex: u32,
        attachment: Attachment,
        there: Option<Occupant>,
    ) {
        let Attachment { reached, why, sent } = attachment;
        let Some(served) = self.interfaces.get_mut(&ifindex) else { return };
        if let Some(reached) = reached {
            tracing::info!(interface = served.facts.name, xdp = reached.name(), why, "attached");
        }
        served.xdp = reached.map_or(Xdp::Off, Xdp::from);
        served.refused = reached.is_none().then_some(there);
        served.why = why;
        served.transmission = Transmission::after(sent);
        served.look_anew();
        (served.listener, served.unheard) = (None, None);
        if is_listened_on(served.xdp) {
            self.listen_again(ifindex);
        }
    }
}

fn warn_of_rest(interface: &str, result: &Result<Attachment>) {
    if let Err(error) = result {
        tracing::warn!(interface, error = reason::told(error), "the program may still be attached");
    }
}
