//! Error replies counted by their code word, for `INFO errorstats`.

/// Code words told apart; further ones are counted together.
const WORDS_MAX: usize = 64;

/// Counts per code word.
#[derive(Clone, Debug, Default)]
pub struct ErrorStats {
    words: Vec<(String, u64)>,
}

impl ErrorStats {
    /// Counts an encoded error reply (`-WORD text`).
    pub fn count(&mut self, encoded: &[u8]) {
        let text = encoded.strip_prefix(b"-").unwrap_or(encoded);
        let end = text
            .iter()
            .position(|byte| matches!(byte, b' ' | b'\r' | b'\n'))
            .unwrap_or(text.len());
        let word = String::from_utf8_lossy(&text[..end.min(32)]);
        if let Some((_, count)) = self.words.iter_mut().find(|(known, _)| *known == word) {
            *count += 1;
        } else if self.words.len() < WORDS_MAX {
            self.words.push((word.into_owned(), 1));
        } else if let Some((_, count)) = self.words.last_mut() {
            *count += 1;
        }
    }

    /// Words and counts, in order of first appearance.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.words.iter().map(|(word, count)| (word.as_str(), *count))
    }

    /// A copy for other threads.
    pub fn to_vec(&self) -> Vec<(String, u64)> {
        self.words.clone()
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.words.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart_by_their_first_word() {
        let mut stats = ErrorStats::default();
        stats.count(b"-ERR syntax error\r\n");
        stats.count(b"-ERR unknown\r\n");
        stats.count(b"-EXECABORT Transaction\r\n");
        let counts: Vec<_> = stats.iter().collect();
        assert_eq!(counts, [("ERR", 2), ("EXECABORT", 1)]);
    }

    #[test]
    fn clients_cannot_make_it_grow_without_bound() {
        let mut stats = ErrorStats::default();
        for number in 0..1000 {
            stats.count(format!("-W{number} x\r\n").as_bytes());
        }
        assert_eq!(stats.iter().count(), WORDS_MAX);
    }
}
