//! Says what takes how much of a module, by crates and by functions, all copies of a generic one together.
//!
//! It reads the lengths of functions and their names, which wasm-bindgen has made readable, by the format of
//! WebAssembly (Core Specification 2.0, §5.5).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// How many rows each table has.
const ROWS: usize = 40;
/// How wide a name may be, in characters.
const NAME_MAX: usize = 110;

const SECTION_CUSTOM: u8 = 0;
const SECTION_IMPORT: u8 = 2;
const SECTION_CODE: u8 = 10;
/// The names of functions, in the section of names.
const SUBSECTION_FUNCTIONS: u8 = 1;

/// Prints the tables of a module.
pub(super) fn print(module: &Path) -> Result<()> {
    let module = fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    let functions = functions(&module).context("the module is cut off")?;
    let total: usize = functions.iter().map(|(_, size)| size).sum();
    println!("{total} bytes of code in {} functions", functions.len());
    table("crate", &functions, crate_of);
    table("function", &functions, generic);
    Ok(())
}

fn table(what: &str, functions: &[(String, usize)], group: impl Fn(&str) -> String) {
    let mut groups: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (name, size) in functions {
        let (bytes, copies) = groups.entry(group(name)).or_default();
        *bytes += size;
        *copies += 1;
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, (bytes, _))| std::cmp::Reverse(*bytes));
    println!("\n{:>8} {:>6} {what}", "bytes", "copies");
    for (name, (bytes, copies)) in groups.into_iter().take(ROWS) {
        let name: String = name.chars().take(NAME_MAX).collect();
        println!("{bytes:>8} {copies:>6} {name}");
    }
}

/// The crate that a function is of: the first word of its path, or of the type or the trait that it belongs to.
fn crate_of(name: &str) -> String {
    let name = name.trim_start_matches(['<', '&', '(', '[', '*']);
    let name = name.strip_prefix("dyn ").unwrap_or(name);
    let word = name
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .next();
    word.unwrap_or(name).to_owned()
}

/// A name without the hash of its copy.
fn generic(name: &str) -> String {
    let hash = name.rsplit_once("::h").filter(|(_, hash)| {
        hash.len() == 16 && hash.bytes().all(|digit| digit.is_ascii_hexdigit())
    });
    hash.map_or(name, |(name, _)| name).to_owned()
}

/// Names and lengths of the functions that have code.
fn functions(module: &[u8]) -> Option<Vec<(String, usize)>> {
    let mut module = Reader(module.get(8..)?);
    let (mut imported, mut sizes, mut names) = (0, Vec::new(), BTreeMap::new());
    while let Some(section) = module.byte() {
        let mut content = Reader(module.bytes()?);
        match section {
            SECTION_IMPORT => imported = content.imported_functions()?,
            SECTION_CODE => {
                for _ in 0..content.number()? {
                    sizes.push(content.bytes()?.len());
                }
            }
            SECTION_CUSTOM if content.bytes()? == b"name" => {
                names = content.function_names()?;
            }
            _ => {}
        }
    }
    let named = sizes.into_iter().enumerate().map(|(place, size)| {
        let name = names.remove(&(imported + place));
        (name.unwrap_or_else(|| "without a name".to_owned()), size)
    });
    Some(named.collect())
}

/// What is left of a module.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number in LEB128.
    fn number(&mut self) -> Option<usize> {
        let mut number = 0;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// What has its length before it.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        let (content, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(content)
    }

    /// The bounds of a memory or a table.
    fn limits(&mut self) -> Option<()> {
        let has_maximum = self.byte()? & 1 == 1;
        self.number()?;
        if has_maximum {
            self.number()?;
        }
        Some(())
    }

    fn imported_functions(&mut self) -> Option<usize> {
        let mut functions = 0;
        for _ in 0..self.number()? {
            self.bytes()?;
            self.bytes()?;
            match self.byte()? {
                0 => {
                    functions += 1;
                    self.number()?;
                }
                1 => {
                    self.byte()?;
                    self.limits()?;
                }
                2 => self.limits()?,
                3 => {
                    self.byte()?;
                    self.byte()?;
                }
                _ => return None,
            }
        }
        Some(functions)
    }

    fn function_names(&mut self) -> Option<BTreeMap<usize, String>> {
        while let Some(kind) = self.byte() {
            let mut content = Reader(self.bytes()?);
            if kind == SUBSECTION_FUNCTIONS {
                let count = content.number()?;
                return (0..count)
                    .map(|_| {
                        let function = content.number()?;
                        let name = String::from_utf8_lossy(content.bytes()?);
                        Some((function, name.into_owned()))
                    })
                    .collect();
            }
        }
        Some(BTreeMap::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_have_their_names_and_lengths() {
        // One imported function and one of three bytes, named `a::b`.
        let module = b"\0asm\x01\0\0\0\x02\x07\x01\x01m\x01n\0\0\x0a\x05\x01\x03\0\x01\x0b\0\x0e\x04name\x01\x07\x01\x01\x04a::b";

        let functions = functions(module);

        assert_eq!(functions, Some(vec![("a::b".to_owned(), 3)]));
    }

    #[test]
    fn copies_of_a_generic_function_are_counted_together() {
        let name = "<alloc::vec::Vec<T> as core::clone::Clone>::clone";

        assert_eq!(generic(&format!("{name}::h0123456789abcdef")), name);
        assert_eq!(crate_of(name), "alloc");
    }
}
