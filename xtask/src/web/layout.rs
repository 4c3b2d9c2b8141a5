//! Lays out pages and package: which files are in which, and under which names.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64ct::{Base64, Encoding};
use sha2::{Digest, Sha256};

use super::Made;
use crate::workspace::Workspace;

/// What wasm-bindgen calls the module and its script.
pub(super) const BOUND_MODULE: &str = "liferaft_web_bg.wasm";
const SCRIPT: &str = "liferaft_web.js";
/// Where that script takes up what the module exports, and how it does in pages: through a guard, which sees traps.
const TAKES_UP: &str = "wasm = instance.exports;";
const TAKES_UP_GUARDED: &str = "wasm = guarded(instance.exports);";
const GUARD: &str = "import { guarded } from './guard.js';\n";
/// The module that Binaryen has made smaller.
pub(super) const SMALL_MODULE: &str = "liferaft_web_small.wasm";
/// Keeps the time of hidden pages.
const WORKER: &str = "worker.js";
/// The length of the hash in names, in bytes.
const HASH_BYTES: usize = 8;

/// Where the sources are.
const SCRIPTS: &str = "web/js";
const PAGES: &str = "web/pages";
/// What is in the package beside scripts, from the root.
const PACKAGE_FILES: [&str; 4] = [
    "web/README.md",
    "web/types/liferaft.d.ts",
    "LICENSE-APACHE",
    "LICENSE-MIT",
];
const MANIFEST: &str = "web/package.json.in";
/// What the package has for others than pages.
const ENTRIES: [&str; 2] = ["inline.js", "node.js"];
/// What `inline.js` has the module and the worker from.
const EMBEDDED: &str = "embedded.js";

/// Files that are named after what is in them, by the names that sources know them by.
struct Names(Vec<(&'static str, String)>);

impl Names {
    fn of(parts: &[(&'static str, &[u8])]) -> Self {
        let mut digest = Sha256::new();
        for (name, content) in parts {
            digest.update(name);
            digest.update(content.len().to_be_bytes());
            digest.update(content);
        }
        let digest = digest.finalize();
        let hash: String = digest[..HASH_BYTES]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let named = parts.iter().map(|(name, _)| {
            let (stem, kind) = name.split_once('.').expect("names have endings");
            (
                *name,
                format!("{}-{hash}.{kind}", stem.trim_end_matches("_bg")),
            )
        });
        Self(named.collect())
    }

    /// The text of a source, with the names as they are.
    fn put_into(&self, text: &str) -> String {
        let named = self.0.iter();
        named.fold(text.to_owned(), |text, (name, hashed)| {
            text.replace(name, hashed)
        })
    }

    fn hashed<'a>(&'a self, name: &'a str) -> &'a str {
        let named = self.0.iter().find(|(known, _)| *known == name);
        named.map_or(name, |(_, hashed)| hashed)
    }
}

/// Lays all out. A file that is as it was is not touched, so that a program which has it is not built again.
pub(super) fn lay_out(
    workspace: &Workspace,
    bound: &Path,
    module: &Path,
    made: &Made,
) -> Result<()> {
    let fresh = Made {
        site: made.site.with_extension("new"),
        package: made.package.with_extension("new"),
    };
    lay_out_anew(workspace, bound, module, &fresh)?;
    replace(&made.site, &fresh.site)?;
    replace(&made.package, &fresh.package)
}

/// Makes a folder like another one, which it takes away.
fn replace(folder: &Path, fresh: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for old in fs::read_dir(folder)? {
        let old = old?;
        if !fresh.join(old.file_name()).exists() {
            fs::remove_file(old.path())?;
        }
    }
    for new in fs::read_dir(fresh)? {
        let new = new?;
        let (path, content) = (folder.join(new.file_name()), read(&new.path())?);
        if !path.exists() || read(&path)? != content {
            fs::write(path, content)?;
        }
    }
    fs::remove_dir_all(fresh)?;
    Ok(())
}

fn lay_out_anew(workspace: &Workspace, bound: &Path, module: &Path, made: &Made) -> Result<()> {
    let scripts = workspace.root.join(SCRIPTS);
    let module = read(module)?;
    let script = guarded(&text(read(&bound.join(SCRIPT))?, SCRIPT)?)?;
    let worker = read(&scripts.join(WORKER))?;
    let names = Names::of(&[
        (BOUND_MODULE, &module),
        (SCRIPT, script.as_bytes()),
        (WORKER, &worker),
    ]);
    for folder in [&made.site, &made.package] {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        fs::write(folder.join(names.hashed(BOUND_MODULE)), &module)?;
        fs::write(folder.join(names.hashed(SCRIPT)), names.put_into(&script))?;
        copy_all(&scripts, folder, &names)?;
    }
    for entry in ENTRIES {
        let path = made.site.join(entry);
        if path.exists() {
            fs::remove_file(path)?;
        }
    }
    copy_all(&workspace.root.join(PAGES), &made.site, &names)?;
    let package = &made.package;
    for file in PACKAGE_FILES {
        let from = workspace.root.join(file);
        let name = from.file_name().context("files have names")?;
        fs::copy(&from, package.join(name)).with_context(|| format!("copying {file}"))?;
    }
    let embedded = embedded(&module, &text(worker, WORKER)?)?;
    fs::write(package.join(EMBEDDED), embedded)?;
    let manifest = text(read(&workspace.root.join(MANIFEST))?, MANIFEST)?;
    let manifest = names
        .put_into(&manifest)
        .replace("VERSION", env!("CARGO_PKG_VERSION"));
    fs::write(package.join("package.json"), manifest)?;
    Ok(())
}

/// The script of the module, with the guard between them.
fn guarded(script: &str) -> Result<String> {
    let found = script.matches(TAKES_UP).count();
    ensure!(found == 1, "{SCRIPT} has '{TAKES_UP}' {found} times");
    Ok(GUARD.to_owned() + &script.replace(TAKES_UP, TAKES_UP_GUARDED))
}

/// Copies the files of a folder, those that are text with the names of files as they are.
fn copy_all(from: &Path, to: &Path, names: &Names) -> Result<()> {
    let files = fs::read_dir(from).with_context(|| format!("reading {}", from.display()))?;
    for file in files {
        let file = file?;
        let name = file.file_name();
        let name = name.to_str().context("sources have names of text")?;
        let content = read(&file.path())?;
        let content = match Path::new(name).extension().and_then(|kind| kind.to_str()) {
            Some("html" | "js") => names.put_into(&text(content, name)?).into_bytes(),
            _ => content,
        };
        fs::write(to.join(names.hashed(name)), content)?;
    }
    Ok(())
}

/// The module and the worker as a script.
fn embedded(module: &[u8], worker: &str) -> Result<String> {
    let worker = serde_json::to_string(worker)?;
    // A script may not have these in its texts as they are, in old browsers.
    ensure!(
        !worker.contains(['\u{2028}', '\u{2029}']),
        "the worker has separators of lines"
    );
    let wasm = Base64::encode_string(module);
    Ok(format!(
        "export const wasm = '{wasm}';\nexport const worker = {worker};\n"
    ))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

fn text(content: Vec<u8>, name: &str) -> Result<String> {
    String::from_utf8(content).with_context(|| format!("{name} is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_name_files_after_what_is_in_them() {
        let names = Names::of(&[(BOUND_MODULE, b"module"), (WORKER, b"worker")]);
        let others = Names::of(&[(BOUND_MODULE, b"module"), (WORKER, b"another")]);
        let source =
            "new URL('./liferaft_web_bg.wasm', import.meta.url), './worker.js', './wasm.js'";

        let named = names.put_into(source);

        let module = names.hashed(BOUND_MODULE);
        assert!(
            named.contains(&format!("'./{module}'")) && named.ends_with("'./wasm.js'"),
            "{named}"
        );
        assert!(
            module.starts_with("liferaft_web-") && module.ends_with(".wasm"),
            "{module}"
        );
        assert_ne!(module, others.hashed(BOUND_MODULE));
    }
}
