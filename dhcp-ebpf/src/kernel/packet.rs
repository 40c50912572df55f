//! A frame in the driver's buffer: every packet pointer of the program is made here.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_meta, bpf_xdp_adjust_tail};
use aya_ebpf::programs::XdpContext;
use dhcp_ebpf::frame::{Frame, Window, opaque};

/// The largest offset that is looked at: the verifier wants offsets bounded, and no DHCP frame is longer.
const FARTHEST: usize = 0x7ff;

/// A frame under the program's hands.
pub struct Packet {
    ctx: *mut xdp_md,
}

impl Packet {
    /// The frame of this run.
    #[inline(always)]
    pub fn new(ctx: &XdpContext) -> Self {
        Self { ctx: ctx.as_ptr().cast() }
    }

    #[inline(always)]
    fn start(&self) -> usize {
        // SAFETY: `ctx` is the context that the kernel ran the program with, valid for the whole run.
        unsafe { (*self.ctx).data as usize }
    }

    #[inline(always)]
    fn end(&self) -> usize {
        // SAFETY: as above.
        unsafe { (*self.ctx).data_end as usize }
    }

    /// Octets of metadata before the frame. A driver that has no room for any gives a number that is none.
    #[inline(always)]
    pub fn metadata(&self) -> usize {
        // SAFETY: as above.
        self.start().wrapping_sub(unsafe { (*self.ctx).data_meta } as usize)
    }

    /// Takes `by` octets of metadata, which must be all, off the frame. `false`: they are still there.
    #[inline(always)]
    pub fn drop_metadata(&mut self, by: usize) -> bool {
        // SAFETY: as for `adjust_tail`.
        unsafe { bpf_xdp_adjust_meta(self.ctx, by as i32) == 0 }
    }

    #[inline(always)]
    fn adjust_tail(&mut self, by: i32) -> bool {
        // SAFETY: the helper takes this run's context. All pointers made before are invalid afterwards, and
        // none is kept: a window borrows the packet, and adjusting borrows it mutably.
        unsafe { bpf_xdp_adjust_tail(self.ctx, by) == 0 }
    }
}

impl Frame for Packet {
    #[inline(always)]
    fn len(&self) -> usize {
        self.end() - self.start()
    }

    #[inline(always)]
    fn window<const N: usize>(&mut self, at: usize) -> Option<&mut Window<N>> {
        let at = opaque(at) & FARTHEST;
        let from = self.start() + at;
        // Opaque, so that the comparison stays the one written: the verifier takes no `from + N - 1 >= end`.
        if opaque(from + N) > self.end() {
            return None;
        }
        // SAFETY: from .. from + N lies in the packet, checked just now; Window has no alignment and any bytes
        // are valid for it; nobody else touches the packet during the run, and `self` is borrowed mutably.
        Some(unsafe { &mut *(from as *mut Window<N>) })
    }

    #[inline(always)]
    fn grow(&mut self, by: usize) -> bool {
        self.adjust_tail(by as i32)
    }

    #[inline(always)]
    fn grow_front(&mut self, by: usize) -> bool {
        // SAFETY: as for `adjust_tail`.
        unsafe { bpf_xdp_adjust_head(self.ctx, -(by as i32)) == 0 }
    }

    #[inline(always)]
    fn trim(&mut self, len: usize) -> bool {
        let by = len as i32 - self.len() as i32;
        by == 0 || self.adjust_tail(by)
    }
}
