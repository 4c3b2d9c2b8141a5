//! Compares the size of the module with the figure that was committed, and with the target.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::process::Program;
use crate::workspace::Workspace;

/// The figure that was committed.
const COMMITTED: &str = "web/size.json";
/// What pages may load at most.
const TARGET: Bytes = Bytes {
    wasm: 900_000,
    gzip: 380_000,
};
/// How far off the committed figure a module may be, in parts of it: compilers differ.
const DEVIATION_MAX: u64 = 25;
/// Compresses as servers do.
const COMPRESSED: &str = "console.log(require('zlib').gzipSync(require('fs').readFileSync(process.argv[1]), { level: 9 }).length)";

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
struct Bytes {
    wasm: u64,
    gzip: u64,
}

/// How large the module is, and how large it was said to be.
pub(crate) struct Size {
    now: Bytes,
    committed: Bytes,
}

impl Size {
    /// Reads that of the module that was made small last.
    pub(crate) fn read(workspace: &Workspace) -> Result<Self> {
        let module = super::bound(workspace).join(super::layout::SMALL_MODULE);
        let wasm =
            fs::metadata(&module).with_context(|| format!("reading {}", module.display()))?;
        let gzip = Program::new("node").arg("-e").arg(COMPRESSED).arg(&module);
        let gzip = gzip.stdout()?;
        let committed = fs::read_to_string(workspace.root.join(COMMITTED))?;
        Ok(Self {
            now: Bytes {
                wasm: wasm.len(),
                gzip: gzip.trim().parse()?,
            },
            committed: serde_json::from_str(&committed).with_context(|| COMMITTED.to_owned())?,
        })
    }

    /// Prints it beside the target.
    pub(crate) fn print(&self) {
        for (what, now, committed, target) in [
            ("wasm", self.now.wasm, self.committed.wasm, TARGET.wasm),
            ("gzip", self.now.gzip, self.committed.gzip, TARGET.gzip),
        ] {
            let verdict = if now <= target { "met" } else { "missed" };
            println!(
                "{what} {now:>9} bytes, committed {committed:>9}, target {target:>7}: {verdict}"
            );
        }
    }

    /// Fails unless it is about what was committed.
    pub(crate) fn check(&self) -> Result<()> {
        let Bytes { wasm, gzip } = self.now;
        ensure!(
            self.is_as_committed(),
            "the module has another size than {COMMITTED} says: if it is worth that, write {{ \"wasm\": {wasm}, \"gzip\": {gzip} }} there"
        );
        Ok(())
    }

    /// Returns true if it is about what was committed.
    fn is_as_committed(&self) -> bool {
        let near = |now: u64, committed: u64| now.abs_diff(committed) <= committed / DEVIATION_MAX;
        near(self.now.wasm, self.committed.wasm) && near(self.now.gzip, self.committed.gzip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_may_be_four_percent_off_and_no_more() {
        let committed = Bytes {
            wasm: 1000,
            gzip: 500,
        };
        let size = |wasm, gzip| Size {
            now: Bytes { wasm, gzip },
            committed,
        };

        assert!(size(1040, 480).is_as_committed());
        assert!(!size(1041, 500).is_as_committed());
        assert!(!size(1000, 479).is_as_committed());
    }
}
