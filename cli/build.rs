//! Takes pages for browsers into the program: all files of the folder that `LIFERAFT_PAGES` names, as they are and
//! compressed. `cargo xtask serve` makes such a folder. A program that is built without the variable has no pages.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

const FOLDER: &str = "LIFERAFT_PAGES";
/// The page that is shown first.
const START: &str = "chat.html";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={FOLDER}");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo names no folder to write to")?);
    let folder = env::var_os(FOLDER).filter(|folder| !folder.is_empty());
    let table = match folder {
        Some(folder) => table(&fs::canonicalize(folder)?, &out)?,
        None => "&[]".to_owned(),
    };
    fs::write(out.join("pages.rs"), table)?;
    Ok(())
}

/// Writes an expression of the files: of each its path, its bytes, and those compressed if they are fewer.
fn table(folder: &Path, out: &Path) -> Result<String, Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", folder.display());
    if !folder.join(START).is_file() {
        return Err(format!("{} has no {START}", folder.display()).into());
    }
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    let mut table = String::from("&[\n");
    for (number, file) in files.iter().enumerate() {
        let parts = file.strip_prefix(folder)?.components();
        let parts: Option<Vec<_>> = parts.map(|part| part.as_os_str().to_str()).collect();
        let path = parts.ok_or("names of pages are text")?.join("/");
        let bytes = fs::read(file)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&bytes)?;
        let compressed = encoder.finish()?;
        let gzip = if compressed.len() < bytes.len() {
            let gzip = out.join(format!("{number}.gz"));
            fs::write(&gzip, compressed)?;
            format!("Some(include_bytes!({gzip:?}))")
        } else {
            "None".to_owned()
        };
        writeln!(table, "    ({path:?}, include_bytes!({file:?}), {gzip}),")?;
    }
    table.push(']');
    Ok(table)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
