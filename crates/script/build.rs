//! Compiles the Lua 5.1 that comes with `lua-src`; a C compiler is all it needs.

fn main() {
    lua_src::Build::new()
        .debug(false)
        .opt_level("2")
        .build(lua_src::Lua51)
        .print_cargo_metadata();
}
