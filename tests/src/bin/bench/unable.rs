//! Parts that this machine can't measure. That is no failure: the report says so, and has the rest.

use std::fmt;

use anyhow::Result;

use crate::report::Section;

/// Why something can't be measured here.
#[derive(Debug)]
pub(crate) struct Unable(pub(crate) String);

impl fmt::Display for Unable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unable {}

/// What was found, or a remark on why it could not be found here.
///
/// # Errors
/// Whatever went wrong otherwise.
pub(crate) fn if_able<T>(section: &mut Section, found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is::<Unable>() => {
            section.remark(format!("left out: {error:#}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn only_what_cannot_be_done_here_is_left_out() {
        let mut section = Section::new("scale", "As it grows", "");
        assert_eq!(if_able(&mut section, Ok(1)).expect("found"), Some(1));
        assert!(if_able::<()>(&mut section, Err(anyhow!("a wrong reply"))).is_err());
        assert_eq!(section.remarks, [""; 0]);
        let unable = Err(Unable("too little memory".to_owned())).context("4000000 leases");
        assert_eq!(if_able::<()>(&mut section, unable).expect("nothing wrong"), None);
        assert_eq!(section.remarks, ["left out: 4000000 leases: too little memory"]);
    }
}
