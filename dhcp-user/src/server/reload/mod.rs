//! Reload: the configuration file read again, and applied to the running server.
//!
//! Everything that may fail comes before any change, and another thread does the slow part (`configuring.rs`). This
//! thread does its work for each address in steps, and decides between them ([`Step`]): at one moment the next
//! configuration is in force. Then leases whose address is gone are revoked, and that is committed in its turn. The
//! kernel forgets the answers that may have changed (the daemon answers the next renewal of each lease, and publishes
//! the answer anew). The command gets its answer when all of this is done, and on disk.

mod ahead;
pub(super) mod configuring;
mod kept_reservations;
pub(super) mod regroup;
pub(super) mod stale;

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use super::process::service;
use super::reports::explain::PuntLog;
use super::{DECIDED, Server};
use crate::clock::BootNanos;
use crate::config::Config;
use crate::control::{Reloaded, Reply};
use crate::datapath::program::attachment::Attachment;
use crate::policy::{Changeover, ChangeoverProgress, Policy, STEP};
use crate::pulse::Stage;
use crate::reason;
pub use ahead::refusals;
use configuring::{Done, Made, Next};
use regroup::{Regrouped, Regrouping, Undoing};

/// How many blocks of addresses get their slots in a step.
const BLOCKS: usize = 8;
/// How many addresses of ours are published in a step.
const ADDRESSES: usize = 512;

/// The commands that wait for a reload: one at a time is under way.
#[derive(Default)]
pub(super) struct Reloads {
    under_way: Option<Asked>,
    step: Option<Step>,
    /// How many answers the kernel has forgotten since the configuration is in force.
    forgotten: u64,
    /// Of so many interfaces that are served no more the program is still to be taken off.
    leaving: usize,
    waiting: VecDeque<Asked>,
}

impl Reloads {
    fn one_leaves(&mut self) {
        self.leaving += 1;
    }
}

/// The next step of the reload under way.
enum Step {
    /// The addresses of the next configuration get slots, from this block on, and our addresses are published to the
    /// kernel.
    MakingRoom { next: Box<Next>, policy: Box<Policy>, from: usize },
    /// The next policy gets to know what the present one knows; first before interfaces are attached as the next
    /// configuration has it, and then what has become known meanwhile.
    Changeover { next: Box<Next>, going: Changeover, attached: Option<Box<(Regrouped, Undoing)>> },
    /// Interfaces are being attached.
    Attaching { next: Box<Next>, going: Changeover, regrouping: Box<Regrouping> },
    /// Interfaces are being attached as before.
    Undoing { undoing: Box<Undoing>, then: Then },
    /// Leases that the configuration in force ends are ended.
    Settling,
    /// That is done; interfaces that are served no more are being left.
    Leaving { withdrawn: u64 },
}

/// What follows after an attempt was undone.
enum Then {
    /// The former configuration stays in force, and why.
    Stay(anyhow::Error),
    /// The configuration is read and made once more.
    MakeAnew,
}

/// The origin of a reload: an operator, or nobody who waits (SIGHUP).
type Asked = Option<Reply<Reloaded>>;

impl Server {
    /// Has the configuration read again, after the reloads that were asked for before.
    pub(super) fn reload(&mut self, asked: Asked) {
        // One that nobody waits for is as good as the last that has not begun.
        if asked.is_some() || self.reloads.waiting.is_empty() {
            self.reloads.waiting.push_back(asked);
        }
        self.next_reload();
    }

    fn next_reload(&mut self) {
        if self.reloads.under_way.is_none() {
            self.reloads.under_way = self.reloads.waiting.pop_front();
            if self.reloads.under_way.is_some() {
                service::reloading();
                self.configuring.make(&self.file, self.facts(), &self.policy, &self.config);
            }
        }
    }

    /// Begins to go over to a configuration that was read; if it can't be, nothing is changed, and the answer is no.
    pub(super) fn configured(&mut self, done: Done) {
        let made = match done {
            Done::Made(made) => made,
            Done::Edited(reply) => return self.reload(Some(reply)),
        };
        match made.and_then(|made| self.check(&made.next).map(|()| made)) {
            Ok(Made { next, policy }) => {
                self.reloads.step = Some(Step::MakingRoom { next, policy, from: 0 });
            }
            Err(error) => self.stay(&error),
        }
    }

    /// Begins to go over to a configuration that whoever simulates has made. False: another reload is under way.
    #[cfg(feature = "simulation")]
    pub(super) fn reload_by_hand(&mut self, made: Made) -> bool {
        if self.reloads.under_way.is_some() {
            return false;
        }
        self.reloads.under_way = Some(None);
        self.configured(Done::Made(Ok(made)));
        true
    }

    /// Whether [`reload_some`](Self::reload_some) has something to do at present.
    pub(super) const fn is_reloading(&self) -> bool {
        match self.reloads.step {
            Some(Step::MakingRoom { .. } | Step::Changeover { .. }) => true,
            // What is ended waits for the disk, and is not to keep others waiting behind it.
            Some(Step::Settling) => self.decided.len() < DECIDED / 2,
            Some(Step::Attaching { .. } | Step::Undoing { .. } | Step::Leaving { .. }) | None => false,
        }
    }

    /// A step of the reload that is under way.
    pub(super) fn reload_some(&mut self) {
        if let Some(Step::Attaching { going, .. }) = &mut self.reloads.step {
            // What becomes known while it waits comes along at once, or there would be more and more of it.
            self.policy.bring_along(going, BootNanos::now().floor(), STEP);
        }
        if !self.is_reloading() {
            return;
        }
        self.pulse.at(Stage::Reloading);
        match self.reloads.step.take() {
            Some(Step::MakingRoom { next, policy, .. }) if next.facts != self.facts() => {
                self.configuring.discard(policy);
                self.make_anew();
            }
            Some(Step::Changeover { next, going, attached }) if next.facts != self.facts() => {
                self.configuring.discard((next, self.policy.stay(going)));
                let undoing = attached.map(|attached| attached.1).unwrap_or_default();
                self.undo(undoing, Then::MakeAnew);
            }
            Some(Step::MakingRoom { next, policy, from }) => self.make_room(next, policy, from),
            Some(Step::Changeover { next, mut going, attached }) => {
                let now = BootNanos::now().floor();
                if !self.policy.bring_along(&mut going, now, STEP) {
                    self.reloads.step = Some(Step::Changeover { next, going, attached });
                } else if let Some(attached) = attached {
                    self.go_over(*next, going, attached.0);
                } else {
                    self.begin_attaching(next, going);
                }
            }
            Some(Step::Settling) => self.settle_some(),
            other => self.reloads.step = other,
        }
        self.pulse.at(Stage::Deciding);
    }

    /// Interfaces have changed meanwhile.
    fn make_anew(&mut self) {
        self.configuring.make(&self.file, self.facts(), &self.policy, &self.config);
    }

    fn make_room(&mut self, next: Box<Next>, policy: Box<Policy>, from: usize) {
        let blocks = next.leasable.chunks(BLOCKS).nth(from).unwrap_or_default();
        let ours = next.ours.chunks(ADDRESSES).nth(from).unwrap_or_default();
        let mut made = blocks.iter().try_for_each(|address| self.table.reserve(*address));
        if let (Ok(()), Some(kernel)) = (&made, &mut self.kernel) {
            made = kernel.know_more_addresses(ours);
        }
        self.reloads.step = match made {
            Ok(()) if blocks.is_empty() && ours.is_empty() => {
                let going = self.policy.begin_changeover(*policy);
                Some(Step::Changeover { next, going, attached: None })
            }
            Ok(()) => Some(Step::MakingRoom { next, policy, from: from + 1 }),
            Err(error) => {
                self.configuring.discard((next, policy));
                return self.stay(&error);
            }
        };
    }

    /// The former configuration stays in force.
    fn stay(&mut self, error: &anyhow::Error) {
        let why = reason::told(error);
        tracing::warn!(why, "not reloaded: the former configuration stays in force");
        let Self { kernel, ours, .. } = self;
        if let Some(kernel) = kernel
            && let Err(error) = kernel.know_addresses(ours)
        {
            tracing::warn!("{error:#}; the kernel may know addresses that are not of this configuration");
        }
        self.end_reload(|reply| reply.no(why));
    }

    /// Has interfaces attached as a configuration has it, whose policy knows all there is. It is the last that may fail.
    fn begin_attaching(&mut self, next: Box<Next>, going: Changeover) {
        match self.begin_regrouping(&next.config) {
            Ok(regrouping) => self.attach_on(next, going, Box::new(regrouping)),
            Err(error) => {
                self.configuring.discard((next, self.policy.stay(going)));
                self.stay(&error);
            }
        }
    }

    fn attach_on(&mut self, next: Box<Next>, going: Changeover, mut regrouping: Box<Regrouping>) {
        self.reloads.step = Some(if self.regroup_on(&mut regrouping) {
            Step::Changeover { next, going, attached: Some(Box::new(regrouping.into_done())) }
        } else {
            Step::Attaching { next, going, regrouping }
        });
    }

    /// The result of attaching an interface.
    pub(super) fn regrouped(&mut self, result: Result<Attachment>) {
        match self.reloads.step.take() {
            Some(Step::Attaching { next, going, mut regrouping }) => match result {
                Ok(attachment) => {
                    regrouping.note(attachment);
                    self.attach_on(next, going, regrouping);
                }
                Err(error) => {
                    let (undoing, failed) = regrouping.into_undoing();
                    self.configuring.discard((next, self.policy.stay(going)));
                    let why = Err::<(), _>(error).with_context(|| format!("interface {failed}"));
                    self.undo(undoing, why.err().map_or(Then::MakeAnew, Then::Stay));
                }
            },
            Some(Step::Undoing { mut undoing, then }) => {
                self.undone(&mut undoing, result);
                self.undo(*undoing, then);
            }
            other => self.reloads.step = other,
        }
    }

    /// Has interfaces attached as before.
    fn undo(&mut self, mut undoing: Undoing, then: Then) {
        if !self.undo_on(&mut undoing) {
            self.reloads.step = Some(Step::Undoing { undoing: Box::new(undoing), then });
            return;
        }
        match then {
            Then::Stay(error) => self.stay(&error),
            Then::MakeAnew => self.make_anew(),
        }
    }

    /// Whether interfaces are attached as a configuration has it that is not in force.
    pub(super) const fn is_regrouping(&self) -> bool {
        matches!(
            self.reloads.step,
            Some(Step::Attaching { .. } | Step::Undoing { .. } | Step::Changeover { attached: Some(_), .. })
        )
    }

    /// The program is off an interface that is served no more.
    pub(super) fn one_has_left(&mut self) {
        self.reloads.leaving = self.reloads.leaving.saturating_sub(1);
        if let (0, Some(Step::Leaving { withdrawn })) = (self.reloads.leaving, &self.reloads.step) {
            let withdrawn = *withdrawn;
            self.reloads.step = None;
            self.forget_stale(Some(withdrawn));
        }
    }

    fn settle_some(&mut self) {
        let (now, mut actions) = (BootNanos::now().floor(), Vec::new());
        let settled = self.policy.settle_some(now, &self.table, STEP, &mut actions);
        self.table.tidy();
        self.queue(actions);
        match settled {
            ChangeoverProgress::Some => self.reloads.step = Some(Step::Settling),
            ChangeoverProgress::All(done, former) => {
                self.configuring.discard(former);
                self.shares_have_changed();
                tracing::info!(
                    config = %self.file.display(),
                    leases_kept = done.kept,
                    leases_revoked = done.withdrawn,
                    "configuration reloaded"
                );
                if self.reloads.leaving > 0 {
                    self.reloads.step = Some(Step::Leaving { withdrawn: done.withdrawn });
                } else {
                    self.forget_stale(Some(done.withdrawn));
                }
            }
        }
    }

    /// The kernel has forgotten so many answers; if a reload is settling, they are of its doing.
    fn note_forgotten(&mut self, forgotten: u64) {
        if let Some(Step::Settling | Step::Leaving { .. }) = self.reloads.step {
            self.reloads.forgotten += forgotten;
        }
    }

    /// The kernel has forgotten so many answers that a reload may have changed, the last of them.
    pub(super) fn forgotten(&mut self, rewritten: u64, revoked: u64) {
        let rewritten = rewritten + std::mem::take(&mut self.reloads.forgotten);
        let Some(asked) = self.reloads.under_way.take() else { return };
        self.when_on_disk(move |committed| {
            if let Some(reply) = asked {
                let done = committed.map(|()| Reloaded { rewritten, revoked });
                reply.done(done.map_err(|error| format!("reloaded, but {error}")));
            }
        });
        service::ready(self);
        self.next_reload();
    }

    fn end_reload(&mut self, answer: impl FnOnce(Reply<Reloaded>)) {
        if let Some(reply) = self.reloads.under_way.take().flatten() {
            answer(reply);
        }
        service::ready(self);
        self.next_reload();
    }

    /// Whether a configuration may be gone over to.
    ///
    /// # Errors
    /// When it can't be.
    fn check(&self, next: &Next) -> Result<()> {
        let fixed = changes_for_a_restart(&self.config, &next.config);
        if !fixed.is_empty() {
            bail!("{} can't be changed while the server runs: restart it", fixed.join(", "));
        }
        self.table.check_room(next.leasable.iter().copied())
    }

    /// The next configuration is in force from now on.
    fn go_over(&mut self, next: Next, going: Changeover, regrouped: Regrouped) {
        let facts = self.facts_of(&next.config);
        let Next { config, prober, .. } = next;
        self.reloads.step = Some(Step::Settling);
        self.mark_former();
        self.policy.change_over(going);
        self.policy.carry_out_probes();
        self.alive();
        self.prober = prober;
        let former = std::mem::replace(&mut self.config, Arc::new(config));
        self.configuring.discard(former);
        // Policy was made for the interfaces as they are, and goes on with those of the new configuration.
        let renumbered = self.follow_configuration(regrouped, &facts);
        self.alive();
        let facts = self.facts();
        self.go_on_with(&facts, &renumbered);
        self.let_tagged_pass_everywhere();
        self.warn_of_configuration();
        self.alive();
        // What was known before says nothing about what is asked from now on.
        self.punts = PuntLog::default();
        self.look_at = self.slots_per_beat();
    }
}

/// The differences between two configurations that a running server can't apply.
fn changes_for_a_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let (a, b) = (&old.server, &new.server);
    let changes = [
        ("state-dir", a.state_dir != b.state_dir),
        ("control-socket", a.control_socket != b.control_socket),
        ("control-group", a.control_group != b.control_group),
        ("control-read-group", a.control_read_group != b.control_read_group),
        ("event-log", a.event_log != b.event_log),
        ("metrics-listen", a.metrics_listen != b.metrics_listen),
        ("kea-api-listen", a.kea_api_listen != b.kea_api_listen),
        ("store", a.store != b.store),
        ("pin-dir", a.pin_dir != b.pin_dir),
        ("next-program", a.next_program != b.next_program),
        ("[journal]", old.journal != new.journal),
        ("[[hook]]", old.hooks != new.hooks),
    ];
    changes.into_iter().filter(|(_, changed)| *changed).map(|(what, _)| what).collect()
}
