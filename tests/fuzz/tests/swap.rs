//! No renewal by the loaded program is unknown to the one who revokes, whatever comes between. As root.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

use fuzz::swap::{Revoker, stress};

#[test]
fn a_swap_leaves_no_ack_unknown_to_the_one_who_revokes() {
    let seen = stress(1, Revoker::Compares).unwrap();
    println!("{seen:?}");
}

#[test]
fn a_revoker_that_does_not_swap_is_caught() {
    let error = stress(1, Revoker::Overwrites).expect_err("it is caught");
    assert!(format!("{error:#}").contains("its revoker knew of a promise"), "{error:#}");
}
