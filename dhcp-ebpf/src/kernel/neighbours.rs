//! Others' programs on the same interface: one that calls ours, and one that ours calls.

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{PerCpuArray, ProgramArray};
use aya_ebpf::programs::XdpContext;

/// The program that answers, for [`enter`].
#[map]
static ENTRY: ProgramArray = ProgramArray::with_max_entries(1, 0);
/// How many frames came that way, by interface. The loader makes it larger where frames come so.
#[map]
static CALLED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);
/// Another's program, for [`hand_on`].
#[map]
static NEXT: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Goes on with the program that answers. Without one the frame is the host's.
#[inline(always)]
pub fn enter(ctx: &XdpContext) -> u32 {
    if let Some(called) = CALLED.get_ptr_mut(ctx.ingress_ifindex() as u32) {
        // SAFETY: the element is this CPU's alone and the program is not interrupted by itself.
        unsafe { *called += 1 };
    }
    // SAFETY: nothing that would have to be dropped is alive.
    unsafe { ENTRY.tail_call(ctx, 0) };
    xdp_action::XDP_PASS
}

/// Hands a frame that goes to the host's stack to another's program, if there is one.
#[inline(always)]
pub fn hand_on(ctx: &XdpContext, action: u32) -> u32 {
    if action == xdp_action::XDP_PASS {
        // SAFETY: nothing that would have to be dropped is alive.
        unsafe { NEXT.tail_call(ctx, 0) };
    }
    action
}
