//! What disk storage promises, shown on folders, on a file layer that loses and tears what was not synced, and on
//! damage.

mod backup;
mod crashes;
mod damage;
mod fake;
mod faults;
mod folders;
mod golden;
mod histories;
mod outbox;
mod rescue;
mod room;
