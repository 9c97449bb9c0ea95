//! The terminal of the live view: single keys without Enter, and a screen of its own. Restored on drop.

use std::io::{IsTerminal as _, Read as _, Write as _};

/// A terminal that delivers single keys. ^C still is a signal.
pub struct RawTerminal {
    saved: libc::termios,
}

/// Whether both ends of this process are a terminal.
pub fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

impl RawTerminal {
    /// Switches the terminal; `None` where it cannot be switched.
    pub fn enter() -> Option<RawTerminal> {
        // SAFETY: termios is a plain C struct for which all zeroes is a valid value; tcgetattr overwrites it.
        let mut saved: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a live termios, and a wrong descriptor only returns an error.
        if unsafe { libc::tcgetattr(libc::STDIN_FILENO, &mut saved) } != 0 {
            return None;
        }
        let mut raw = saved;
        raw.c_lflag &= !(libc::ICANON | libc::ECHO);
        // A read returns at once, with or without a key.
        raw.c_cc[libc::VMIN] = 0;
        raw.c_cc[libc::VTIME] = 0;
        // SAFETY: as above; the call reads the struct only.
        if unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, &raw) } != 0 {
            return None;
        }
        let mut stdout = std::io::stdout();
        // Without automatic wrapping a narrow terminal cuts lines instead of tearing the picture.
        let _ = write!(stdout, "\x1b[?1049h\x1b[?25l\x1b[?7l").and_then(|()| stdout.flush());
        Some(RawTerminal { saved })
    }

    /// A key that was pressed since the last call.
    pub fn key(&self) -> Option<u8> {
        let mut byte = [0];
        matches!(std::io::stdin().read(&mut byte), Ok(1)).then_some(byte[0])
    }

    /// Replaces what is on the screen.
    pub fn draw(&self, lines: &[String]) {
        let mut frame = String::from("\x1b[H");
        for line in lines {
            frame.push_str(line);
            frame.push_str("\x1b[K\r\n");
        }
        frame.push_str("\x1b[J");
        let mut stdout = std::io::stdout();
        let _ = stdout.write_all(frame.as_bytes()).and_then(|()| stdout.flush());
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let mut stdout = std::io::stdout();
        let _ = write!(stdout, "\x1b[?7h\x1b[?25h\x1b[?1049l").and_then(|()| stdout.flush());
        // SAFETY: `saved` came from tcgetattr of the same descriptor.
        unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, &self.saved) };
    }
}
