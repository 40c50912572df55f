//! Restarts threads that report failures: when such a thread itself panics, nothing else can report it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::sleep;
use std::time::Duration;

/// The pause after a panic: what panics each time must not keep a CPU busy.
const PAUSE: Duration = Duration::from_secs(1);

/// Does `work` until it returns. If it panics, which the log says, it is begun anew after a pause: it has to make good what
/// it left half done.
pub fn after_panics(mut work: impl FnMut()) {
    while catch_unwind(AssertUnwindSafe(&mut work)).is_err() {
        sleep(PAUSE);
    }
}
