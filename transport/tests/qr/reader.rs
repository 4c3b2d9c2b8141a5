//! Reads QR codes from what a terminal shows.

/// How many pixels a module has on each side.
const SCALE: usize = 4;

/// Reads a code as a camera does that sees a terminal with light text on a dark ground.
pub(crate) fn read(drawn: &str) -> String {
    let rows: Vec<[Vec<bool>; 2]> = drawn
        .lines()
        .map(|line| ["█▀", "█▄"].map(|light| line.chars().map(|c| light.contains(c)).collect()))
        .collect();
    let modules: Vec<Vec<bool>> = rows.into_iter().flatten().collect();
    let (width, height) = (modules[0].len() * SCALE, modules.len() * SCALE);
    let pixels: Vec<u8> = (0..width * height)
        .map(|at| modules[at / width / SCALE][at % width / SCALE])
        .map(|is_light| if is_light { 255 } else { 0 })
        .collect();
    let mut reader = quircs::Quirc::default();
    let codes: Vec<_> = reader.identify(width, height, &pixels).collect();
    let [Ok(code)] = &codes[..] else {
        panic!("one code is found, not {}", codes.len());
    };
    let read = code.decode().expect("it is whole");
    String::from_utf8(read.payload).expect("a text was drawn")
}
