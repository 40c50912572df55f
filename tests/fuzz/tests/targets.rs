//! Each parser on its corpus, and on so many inputs made of that.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use fuzz::chance::Chance;
use fuzz::corpus;
use fuzz::mutate::mutated;
use fuzz::parity::seed;
use fuzz::target::{self, Target};

/// Tries an input; what fails is kept where it can be looked at.
fn attempt(target: &Target, octets: &[u8], what: &str) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(octets))).is_err() {
        let directory = std::env::temp_dir().join("xdhcpd-fuzz");
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join(target.name);
        std::fs::write(&file, octets).unwrap();
        panic!(
            "{}, {what}: {} has the input; put it into {} when it is mended",
            target.name,
            file.display(),
            corpus::directory(target.name).display()
        );
    }
}

#[test]
fn what_is_kept_of_inputs_harms_no_parser() {
    for target in target::ALL {
        let inputs = corpus::of(target.name).unwrap();
        assert!(!inputs.is_empty(), "{} has no corpus", target.name);
        for input in inputs {
            attempt(target, &input.octets, &input.name);
        }
    }
}

#[test]
fn inputs_made_of_others_harm_no_parser() {
    let seed = seed::seed();
    println!("XDHCPD_SEED={seed:#x} repeats this");
    for (number, target) in (0..).zip(target::ALL) {
        let inputs = corpus::of(target.name).unwrap();
        let began = Instant::now();
        let mut chance = Chance::seeded(seed ^ number);
        for count in 0..target.inputs {
            let octets = mutated(&mut chance, &inputs);
            attempt(target, &octets, &format!("XDHCPD_SEED={seed:#x}, input {count}"));
        }
        println!("{}: {} inputs in {:.1} s", target.name, target.inputs, began.elapsed().as_secs_f64());
    }
}
