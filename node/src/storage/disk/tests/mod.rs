//! Shows what disk storage promises, on folders, on a file layer that loses and tears what was not synced, and on
//! damage.

#[cfg(test)]
mod backup;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod damage;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "whoever compares needs only part of it")
)]
mod fake;
#[cfg(test)]
mod faults;
#[cfg(feature = "faulty-disk")]
pub mod faulty;
#[cfg(test)]
mod folders;
#[cfg(test)]
mod foundings;
#[cfg(test)]
mod golden;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "whoever compares needs only part of it")
)]
mod histories;
#[cfg(test)]
mod outbox;
#[cfg(test)]
mod peer_boots;
#[cfg(test)]
mod reads;
#[cfg(test)]
mod rescue;
#[cfg(test)]
mod room;
