//! Options and sub-options in octets: a code, a length, and a value of that length.

use std::ops::Range;

/// Where the value of the option is whose code is at `at`, be it whole or not; `None` where its length is missing.
pub(super) fn value_at(field: &[u8], at: usize) -> Option<Range<usize>> {
    let length = usize::from(*field.get(at.checked_add(1)?)?);
    let value = at.checked_add(2)?;
    Some(value..value.checked_add(length)?)
}
