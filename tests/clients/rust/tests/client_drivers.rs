//! The program that the process tests drive. That it has a test lets one build make it and the tests of all packages.

use std::process::{Command, Stdio};

#[test]
fn wrong_words_are_refused_with_the_right_ones() {
    for words in [&[][..], &["redis-rs"], &["lettuce", "127.0.0.1", "1", "ca.crt"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_repligo-client-drivers"));
        let output = command
            .args(words)
            .stdin(Stdio::null())
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{words:?}");
        assert!(said.contains("redis-rs|fred HOST PORT CA"), "{words:?}: {said}");
    }
}
