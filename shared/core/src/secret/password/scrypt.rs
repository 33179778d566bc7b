//! scrypt (RFC 7914): the PHC form `$scrypt$ln=16,r=8,p=1$salt$hash` and Django's `scrypt$n$salt$r$p$hash`.

use base64::alphabet::STANDARD;
use scrypt::Params;

use super::PasswordError;
use super::stored::{from_base64, is_same, number, output, parts, salt};

/// The most memory, in bytes: half of what an isolate has.
const MAX_MEMORY_BYTES: u64 = 64 << 20;

/// The most memory that is gone through in all lanes together, in bytes.
const MAX_WORK_BYTES: u64 = 256 << 20;

pub(super) struct ScryptHash {
    params: Params,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl ScryptHash {
    pub(super) fn parse(text: &str) -> Result<Self, PasswordError> {
        match text.strip_prefix("$scrypt$") {
            Some(rest) => {
                let [costs, salt_text, hash] = parts::<3>(rest)?;
                let [ln, r, p] = phc_costs(costs)?;
                Self::new(ln, r, p, from_base64(&STANDARD, salt_text)?, hash)
            }
            None => {
                let [_, n, salt_text, r, p, hash] = parts::<6>(text)?;
                let n = number(n)?;
                if !n.is_power_of_two() {
                    return Err(PasswordError::Stored);
                }
                Self::new(n.ilog2(), number(r)?, number(p)?, salt_text.as_bytes().to_vec(), hash)
            }
        }
    }

    fn new(ln: u32, r: u32, p: u32, salt_bytes: Vec<u8>, hash: &str) -> Result<Self, PasswordError> {
        let n = 1_u64.checked_shl(ln).ok_or(PasswordError::Cost)?;
        let block = u64::from(r).saturating_mul(128);
        let memory = n.checked_mul(block).ok_or(PasswordError::Cost)?;
        let work = memory.checked_mul(p.into()).ok_or(PasswordError::Cost)?;
        if memory > MAX_MEMORY_BYTES || work > MAX_WORK_BYTES {
            return Err(PasswordError::Cost);
        }
        let ln = u8::try_from(ln).map_err(|_| PasswordError::Cost)?;
        let params = Params::new(ln, r, p).map_err(|_| PasswordError::Cost)?;
        Ok(Self { params, salt: salt(salt_bytes)?, hash: output(from_base64(&STANDARD, hash)?)? })
    }

    pub(super) fn verify(&self, password: &[u8]) -> Result<bool, PasswordError> {
        let mut computed = vec![0; self.hash.len()];
        scrypt::scrypt(password, &self.salt, &self.params, &mut computed)
            .map_err(|_| PasswordError::Stored)?;
        Ok(is_same(&computed, &self.hash))
    }
}

/// `ln=16,r=8,p=1`, in this order.
fn phc_costs(text: &str) -> Result<[u32; 3], PasswordError> {
    let mut costs = text.split(',');
    let mut cost = |name: &str| {
        let value = costs.next().and_then(|cost| cost.strip_prefix(name)).ok_or(PasswordError::Stored)?;
        number(value)
    };
    let read = [cost("ln=")?, cost("r=")?, cost("p=")?];
    if costs.next().is_some() { Err(PasswordError::Stored) } else { Ok(read) }
}
