//! Checked access to the bytes of a frame: the only file of the packet logic that touches a packet pointer.
//!
//! A [`Frame`] hands out [`Window`]s: runs of bytes whose length is known when compiling and whose bounds were
//! checked once, when the window was opened. Reading and writing inside a window can't fail.
//!
//! Values are *raw* unless a name says otherwise: the bytes of the wire in memory order, as addresses, hashes
//! and one's complement sums want them.

/// A frame as it lies in the driver's buffer, or in memory on the host.
pub trait Frame {
    /// How many bytes the frame has now.
    fn len(&self) -> usize;

    /// The `N` bytes from `at`, or `None` when the frame ends before.
    fn window<const N: usize>(&mut self, at: usize) -> Option<&mut Window<N>>;

    /// Makes the frame `by` bytes longer at its end. The new bytes have any content. `false`: there is no room.
    fn grow(&mut self, by: usize) -> bool;

    /// Makes the frame `by` bytes longer at its start: all offsets move by as much. The new bytes have any content.
    /// `false`: there is no room.
    fn grow_front(&mut self, by: usize) -> bool;

    /// Cuts the frame to `len` bytes. `false`: it could not be cut.
    fn trim(&mut self, len: usize) -> bool;

    /// Whether the frame has no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// `N` bytes of a frame, bounds already checked.
#[repr(transparent)]
pub struct Window<const N: usize>([u8; N]);

macro_rules! access {
    ($get:ident, $set:ident, $type:ty) => {
        #[doc = concat!("The raw `", stringify!($type), "` at offset `AT` of the window.")]
        #[must_use]
        #[inline(always)]
        pub fn $get<const AT: usize>(&self) -> $type {
            const { assert!(AT + size_of::<$type>() <= N) };
            // SAFETY: the bytes AT.. AT + size lie inside the N bytes that `self` borrows (asserted above, when
            // compiling), any bit pattern is a valid integer, and `peek` takes any alignment.
            unsafe { peek(self.0.as_ptr().add(AT).cast::<$type>()) }
        }

        #[doc = concat!("Writes a raw `", stringify!($type), "` at offset `AT` of the window.")]
        #[inline(always)]
        pub fn $set<const AT: usize>(&mut self, value: $type) {
            const { assert!(AT + size_of::<$type>() <= N) };
            // SAFETY: as for the getter above; `self` is borrowed mutably, so nobody else reads these bytes.
            unsafe { poke(self.0.as_mut_ptr().add(AT).cast::<$type>(), value) }
        }
    };
}

impl<const N: usize> Window<N> {
    access!(u8, set_u8, u8);
    access!(raw16, set_raw16, u16);
    access!(raw32, set_raw32, u32);
    access!(raw64, set_raw64, u64);

    /// The big-endian `u16` at offset `AT`.
    #[must_use]
    #[inline(always)]
    pub fn be16<const AT: usize>(&self) -> u16 {
        u16::from_be(self.raw16::<AT>())
    }

    /// The bytes of the window.
    #[must_use]
    #[inline(always)]
    pub const fn bytes(&self) -> &[u8; N] {
        &self.0
    }
}

/// Reads a value of any alignment.
///
/// # Safety
/// `at` must be valid for a read of `T`, apart from its alignment.
#[cfg(not(target_arch = "bpf"))]
#[inline(always)]
unsafe fn peek<T: Copy>(at: *const T) -> T {
    // SAFETY: the caller's promise.
    unsafe { at.read_unaligned() }
}

/// Writes a value at any alignment.
///
/// # Safety
/// `at` must be valid for a write of `T`, apart from its alignment.
#[cfg(not(target_arch = "bpf"))]
#[inline(always)]
unsafe fn poke<T: Copy>(at: *mut T, value: T) {
    // SAFETY: the caller's promise.
    unsafe { at.write_unaligned(value) }
}

/// Reads a value of any alignment with one load.
///
/// # Safety
/// `at` must be valid for a read of `T`, apart from its alignment.
#[cfg(target_arch = "bpf")]
#[inline(always)]
unsafe fn peek<T: Copy>(at: *const T) -> T {
    // SAFETY: the caller promises validity. Alignment: `read_unaligned` becomes a load per byte on this target,
    // three times the code. BPF loads of packet memory may be unaligned wherever the kernel is built with
    // HAVE_EFFICIENT_UNALIGNED_ACCESS (x86-64, arm64); elsewhere the verifier, which checks alignment itself,
    // refuses the program. A volatile read is emitted as the one load it names, so the compiler draws no
    // conclusion from an alignment that may not be there.
    unsafe { at.read_volatile() }
}

/// Writes a value at any alignment with one store.
///
/// # Safety
/// `at` must be valid for a write of `T`, apart from its alignment.
#[cfg(target_arch = "bpf")]
#[inline(always)]
unsafe fn poke<T: Copy>(at: *mut T, value: T) {
    // SAFETY: as for `peek` on this target.
    unsafe { at.write_volatile(value) }
}

/// The value itself, of which the compiler knows nothing from here on.
///
/// The verifier must find a bound where it is needed, in the instructions; what the compiler could prove on the way
/// there, and then left out, does not help it.
#[must_use]
#[inline(always)]
#[cfg_attr(not(target_arch = "bpf"), expect(unused_mut, reason = "the other target writes to it"))]
pub fn opaque(mut value: usize) -> usize {
    // SAFETY: moves a register onto itself. An instruction there must be: two debug lines at one instruction are
    // refused by the kernel.
    #[cfg(target_arch = "bpf")]
    unsafe {
        core::arch::asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack, preserves_flags));
    }
    value
}

/// The value itself, of which the verifier knows nothing from here on, given some `noise` it knows nothing of.
///
/// What would be a constant of its own on each way that leads here becomes one and the same unknown number, so that
/// the verifier follows the rest of the program once, not once for every way.
#[must_use]
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "64 bits wherever it matters")]
pub fn forget(value: usize, noise: u64) -> usize {
    value ^ opaque(noise as usize) ^ noise as usize
}

/// The value, or `max` if it is larger, compared in a form that the verifier understands.
#[must_use]
#[inline(always)]
pub fn bounded(value: usize, max: usize) -> usize {
    let value = opaque(value);
    if value > max { max } else { value }
}

/// A frame on the host: a buffer with room before the frame and behind it, as a driver's has.
#[derive(Debug)]
pub struct HostFrame<'a> {
    buffer: &'a mut [u8],
    start: usize,
    len: usize,
}

impl<'a> HostFrame<'a> {
    /// A frame of the first `len` bytes of `buffer`; what lies behind is room to grow into.
    ///
    /// # Panics
    /// When `len` is more than the buffer holds.
    #[must_use]
    pub fn new(buffer: &'a mut [u8], len: usize) -> Self {
        Self::with_headroom(buffer, 0, len)
    }

    /// A frame of `len` bytes behind `headroom` bytes of room in `buffer`; what lies behind is room too.
    ///
    /// # Panics
    /// When both together are more than the buffer holds.
    #[must_use]
    pub fn with_headroom(buffer: &'a mut [u8], headroom: usize, len: usize) -> Self {
        assert!(headroom + len <= buffer.len(), "the frame is longer than its buffer");
        Self { buffer, start: headroom, len }
    }

    /// The bytes of the frame as it is now.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.len]
    }
}

impl Frame for HostFrame<'_> {
    fn len(&self) -> usize {
        self.len
    }

    fn window<const N: usize>(&mut self, at: usize) -> Option<&mut Window<N>> {
        let bytes: &mut [u8; N] =
            self.buffer[self.start..self.start + self.len].get_mut(at..)?.first_chunk_mut()?;
        // SAFETY: Window<N> is a transparent [u8; N], and the borrow is handed on as it is.
        Some(unsafe { &mut *core::ptr::from_mut(bytes).cast::<Window<N>>() })
    }

    fn grow(&mut self, by: usize) -> bool {
        let room = self.buffer.len() - self.start - self.len;
        if by <= room {
            self.len += by;
        }
        by <= room
    }

    fn grow_front(&mut self, by: usize) -> bool {
        let room = self.start;
        if by <= room {
            self.start -= by;
            self.len += by;
        }
        by <= room
    }

    fn trim(&mut self, len: usize) -> bool {
        let shorter = len <= self.len;
        if shorter {
            self.len = len;
        }
        shorter
    }
}
