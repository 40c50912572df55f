//! The XDP program: the edge between the kernel and the packet logic, and nothing else.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![allow(internal_features, reason = "compare-and-swap on map memory is only to be had as an intrinsic")]
#![allow(missing_docs, unreachable_pub, reason = "the `xdp` macro exports functions of its own")]
#![allow(clippy::cast_possible_truncation, reason = "the kernel hands out small numbers in wide registers")]

mod kernel;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::{raw_tracepoint, xdp};
use aya_ebpf::programs::{RawTracePointContext, XdpContext};
use aya_log_ebpf::debug;
use dhcp_ebpf::frame::forget;
use dhcp_ebpf::renewal;
use dhcp_ebpf::verdict::Verdict;
use kernel::capture;
use kernel::live;
use kernel::maps::{self, KernelMaps};
use kernel::neighbours;
use kernel::packet::Packet;
use kernel::ring;

/// Answers renewals, sends other DHCP up, leaves the rest alone; and sends what the daemon has for it to send.
#[xdp]
pub fn xdhcpd(ctx: XdpContext) -> u32 {
    serve::<false>(&ctx)
}

/// Does the same, and hands what it leaves alone to another's program. The call has a cost even where nobody is called, so
/// it is a program of its own.
#[xdp]
pub fn xdhcpd_next(ctx: XdpContext) -> u32 {
    serve::<true>(&ctx)
}

/// Takes the place of `xdhcpd` while somebody captures.
#[xdp]
pub fn capturing(ctx: XdpContext) -> u32 {
    serve_and_copy::<false>(&ctx)
}

/// Takes the place of `xdhcpd_next` while somebody captures.
#[xdp]
pub fn capturing_next(ctx: XdpContext) -> u32 {
    serve_and_copy::<true>(&ctx)
}

/// What another's program calls: it goes on with the program that answers now, whichever that is.
#[xdp]
pub fn xdhcpd_entry(ctx: XdpContext) -> u32 {
    neighbours::enter(&ctx)
}

/// The one; with `NEXT` the other. What is generic has its own copy of what it logs, which the compiler then leaves in its place.
#[inline(always)]
fn serve<const NEXT: bool>(ctx: &XdpContext) -> u32 {
    let mut packet = Packet::new(ctx);
    if live::is_blank(&packet) {
        return live::send(&mut packet);
    }
    let now = maps::now();
    let ifindex = ctx.ingress_ifindex() as u32;
    match renewal::handle(&mut packet, &KernelMaps, ifindex, now) {
        Verdict::Up(why) => {
            debug!(ctx, "up why={} ifindex={}", why as u32, ifindex);
            handed_on::<NEXT>(
                ctx,
                ring::send(&mut packet, forget(why as usize, now.nanos), ifindex, now.nanos),
            )
        }
        decided => {
            debug!(ctx, "decided counter={} ifindex={}", decided.counter(), ifindex);
            maps::count(decided.counter());
            handed_on::<NEXT>(ctx, action(decided))
        }
    }
}

/// Does the same, and copies what comes and what it answers. What goes up is the daemon's to tell of. Blank frames don't come
/// here: the daemon has the plain program run on them.
#[inline(always)]
fn serve_and_copy<const NEXT: bool>(ctx: &XdpContext) -> u32 {
    let mut packet = Packet::new(ctx);
    let now = maps::now();
    // Asked for each time, so that it is not on the stack meanwhile: Linux 6.1 counts its 512 octets in steps of 32.
    let ifindex = || ctx.ingress_ifindex() as u32;
    let came = capture::came(&mut packet, ifindex(), now.nanos);
    let decided = renewal::handle(&mut packet, &KernelMaps, ifindex(), now);
    if let Verdict::Up(why) = decided {
        came.forget();
        let action = ring::send(&mut packet, forget(why as usize, now.nanos), ifindex(), now.nanos);
        return handed_on::<NEXT>(ctx, action);
    }
    let counter = decided.counter();
    maps::count(counter);
    came.keep(counter);
    if let Verdict::Reply(_) = decided {
        capture::left(&mut packet, ifindex(), maps::now().nanos, counter);
    }
    handed_on::<NEXT>(ctx, action(decided))
}

#[inline(always)]
fn action(decided: Verdict) -> u32 {
    match decided {
        Verdict::Reply(_) => xdp_action::XDP_TX,
        Verdict::Pass(_) => xdp_action::XDP_PASS,
        Verdict::Up(_) | Verdict::Drop(_) => xdp_action::XDP_DROP,
    }
}

#[inline(always)]
fn handed_on<const NEXT: bool>(ctx: &XdpContext, action: u32) -> u32 {
    if NEXT { neighbours::hand_on(ctx, action) } else { action }
}

/// Notes what drivers take of the frames that the daemon sends.
#[raw_tracepoint(tracepoint = "xdp_devmap_xmit")]
pub fn taken(ctx: RawTracePointContext) -> u32 {
    let _ = live::note(&ctx);
    0
}

/// Passes every frame: native XDP_TX over veth arrives only if the far end has a program too.
#[xdp]
pub fn pass(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The licence the kernel is told: some helpers are for GPL-compatible programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
