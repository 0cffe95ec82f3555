//! s
use super::Look;
use heart_config::cib::Note;
use heart_scheduler::engine::Outcome;
pub(crate) fn simulation(_o: &Outcome, _n: &[Note], _l: &Look) -> String {
    String::new()
}
