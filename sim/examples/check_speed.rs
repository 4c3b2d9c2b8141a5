//! How long the checker takes for 100,000 operations over 100 keys: `cargo run --release --example check_speed`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use liferaft_sim::dice::{Dice, PerMillion};
use liferaft_sim::linearizability::{
    Budget, Judgement, Operation, RegisterInput, RegisterOutput, Registers, judge,
};

const OPERATIONS: u64 = 100_000;
const KEYS: u64 = 100;
const TARGET: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let history = draw(&mut Dice::new(1, 0));

    let began = Instant::now();
    let judgement = judge::<Registers>(&history, Budget::default());
    let took = began.elapsed();

    let met = if took < TARGET { "met" } else { "missed" };
    println!(
        "{OPERATIONS} operations over {KEYS} keys: {judgement:?} in {took:?}, target {TARGET:?}, {met}"
    );
    // A machine may be slow, and a debug build is: only a wrong judgement is a failure.
    if judgement == Judgement::Linearizable {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A history of registers that takes effect in the order drawn, with calls and returns around it that overlap those of
/// a few others, and one operation in a hundred of unknown outcome.
fn draw(dice: &mut Dice) -> Vec<Operation<RegisterInput, RegisterOutput>> {
    let mut registers = vec![0; usize::try_from(KEYS).expect("few keys")];
    (0..OPERATIONS)
        .map(|number| {
            let moment = (number + 1) * 100;
            let at = dice.below(registers.len());
            let register = &mut registers[at];
            let (input, output) = match dice.below(3) {
                0 => (RegisterInput::Read, RegisterOutput::Value(*register)),
                1 => {
                    *register = number + 1;
                    (RegisterInput::Write(*register), RegisterOutput::Done)
                }
                _ => {
                    let from = core::mem::replace(register, number + 1);
                    let input = RegisterInput::CompareAndSet(from, *register);
                    (input, RegisterOutput::Done)
                }
            };
            // Some forty thousand moments around each: about four others on the same key are under way.
            let known = !dice.falls(PerMillion::percent(1));
            let called = moment.saturating_sub(dice.between(0, 20_000));
            Operation {
                key: at as u64,
                called,
                returned: known.then(|| (moment + dice.between(0, 20_000), output)),
                input,
            }
        })
        .collect()
}
