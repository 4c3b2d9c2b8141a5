//! Lets each flag be given by a variable of the environment, as supervisors and containers configure a program.
//!
//! A flag that means the same for several commands has a name of its own, as `LIFERAFT_DATA`, said where the flag is.
//! Any other is named after its command, as `LIFERAFT_INSPECT_LAST`, so that no variable means two things.

use std::env::var_os;

use clap::builder::{BoolishValueParser, OsStr, Resettable};
use clap::{Arg, ArgAction, Command};

/// What a variable says of a flag that is not given, in small letters. Supervisors set a variable to nothing where
/// nothing was configured.
const NO: [&str; 7] = ["", "0", "false", "n", "no", "off", "f"];

/// Gives each flag of a command, and of those below it, its variable.
pub(crate) fn with_variables(command: Command) -> Command {
    below(command, "LIFERAFT")
}

fn below(command: Command, prefix: &str) -> Command {
    let command = command.mut_args(|arg| match variable_of(&arg, prefix) {
        Some(name) => read(arg, name),
        None => arg,
    });
    command.mut_subcommands(|below_it| {
        let name = format!("{prefix}_{}", in_capitals(below_it.get_name()));
        below(below_it, &name)
    })
}

/// Returns the name of the variable of a flag; `None` for what is no flag, or is for programs alone.
fn variable_of(arg: &Arg, prefix: &str) -> Option<OsStr> {
    let flag = arg.get_long().filter(|_| !arg.is_hide_set())?;
    let derived = || format!("{prefix}_{}", in_capitals(flag)).into();
    Some(
        arg.get_env()
            .map_or_else(derived, |name| name.to_owned().into()),
    )
}

fn in_capitals(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

fn read(arg: Arg, name: OsStr) -> Arg {
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    let said = var_os(&name).map(|said| said.to_string_lossy().to_lowercase());
    let is_absent = said.is_some_and(|said| said.is_empty() || is_switch && NO.contains(&&*said));
    // The parser would take whatever a variable says for given, and find it in conflict with other flags.
    let arg = if is_absent {
        arg.env(Resettable::Reset)
    } else {
        arg.env(name)
    };
    if is_switch {
        arg.value_parser(BoolishValueParser::new())
    } else {
        arg
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::CommandFactory as _;

    use super::*;
    use crate::Cli;

    /// Takes the variables of all flags, each with the flag, and the flags that have none.
    fn flags(command: &Command, of: &mut BTreeMap<String, String>, without: &mut Vec<String>) {
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            let Some(flag) = arg.get_long() else { continue };
            if ["help", "version"].contains(&flag) {
                continue;
            }
            match arg.get_env() {
                Some(name) => {
                    let name = name.to_str().expect("it is text").to_owned();
                    let earlier = of.insert(name, flag.to_owned());
                    assert!(earlier.is_none_or(|earlier| earlier == flag), "{flag}");
                }
                None => without.push(format!("{} --{flag}", command.get_name())),
            }
        }
        for below in command.get_subcommands() {
            flags(below, of, without);
        }
    }

    #[test]
    fn every_flag_of_every_command_has_a_variable() {
        let (mut of, mut without) = (BTreeMap::new(), Vec::new());

        let mut command = with_variables(Cli::command());
        command.build();
        flags(&command, &mut of, &mut without);

        assert!(without.is_empty(), "{without:?}");
        assert_eq!(of["LIFERAFT_LOG"], "log");
        assert_eq!(of["LIFERAFT_JSON"], "json");
        assert_eq!(of["LIFERAFT_TIMEOUT"], "timeout");
        assert_eq!(of["LIFERAFT_MEMBERS_INVITE_HOURS"], "hours");
        assert!(of.keys().all(|name| name.starts_with("LIFERAFT_")));
    }
}
