//! Shows and changes who is a member of a running cluster.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use liferaft::configuration::{AccessToken, Description, Grants, TokenKey};
use liferaft::driver::{Client, ClientRefused, ClientStatus, MembershipError, Terms, Unreached};
use liferaft::kv::Kv;
use liferaft::transport::access::Permit;
use liferaft::transport::token::TokenSecret;
use liferaft::wire::Report;
use liferaft::{Invitation, MembershipChange, ServerId};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::client::{Access, block_on};
use crate::failure::{EXIT_CODES, Misuse};

/// Show and change who is a member
///
/// Members are named by what people call them, by their ids, or by the first digits of these. Whatever changes
/// something needs an invitation to operators.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Options {
    #[command(flatten)]
    access: Access,

    #[command(subcommand)]
    operation: Operation,
}

#[derive(Clone, Debug, Subcommand)]
enum Operation {
    /// Print all members
    List,
    /// Make a server a member, which waits for that: it was started with `--join`, where nobody comes in by itself
    Add {
        /// Its id
        server: ServerId,
    },
    /// Take a member out, which may come back by itself
    Remove {
        /// The member
        member: String,
    },
    /// Take a member out, and keep it out until it is added again
    Expel {
        /// The member, or the id of a server that is none
        member: String,
    },
    /// Give a learner a vote
    Promote {
        /// The member
        member: String,
    },
    /// Have the leader hand over
    Transfer {
        /// To this voter; otherwise to the one that is most up to date
        member: Option<String>,
    },
    /// Print an invitation
    Invite {
        /// What it is for
        #[arg(value_enum)]
        purpose: Purpose,
        /// So many servers may come by one to members, 1 if nothing is said. How many clients hold one is not counted
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        uses: Option<u32>,
        /// It is good for so many hours
        #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..))]
        hours: u64,
        /// Readers and writers by it have only the keys that begin so; up to four times
        #[arg(long = "prefix", value_name = "PREFIX")]
        prefixes: Vec<String>,
    },
    /// Print the tokens of all invitations that are good or remembered
    Tokens,
    /// Take an invitation back: nobody comes by it any more, and its clients are cut off
    Revoke {
        /// Its token, the first digits of that, or the invitation itself
        token: String,
    },
}

/// What an invitation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    /// To be a member
    Member,
    /// To read, as a client
    Reader,
    /// To read and write, as a client
    Writer,
    /// To read, write and change who is a member, as a client
    Operator,
}

impl Purpose {
    /// As it is said of an invitation.
    pub(crate) const fn in_words(self) -> &'static str {
        match self {
            Self::Member => "to members",
            Self::Reader => "to clients that read",
            Self::Writer => "to clients that write",
            Self::Operator => "to operators",
        }
    }

    /// What a token is for that grants this.
    const fn of(grants: Grants) -> Self {
        match grants {
            Grants::Membership => Self::Member,
            Grants::Reading => Self::Reader,
            Grants::Writing => Self::Writer,
            Grants::Operating => Self::Operator,
        }
    }

    /// The terms of an invitation for it.
    pub(crate) fn terms(self, uses: u32, hours: u64) -> Terms {
        let terms = match self {
            Self::Member => Terms::membership().with_uses(uses),
            Self::Reader => Terms::reading(),
            Self::Writer => Terms::writing(),
            Self::Operator => Terms::operating(),
        };
        terms.with_valid_for(Duration::from_secs(hours.saturating_mul(3600)))
    }
}

pub(crate) fn run(options: &Options) -> ExitCode {
    block_on(async {
        let client = options.access.client().await?;
        let told = operate(&client, options).await?;
        crate::print(&told)
    })
}

async fn operate(client: &Client<Kv>, options: &Options) -> anyhow::Result<String> {
    let json = options.access.json();
    let change = match &options.operation {
        Operation::List => {
            let report = of_leader(client).await?;
            return Ok(list(&report, json));
        }
        Operation::Tokens => {
            let report = with_tokens(client).await?;
            return Ok(tokens(&report, json));
        }
        Operation::Revoke { token } => MembershipChange::revoke(token_of(client, token).await?),
        Operation::Add { server } => MembershipChange::add_voter(*server),
        Operation::Remove { member } => MembershipChange::evict(named(client, member).await?),
        Operation::Expel { member } => MembershipChange::remove(named(client, member).await?),
        Operation::Promote { member } => MembershipChange::add_voter(named(client, member).await?),
        Operation::Transfer { member } => {
            let to = match member {
                Some(member) => Some(named(client, member).await?),
                None => None,
            };
            let leader = client.transfer_leadership(to).await?;
            // It leads, whether or not it tells what it is called.
            let name = name_of(client, leader).await.unwrap_or_default();
            let id = format!("{leader:?}");
            return Ok(match (json, name.is_empty()) {
                (true, _) => format!("{}\n", json!({ "leader": id, "name": name })),
                (false, false) => format!("{name} ({id}) leads\n"),
                (false, true) => format!("{id} leads\n"),
            });
        }
        Operation::Invite {
            purpose,
            uses,
            hours,
            prefixes,
        } => {
            if uses.is_some() && *purpose != Purpose::Member {
                let wrong = "--uses is for invitations to members: clients leave no trace when they come, so they are \
                             not counted; --hours bounds how long one is good, and `liferaft members revoke` takes it \
                             back";
                return Err(Misuse(wrong.to_owned()).into());
            }
            let mut terms = purpose.terms(uses.unwrap_or(1), *hours);
            if !prefixes.is_empty() {
                terms = terms
                    .within_prefixes(prefixes)
                    .with_context(|| Misuse("--prefix".to_owned()))?;
            }
            let invitation = client.invite(terms).await?;
            return Ok(match json {
                true => format!("{}\n", json!({ "invitation": invitation.to_string() })),
                false => format!(
                    "{invitation}\n{}",
                    crate::code::of(&invitation).unwrap_or_default()
                ),
            });
        }
    };
    client.change_membership(change).await?;
    Ok(String::new())
}

/// Returns what the leader reports, with tokens: only operators are told of them.
async fn with_tokens(client: &Client<Kv>) -> anyhow::Result<Report> {
    let report = of_leader(client).await?;
    if client.status().borrow().permit < Some(Permit::Operate) {
        return Err(MembershipError::Refused(ClientRefused::NotOperator).into());
    }
    Ok(report)
}

/// Finds the token that is meant.
async fn token_of(client: &Client<Kv>, text: &str) -> anyhow::Result<TokenKey> {
    if let Ok(invitation) = text.parse::<Invitation>() {
        let token = invitation.token().map(TokenSecret::key);
        return token.context("this invitation has no token: there is nothing to take back");
    }
    let report = with_tokens(client).await?;
    let digits = text.trim_end_matches('…').to_lowercase();
    let is_long = digits.len() >= "0x".len() + 4;
    let is_meant = |token: &&AccessToken| is_long && token.key.to_string().starts_with(&digits);
    let meant: Vec<_> = report.tokens.iter().filter(is_meant).collect();
    match meant[..] {
        [token] => Ok(token.key),
        [] => bail!("no token begins with these digits: `liferaft members tokens` shows all"),
        _ => bail!(
            "{} tokens begin with these digits: more of them are needed",
            meant.len()
        ),
    }
}

fn tokens(report: &Report, json: bool) -> String {
    let lines = report.tokens.iter().map(|token| {
        let purpose = Purpose::of(token.grants);
        let left = token.expires_at.since(report.time).as_secs();
        let uses = (purpose == Purpose::Member).then_some(token.uses_left);
        let prefixes = token.scope.prefixes().iter();
        let prefixes: Vec<_> = prefixes
            .map(|prefix| String::from_utf8_lossy(prefix).into_owned())
            .collect();
        if json {
            let item = json!({
                "token": token.key.to_string(),
                "purpose": purpose,
                "expires_in_seconds": left,
                "uses_left": uses,
                "prefixes": prefixes,
            });
            return format!("{item}\n");
        }
        let name: String = token.key.to_string().chars().take(TOKEN_DIGITS).collect();
        let kind = purpose.in_words();
        let good = match left {
            0 => "expired".to_owned(),
            left => format!("{}:{:02} h left", left / 3600, left / 60 % 60),
        };
        let uses = uses.map_or_else(String::new, |uses| format!("  {uses} uses left"));
        let only = match &prefixes[..] {
            [] => String::new(),
            some => format!("  only {}", some.join(", ")),
        };
        format!("{name}  {kind:<22} {good:>14}{uses}{only}\n")
    });
    lines.collect()
}

/// So many characters of a token are shown to people, and are enough to name it.
const TOKEN_DIGITS: usize = "0x".len() + 16;

/// Returns what the leader reports, once there is one.
pub(crate) async fn of_leader(client: &Client<Kv>) -> anyhow::Result<Report> {
    let is_settled = |status: &ClientStatus| {
        let lasts = |why: &Arc<Unreached>| why.is_lasting;
        status.is_connected || status.unreached.as_ref().is_some_and(lasts)
    };
    // At the deadline as well.
    let _late = client.wait_for(is_settled).await;
    let status = client.status().borrow().clone();
    if let Some(why) = status.unreached {
        return Err(Unreached::clone(&why)).context("no leader is reached");
    }
    let leader = status.leader.context("there is no leader")?;
    let report = client.report(leader).await;
    report.context("the leader does not answer")
}

/// Returns what people call a member.
async fn name_of(client: &Client<Kv>, server: ServerId) -> Option<String> {
    let report = of_leader(client).await.ok()?;
    let mut members = report.members.iter();
    let (.., description) = members.find(|(id, ..)| *id == server)?;
    Some(description.label().as_str().to_owned())
}

/// Finds the member that is called so.
async fn named(client: &Client<Kv>, name: &str) -> anyhow::Result<ServerId> {
    let report = of_leader(client).await?;
    let digits = name.trim_end_matches('…').to_lowercase();
    let is_meant = |(id, _, description): &&(ServerId, bool, Description)| {
        let has_digits = digits.len() >= "0x".len() + 4 && digits.starts_with("0x");
        description.label().as_str() == name || has_digits && format!("{id:?}").starts_with(&digits)
    };
    let meant: Vec<_> = report.members.iter().filter(is_meant).collect();
    match (&meant[..], name.parse()) {
        ([(id, ..)], _) => Ok(*id),
        ([], Ok(id)) => Ok(id),
        ([], Err(_)) => bail!("no member is called {name}: `liferaft members list` shows all"),
        _ => bail!(
            "{} members are called {name}: name one by its id",
            meant.len()
        ),
    }
}

fn list(report: &Report, json: bool) -> String {
    let lines = report.members.iter().map(|(id, is_voter, description)| {
        let id = format!("{id:?}");
        let name = description.label().as_str();
        let role = match (report.leader.map(|leader| format!("{leader:?}")), is_voter) {
            (Some(leader), _) if leader == id => "leader",
            (_, true) => "voter",
            (_, false) => "learner",
        };
        let addresses = description.addresses().iter();
        let addresses: Vec<_> = addresses.map(ToString::to_string).collect();
        match json {
            true => format!(
                "{}\n",
                json!({ "id": id, "name": name, "role": role, "addresses": addresses })
            ),
            false => format!("{id}  {name:<16} {role:<8} {}\n", addresses.join(", ")),
        }
    });
    lines.collect()
}
