//! Runs the fuzz targets with their seeds and with random inputs, without libFuzzer.

use std::{fs, path::Path, sync::LazyLock};

use proptest::prelude::*;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 15] = [
    ("cookie_session", crate::cookie_session),
    ("signature", crate::signature),
    ("return_to", crate::return_to),
    ("origin", crate::origin),
    ("known_device", crate::known_device),
    ("mfa_trust", crate::mfa_trust),
    ("mfa_code", crate::mfa_code),
    ("bearer", crate::bearer),
    ("passkey", crate::passkey),
    ("id_token", crate::id_token),
    ("provider", crate::provider),
    ("device_bound", crate::device_bound),
    ("token", crate::token),
    ("phc", crate::phc),
    ("user_agent", crate::user_agent),
];

/// The seeds of each target, in the order of [`TARGETS`].
static SEEDS: LazyLock<Vec<Vec<Vec<u8>>>> = LazyLock::new(|| TARGETS.iter().map(|(name, _)| read(name)).collect());

fn read(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let files = fs::read_dir(folder).expect("seeds").map(|file| fs::read(file.expect("a file").path()));
    files.collect::<Result<_, _>>().expect("readable seeds")
}

#[test]
fn every_target_holds_on_its_seeds() {
    for ((name, target), seeds) in TARGETS.iter().zip(&*SEEDS) {
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for seed in seeds {
            target(seed);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn every_target_holds_on_random_bytes(data in prop::collection::vec(any::<u8>(), 0..200)) {
        for (_, target) in TARGETS {
            target(&data);
        }
    }

    /// Mutated seeds have a few bytes changed and are cut, so they are closer to accepted inputs.
    #[test]
    fn every_target_holds_on_mutated_seeds(
        pick in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        for ((_, target), seeds) in TARGETS.iter().zip(&*SEEDS) {
            let mut data = pick.get(seeds).clone();
            for (at, byte) in &changes {
                if !data.is_empty() {
                    let at = at.index(data.len());
                    data[at] = *byte;
                }
            }
            target(&data);
            data.truncate(cut.index(data.len() + 1));
            target(&data);
        }
    }
}
