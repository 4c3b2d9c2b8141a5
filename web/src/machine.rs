//! Defines what members of a page replicate: keys, or a state machine of the page's, into which bytes go and from which
//! bytes come out.
//!
//! Both are one type, so that a module has one driver. It speaks as [`Kv`] does, byte for byte, since native members
//! share its clusters. The bytes of a machine of the page's travel as what that language has for bytes: a command is
//! the value of a `Set` without a key, a question the key of a `Get`.

use std::cell::RefCell;

use bytes::Bytes;
use js_sys::{Array, Function, Reflect, Uint8Array};
use liferaft::configuration::Scope;
use liferaft::kv::{Answer, Command, CompareAndSet, Done, Found, Query, Refused, Reply, Revision};
use liferaft::time::ClusterTime;
use liferaft::{ApplyContext, Capture, Kv, Pieces, RestoreError, Restoring, StateMachine};
use wasm_bindgen::{JsCast, JsValue};

use crate::error::Fault;
use crate::plain::{array, number, object, property, text};

thread_local! {
    /// The machines of the page, and `undefined` in places that are free. Objects of JavaScript stay where they are,
    /// while members have numbers.
    static MACHINES: RefCell<Vec<JsValue>> = const { RefCell::new(Vec::new()) };
}

/// What a member replicates.
#[derive(Debug)]
pub(crate) enum Machine {
    Kv(Kv),
    Page(PageMachine),
}

/// A state machine of the page's, by its number.
#[derive(Debug)]
pub(crate) struct PageMachine(usize);

/// Returns the command of a machine of the page's that has these bytes.
pub(crate) const fn command_of(value: Bytes) -> Command {
    let key = Bytes::new();
    Command::Set { key, value }
}

/// Returns the question of a machine of the page's that has these bytes.
pub(crate) const fn query_of(key: Bytes) -> Query {
    Query::Get { key }
}

/// Returns the bytes of a reply of a machine of the page's.
pub(crate) fn reply_of(reply: Reply) -> Result<Bytes, Fault> {
    match reply.outcome? {
        Done::CompareAndSet(CompareAndSet::Different {
            current: Some(bytes),
        }) => Ok(bytes),
        _ => Err(Fault::unknown("machine", "the reply is of no machine")),
    }
}

/// Returns what a question found, unless the machine of the page's threw.
pub(crate) fn found(answer: Result<Answer, String>) -> Result<Answer, Fault> {
    answer.map_err(|thrown| Fault::not_done("machine", thrown))
}

/// Returns the bytes of an answer of a machine of the page's.
pub(crate) fn answer_of(answer: Result<Answer, String>) -> Result<Bytes, Fault> {
    match found(answer)?.outcome? {
        Found::Value(Some(bytes)) => Ok(bytes),
        _ => Err(Fault::not_done("machine", "the answer is of no machine")),
    }
}

impl PageMachine {
    /// Takes an object with the four methods, and `failure`, which tells what it has thrown.
    pub(crate) fn of(machine: JsValue) -> Self {
        MACHINES.with_borrow_mut(|machines| {
            let free = machines.iter().position(JsValue::is_undefined);
            let at = free.unwrap_or(machines.len());
            machines.resize(machines.len().max(at + 1), JsValue::UNDEFINED);
            machines[at] = machine;
            Self(at)
        })
    }

    /// Calls a method, and returns what it returns, or what it throws.
    fn call(&self, method: &str, arguments: &[JsValue]) -> Result<JsValue, String> {
        let machine = MACHINES.with_borrow(|machines| machines[self.0].clone());
        let method: Function = property(&machine, method).unchecked_into();
        let arguments: Array = arguments.iter().collect();
        let returned = Reflect::apply(&method, &machine, &arguments);
        returned.map_err(|thrown| {
            let message = text(&thrown, "message").or_else(|| thrown.as_string());
            message.unwrap_or_else(|| "it does not say why".to_owned())
        })
    }

    fn bytes(&self, method: &str, arguments: &[JsValue]) -> Result<Bytes, String> {
        let returned = self.call(method, arguments)?;
        Ok(Uint8Array::new(&returned).to_vec().into())
    }

    fn apply(&self, context: ApplyContext, command: &[u8]) -> Bytes {
        let at = object(&[
            ("index", number(context.index.0)),
            ("term", number(context.term.0)),
            ("timeMs", number(context.time.0)),
        ]);
        // What it throws is its failure.
        self.bytes("apply", &[array(command), at])
            .unwrap_or_default()
    }

    fn failure(&self) -> Option<String> {
        self.call("failure", &[]).ok()?.as_string()
    }

    fn snapshot(&self) -> Vec<u8> {
        self.bytes("snapshot", &[]).unwrap_or_default().into()
    }

    fn restore(&self, state: &[u8]) -> Result<(), RestoreError> {
        let restored = self.call("restore", &[array(state)]);
        restored.map(drop).map_err(RestoreError::new)
    }
}

impl Drop for PageMachine {
    fn drop(&mut self) {
        MACHINES.with_borrow_mut(|machines| machines[self.0] = JsValue::UNDEFINED);
    }
}

impl StateMachine for Machine {
    type Command = Command;
    type Reply = Reply;
    type Query = Query;
    type Answer = Result<Answer, String>;

    fn apply(&mut self, context: ApplyContext, command: Command) -> Reply {
        match (self, command) {
            (Self::Kv(kv), command) => kv.apply(context, command),
            (Self::Page(machine), Command::Set { key, value }) if key.is_empty() => {
                let current = Some(machine.apply(context, &value));
                Reply {
                    revision: Revision(0),
                    outcome: Ok(Done::CompareAndSet(CompareAndSet::Different { current })),
                }
            }
            // A member without the machine has sent it.
            (Self::Page(_), _) => Reply {
                revision: Revision(0),
                outcome: Err(Refused::KeyEmpty),
            },
        }
    }

    fn advance(&mut self, at: ApplyContext) {
        if let Self::Kv(kv) = self {
            kv.advance(at);
        }
    }

    fn wakes_at(&self) -> Option<ClusterTime> {
        match self {
            Self::Kv(kv) => kv.wakes_at(),
            Self::Page(_) => None,
        }
    }

    fn query(&self, query: Query) -> Self::Answer {
        match (self, query) {
            (Self::Kv(kv), query) => Ok(kv.query(query)),
            (Self::Page(machine), Query::Get { key }) => {
                let bytes = machine.bytes("query", &[array(&key)])?;
                Ok(Answer {
                    revision: Revision(0),
                    outcome: Ok(Found::Value(Some(bytes))),
                })
            }
            (Self::Page(_), _) => Err("it has no keys".to_owned()),
        }
    }

    fn failure(&self) -> Option<String> {
        match self {
            Self::Kv(_) => None,
            Self::Page(machine) => machine.failure(),
        }
    }

    fn is_command_within(command: &Command, scope: &Scope) -> bool {
        Kv::is_command_within(command, scope)
    }

    fn is_query_within(query: &Query, scope: &Scope) -> bool {
        Kv::is_query_within(query, scope)
    }

    fn snapshot(&self) -> impl Capture {
        let pieces: Box<dyn Iterator<Item = Vec<u8>> + Send> = match self {
            Self::Kv(kv) => Box::new(kv.snapshot().into_pieces()),
            Self::Page(machine) => Box::new(std::iter::once(machine.snapshot())),
        };
        Pieces(pieces)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        match self {
            Self::Kv(kv) => kv.restore(state),
            Self::Page(machine) => machine.restore(state),
        }
    }

    fn restoring(self) -> impl Restoring<Self> {
        match self {
            Self::Kv(kv) => Coming::Kv(kv.restoring()),
            Self::Page(machine) => Coming::Page(machine, Vec::new()),
        }
    }
}

/// A state that comes piece by piece.
enum Coming<K> {
    Kv(K),
    Page(PageMachine, Vec<u8>),
}

impl<K: Restoring<Kv>> Restoring<Machine> for Coming<K> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        match self {
            Self::Kv(kv) => return kv.take(bytes),
            Self::Page(_, state) => state.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn finish(self) -> Result<Machine, RestoreError> {
        match self {
            Self::Kv(kv) => kv.finish().map(Machine::Kv),
            Self::Page(machine, state) => {
                machine.restore(&state)?;
                Ok(Machine::Page(machine))
            }
        }
    }
}
