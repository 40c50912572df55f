//! Counts frames that were to be sent and were not, by what the kernel's tracepoints tell (`events/xdp/*/format` in tracefs).

use crate::memory::{count, count_all, is_traced};
use aya_ebpf::programs::TracePointContext;
use load_ebpf::counts::Count;

/// `xdp_devmap_xmit`: where a bulk went, and how much of it the driver did not take.
const BULK_TO: usize = 16;
const BULK_DROPS: usize = 20;
/// `xdp_redirect_err`: where a frame was to go.
const FRAME_TO: usize = 24;

/// A bulk of frames went to a driver.
#[inline(always)]
pub fn xmit(ctx: &TracePointContext) -> u32 {
    if let (Some(to), Some(drops)) = (field(ctx, BULK_TO), field(ctx, BULK_DROPS))
        && drops > 0
        && is_traced(to)
    {
        count_all(Count::Unsent, u64::from(drops));
    }
    0
}

/// A frame could not be handed to a driver.
#[inline(always)]
pub fn redirect_err(ctx: &TracePointContext) -> u32 {
    if field(ctx, FRAME_TO).is_some_and(is_traced) {
        count(Count::Unsent);
    }
    0
}

#[inline(always)]
fn field(ctx: &TracePointContext, at: usize) -> Option<u32> {
    // SAFETY: the kernel lets a program read the record of its tracepoint, and checks the bounds; any four octets are a number.
    unsafe { ctx.read_at(at) }.ok()
}
