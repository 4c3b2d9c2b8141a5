//! Density: a run in which little happened proves little, however long it was. Each virtual minute of faults has at
//! least so many operations of clients and so many faults.

use super::Alarm;
use crate::clock::SECOND;
use crate::world::World;

/// Operations of clients in a virtual minute of the safety phase.
pub const OPERATIONS_MIN: u64 = 200;

/// Faults in a virtual minute of the safety phase.
pub const FAULTS_MIN: u64 = 20;

/// Checks a run whose faults were drawn, at the end of its safety phase.
///
/// # Errors
/// When too little happened.
pub fn check(world: &World) -> Result<(), Alarm> {
    if !world.course.is_drawn() {
        return Ok(());
    }
    let faults: u64 = world.counts.faults.values().sum();
    let of = |least: u64| least * world.now / (60 * SECOND);
    let operations = world.operations_of_clients();
    if operations >= of(OPERATIONS_MIN) && faults >= of(FAULTS_MIN) {
        return Ok(());
    }
    Err(Alarm {
        invariant: "vacuous",
        at: world.now,
        member: None,
        text: format!("{operations} operations of clients and {faults} faults"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::run::run;

    #[test]
    fn a_run_in_which_clients_ask_for_little_is_an_alarm() {
        let mut plan = Plan::of_seed(1);
        plan.workload.every = 20 * SECOND;

        let alarm = run(plan).alarm.expect("hardly anything happens");

        assert_eq!(alarm.invariant, "vacuous");
    }

    #[test]
    fn a_run_in_which_little_goes_wrong_is_an_alarm() {
        let mut plan = Plan::of_seed(1);
        plan.faults.every = 60 * SECOND;

        let alarm = run(plan).alarm.expect("hardly anything goes wrong");

        assert_eq!(alarm.invariant, "vacuous");
    }
}
