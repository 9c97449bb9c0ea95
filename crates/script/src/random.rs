//! `math.random` as Redis has it: the generator of `lrand48`, seeded by the driver.

use std::ffi::c_int;

use crate::host::Host;
use crate::lua::Lua;
use crate::trampoline::{Fail, integer, native, number};

/// Numbers are below it.
const MAX: u64 = i32::MAX as u64;
const MULTIPLIER: u64 = 0x5_deec_e66d;
const INCREMENT: u64 = 0xb;
const STATE_BITS: u64 = (1 << 48) - 1;

/// The state that this seed stands for, as `srand48` makes it.
pub fn seeded(seed: u32) -> u64 {
    u64::from(seed) << 16 | 0x330e
}

fn draw(host: &Host) -> u64 {
    let state = host.random.get().wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & STATE_BITS;
    host.random.set(state);
    state >> 17
}

native! {
    random => draw_number;
    random_seed => set_seed;
}

fn draw_number(lua: &Lua) -> Result<c_int, Fail> {
    let fraction = (draw(lua.host()) % MAX) as f64 / MAX as f64;
    let bounded = |low: i64, high: i64, argument| {
        if low > high {
            return Err(Fail::Argument(argument, "interval is empty".to_owned()));
        }
        Ok((fraction * (high.wrapping_sub(low).wrapping_add(1)) as f64).floor() + low as f64)
    };
    let drawn = match lua.top() {
        0 => fraction,
        1 => bounded(1, integer(lua, 1)?, 1)?,
        2 => bounded(integer(lua, 1)?, integer(lua, 2)?, 2)?,
        _ => return Err(Fail::Text("wrong number of arguments".to_owned())),
    };
    lua.push_number(drawn);
    Ok(1)
}

fn set_seed(lua: &Lua) -> Result<c_int, Fail> {
    let seed = crate::number::truncated(number(lua, 1)?);
    lua.host().random.set(seeded(seed as u32));
    Ok(0)
}
