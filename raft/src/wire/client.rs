//! Encodes what clients, which are not members, ask of a member, and what they are answered.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;
use prost::Message as _;

use super::description::{description, encode_description};
use super::field::{
    self, List, id, index, number, required, server, server_bytes, server_if_any, term,
};
use super::proto::{self, kind};
use super::report;
use super::{
    COMMANDS_MAX, ClientAnswer, ClientAsk, ClientQuery, CommandOutcome, Content, Decline,
    DecodeError, QUERIES_MAX, QueryOutcome, VIEW_MEMBERS_MAX, View,
};
use crate::ids::Index;

pub(super) fn decode(kind: u32, body: Bytes) -> Result<Content, DecodeError> {
    match kind {
        kind::CLIENT_REQUEST => decode_request(body),
        kind::CLIENT_REPLY => decode_reply(body),
        number => Err(DecodeError::UnknownKind {
            part: "frame",
            number,
        }),
    }
}

pub(super) fn request(request: u64, ask: &ClientAsk) -> proto::ClientRequest {
    let (commands, queries) = match ask {
        ClientAsk::View | ClientAsk::Report => (Vec::new(), Vec::new()),
        ClientAsk::Commands(commands) => (commands.clone(), Vec::new()),
        ClientAsk::Queries(queries) => {
            let queries = queries.iter().map(|asked| proto::ClientQuery {
                number: Some(asked.number),
                query: Some(asked.query.clone()),
                not_before: asked.not_before.0,
            });
            (Vec::new(), queries.collect())
        }
    };
    proto::ClientRequest {
        request: Some(request),
        commands,
        queries,
        report: *ask == ClientAsk::Report,
    }
}

fn decode_request(body: Bytes) -> Result<Content, DecodeError> {
    let lists = [
        List {
            items: "commands",
            field: proto::ClientRequest::COMMANDS,
            count_max: COMMANDS_MAX,
        },
        List {
            items: "queries",
            field: proto::ClientRequest::QUERIES,
            count_max: QUERIES_MAX,
        },
    ];
    let read: proto::ClientRequest = field::decode_lists(body, "request of a client", &lists)?;
    let ask = match (read.commands.is_empty(), read.queries.is_empty()) {
        (true, true) if read.report => ClientAsk::Report,
        (true, true) => ClientAsk::View,
        (false, true) => ClientAsk::Commands(read.commands),
        (true, false) => {
            let queries = read.queries.into_iter().map(|read| {
                Ok(ClientQuery {
                    number: required(read.number, "number of a query")?,
                    not_before: index(Some(read.not_before), "index that a query waits for")?,
                    query: required(read.query, "query")?,
                })
            });
            ClientAsk::Queries(queries.collect::<Result<_, DecodeError>>()?)
        }
        (false, false) => {
            return Err(DecodeError::Malformed {
                part: "request of a client",
            });
        }
    };
    Ok(Content::ClientRequest {
        request: required(read.request, "request")?,
        ask,
    })
}

pub(super) fn reply(request: u64, answer: &ClientAnswer) -> proto::ClientReply {
    let reply = proto::ClientReply {
        request: Some(request),
        ..proto::ClientReply::default()
    };
    match answer {
        ClientAnswer::View(view) => proto::ClientReply {
            view: Some(proto_view(view).encode_to_vec().into()),
            ..reply
        },
        ClientAnswer::Report(told) => proto::ClientReply {
            report: Some(report::encode(told)),
            ..reply
        },
        ClientAnswer::Declined(decline) => proto::ClientReply {
            declined: Some(match decline {
                Decline::Busy => proto::ClientReply::BUSY,
                Decline::TooLarge => proto::ClientReply::TOO_LARGE,
                Decline::ReadOnly => proto::ClientReply::READ_ONLY,
                Decline::NotServed => proto::ClientReply::NOT_SERVED,
                Decline::NotUnderstood => proto::ClientReply::NOT_UNDERSTOOD,
                Decline::TokenOver => proto::ClientReply::TOKEN_OVER,
            }),
            ..reply
        },
        ClientAnswer::Outcomes(outcomes) => proto::ClientReply {
            outcomes: outcomes.iter().map(proto_outcome).collect(),
            ..reply
        },
        ClientAnswer::Answers(answers) => proto::ClientReply {
            answers: answers.iter().map(proto_answer).collect(),
            ..reply
        },
    }
}

fn proto_view(view: &View) -> proto::ClientView {
    let members = view.members.iter().map(|(id, description)| proto::Seen {
        id: Some(server_bytes(*id)),
        description: Some(encode_description(description)),
    });
    proto::ClientView {
        term: Some(view.term.0),
        leader: view.leader.map(server_bytes),
        members: members.collect(),
        command_bytes_max: view.command_bytes_max,
    }
}

fn proto_outcome(outcome: &CommandOutcome) -> proto::CommandOutcome {
    let of = |kind, session: Index| proto::CommandOutcome {
        kind: Some(kind),
        session: Some(session.0),
        ..proto::CommandOutcome::default()
    };
    match outcome {
        CommandOutcome::Registered { nonce, session } => proto::CommandOutcome {
            nonce: Some(Bytes::copy_from_slice(&nonce.to_be_bytes())),
            ..of(proto::CommandOutcome::REGISTERED, *session)
        },
        CommandOutcome::Done {
            session,
            sequence,
            reply,
        } => proto::CommandOutcome {
            sequence: Some(*sequence),
            reply: reply.clone(),
            ..of(proto::CommandOutcome::DONE, *session)
        },
        CommandOutcome::Expired { session, sequence } => proto::CommandOutcome {
            sequence: Some(*sequence),
            ..of(proto::CommandOutcome::EXPIRED, *session)
        },
        CommandOutcome::OutOfScope { session, sequence } => proto::CommandOutcome {
            sequence: Some(*sequence),
            ..of(proto::CommandOutcome::OUT_OF_SCOPE, *session)
        },
    }
}

fn proto_answer((number, outcome): &(u64, QueryOutcome)) -> proto::QueryAnswer {
    let answer = proto::QueryAnswer {
        number: Some(*number),
        ..proto::QueryAnswer::default()
    };
    let refused = match outcome {
        QueryOutcome::Answer(bytes) => {
            return proto::QueryAnswer {
                answer: Some(bytes.clone()),
                ..answer
            };
        }
        QueryOutcome::Busy => proto::QueryAnswer::BUSY,
        QueryOutcome::Panicked => proto::QueryAnswer::PANICKED,
        QueryOutcome::NotUnderstood => proto::QueryAnswer::NOT_UNDERSTOOD,
        QueryOutcome::OutOfScope => proto::QueryAnswer::OUT_OF_SCOPE,
        QueryOutcome::TooLarge { bytes, bytes_max } => {
            return proto::QueryAnswer {
                refused: Some(proto::QueryAnswer::TOO_LARGE),
                bytes: *bytes,
                bytes_max: *bytes_max,
                ..answer
            };
        }
    };
    proto::QueryAnswer {
        refused: Some(refused),
        ..answer
    }
}

fn decode_reply(body: Bytes) -> Result<Content, DecodeError> {
    const PART: &str = "reply to a client";
    let lists = [
        List {
            items: "outcomes",
            field: proto::ClientReply::OUTCOMES,
            count_max: COMMANDS_MAX,
        },
        List {
            items: "answers",
            field: proto::ClientReply::ANSWERS,
            count_max: QUERIES_MAX,
        },
    ];
    let read: proto::ClientReply = field::decode_lists(body, PART, &lists)?;
    let answer = if let Some(view) = read.view {
        ClientAnswer::View(decode_view(view)?)
    } else if let Some(told) = read.report {
        ClientAnswer::Report(Box::new(report::decode(told)?))
    } else if let Some(code) = read.declined {
        ClientAnswer::Declined(decode_decline(code)?)
    } else if !read.outcomes.is_empty() {
        let outcomes = read.outcomes.into_iter().map(decode_outcome);
        ClientAnswer::Outcomes(outcomes.collect::<Result<_, _>>()?)
    } else if !read.answers.is_empty() {
        let answers = read.answers.into_iter().map(decode_answer);
        ClientAnswer::Answers(answers.collect::<Result<_, _>>()?)
    } else {
        return Err(DecodeError::Missing { field: "answer" });
    };
    Ok(Content::ClientReply {
        request: required(read.request, "request")?,
        answer,
    })
}

fn decode_decline(code: u32) -> Result<Decline, DecodeError> {
    Ok(match code {
        proto::ClientReply::BUSY => Decline::Busy,
        proto::ClientReply::TOO_LARGE => Decline::TooLarge,
        proto::ClientReply::READ_ONLY => Decline::ReadOnly,
        proto::ClientReply::NOT_SERVED => Decline::NotServed,
        proto::ClientReply::NOT_UNDERSTOOD => Decline::NotUnderstood,
        proto::ClientReply::TOKEN_OVER => Decline::TokenOver,
        number => {
            return Err(DecodeError::UnknownKind {
                part: "answer to a client",
                number,
            });
        }
    })
}

fn decode_view(bytes: Bytes) -> Result<View, DecodeError> {
    let list = List {
        items: "members",
        field: proto::ClientView::MEMBERS,
        count_max: VIEW_MEMBERS_MAX,
    };
    let read: proto::ClientView = field::decode_list(bytes, "view of a member", &list)?;
    let members = read.members.into_iter().map(|seen| {
        let id = server(seen.id, "member")?;
        Ok((id, description(seen.description)?))
    });
    Ok(View {
        term: term(read.term, "term of the view")?,
        leader: server_if_any(read.leader, "leader")?,
        members: members.collect::<Result<_, DecodeError>>()?,
        command_bytes_max: read.command_bytes_max,
    })
}

fn decode_outcome(read: proto::CommandOutcome) -> Result<CommandOutcome, DecodeError> {
    let session = index(read.session, "session")?;
    let sequence = number(read.sequence.or(Some(0)), "sequence")?;
    Ok(match required(read.kind, "kind of outcome")? {
        proto::CommandOutcome::REGISTERED => CommandOutcome::Registered {
            nonce: id(read.nonce, "nonce")?,
            session,
        },
        proto::CommandOutcome::DONE => CommandOutcome::Done {
            session,
            sequence,
            reply: read.reply,
        },
        proto::CommandOutcome::EXPIRED => CommandOutcome::Expired { session, sequence },
        proto::CommandOutcome::OUT_OF_SCOPE => CommandOutcome::OutOfScope { session, sequence },
        number => {
            return Err(DecodeError::UnknownKind {
                part: "outcome of a command",
                number,
            });
        }
    })
}

fn decode_answer(read: proto::QueryAnswer) -> Result<(u64, QueryOutcome), DecodeError> {
    let outcome = match (read.answer, read.refused) {
        (Some(answer), _) => QueryOutcome::Answer(answer),
        (None, refused) => match required(refused, "answer to a query")? {
            proto::QueryAnswer::BUSY => QueryOutcome::Busy,
            proto::QueryAnswer::PANICKED => QueryOutcome::Panicked,
            proto::QueryAnswer::NOT_UNDERSTOOD => QueryOutcome::NotUnderstood,
            proto::QueryAnswer::TOO_LARGE => QueryOutcome::TooLarge {
                bytes: read.bytes,
                bytes_max: read.bytes_max,
            },
            proto::QueryAnswer::OUT_OF_SCOPE => QueryOutcome::OutOfScope,
            number => {
                return Err(DecodeError::UnknownKind {
                    part: "answer to a query",
                    number,
                });
            }
        },
    };
    Ok((required(read.number, "number of a query")?, outcome))
}
