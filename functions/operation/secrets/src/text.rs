//! Texts of secrets, as stores give them.

use iam_vault::SecretText;

/// The text that counts: without the blanks around it, which a copy or an editor leaves. A text of blanks
/// alone is none, as it is to `Context::secret`: what is rotated, rewrapped and listed is what serves.
pub(crate) fn present(text: &str) -> Option<SecretText> {
    let text = text.trim();
    (!text.is_empty()).then(|| SecretText::new(text.to_owned()))
}
