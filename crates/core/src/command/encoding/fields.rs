//! The options of commands as bytes: flags packed into one byte, then the numbers that they announce.

use crate::command::options::{
    Deadline, DeadlineCondition, DeadlineError, Expiry, GetExpiry, ObjectField, SetCondition, SetReply,
    TtlForm,
};
use crate::packed::{Corrupt, Sink, corrupt, put_signed, put_varint, take_signed, take_u8, take_varint};

/// One byte: condition in bits 0–1, reply in bits 2–3, expiry in bits 4–5; then its time if it has one.
pub(super) fn put_set_options(
    out: &mut impl Sink,
    (expiry, condition, reply): (Expiry, SetCondition, SetReply),
) {
    let (expiry_bits, time) = match expiry {
        Expiry::Never => (0u8, None),
        Expiry::In(time) => (1, Some(time)),
        Expiry::At(time) => (2, Some(time)),
        Expiry::Keep => (3, None),
    };
    out.push(condition as u8 | (reply as u8) << 2 | expiry_bits << 4);
    if let Some(time) = time {
        put_varint(out, time);
    }
}

pub(super) fn take_set_options(input: &mut &[u8]) -> Result<(Expiry, SetCondition, SetReply), Corrupt> {
    let bits = take_u8(input)?;
    let condition = match bits & 3 {
        0 => SetCondition::Always,
        1 => SetCondition::IfAbsent,
        2 => SetCondition::IfPresent,
        _ => return corrupt("a condition of SET"),
    };
    let reply = match bits >> 2 & 3 {
        0 => SetReply::Ok,
        1 => SetReply::Old,
        2 => SetReply::Flag,
        _ => return corrupt("a reply form of SET"),
    };
    let expiry = match bits >> 4 {
        0 => Expiry::Never,
        1 => Expiry::In(take_varint(input)?),
        2 => Expiry::At(take_varint(input)?),
        3 => Expiry::Keep,
        _ => return corrupt("an expiry of SET"),
    };
    Ok((expiry, condition, reply))
}

pub(super) fn put_get_expiry(out: &mut impl Sink, expiry: GetExpiry) {
    let (kind, time) = match expiry {
        GetExpiry::Keep => (0u8, None),
        GetExpiry::Persist => (1, None),
        GetExpiry::In(time) => (2, Some(time)),
        GetExpiry::At(time) => (3, Some(time)),
        GetExpiry::Refused(DeadlineError::NotAnInteger) => (4, None),
        GetExpiry::Refused(DeadlineError::OutOfRange) => (5, None),
    };
    out.push(kind);
    if let Some(time) = time {
        put_varint(out, time);
    }
}

pub(super) fn take_get_expiry(input: &mut &[u8]) -> Result<GetExpiry, Corrupt> {
    Ok(match take_u8(input)? {
        0 => GetExpiry::Keep,
        1 => GetExpiry::Persist,
        2 => GetExpiry::In(take_varint(input)?),
        3 => GetExpiry::At(take_varint(input)?),
        4 => GetExpiry::Refused(DeadlineError::NotAnInteger),
        5 => GetExpiry::Refused(DeadlineError::OutOfRange),
        _ => return corrupt("an expiry of GETEX"),
    })
}

/// One byte: NX, XX, GT, LT in bits 0–3, absolute in bit 4; then the time.
pub(super) fn put_deadline(out: &mut impl Sink, deadline: Deadline, condition: DeadlineCondition) {
    let (absolute, time) = match deadline {
        Deadline::In(time) => (0u8, time),
        Deadline::At(time) => (1, time),
    };
    let DeadlineCondition {
        if_none,
        if_some,
        if_later,
        if_earlier,
    } = condition;
    let conditions = [if_none, if_some, if_later, if_earlier];
    let bits = (0..)
        .zip(conditions)
        .fold(absolute << 4, |bits, (place, set)| bits | u8::from(set) << place);
    out.push(bits);
    put_signed(out, time);
}

pub(super) fn take_deadline(input: &mut &[u8]) -> Result<(Deadline, DeadlineCondition), Corrupt> {
    let bits = take_u8(input)?;
    if bits > 0x1f {
        return corrupt("the conditions of EXPIRE");
    }
    let time = take_signed(input)?;
    let deadline = if bits & 0x10 != 0 {
        Deadline::At(time)
    } else {
        Deadline::In(time)
    };
    let condition = DeadlineCondition {
        if_none: bits & 1 != 0,
        if_some: bits & 2 != 0,
        if_later: bits & 4 != 0,
        if_earlier: bits & 8 != 0,
    };
    Ok((deadline, condition))
}

pub(super) fn take_ttl_form(input: &mut &[u8]) -> Result<TtlForm, Corrupt> {
    Ok(match take_u8(input)? {
        0 => TtlForm::Seconds,
        1 => TtlForm::Milliseconds,
        2 => TtlForm::DeadlineSeconds,
        3 => TtlForm::DeadlineMilliseconds,
        _ => return corrupt("a form of TTL"),
    })
}

pub(super) fn take_object_field(input: &mut &[u8]) -> Result<ObjectField, Corrupt> {
    Ok(match take_u8(input)? {
        0 => ObjectField::Encoding,
        1 => ObjectField::RefCount,
        2 => ObjectField::IdleTime,
        3 => ObjectField::Frequency,
        _ => return corrupt("a field of OBJECT"),
    })
}
