//! Runs the only test of a program of its own, as cargo asks for it.

/// Lists the test, or runs it unless another is wanted.
pub(crate) fn main(name: &str, run: impl FnOnce()) {
    if std::env::args().any(|argument| argument == "--list") {
        println!("{name}: test");
        return;
    }
    let mut arguments = std::env::args().skip(1);
    let filter = arguments.find(|argument| !argument.starts_with('-'));
    if filter.is_none_or(|filter| name.contains(&filter)) {
        run();
        println!("test {name} ... ok");
    }
}
