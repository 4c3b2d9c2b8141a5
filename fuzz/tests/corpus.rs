//! The corpora, and bytes from a seed, run through every target as ordinary tests.

use std::fs;
use std::path::Path;

use liferaft_fuzz::TARGETS;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

#[test]
fn every_case_of_the_corpora_is_survived() {
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        let cases =
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for case in cases {
            target(&fs::read(case.expect("a readable folder").path()).expect("a readable file"));
        }
    }
}

#[test]
fn bytes_from_a_seed_are_survived() {
    for (name, target) in TARGETS {
        for seed in 0..300 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut data = vec![0; usize::try_from(rng.next_u32() % 4096).expect("small")];
            rng.fill_bytes(&mut data);
            let survived = std::panic::catch_unwind(|| target(&data));
            assert!(survived.is_ok(), "target {name} panics on seed {seed}");
        }
    }
}
