//! What has to hold for any bytes that somebody takes for a CIB.

use heart_config::cib::read;

/// Reads: whatever the bytes are, this ends and does not panic, and everything that is said has its place.
pub(crate) fn cib(bytes: &[u8]) {
    let lines = String::from_utf8_lossy(bytes).matches('\n').count() + 1;
    let placed = |line: u32, column: u32, message: &str| {
        assert!(
            (1..=lines).contains(&(line as usize)) && column >= 1,
            "{line}:{column} of {lines}: {message}"
        );
        assert!(!message.is_empty());
    };
    match read("cib.xml", bytes) {
        Ok(imported) => {
            imported.report.iter().for_each(|note| placed(note.line, note.column, &note.message));
            assert_eq!(read("again", bytes).as_ref(), Ok(&imported), "the same bytes say the same");
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            mistakes.iter().for_each(|mistake| placed(mistake.line, mistake.column, &mistake.message));
        }
    }
}
