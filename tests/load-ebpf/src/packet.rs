//! The frame in hand: every packet pointer of the programs is made here.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::bpf_xdp_adjust_tail;
use aya_ebpf::programs::XdpContext;

/// The largest offset that is looked at: the verifier wants offsets bounded.
pub const FARTHEST: usize = 0x7ff;

/// A frame.
#[derive(Clone, Copy)]
pub struct Packet(*mut xdp_md);

/// The first octets of a frame, so many as were asked for. Good until the frame's length is changed.
#[derive(Clone, Copy)]
pub struct Octets {
    from: *mut u8,
    len: usize,
}

impl Packet {
    /// The frame of this run.
    #[inline(always)]
    pub fn new(ctx: &XdpContext) -> Self {
        Self(ctx.as_ptr().cast())
    }

    #[inline(always)]
    fn start(self) -> usize {
        // SAFETY: the context that the kernel runs the program with is valid for the whole run. Volatile, so that it is
        // read where it is used: handed on as a number, it would be no packet pointer to the verifier any more.
        unsafe { (&raw const (*self.0).data).read_volatile() as usize }
    }

    #[inline(always)]
    fn end(self) -> usize {
        // SAFETY: as above.
        unsafe { (&raw const (*self.0).data_end).read_volatile() as usize }
    }

    /// Octets of the frame.
    #[inline(always)]
    pub fn len(self) -> usize {
        self.end() - self.start()
    }

    /// `len` octets from `at`, if the frame has them. `len` is a constant.
    #[inline(always)]
    pub fn reach(self, at: usize, len: usize) -> Option<Octets> {
        let from = self.start() + (opaque(at) & FARTHEST);
        (opaque(from + len) <= self.end()).then_some(Octets { from: from as *mut u8, len })
    }

    /// Makes the frame `len` octets long; what is added has any content. All `Octets` are void afterwards.
    #[inline(always)]
    pub fn resize(self, len: usize) -> bool {
        // SAFETY: the helper takes this run's context.
        unsafe { bpf_xdp_adjust_tail(self.0, len as i32 - self.len() as i32) == 0 }
    }
}

impl Octets {
    /// The raw value at `at`; 0 beyond what was reached.
    #[inline(always)]
    pub fn get<T: Copy + Default>(self, at: usize) -> T {
        if at + size_of::<T>() > self.len {
            return T::default();
        }
        // SAFETY: `from` and the `len` octets behind it lie in the frame (checked by `reach`), which nobody else
        // touches during the run. Packet memory may be read unaligned where the kernel has
        // HAVE_EFFICIENT_UNALIGNED_ACCESS; elsewhere its verifier refuses the program. Volatile, so that one load
        // is one load and nothing is concluded from an alignment.
        unsafe { self.from.add(at).cast::<T>().read_volatile() }
    }

    /// The big-endian 16-bit number at `at`.
    #[inline(always)]
    pub fn be16(self, at: usize) -> u16 {
        u16::from_be(self.get(at))
    }

    /// Writes a raw value at `at`; nothing beyond what was reached.
    #[inline(always)]
    pub fn set<T: Copy>(self, at: usize, value: T) {
        if at + size_of::<T>() <= self.len {
            // SAFETY: as for `get`.
            unsafe { self.from.add(at).cast::<T>().write_volatile(value) };
        }
    }
}

/// The value itself, of which the compiler knows nothing from here on, so that the verifier sees the comparison made.
#[inline(always)]
pub fn opaque(mut value: usize) -> usize {
    // SAFETY: moves a register onto itself.
    #[cfg(target_arch = "bpf")]
    unsafe {
        core::arch::asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        value = core::hint::black_box(value);
    }
    value
}
