//! The programs: one per lane that sends, one that receives and judges, one that reflects, two that trace what is dropped.
#![no_std]
#![no_main]
#![feature(core_intrinsics, asm_experimental_arch)]
#![allow(internal_features, reason = "compare-and-swap on map memory is only to be had as an intrinsic")]
#![allow(missing_docs, unreachable_pub, reason = "the `xdp` macro exports functions of its own")]
#![allow(clippy::cast_possible_truncation, reason = "the kernel hands out small numbers in wide registers")]

mod floor;
mod memory;
mod packet;
mod receive;
mod send;
mod trace;
mod verify;
mod write;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::{tracepoint, xdp};
use aya_ebpf::programs::{TracePointContext, XdpContext};
use load_ebpf::lane::Lane;
use packet::Packet;

/// A DISCOVER of the next client without a lease.
#[xdp]
pub fn discover(ctx: XdpContext) -> u32 {
    send::discover(Packet::new(&ctx))
}

/// A request of the next client to extend its lease.
#[xdp]
pub fn renew(ctx: XdpContext) -> u32 {
    send::renew(Packet::new(&ctx))
}

/// The next client's RELEASE.
#[xdp]
pub fn release(ctx: XdpContext) -> u32 {
    send::leave(Packet::new(&ctx), Lane::Release)
}

/// The next client's DECLINE.
#[xdp]
pub fn decline(ctx: XdpContext) -> u32 {
    send::leave(Packet::new(&ctx), Lane::Decline)
}

/// Judges a reply.
#[xdp]
pub fn receive(ctx: XdpContext) -> u32 {
    receive::judge(Packet::new(&ctx))
}

/// Sends back what comes, as it is.
#[xdp]
pub fn reflect(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_TX
}

/// Answers as little as can be.
#[xdp]
pub fn floor(ctx: XdpContext) -> u32 {
    floor::answer(Packet::new(&ctx))
}

/// What an interface's driver did not take of a bulk.
#[tracepoint]
pub fn xmit(ctx: TracePointContext) -> u32 {
    trace::xmit(&ctx)
}

/// A frame that did not come to an interface's driver.
#[tracepoint]
pub fn redirect_err(ctx: TracePointContext) -> u32 {
    trace::redirect_err(&ctx)
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The licence the kernel is told: some helpers are for GPL-compatible programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
