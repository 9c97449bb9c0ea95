//! x
#[derive(Clone, Copy, Debug)]
pub(super) struct Extended;
impl Extended {
    pub const ZERO: Self = Self;
    pub fn parse(_: &[u8]) -> Option<Self> {
        None
    }
    pub fn checked_add(self, _: Self) -> Option<Self> {
        None
    }
    pub fn to_text(self) -> String {
        String::new()
    }
}
