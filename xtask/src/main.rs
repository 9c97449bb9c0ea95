//! Build, check and test commands of the repository: `cargo xtask test` is all that CI runs.
//!
//! It orchestrates tools and counts results; what is tested lives in the crates and in `tests/`.

mod audit;
mod bench;
mod chaos;
mod dist;
mod floors;
mod install;
mod instructions;
mod lanes;
mod processes;
mod races;
mod run;
mod soak;
mod steps;
mod tidy;
mod unsteady;
mod upstream;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask COMMAND
  test [--only NAME[,NAME…]]  install what the tests need, then run everything (what CI runs)
  check                       formatting, lints, layering, documents, advisories; writes nothing
  hostile [N]                 N random and mutated messages of a peer with a good certificate (1,000,000)
  audit [--advisories FILE]   Cargo.lock against known vulnerabilities, and the crate count
  fix                         formatting and generated documents; the only command that writes
  sim ARGUMENTS…              the simulator, such as: sim --seed 7, sim --seeds 0..2000, sim --bug NAME --seeds 0..10000
  bugs                        every planted bug must be found by the simulator; `test` leaves out the slow ones
  chaos [--binary release|dev|FILE] [--seeds A..B] [--seconds N] [--kinds K,…] [--ledger FILE]  real faults on real processes
  soak [--minutes N|--seconds N] [--workers N]  three nodes at full load, 10 minutes unless told; a verdict as JSON
  bench [ARGUMENTS…]          the goals table against installed peers, into docs/benchmarks.md
  instructions [--record [DECISION]]  instructions per request, against tests/instruction-counts.tsv
  dist [--out DIR] [--binary FILE]  tarball, Debian package, bill of materials and checksums, into target/dist
  upstream --suite DIR [--unit NAME…]  Redis' own test suite, unpacked in DIR, against redis-server and one node
  asan                        tests of core and codec under the address sanitizer
  races                       the rings between threads under the thread sanitizer
  install                     only install what the tests need";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let outcome = match arguments.first().map(String::as_str) {
        Some("test") => steps::test(rest),
        Some("check") => steps::check(),
        Some("audit") => audit::command(rest),
        Some("hostile") => steps::hostile(rest),
        Some("fix") => steps::fix(),
        Some("sim") => steps::sim(rest),
        Some("bugs") => steps::bugs(),
        Some("chaos") => chaos::command(rest),
        Some("soak") => soak::soak(rest),
        Some("bench") => bench::bench(rest),
        Some(bench::CONSTANT_SERVER) => bench::constant_server(rest),
        Some("dist") => dist::dist(rest),
        Some("upstream") => upstream::command(rest),
        Some("asan") => lanes::address(),
        Some("races") => races::races(),
        Some("instructions") => instructions::command(rest),
        Some("install") => install::install(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(run::Failure { message, code }) => {
            eprintln!("xtask: {message}");
            ExitCode::from(code)
        }
    }
}
